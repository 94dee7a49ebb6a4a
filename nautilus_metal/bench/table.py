"""Results as plain text and as plain values."""

import importlib.metadata
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import torch

from nautilus_metal import __version__
from nautilus_metal.bench.case import Result, Spread
from nautilus_metal.bench.rates import Rates
from nautilus_metal.engine import ComputeEngine
from nautilus_metal.engine.devices import KINDS
from nautilus_metal.report.terminal import table as lined_up

_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))
_PACKAGES = ("nautilus_trader", "torch", "numpy", "numba", "TA-Lib", "QuantLib", "clarabel", "polars", "cupy", "jax")
_ALSO_CALLED = {"cupy": ("cupy-cuda12x", "cupy-cuda13x")}
ABSENT = "not installed"
HEADERS = ("case", "size", "ours", "ours / floor", "peer", "its time", "peer / ours", "asked for", "rounds")


def environment(engine: ComputeEngine) -> dict[str, Any]:
    """Say what was measured with: device, processor, threads, versions and the day."""
    status = engine.status()
    versions = {package: _version(package) for package in _PACKAGES}
    return {
        "device": status["device"],
        "device_name": status["device_name"],
        "cpu_name": KINDS["cpu"].name(0),
        "dtype": status["dtype"],
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {"nautilus_metal": __version__, **versions},
    }


def _version(package: str) -> str:
    for name in (package, *_ALSO_CALLED.get(package, ())):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return ABSENT


def as_values(results: Sequence[Result], engine: ComputeEngine, rates: Rates | None = None) -> dict[str, Any]:
    """Give environment, measured rates and results as what JSON can hold; times in seconds."""
    rows = [{**asdict(result), "size": dict(result.size)} for result in results]
    measured = {} if rates is None else {"rates": asdict(rates)}
    return {"environment": environment(engine), **measured, "results": rows}


def table(results: Sequence[Result], engine: ComputeEngine) -> str:
    """Draw the results: medians, with the range of the middle half of the rounds in brackets."""
    about = environment(engine)
    lines = [
        f"{about['device_name']} ({about['device']}, {about['dtype']}), {about['cores']} cores, "
        f"{about['torch_threads']} torch threads, {about['system']}",
        "Python " + about["python"] + "".join(f", {name} {version}" for name, version in about["versions"].items()),
        "",
        lined_up([HEADERS, *map(_row, results)], left=len(HEADERS) - 1),
        *(f"{result.case} against {result.peer}: {result.problem}" for result in results if result.problem),
    ]
    return "\n".join(line.rstrip() for line in "\n".join(lines).splitlines())


def size_text(result: Result) -> str:
    """Write a size: 1,000 series, 2,520 bars."""
    return ", ".join(f"{number:,} {name}" for name, number in result.size.items())


def time_text(seconds: float) -> str:
    """Write a time in its unit.

    >>> time_text(0.00123), time_text(45.6e-6)
    ('1.23 ms', '45.6 us')
    """
    scale, name = _unit(seconds)
    return f"{seconds / scale:.3g} {name}"


def _row(result: Result) -> tuple[str, ...]:
    size = size_text(result)
    if result.ours is None or result.theirs is None or result.ratio is None:
        return result.case, size, "-", "-", result.peer, "-", "-", "-", "0"
    ours, theirs = (_time(spread, result.unit) for spread in (result.ours, result.theirs))
    ratios = _ratio(result.above_floor), _ratio(result.ratio)
    asked = "-" if result.asked is None else f"{result.asked:g}"
    return result.case, size, ours, ratios[0], result.peer, theirs, ratios[1], asked, str(result.rounds)


def _ratio(spread: Spread | None) -> str:
    return "-" if spread is None else f"{spread.median:.3g} ({spread.low:.3g} to {spread.high:.3g})"


def _time(spread: Spread, unit: str) -> str:
    scale, name = _unit(spread.median)
    each = "" if unit == "call" else f" a {unit}"
    low, median, high = (f"{seconds / scale:.3g}" for seconds in (spread.low, spread.median, spread.high))
    return f"{median} {name}{each} ({low} to {high})"


def _unit(seconds: float) -> tuple[float, str]:
    return next((row for row in _UNITS if seconds >= row[0]), _UNITS[-1])
