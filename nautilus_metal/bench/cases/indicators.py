"""Whole histories of indicators: numpy in, numpy out, beside TA-Lib, compiled loops, polars and the stores alone.

The stores alone, a bound, put one number in as many arrays as ours returns, and compute nothing: in new arrays, and
in arrays that were stored in before, which a machine does faster because no memory page is to be found and cleared;
ours takes new arrays, in memory that those of an earlier call left.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from nautilus_metal.bench.case import Case, Floor, Size
from nautilus_metal.bench.cases import loops
from nautilus_metal.bench.rates import Rates
from nautilus_metal.engine import ComputeEngine

Arrays = tuple[np.ndarray, ...]
Rows = tuple[list[np.ndarray], ...]


class Problem(NamedTuple):
    """Prices, shape (series, bars), the engine, and what is made once: the indicator, and arrays."""

    engine: ComputeEngine
    prices: np.ndarray
    kept: dict[Any, Any]


class Stored(NamedTuple):
    """What was stored."""

    arrays: np.ndarray


def _prepare(engine: ComputeEngine, series: int, bars: int) -> Problem:
    steps = np.random.default_rng(0).normal(scale=0.01, size=(series, bars))
    return Problem(engine, np.ascontiguousarray(100 * np.exp(np.cumsum(steps, axis=1))), {})


def _made(problem: Problem, make: Callable[[], Any]) -> Any:
    """Make an indicator once for a problem."""
    if "indicator" not in problem.kept:
        problem.kept["indicator"] = make()
    return problem.kept["indicator"]


def _rsi(problem: Problem) -> Arrays:
    from nautilus_metal import MetalRSI

    return (_made(problem, lambda: MetalRSI(14)).compute(problem.prices, problem.engine),)


def _macd(problem: Problem) -> Arrays:
    from nautilus_metal import MetalMACD

    return tuple(_made(problem, lambda: MetalMACD(12, 26, 9)).compute(problem.prices, problem.engine))


def _bollinger(problem: Problem) -> Arrays:
    from nautilus_metal import MetalBollingerBands

    return tuple(_made(problem, lambda: MetalBollingerBands(20, 2.0)).compute(problem.prices, problem.engine))


def _universe(again: bool, problem: Problem) -> Arrays:
    from nautilus_metal import IndicatorUniverse

    names = ("rsi(14)", "macd", "bollinger")
    series = range(len(problem.prices))
    universe = _made(problem, lambda: IndicatorUniverse([f"S{row}" for row in series], names, problem.engine))
    if again and "outputs" not in problem.kept:
        problem.kept["outputs"] = universe.compute(problem.prices)
    rsi, macd, bands = universe.compute(problem.prices, out=problem.kept["outputs"] if again else None).values()
    return rsi, *macd, *bands


def _talib(name: str, options: dict[str, float], problem: Problem) -> Rows:
    import talib

    function = getattr(talib, name)
    rows = [function(row, **options) for row in problem.prices]
    return tuple(map(list, zip(*rows, strict=True))) if isinstance(rows[0], tuple) else (rows,)


def _polars(problem: Problem) -> Rows:
    """RSI by polars' exponentially weighted mean, seeded with the mean of the first moves as Wilder's is."""
    import polars as pl

    moves = pl.DataFrame(np.diff(problem.prices, axis=1).T)
    sides = {}
    for name, side in (("up", moves.select(pl.all().clip(0.0))), ("down", moves.select((-pl.all()).clip(0.0)))):
        seeded = pl.concat([side.head(14).select(pl.all().mean()), side.slice(14)])
        sides[name] = seeded.select(pl.all().ewm_mean(alpha=1 / 14, adjust=False)).to_numpy()
    out = np.full(problem.prices.shape, np.nan)
    out[:, 14:] = (100 * sides["up"] / (sides["up"] + sides["down"])).T
    return (list(out),)


def _floor(outputs: int) -> Floor:
    def seconds(rates: Rates, size: Size) -> float:
        return rates.moved(8 * (1 + outputs) * size["series"] * size["bars"])

    return Floor(f"prices read and {outputs} outputs written once, 8 bytes each, at the speed of a copy", seconds)


def _stored(outputs: int, new: bool, problem: Problem) -> Stored:
    shape = (outputs, *problem.prices.shape)
    if not new and outputs not in problem.kept:
        problem.kept[outputs] = np.empty(shape)
    arrays = np.empty(shape) if new else problem.kept[outputs]
    torch.from_numpy(arrays).fill_(1.0)
    return Stored(arrays)


def _check(problem: Problem, ours: Arrays, theirs: Rows | Arrays | Stored) -> None:
    """To 1e-9 of the scale in float64, 2e-5 where the device has only float32; a peer may give fewer outputs."""
    if isinstance(theirs, Stored):
        assert theirs.arrays.shape == (len(ours), *ours[0].shape), "as many stores as ours returns"
        assert (theirs.arrays == 1.0).all(), "the stores have been made"
        return
    exact = problem.engine.exact_dtype is torch.float64
    assert len(theirs) in (len(ours), len(ours) - 2), "all outputs, or all but the two quotients of bands"
    for mine, rows in zip(ours, theirs, strict=False):
        its = np.asarray(rows)
        scale = float(np.nanmax(np.abs(its)))
        np.testing.assert_allclose(mine, its, rtol=0, atol=scale * (1e-9 if exact else 2e-5))


_FUNCTIONS: dict[str, tuple[str, Callable[[Problem], Arrays], str, dict[str, float]]] = {
    "rsi": ("RSI(14)", _rsi, "RSI", {"timeperiod": 14}),
    "macd": ("MACD(12, 26, 9)", _macd, "MACD", {}),
    "bollinger": ("Bollinger bands(20, 2)", _bollinger, "BBANDS", {"timeperiod": 20, "nbdevup": 2, "nbdevdn": 2}),
}

_OUTPUTS = {"rsi": 1, "macd": 3, "bollinger": 5}


def _together(one: Callable[[str, Problem], Any], problem: Problem) -> Any:
    """Compute the three by a peer, one after the other."""
    return tuple(output for name in _FUNCTIONS for output in one(name, problem))


def _bounds(outputs: int) -> dict[str, Any]:
    return {
        "stores alone, new arrays": partial(_stored, outputs, True),
        "stores alone, same arrays": partial(_stored, outputs, False),
    }


CASES = (
    *(
        Case(
            name=name,
            title=f"{title} of whole histories, from numpy to numpy",
            sizes=({"series": 1, "bars": 10_000}, {"series": 1_000, "bars": 2_520}),
            quick=({"series": 1, "bars": 200}, {"series": 5, "bars": 100}),
            prepare=_prepare,
            ours=ours,
            peers={
                "TA-Lib loop": partial(_talib, talib_name, options),
                "numba loop": partial(loops.run, name),
                **({"polars": _polars} if name == "rsi" else {}),
            },
            check=_check,
            floor=_floor(_OUTPUTS[name]),
            bounds=_bounds(_OUTPUTS[name]),
            on_cpu=True,
            asked={"TA-Lib loop": 1.0},
        )
        for name, (title, ours, talib_name, options) in _FUNCTIONS.items()
    ),
    *(
        Case(
            name=name,
            title=f"RSI, MACD and Bollinger bands of a universe, all outputs, {title}",
            sizes=({"series": 1_000, "bars": 2_520},),
            quick=({"series": 5, "bars": 100},),
            prepare=_prepare,
            ours=partial(_universe, again),
            peers={
                "TA-Lib loop": partial(_together, lambda name, problem: _talib(*_FUNCTIONS[name][2:], problem)),
                "numba loop": partial(_together, loops.run),
            },
            check=_check,
            floor=_floor(sum(_OUTPUTS.values())),
            bounds=_bounds(sum(_OUTPUTS.values())),
            on_cpu=True,
            asked={"TA-Lib loop": 4.0},
        )
        for name, title, again in (
            ("universe", "from numpy to numpy", False),
            ("universe_again", "into the arrays of an earlier call; peers take new ones", True),
        )
    ),
)
