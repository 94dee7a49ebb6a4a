"""A RiskActor's memory as bytes: after a restart its reports are those that it would have made without one.

The models' filters are run over the return window at every tick, and the scenario stream is a pure function of its
seed, so that the window, what is known of options, and the limits' states are all there is to keep.
"""

import hashlib
import io
import json
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nautilus_metal.errors import InputError
from nautilus_metal.risk.book import Array

KEY = "nautilus_metal.RiskActor"
_MAGIC, _VERSION = b"NMRA", 1
_HEAD = len(_MAGIC) + 2 + hashlib.sha256().digest_size


@dataclass(frozen=True)
class RiskState:
    """What is kept.

    Attributes
    ----------
    window : dict of str to ndarray
        From `ReturnWindow.state`.
    memory : dict
        Plain values: `bar_specification`, `model`, `seed`, `closed_at`, `priced_at`, `broken` limits, `options`.
    """

    window: dict[str, Array]
    memory: dict[str, Any]


def pack(state: RiskState) -> bytes:
    """Write a state: magic, version, SHA-256 of the rest, and an archive of arrays without pickles."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, memory=np.array(json.dumps(state.memory)), **state.window)  # type: ignore[arg-type]
    body = buffer.getvalue()
    return _MAGIC + _VERSION.to_bytes(2, "big") + hashlib.sha256(body).digest() + body


def unpack(data: bytes) -> RiskState:
    """Read what `pack` wrote.

    Raises
    ------
    InputError
        If the bytes are not a RiskActor's state, of another version, or damaged.
    """
    version, digest, body = int.from_bytes(data[4:6], "big"), data[6:_HEAD], data[_HEAD:]
    if data[:4] != _MAGIC or len(data) < _HEAD:
        raise InputError(f"`state` must be a RiskActor's, began with {data[:4]!r}")
    if version != _VERSION:
        raise InputError(f"`state` must be of version {_VERSION}, was of {version}")
    if hashlib.sha256(body).digest() != digest:
        raise InputError("`state` must have its own checksum: it is damaged")
    try:
        with np.load(io.BytesIO(body), allow_pickle=False) as arrays:
            window = {name: arrays[name] for name in arrays.files if name != "memory"}
            return RiskState(window, json.loads(str(arrays["memory"])))
    except (ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"`state` must be readable: {error}") from None


def write_file(path: str, data: bytes) -> None:
    """Replace a file in one step, so that a crash leaves the old one or the new one."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(target.name + ".new")
    fresh.write_bytes(data)
    os.replace(fresh, target)


def read_file(path: str) -> bytes | None:
    """Return what a file holds; None where there is none."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        return None
