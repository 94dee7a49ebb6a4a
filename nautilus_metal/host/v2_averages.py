"""The built-in averages, RSI and MACD of NautilusTrader 1.x, step by step, for systems where it is not installed.

From its sources (1.231, ``indicators/averages.pyx``, ``momentum.pyx``, ``trend.pyx``), starts included. It imports no
NautilusTrader, so that a test under 1.x holds it against the originals.
"""

from collections import deque
from collections.abc import Callable
from enum import Enum
from math import isqrt

import numpy as np

from nautilus_metal.errors import HostError


class MovingAverageType(Enum):
    """1.x's types by name."""

    SIMPLE = "simple"
    EXPONENTIAL = "exponential"
    DOUBLE_EXPONENTIAL = "double exponential"
    WILDER = "wilder"
    HULL = "hull"
    WEIGHTED = "weighted"
    VARIABLE_INDEX_DYNAMIC = "variable index dynamic"


class Average:
    """An average that has its first value after `period` inputs."""

    def __init__(self, period: int) -> None:
        self.period, self.count, self.value = period, 0, 0.0

    @property
    def initialized(self) -> bool:
        """Whether it has had `period` inputs."""
        return self.count >= self.period

    def update_raw(self, value: float) -> None:
        """Take a number."""
        self.value = self._next(value)
        self.count += 1

    def _next(self, value: float) -> float:
        raise NotImplementedError


class Decaying(Average):
    """``a*x + (1 - a)*v``, which begins with the first number."""

    def __init__(self, period: int, alpha: float) -> None:
        super().__init__(period)
        self._alpha = alpha

    def _next(self, value: float) -> float:
        before = self.value if self.count else value
        return self._alpha * value + (1.0 - self._alpha) * before


class Window(Average):
    """A mean over the numbers so far, at most `period`; with weights, those of the newest."""

    def __init__(self, period: int, weighted: bool = False) -> None:
        super().__init__(period)
        self._inputs: deque[float] = deque(maxlen=period)
        rising = np.arange(1.0, period + 1.0)
        self._weights = rising / rising.sum() if weighted else None

    def _next(self, value: float) -> float:
        self._inputs.append(value)
        weights = None if self._weights is None else self._weights[-len(self._inputs) :]
        return float(np.average(self._inputs, weights=weights))


class Double(Average):
    """Twice an exponential average less that of itself."""

    def __init__(self, period: int) -> None:
        super().__init__(period)
        self._first, self._second = exponential(period), exponential(period)

    def _next(self, value: float) -> float:
        self._first.update_raw(value)
        self._second.update_raw(self._first.value)
        return 2.0 * self._first.value - self._second.value


class Hull(Average):
    """Hull's, of three weighted windows."""

    def __init__(self, period: int) -> None:
        super().__init__(period)
        self._half, self._whole = Window(period // 2, weighted=True), Window(period, weighted=True)
        self._root = Window(isqrt(period), weighted=True)

    def _next(self, value: float) -> float:
        self._half.update_raw(value)
        self._whole.update_raw(value)
        self._root.update_raw(self._half.value * 2.0 - self._whole.value)
        return self._root.value


def exponential(period: int) -> Average:
    """The exponential average."""
    return Decaying(period, 2.0 / (period + 1.0))


_MAKERS: dict[str, Callable[[int], Average]] = {
    "SIMPLE": Window,
    "EXPONENTIAL": exponential,
    "DOUBLE_EXPONENTIAL": Double,
    "WILDER": lambda period: Decaying(period, 1.0 / period),
    "HULL": Hull,
    "WEIGHTED": Window,  # 1.x gives it no weights
}


def moving_average(period: int, ma_type: MovingAverageType) -> Average:
    """Make 1.x's moving average of `period` and `ma_type`, with its numbers and start-up.

    Raises
    ------
    HostError
        If it is one that only 1.x itself has.
    """
    if ma_type.name not in _MAKERS:
        raise HostError(f"`ma_type` {ma_type.name} needs NautilusTrader v1, the only one that has it")
    return _MAKERS[ma_type.name](period)


class RelativeStrengthIndex:
    """1.x's RSI, from 0 to 1; the first move is 0 and counts.

    Parameters
    ----------
    period : int
        Bars.
    ma_type : MovingAverageType
        Average of gains and of losses.
    """

    def __init__(self, period: int, ma_type: MovingAverageType = MovingAverageType.EXPONENTIAL) -> None:
        self._gain, self._loss = moving_average(period, ma_type), moving_average(period, ma_type)
        self._last: float | None = None
        self.value = 0.0

    @property
    def initialized(self) -> bool:
        """Whether both averages have their first value."""
        return self._gain.initialized and self._loss.initialized

    def update_raw(self, value: float) -> None:
        """Take a price."""
        move = 0.0 if self._last is None else value - self._last
        self._last = value
        self._gain.update_raw(max(move, 0.0))
        self._loss.update_raw(max(-move, 0.0))
        loss = self._loss.value
        self.value = 1.0 if loss == 0.0 else 1.0 - 1.0 / (1.0 + self._gain.value / loss)


class MovingAverageConvergenceDivergence:
    """1.x's MACD line.

    Parameters
    ----------
    fast, slow : int
        Bars.
    ma_type : MovingAverageType
        Of both averages.
    """

    def __init__(self, fast: int, slow: int, ma_type: MovingAverageType = MovingAverageType.EXPONENTIAL) -> None:
        self._fast, self._slow = moving_average(fast, ma_type), moving_average(slow, ma_type)
        self.value = 0.0

    @property
    def initialized(self) -> bool:
        """Whether both averages have their first value."""
        return self._fast.initialized and self._slow.initialized

    def update_raw(self, value: float) -> None:
        """Take a price."""
        self._fast.update_raw(value)
        self._slow.update_raw(value)
        self.value = self._fast.value - self._slow.value
