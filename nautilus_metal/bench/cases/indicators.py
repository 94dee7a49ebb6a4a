"""Whole histories of indicators: numpy in, numpy out, beside TA-Lib and compiled loops."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from nautilus_metal.bench.case import Case
from nautilus_metal.bench.cases import loops
from nautilus_metal.engine import ComputeEngine

Arrays = tuple[np.ndarray, ...]


class Problem(NamedTuple):
    """Prices, shape (series, bars), and the engine."""

    engine: ComputeEngine
    prices: np.ndarray


def _prepare(engine: ComputeEngine, series: int, bars: int) -> Problem:
    steps = np.random.default_rng(0).normal(scale=0.01, size=(series, bars))
    return Problem(engine, np.ascontiguousarray(100 * np.exp(np.cumsum(steps, axis=1))))


def _rsi(problem: Problem) -> Arrays:
    from nautilus_metal import MetalRSI

    return (MetalRSI(14).compute(problem.prices, problem.engine),)


def _macd(problem: Problem) -> Arrays:
    from nautilus_metal import MetalMACD

    return tuple(MetalMACD(12, 26, 9).compute(problem.prices, problem.engine))


def _bollinger(problem: Problem) -> Arrays:
    from nautilus_metal import MetalBollingerBands

    bands = MetalBollingerBands(20, 2.0).compute(problem.prices, problem.engine)
    return bands.upper, bands.middle, bands.lower


def _talib(name: str, options: dict[str, float], problem: Problem) -> Arrays:
    import talib

    function = getattr(talib, name)
    rows = [function(row, **options) for row in problem.prices]
    outputs = rows if isinstance(rows[0], tuple) else [(row,) for row in rows]
    return tuple(np.stack(one) if len(one) > 1 else one[0][None] for one in zip(*outputs, strict=True))


def _check(problem: Problem, ours: Arrays, theirs: Arrays) -> None:
    """To 1e-9 of the scale in float64, 2e-5 where the device has only float32."""
    exact = problem.engine.exact_dtype is torch.float64
    for mine, its in zip(ours, theirs, strict=True):
        scale = float(np.nanmax(np.abs(its)))
        np.testing.assert_allclose(mine, its, rtol=0, atol=scale * (1e-9 if exact else 2e-5))


_FUNCTIONS: dict[str, tuple[str, Callable[[Problem], Arrays], str, dict[str, float]]] = {
    "rsi": ("RSI(14)", _rsi, "RSI", {"timeperiod": 14}),
    "macd": ("MACD(12, 26, 9)", _macd, "MACD", {}),
    "bollinger": ("Bollinger bands(20, 2)", _bollinger, "BBANDS", {"timeperiod": 20, "nbdevup": 2, "nbdevdn": 2}),
}

CASES = tuple(
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
        },
        check=_check,
    )
    for name, (title, ours, talib_name, options) in _FUNCTIONS.items()
)
