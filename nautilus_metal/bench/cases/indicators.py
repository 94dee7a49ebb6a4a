"""Whole histories of indicators: numpy in, numpy out, beside TA-Lib and compiled loops."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from nautilus_metal.bench.case import Case
from nautilus_metal.bench.cases import loops
from nautilus_metal.engine import ComputeEngine
from nautilus_metal.kernels.bollinger import bollinger_bands, bollinger_moments
from nautilus_metal.kernels.macd import macd
from nautilus_metal.kernels.rsi import rsi

Arrays = tuple[np.ndarray, ...]


class Problem(NamedTuple):
    """Prices, shape (series, bars), and the engine."""

    engine: ComputeEngine
    prices: np.ndarray


def _prepare(engine: ComputeEngine, series: int, bars: int) -> Problem:
    steps = np.random.default_rng(0).normal(scale=0.01, size=(series, bars))
    return Problem(engine, np.ascontiguousarray(100 * np.exp(np.cumsum(steps, axis=1))))


def _on_engine(function: Callable[[torch.Tensor], tuple[torch.Tensor, ...]], problem: Problem) -> Arrays:
    engine = problem.engine
    outputs = function(engine.upload(problem.prices, engine.exact_dtype))
    return tuple(engine.download(output) for output in outputs)


def _bands(problem: Problem) -> Arrays:
    middle, sigma, deviation = _on_engine(lambda x: bollinger_moments(x, 20), problem)
    bands = bollinger_bands(middle, sigma, deviation, 2.0)
    return bands.upper, bands.middle, bands.lower


def _talib(name: str, options: dict[str, float], problem: Problem) -> Arrays:
    import talib

    function = getattr(talib, name)
    rows = [function(row, **options) for row in problem.prices]
    return tuple(map(np.stack, zip(*rows, strict=True))) if isinstance(rows[0], tuple) else (np.stack(rows),)


def _check(problem: Problem, ours: Arrays, theirs: Arrays) -> None:
    """To 1e-9 of the scale in float64, 2e-5 where the device has only float32."""
    exact = problem.engine.exact_dtype is torch.float64
    for mine, its in zip(ours, theirs, strict=True):
        scale = float(np.nanmax(np.abs(its)))
        np.testing.assert_allclose(mine, its, rtol=0, atol=scale * (1e-9 if exact else 2e-5))


_FUNCTIONS: dict[str, tuple[str, Callable[[Problem], Arrays], str, dict[str, float]]] = {
    "rsi": ("RSI(14)", partial(_on_engine, lambda x: (rsi(x, 14),)), "RSI", {"timeperiod": 14}),
    "macd": ("MACD(12, 26, 9)", partial(_on_engine, lambda x: macd(x, (12, 26, 9))), "MACD", {}),
    "bollinger": ("Bollinger bands(20, 2)", _bands, "BBANDS", {"timeperiod": 20, "nbdevup": 2, "nbdevdn": 2}),
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
