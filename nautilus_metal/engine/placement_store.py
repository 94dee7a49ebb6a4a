"""Calibrations on disk, one small file for each user and device; a file that does not fit is measured again."""

import contextlib
import json
import math
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from nautilus_metal.engine.compute import ComputeEngine
from nautilus_metal.engine.placement_measure import SIZES, Calibration, Work, identify, measure, work_times

VERSION = 3  # of what a file says and of how it was measured
_FIGURES = ("copy_within", "matmul", "launch", "round_trip")
_COPIES = ("copy_to_device", "copy_from_device")


def cache_file(engine: ComputeEngine) -> Path:
    """Where the calibration of an engine's device is kept.

    In ``$XDG_CACHE_HOME/nautilus_metal``, by default ``~/.cache/nautilus_metal``.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    folder = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    identity = identify(engine)
    name = re.sub(r"[^A-Za-z0-9]+", "-", f"{identity['device']}-{identity['device_name']}").strip("-").lower()
    return folder / "nautilus_metal" / f"calibration-{name}.json"


def calibrate(engine: ComputeEngine, work: Mapping[str, Work], fresh: bool = False) -> Calibration:
    """Return what was measured on an engine's device, measured now where nothing that fits is stored.

    Parameters
    ----------
    engine : ComputeEngine
        On the device.
    work : mapping of str to Work
        Kinds of work that the calibration has to know; those that the stored one does not know are added to it.
    fresh : bool
        Measure in any case; kinds that are not in `work` keep what is known of them.

    Returns
    -------
    Calibration
        Also stored for the next process; where the folder cannot be written it is not, and nothing is raised.
    """
    known = load(engine)
    if fresh or known is None:
        found = measure(engine, work)
        if known is not None and engine.device.type != "cpu":
            found = replace(found, times=known.times | found.times)
    else:
        missing = {name: row for name, row in work.items() if name not in known.times}
        if not missing or engine.device.type == "cpu":
            return known
        found = replace(known, times=known.times | work_times(engine, missing))
    store(engine, found)
    return found


def load(engine: ComputeEngine) -> Calibration | None:
    """Read the stored calibration; None where there is none, or it is broken or of another machine or version."""
    try:
        text = json.loads(cache_file(engine).read_text(encoding="utf-8"))
    except (OSError, ValueError, RuntimeError):
        return None
    if not isinstance(text, dict) or text.pop("version", None) != VERSION:
        return None
    if set(text) != set(Calibration.__dataclass_fields__) or not isinstance(text["measured"], str):
        return None
    if any(text[name] != value for name, value in identify(engine).items()):
        return None
    return Calibration(**text) if _is_sound(text, engine.device.type == "cpu") else None


def store(engine: ComputeEngine, calibration: Calibration) -> None:
    """Write a calibration in one step, so that no reader ever sees half of it."""
    path = cache_file(engine)
    with contextlib.suppress(OSError, RuntimeError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump({"version": VERSION} | asdict(calibration), file, indent=1)
            os.replace(scratch, path)
        except OSError:
            os.unlink(scratch)
            raise


def _is_sound(text: dict[str, Any], on_cpu: bool) -> bool:
    """Whether every figure is one that could have been measured."""
    if not all(_is_figure(text[name]) for name in _FIGURES):
        return False
    if on_cpu:
        return text["times"] == {} and all(text[name] is None for name in _COPIES)
    if not all(_is_figure(text[name]) for name in _COPIES):
        return False
    times = text["times"]
    if not isinstance(times, dict) or not times:
        return False
    return all(isinstance(row, dict) and set(row) == {"cpu", "device"} and _is_row(row) for row in times.values())


def _is_row(row: dict[str, Any]) -> bool:
    return all(isinstance(v, list) and len(v) == len(SIZES) and all(map(_is_figure, v)) for v in row.values())


def _is_figure(value: Any) -> bool:
    return isinstance(value, float) and math.isfinite(value) and value > 0.0
