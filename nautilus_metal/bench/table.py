"""Results as plain text and as plain values."""

import importlib.metadata
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch

from nautilus_metal import __version__
from nautilus_metal.bench.case import Result, Spread
from nautilus_metal.engine import ComputeEngine

_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))
_PACKAGES = ("nautilus_trader", "torch", "numpy", "numba", "TA-Lib")
HEADERS = ("case", "size", "ours", "peer", "its time", "peer / ours", "rounds")


def environment(engine: ComputeEngine) -> dict[str, Any]:
    """Say what was measured with: device, processor, threads and versions."""
    status = engine.status()
    versions = {"nautilus_metal": __version__}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "device": status["device"],
        "device_name": status["device_name"],
        "dtype": status["dtype"],
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": versions,
    }


def as_values(results: Sequence[Result], engine: ComputeEngine) -> dict[str, Any]:
    """Give environment and results as what JSON can hold; times in seconds."""
    rows = [{**asdict(result), "size": dict(result.size)} for result in results]
    return {"environment": environment(engine), "results": rows}


def table(results: Sequence[Result], engine: ComputeEngine) -> str:
    """Draw the results: medians, with the range of the middle half of the rounds in brackets."""
    about = environment(engine)
    lines = [
        f"{about['device_name']} ({about['device']}, {about['dtype']}), {about['cores']} cores, "
        f"{about['torch_threads']} torch threads, {about['system']}",
        "Python " + about["python"] + "".join(f", {name} {version}" for name, version in about["versions"].items()),
        "",
        *_grid([HEADERS, *map(_row, results)]),
        *(f"{result.case} against {result.peer}: {result.problem}" for result in results if result.problem),
    ]
    return "\n".join(lines)


def _row(result: Result) -> tuple[str, ...]:
    size = ", ".join(f"{number:,} {name}" for name, number in result.size.items())
    if result.ours is None or result.theirs is None or result.ratio is None:
        return result.case, size, "-", result.peer, "-", "-", "0"
    ratio = f"{result.ratio.median:.2f} ({result.ratio.low:.2f} to {result.ratio.high:.2f})"
    ours, theirs = (_time(spread, result.unit) for spread in (result.ours, result.theirs))
    return result.case, size, ours, result.peer, theirs, ratio, str(result.rounds)


def _time(spread: Spread, unit: str) -> str:
    scale, name = next((row for row in _UNITS if spread.median >= row[0]), _UNITS[-1])
    each = "" if unit == "call" else f" a {unit}"
    low, median, high = (f"{seconds / scale:.3g}" for seconds in (spread.low, spread.median, spread.high))
    return f"{median} {name}{each} ({low} to {high})"


def _grid(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [lines[0], "-" * (sum(widths) + 2 * (len(widths) - 1)), *lines[1:]]
