"""Mean and squared deviations of moving windows, without cancellation: as a batch, a step and a vector of steps.

The series is cut into blocks of one period. A window then is a tail of one block and a head of the next, and
both are summed relative to the first price of the later block, the anchor. The anchor lies inside the window, so
its distance from the mean is at most sqrt(period) standard deviations, whatever the price level: the usual
``sum of squares - square of sum`` loses no more than a factor of the period. Nothing is ever subtracted from a
running sum, so no rounding error outlives two periods.
"""

from collections.abc import Generator
from math import nan
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from nautilus_metal.kernels.stepping import stepping


class WindowMoments(NamedTuple):
    """Moments of the windows that end at each bar; while the first window fills, of the bars so far."""

    mean: Tensor
    variance: Tensor  # population variance
    deviation: Tensor  # the newest price less the mean


def window_moments(x: Tensor, period: int) -> WindowMoments:
    """Compute mean, population variance and last deviation of every window of `period` bars.

    Parameters
    ----------
    x : Tensor
        Shape (..., time), floating point and finite.
    period : int
        Window length in bars, at least 1.

    Returns
    -------
    WindowMoments
        Three tensors of the shape of `x`.

    Examples
    --------
    >>> window_moments(torch.tensor([1.0, 3.0, 5.0]), 2).mean
    tensor([1., 2., 4.])
    """
    length = x.shape[-1]
    period = max(1, min(period, length))  # a window that never fills needs no room for what never comes
    count = -(-length // period)
    blocks = pad(x, (0, count * period - length)).reshape(*x.shape[:-1], count, period)
    anchor = blocks[..., :1]
    head = blocks - anchor
    # The tail of a block is measured from the anchor of the next; the last block's tail belongs to no window.
    tail = pad((blocks[..., :-1, 1:] - anchor[..., 1:, :]), (0, 1, 1, 0))
    totals = head.cumsum(-1) + _suffix_sums(tail)
    squares = head.square().cumsum(-1) + _suffix_sums(tail.square())

    bars = torch.arange(1, count * period + 1, device=x.device).clamp(max=period).to(x).view(count, period)
    offset = totals / bars
    variance = ((squares - totals * offset) / bars).clamp(min=0.0)
    flat = [moment.flatten(-2)[..., :length] for moment in (anchor + offset, variance, head - offset)]
    return WindowMoments(*flat)


def _suffix_sums(x: Tensor) -> Tensor:
    return x.flip(-1).cumsum(-1).flip(-1)


class WindowState:
    """The moments of one moving window, price by price, in amortised constant time.

    Attributes
    ----------
    initialized : bool
        Whether `period` prices have come.
    update_raw : callable
        Moves the window on by one finite price, and returns mean, population variance and the price less the mean:
        of the prices so far while the window fills.
    """

    __slots__ = ("initialized", "period", "update_raw")

    def __init__(self, period: int) -> None:
        self.period = period
        self.initialized = False
        self.update_raw = stepping(self._updates())

    def _updates(self) -> Generator[tuple[float, float, float], float, None]:
        count, full = 0.0, float(self.period)  # prices in the window
        anchor, total, total_square = 0.0, 0.0, 0.0
        block: list[float] = []
        tails: list[tuple[float, float]] = []  # for the places left in the block
        price = yield nan, nan, nan
        while True:
            if tails:
                shifted = price - anchor
                total += shifted
                total_square += shifted * shifted
                block.append(price)
            else:
                tails = _tails(block, price) if block else [(0.0, 0.0)] * self.period
                block, anchor = [price], price
                shifted = total = total_square = 0.0
            if count < full:
                count += 1.0
                self.initialized = count == full
            tail, tail_square = tails.pop()
            moved = total + tail
            offset = moved / count
            variance = (total_square + tail_square - moved * offset) / count
            price = yield anchor + offset, variance if variance > 0.0 else 0.0, shifted - offset


def _tails(block: list[float], anchor: float) -> list[tuple[float, float]]:
    """Sums of a block's last prices relative to `anchor`, and of their squares: of none, of one, of all but one."""
    total = square = 0.0
    sums = [(total, square)]
    for price in block[:0:-1]:
        shifted = price - anchor
        total += shifted
        square += shifted * shifted
        sums.append((total, square))
    return sums


class WindowSeries:
    """`WindowState` for many series side by side, each with its own number of prices so far."""

    def __init__(self, series: int, period: int) -> None:
        self.period = period
        self.count = np.zeros(series, np.int64)  # prices so far
        self._block = np.zeros((series, period))
        self._left = np.zeros(series, np.int64)
        self._anchor, self._last, self._total, self._total_square = np.zeros((4, series))
        self._tail, self._tail_square = np.zeros((2, series, period + 1))

    def reset(self, rows: NDArray[np.int64]) -> None:
        """Forget all prices of the series in `rows`."""
        for state in vars(self).values():
            if isinstance(state, np.ndarray):
                state[rows] = 0

    def update(self, prices: NDArray[np.float64], rows: NDArray[np.int64]) -> None:
        """Move the windows of the series in `rows` on by one finite price each."""
        begins = self._left[rows] == 0
        if begins.any():
            self._begin_blocks(prices[begins], rows[begins])
        left = self._left[rows] - 1
        shifted = prices - self._anchor[rows]
        self._block[rows, left] = prices  # filled from the back: newest price first
        self._total[rows] += shifted
        self._total_square[rows] += shifted * shifted
        self._last[rows] = prices
        self._left[rows] = left
        self.count[rows] += 1

    def _begin_blocks(self, prices: NDArray[np.float64], rows: NDArray[np.int64]) -> None:
        shifted = (self._block[rows] - prices[:, None]) * (self.count[rows] > 0)[:, None]
        self._tail[rows, 1:] = shifted.cumsum(axis=1)
        self._tail_square[rows, 1:] = (shifted * shifted).cumsum(axis=1)
        self._anchor[rows] = prices
        self._total[rows] = self._total_square[rows] = 0.0
        self._left[rows] = self.period

    def moments(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], ...]:
        """Return mean, population variance and last deviation of the series in `rows`; NaN without a price."""
        left = self._left[rows]
        bars = np.where(self.count[rows] > 0, np.minimum(self.count[rows], self.period), np.nan)
        total = self._total[rows] + self._tail[rows, left]
        square = self._total_square[rows] + self._tail_square[rows, left]
        offset = total / bars
        variance = np.maximum(0.0, (square - total * offset) / bars)
        return self._anchor[rows] + offset, variance, self._last[rows] - self._anchor[rows] - offset
