"""The demonstration's table: ours on the device in use, beside the fastest there is for the CPU."""

from collections.abc import Iterator
from dataclasses import replace

from nautilus_metal.bench.case import Case
from nautilus_metal.bench.cases import CASES
from nautilus_metal.bench.classic import classic_cases, compared
from nautilus_metal.compat import metal_device_manager

_LARGE: tuple[tuple[str, str, dict[str, int], dict[str, int]], ...] = (
    ("rsi", "RSI of many histories", {"series": 500, "bars": 10_000}, {"series": 4, "bars": 1_000}),
    ("risk_tick", "VaR and ES of a book", {"assets": 100, "scenarios": 100_000}, {"assets": 100, "scenarios": 2_000}),
)
_SLOW = ("numba loop", "QuantLib", "polars", "CuPy, collapsed", "JAX, collapsed")  # to run or to compile


def demo_cases() -> list[Case]:
    """The rows of `nautilus-metal bench --classic`, and two that are worth a GPU."""
    large = [
        replace(CASES[name], title=title, sizes=(full,), quick=(quick,), bounds={})
        for name, title, full, quick in _LARGE
    ]
    return [*classic_cases(), *large]


def demo_table(large: bool) -> Iterator[str]:
    """Measure every row and yield the table's lines; `nautilus-metal bench` asks more peers.

    Parameters
    ----------
    large : bool
        Sizes that are worth a GPU, or small ones.
    """
    yield from compared(demo_cases(), metal_device_manager.engine(), not large, without=_SLOW)
