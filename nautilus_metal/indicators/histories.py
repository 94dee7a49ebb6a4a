"""Whole histories on the engine: host arrays in, host arrays of the same length out, nothing kept.

In float64 (CPU, CUDA) the figures are those of the streaming indicators to 1e-9 relative. On mps, which has float32
only, an RSI is within 5e-3 (of 100), a MACD and a band within 1e-3 of the scale of the moves, over 3,000 bars.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nautilus_metal.engine import ComputeEngine, shared_engine, threads_for
from nautilus_metal.kernels.bollinger import (
    BollingerValues,
    bollinger_bands,
    bollinger_moments,
    bollinger_moments_of_averages,
)
from nautilus_metal.kernels.macd import MacdValues, macd, macd_of_averages
from nautilus_metal.kernels.rsi import rsi, rsi_of_averages

Array = NDArray[np.float64]

# Elements computed at a time. On the CPU the temporaries then stay in the cache (2 to 4 times faster on 1,000
# series of 2,520 bars); on a GPU a dozen temporaries of float64 then are below 2 GiB.
CPU_ELEMENTS = 1 << 17
GPU_ELEMENTS = 1 << 24


def rsi_history(history: Array, periods: int | Sequence[int], engine: ComputeEngine | None) -> Array:
    """RSI of each series; with a sequence of periods, a leading axis of them."""
    return evaluate(lambda x, some: (rsi(x, some),), history, periods, engine)[0]


def macd_history(history: Array, settings: Sequence[Any], engine: ComputeEngine | None) -> MacdValues:
    """MACD of each series; with a sequence of (fast, slow, signal), a leading axis of them."""
    return MacdValues(*evaluate(macd, history, settings, engine))


def bollinger_history(history: Array, period: int, k: float, engine: ComputeEngine | None) -> BollingerValues:
    """Bollinger bands of each series."""
    return _bands(lambda x, _: bollinger_moments(x, period), history, k, engine)


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


def _bands(kernel: "Kernel", history: Array, k: float, engine: ComputeEngine | None) -> BollingerValues:
    middle, sigma, deviation = evaluate(kernel, history, None, engine)
    return bollinger_bands(middle + _level(history, engine or shared_engine()), sigma, deviation, k)


Kernel = Callable[[Tensor, Any], Sequence[Tensor]]


def evaluate(kernel: Kernel, history: Array, settings: Any, engine: ComputeEngine | None) -> Array:
    """Run a kernel over a history on the engine, some series and some settings at a time.

    Parameters
    ----------
    kernel : callable
        Takes a tensor (series, bars) and settings, returns tensors of one shape, (..., series, bars).
    history : numpy.ndarray
        Shape (bars,) or (series, bars), finite. On a device without float64 each series is taken relative to its
        first price, so that rounding costs no small moves.
    settings : Any
        Handed to `kernel`; a list or range of them is split up where it is long.
    engine : ComputeEngine, optional
        The process's shared one by default.

    Returns
    -------
    numpy.ndarray
        float64 of shape (outputs, ..., *history.shape).
    """
    engine = engine or shared_engine()
    rows = np.atleast_2d(history - _level(history, engine))
    room = max(1, (CPU_ELEMENTS if engine.device.type == "cpu" else GPU_ELEMENTS) // max(1, rows.shape[-1]))
    several = isinstance(settings, list | range)
    some = min(room, len(settings)) if several else 1
    per_call = max(1, room // max(1, some))

    def run(chosen: Any) -> Array:
        parts = []
        for start in range(0, max(1, len(rows)), per_call):
            with torch.inference_mode():
                tensor = engine.upload(rows[start : start + per_call], dtype=engine.exact_dtype)
                parts.append(engine.download(torch.stack(tuple(kernel(tensor, chosen)))))
        return np.concatenate(parts, axis=-2)

    with threads_for(history.size * (len(settings) if several else 1)):
        if several:
            out = np.concatenate([run(settings[i : i + some]) for i in range(0, len(settings), some)], axis=1)
        else:
            out = run(settings)
    return out.reshape(out.shape[:-2] + history.shape)


def _level(history: Array, engine: ComputeEngine) -> Array | float:
    """What is taken off the prices before they are rounded to the device's type: nothing for float64."""
    return 0.0 if engine.exact_dtype == torch.float64 else history[..., :1]


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
