"""An actor's memory as bytes that another run can trust: arrays and plain values, a checksum, no pickles."""

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nautilus_metal.errors import InputError

_MEMORY = "memory"


@dataclass(frozen=True, slots=True)
class Envelope:
    """How the state of one kind of actor is written.

    Attributes
    ----------
    owner : str
        The actor, as errors name it.
    magic : bytes
        The first 4 bytes.
    version : int
        Of what is inside.
    """

    owner: str
    magic: bytes
    version: int

    def pack(self, arrays: Mapping[str, NDArray[Any]], memory: Mapping[str, Any]) -> bytes:
        """Write magic, version, SHA-256 of the rest, and an archive of the arrays and of what JSON can hold."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **{_MEMORY: np.array(json.dumps(memory))}, **arrays)  # type: ignore[arg-type]
        body = buffer.getvalue()
        return self.magic + self.version.to_bytes(2, "big") + hashlib.sha256(body).digest() + body

    def unpack(self, data: bytes) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Read what `pack` wrote.

        Raises
        ------
        InputError
            If the bytes are not such a state, of another version, or damaged.
        """
        head = len(self.magic) + 2 + hashlib.sha256().digest_size
        version, digest, body = int.from_bytes(data[4:6], "big"), data[6:head], data[head:]
        if data[:4] != self.magic or len(data) < head:
            raise InputError(f"`state` must be a {self.owner}'s, began with {data[:4]!r}")
        if version != self.version:
            raise InputError(f"`state` must be of version {self.version}, was of {version}")
        if hashlib.sha256(body).digest() != digest:
            raise InputError("`state` must have its own checksum: it is damaged")
        try:
            with np.load(io.BytesIO(body), allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files if name != _MEMORY}
                return arrays, json.loads(str(archive[_MEMORY]))
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
