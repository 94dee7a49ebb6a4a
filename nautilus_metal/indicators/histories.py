"""Whole histories on the engine: host arrays in, host arrays of the same length out, nothing kept.

Those of the standard convention are `engine.histories`; those of the built-in classes stand here.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.engine.histories import Array, bands_history, bollinger_history, macd_history, rsi_history
from nautilus_metal.engine.series import evaluate
from nautilus_metal.kernels.bollinger import BollingerValues, bollinger_moments_of_averages
from nautilus_metal.kernels.macd import MacdValues, macd_of_averages
from nautilus_metal.kernels.rsi import rsi_of_averages

__all__ = [
    "Array",
    "bollinger_history",
    "bollinger_history_v1",
    "macd_history",
    "macd_history_v1",
    "rsi_history",
    "rsi_history_v1",
    "stepped",
]


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
    return bands_history(lambda x, _: bollinger_moments_of_averages(x, period, average), history, k, engine)


def stepped(make: Callable[[], Any], outputs: int, history: Array) -> Array:
    """Step a fresh state through every series on the host, for what no kernel computes; shape (outputs, ...)."""
    rows = np.atleast_2d(history)
    values = [list(map(make().update_raw, row)) for row in rows.tolist()]
    return np.array(values).reshape(*rows.shape, outputs).transpose(2, 0, 1).reshape(outputs, *history.shape)
