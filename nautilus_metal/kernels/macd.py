"""Moving average convergence divergence: over histories, price by price, and over many series step by step.

Only the gaps between the averages and the newest price are kept: ``gap[t] = keep * (gap[t-1] - move[t])``, with
``keep = 1 - alpha`` for an EMA and ``(n - 1) / n`` for the mean of n prices. The price level never enters, so
small moves on a large price lose no digits.

Reference: Appel, G. (2005). Technical Analysis: Power Tools for Active Investors, chapter 8.
"""

from collections.abc import Generator, Sequence
from math import nan, prod
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from nautilus_metal.kernels.averages import exponential_average, named_average, seeded_recurrence, window_mean
from nautilus_metal.kernels.parameters import macd_bars
from nautilus_metal.kernels.stepping import stepping


class MacdValues(NamedTuple):
    """A MACD in the units of the price: arrays, tensors or numbers."""

    value: Any
    signal: Any
    histogram: Any  # value - signal


def macd(prices: Tensor, settings: tuple[int, int, int] | Sequence[tuple[int, int, int]]) -> MacdValues:
    """Compute the MACD as TA-Lib does: EMAs seeded with simple means, both at the slow one's first bar.

    Parameters
    ----------
    prices : Tensor
        Shape (..., time), finite; only differences matter, so a history may be shifted before it is rounded.
    settings : (fast, slow, signal) or sequence of them
        Periods in bars, ``fast < slow``; several settings are computed together.

    Returns
    -------
    MacdValues
        Three tensors of the shape of `prices`, with a leading axis of settings if several were given; NaN for
        the first ``slow + signal - 2`` bars, in all three.

    Raises
    ------
    InputError
        If a period is not a whole number of at least 1, or `fast` is not below `slow`.

    Examples
    --------
    >>> macd(torch.tensor([1.0, 2.0, 4.0, 8.0]), (1, 2, 2)).value
    tensor([   nan,    nan, 0.8333, 1.6111])
    """
    several = len(settings) == 0 or isinstance(settings[0], Sequence)
    checked = [macd_bars(*one) for one in (settings if several else [settings])]  # type: ignore[misc]
    fast, slow, signal = torch.tensor(checked, dtype=torch.float64).reshape(-1, 3).T
    x = prices.reshape(prod(prices.shape[:-1]), prices.shape[-1])
    moves = pad(x.diff(dim=-1), (1, 0))[..., : x.shape[-1]]

    line = _gap(moves, fast, slow - fast, slow - 1.0) - _gap(moves, slow, torch.zeros_like(slow), slow - 1.0)
    rate = 2.0 / (signal + 1.0)
    last = slow + signal - 2.0
    seed = window_mean(line, slow - 1.0, last)
    smooth = seeded_recurrence(line * rate.to(x).view(-1, 1, 1), 1.0 - rate, seed, last)

    early = torch.arange(x.shape[-1], device=x.device) < last.to(x).view(-1, 1, 1)
    shape = (len(checked), *prices.shape) if several else prices.shape
    return MacdValues(*(out.masked_fill(early, nan).reshape(shape) for out in (line, smooth, line - smooth)))


def _gap(moves: Tensor, period: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """Return the EMA less the newest price, seeded at bar `last` with the mean of the prices from `first`."""
    time = torch.arange(moves.shape[-1], dtype=moves.dtype, device=moves.device)
    # A move inside the window lies between the newest price and each of the prices that came before it.
    prices_before = (time - first.to(moves).view(-1, 1, 1)).clamp(min=0.0)
    reach = int(last.max()) + 1
    seed = -window_mean((moves * prices_before)[..., :reach], first, last)
    decay = 1.0 - 2.0 / (period + 1.0)
    return seeded_recurrence(-moves * decay.to(moves).view(-1, 1, 1), decay, seed, last)


def macd_of_averages(prices: Tensor, fast: int, slow: int, signal: int, average: str) -> MacdValues:
    """Compute the line of NautilusTrader's built-in class: any moving average, from the first bar.

    The built-in class has no signal; here it is an EMA that starts with the first value of the line.

    Parameters
    ----------
    prices : Tensor
        Shape (..., time).
    fast, slow, signal : int
        Periods in bars.
    average : str
        A name in `MOVING_AVERAGES`.

    Returns
    -------
    MacdValues
        Three tensors of the shape of `prices`.
    """
    mean = named_average(average)
    line = mean(prices, fast) - mean(prices, slow)
    smooth = exponential_average(line, 1.0 - 2.0 / (signal + 1.0))
    return MacdValues(line, smooth, line - smooth)


class MacdState:
    """The MACD of `macd`, price by price.

    Attributes
    ----------
    initialized : bool
        Whether ``slow + signal - 1`` prices have come.
    update_raw : callable
        Takes the next finite price, and returns line and signal; NaN before `initialized`.
    """

    __slots__ = ("initialized", "periods", "update_raw")

    def __init__(self, fast: int, slow: int, signal: int) -> None:
        self.periods = macd_bars(fast, slow, signal)
        self.initialized = False
        self.update_raw = stepping(self._updates())

    def _updates(self) -> Generator[tuple[float, float], float, None]:
        needed = self.periods[1] + self.periods[2] - 1
        count, fast, slow, signal = 0, 0.0, 0.0, 0.0  # the gaps, and the signal itself
        keep_fast, keep_slow, rate = 0.0, 0.0, 0.0
        last = price = yield nan, nan
        while True:
            if count <= needed:  # the weights of the price after that are final
                count += 1
                keep_fast, keep_slow, rate = self._weights(count)
                self.initialized = count >= needed
            move = price - last
            last = price
            fast = keep_fast * (fast - move)
            slow = keep_slow * (slow - move)
            value = fast - slow
            signal += rate * (value - signal)
            price = yield (value, signal) if count >= needed else (nan, nan)

    def _weights(self, count: int) -> tuple[float, float, float]:
        """Return what the gaps keep at the `count`-th price, and the signal's rate, while the seeds gather."""
        fast, slow, signal = self.periods
        rate = 1.0 - _keep(count - slow + 1, signal) if count >= slow else 0.0
        return _keep(count - slow + fast, fast), _keep(count, slow), rate


def _keep(gathered: int, period: int) -> float:
    """Return what is kept of the past at the `gathered`-th value: of a mean up to `period`, then of an EMA."""
    if gathered > period:
        return 1.0 - 2.0 / (period + 1.0)
    return (gathered - 1.0) / gathered if gathered > 0 else 0.0


class MacdSeries:
    """The MACD of `macd` for many series side by side, each with its own number of prices so far."""

    def __init__(self, series: int, fast: int, slow: int, signal: int) -> None:
        self.fast, self.slow, self.signal = macd_bars(fast, slow, signal)
        self.needed = self.slow + self.signal - 1
        self.count = np.zeros(series, np.int64)
        self._last, self._fast, self._slow, self._signal = np.zeros((4, series))

    def reset(self, rows: NDArray[np.int64]) -> None:
        """Forget all prices of the series in `rows`."""
        for state in (self.count, self._last, self._fast, self._slow, self._signal):
            state[rows] = 0

    def update(self, prices: NDArray[np.float64], rows: NDArray[np.int64]) -> None:
        """Take the next finite price of each series in `rows`."""
        self.count[rows] = count = self.count[rows] + 1
        move = np.where(count > 1, prices - self._last[rows], 0.0)
        self._last[rows] = prices
        self._fast[rows] = fast = _keeps(count - self.slow + self.fast, self.fast) * (self._fast[rows] - move)
        self._slow[rows] = slow = _keeps(count, self.slow) * (self._slow[rows] - move)
        rate = np.where(count >= self.slow, 1.0 - _keeps(count - self.slow + 1, self.signal), 0.0)
        self._signal[rows] += rate * (fast - slow - self._signal[rows])

    def values(self, rows: NDArray[np.int64]) -> MacdValues:
        """Return the MACD of the series in `rows`; NaN where it is not initialized."""
        ready = self.count[rows] >= self.needed
        line = np.where(ready, self._fast[rows] - self._slow[rows], nan)
        signal = np.where(ready, self._signal[rows], nan)
        return MacdValues(line, signal, line - signal)


def _keeps(gathered: NDArray[np.int64], period: int) -> NDArray[np.float64]:
    """`_keep` of each count in `gathered`."""
    mean = np.maximum(gathered - 1.0, 0.0) / np.maximum(gathered, 1)
    return np.where(gathered > period, 1.0 - 2.0 / (period + 1.0), mean)
