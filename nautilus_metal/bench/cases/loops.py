"""The strongest CPU peers: a plain loop over each series, compiled by numba, several series on all cores."""

from collections.abc import Callable
from functools import cache
from math import nan, sqrt
from typing import Any

import numpy as np

Loop = Callable[[np.ndarray, np.ndarray], None]


def run(name: str, problem: Any) -> tuple[np.ndarray, ...]:
    """Compute an indicator of every row of `problem.prices` with TA-Lib's conventions; needs numba."""
    _, outputs = _LOOPS[name]
    out = np.empty((outputs, *problem.prices.shape))
    one, rows = _compiled(name)
    if len(problem.prices) == 1:
        one(problem.prices[0], out[:, 0])  # waking other threads costs more than the loop
    else:
        rows(problem.prices, out)
    return tuple(out)


@cache
def _compiled(name: str) -> tuple[Loop, Loop]:
    """Compile the loop over one row and that over rows; the first call takes seconds, before anything is timed."""
    import numba

    one = numba.njit(_LOOPS[name][0])

    def rows(prices: np.ndarray, out: np.ndarray) -> None:
        for i in numba.prange(prices.shape[0]):
            one(prices[i], out[:, i])

    return one, numba.njit(parallel=True)(rows)


def _rsi(x: np.ndarray, out: np.ndarray) -> None:
    gain = loss = 0.0
    out[0, 0] = nan
    for t in range(1, len(x)):
        move = x[t] - x[t - 1]
        up, down = max(move, 0.0), max(-move, 0.0)
        if t <= 14:
            gain += up / 14
            loss += down / 14
        else:
            gain += (up - gain) / 14
            loss += (down - loss) / 14
        total = gain + loss
        out[0, t] = nan if t < 14 else (100.0 * gain / total if total > 0.0 else 0.0)


def _macd(x: np.ndarray, out: np.ndarray) -> None:
    fast = slow = signal = 0.0
    for t in range(len(x)):
        slow += x[t] / 26 if t < 26 else (x[t] - slow) * (2.0 / 27.0)
        if t >= 14:
            fast += x[t] / 12 if t < 26 else (x[t] - fast) * (2.0 / 13.0)
        line = fast - slow
        if t >= 25:
            signal += line / 9 if t < 34 else (line - signal) * 0.2
        out[0, t] = line if t >= 33 else nan
        out[1, t] = signal if t >= 33 else nan
        out[2, t] = line - signal if t >= 33 else nan


def _bollinger(x: np.ndarray, out: np.ndarray) -> None:
    for t in range(len(x)):
        mean = square = nan
        if t >= 19:
            mean = square = 0.0
            for i in range(t - 19, t + 1):
                mean += x[i] / 20
            for i in range(t - 19, t + 1):
                square += (x[i] - mean) ** 2 / 20
        reach = 2.0 * sqrt(square)
        out[0, t] = mean + reach
        out[1, t] = mean
        out[2, t] = mean - reach


# Name -> the loop over one row, and how many outputs it writes.
_LOOPS: dict[str, tuple[Loop, int]] = {
    "rsi": (_rsi, 1),
    "macd": (_macd, 3),
    "bollinger": (_bollinger, 3),
}
