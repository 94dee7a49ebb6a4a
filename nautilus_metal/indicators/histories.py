"""Whole histories on the engine: host arrays in, host arrays of the same length out, nothing kept.

In float64 (CPU, CUDA) the figures are those of the streaming indicators to 1e-9 relative. On mps, which has float32
only, an RSI is within 5e-3 (of 100), a MACD and a band within 1e-3 of the scale of the moves, over 3,000 bars.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from nautilus_metal.engine import ComputeEngine, shared_engine
from nautilus_metal.engine.fused_histories import fused_history
from nautilus_metal.engine.fused_scans import fused_macd, fused_rsi
from nautilus_metal.engine.series import Kernel, evaluate, level
from nautilus_metal.kernels.bollinger import (
    BandMoments,
    BollingerValues,
    bollinger_bands,
    bollinger_moments,
    bollinger_moments_of_averages,
)
from nautilus_metal.kernels.macd import MacdValues, macd_of_averages
from nautilus_metal.kernels.rsi import rsi_of_averages

Array = NDArray[np.float64]


def rsi_history(history: Array, periods: int | Sequence[int], engine: ComputeEngine | None) -> Array:
    """RSI of each series; with a sequence of periods, a leading axis of them."""
    several = isinstance(periods, Sequence)
    rows: Any = periods if several else [periods]
    fused = fused_history("rsi", history, [(period,) for period in rows], engine)
    if fused is None:
        return evaluate(lambda x, some: (fused_rsi(x, some),), history, periods, engine)[0]
    return fused[0] if several else fused[0][0]


def macd_history(history: Array, settings: Sequence[Any], engine: ComputeEngine | None) -> MacdValues:
    """MACD of each series; with a sequence of (fast, slow, signal), a leading axis of them."""
    several = not settings or isinstance(settings[0], Sequence)
    fused = fused_history("macd", history, settings if several else [tuple(settings)], engine)
    if fused is None:
        return MacdValues(*evaluate(fused_macd, history, settings, engine))
    return MacdValues(*(out if several else out[0] for out in fused))


def bollinger_history(
    history: Array, settings: tuple[int, float] | Sequence[tuple[int, float]], engine: ComputeEngine | None
) -> BollingerValues:
    """Bollinger bands of each series; with a sequence of (period, k), a leading axis of them."""
    several = not settings or isinstance(settings[0], Sequence)
    rows: Any = settings if several else [settings]
    fused = fused_history("bollinger", history, rows, engine)
    if fused is None:
        bands = [_bands(partial(_moments, period), history, k, engine) for period, k in rows]
        fused = tuple(map(np.stack, zip(*bands, strict=True)))
    return BollingerValues(*(out if several else out[0] for out in fused))


def _moments(period: int, prices: Tensor, _: Any) -> BandMoments:
    return bollinger_moments(prices, period)


def rsi_history_v1(history: Array, period: int, average: str, engine: ComputeEngine | None) -> Array:
    """RSI of the built-in class."""
    return evaluate(lambda x, _: (rsi_of_averages(x, period, average),), history, None, engine)[0]


def macd_history_v1(
    history: Array, fast: int, slow: int, signal: int, average: str, engine: ComputeEngine | None
) -> MacdValues:
    """MACD of the built-in class, with a signal."""
    return MacdValues(
        *evaluate(lambda x, _: macd_of_averages(x, fast, slow, signal, average), history, None, engine)
    )


def bollinger_history_v1(
    history: Array, period: int, k: float, average: str, engine: ComputeEngine | None
) -> BollingerValues:
    """Bollinger bands of the built-in class."""
    return _bands(lambda x, _: bollinger_moments_of_averages(x, period, average), history, k, engine)


def _bands(kernel: Kernel, history: Array, k: float, engine: ComputeEngine | None) -> BollingerValues:
    engine = engine or shared_engine()
    middle, sigma, deviation = evaluate(kernel, history, None, engine)
    return bollinger_bands(middle + level(history, engine.exact_dtype), sigma, deviation, k)


def stepped(make: Callable[[], Any], read: Callable[[Any], tuple[float, ...]], history: Array) -> Array:
    """Step a fresh state through every series on the host, for what no kernel computes; shape (outputs, ...)."""
    rows = np.atleast_2d(history)
    values = [_step_through(make(), read, row) for row in rows.tolist()]
    outputs = len(read(make()))
    return np.array(values).reshape(*rows.shape, outputs).transpose(2, 0, 1).reshape(outputs, *history.shape)


def _step_through(
    state: Any, read: Callable[[Any], tuple[float, ...]], prices: list[float]
) -> list[tuple[float, ...]]:
    values = []
    for price in prices:
        state.update_raw(price)
        values.append(read(state))
    return values
