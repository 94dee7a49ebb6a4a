"""Checks of the scalar parameters that indicator kernels share, and of the history that they are given."""

from math import isfinite
from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nautilus_metal.errors import InputError


def whole_bars(name: str, value: Any) -> int:
    """Return `value` as a number of bars of at least one.

    Raises
    ------
    InputError
        If it is not a whole number (14.0 and True are not), or below 1.

    Examples
    --------
    >>> whole_bars("period", 0)
    Traceback (most recent call last):
    nautilus_metal.errors.InputError: `period` must be at least 1 bar, was 0
    """
    try:
        bars = index(value)
    except TypeError:
        bars = None
    if bars is None or isinstance(value, bool | np.bool_):
        raise InputError(f"`{name}` must be a whole number of bars, was {value!r}")
    if bars < 1:
        raise InputError(f"`{name}` must be at least 1 bar, was {bars}")
    return bars


def macd_bars(fast: Any, slow: Any, signal: Any) -> tuple[int, int, int]:
    """Return the three periods of a MACD as whole bars; `fast` must be below `slow`."""
    fast, slow, signal = whole_bars("fast", fast), whole_bars("slow", slow), whole_bars("signal", signal)
    if fast >= slow:
        raise InputError(f"`fast` must be below `slow` = {slow} bars, was {fast}")
    return fast, slow, signal


def band_width(k: Any) -> float:
    """Return `k`, a number of standard deviations, as a positive finite float."""
    try:
        width = float(k)
    except (TypeError, ValueError):
        raise InputError(f"`k` must be a number of standard deviations, was {k!r}") from None
    if not (isfinite(width) and width > 0.0):
        raise InputError(f"`k` must be above 0 standard deviations, was {k!r}")
    return width


def price_history(prices: Any, name: str = "prices") -> NDArray[np.float64]:
    """Return `prices` as finite float64 of shape (bars,) or (series, bars).

    Raises
    ------
    InputError
        If it is not numeric, has another number of axes, or a value is NaN or infinite; the position is named.
    """
    return finite(price_array(prices, name), name)


def price_array(prices: Any, name: str = "prices") -> NDArray[np.float64]:
    """Return `prices` as `price_history` does, finite or not."""
    try:
        history = np.asarray(prices, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"`{name}` must be numbers of shape (bars,) or (series, bars): {error}") from None
    if history.ndim not in (1, 2):
        raise InputError(f"`{name}` must be of shape (bars,) or (series, bars), was {history.shape}")
    return history


def finite(history: NDArray[np.float64], name: str = "prices") -> NDArray[np.float64]:
    """Return a history; `InputError` names the first value that is NaN or infinite."""
    known = np.isfinite(history)
    if not known.all():
        where = np.argwhere(~known)[0]
        place = f"bar {where[-1]}" if history.ndim == 1 else f"series {where[0]}, bar {where[1]}"
        raise InputError(f"`{name}` must be finite, was {history[tuple(where)]} at {place}")
    return history
