"""Relative strength index: over whole histories, price by price, and over many series step by step.

Reference: Wilder, J. W. (1978). New Concepts in Technical Trading Systems, section 6.
"""

from collections.abc import Generator, Sequence
from math import nan, prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from nautilus_metal.kernels.averages import named_average, seeded_recurrence, window_mean
from nautilus_metal.kernels.parameters import whole_bars
from nautilus_metal.kernels.stepping import stepping


def rsi(prices: Tensor, period: int | Sequence[int]) -> Tensor:
    """Compute the RSI as TA-Lib does: Wilder's smoothing, seeded with the mean of the first `period` moves.

    ``100 * gain / (gain + loss)`` of the smoothed gains and losses, and 0 where there were neither.

    Parameters
    ----------
    prices : Tensor
        Shape (..., time), finite; only differences matter, so a history may be shifted before it is rounded.
    period : int or sequence of int
        Bars of smoothing, at least 1; several periods are computed together.

    Returns
    -------
    Tensor
        Shape of `prices`, with a leading axis of periods if several were given; on the 0 to 100 scale, NaN for
        the first `period` bars.

    Raises
    ------
    InputError
        If a period is not a whole number of at least 1.

    Examples
    --------
    >>> rsi(torch.tensor([1.0, 2.0, 1.0, 3.0]), 2)
    tensor([    nan,     nan, 50.0000, 83.3333])
    """
    several = isinstance(period, Sequence)
    periods = [whole_bars("period", bars) for bars in (period if several else [period])]  # type: ignore[union-attr]
    bars = torch.tensor(periods, dtype=torch.float64)
    up, down = _moves(prices.reshape(prod(prices.shape[:-1]), prices.shape[-1]))
    moves = torch.cat([up, down])

    share = (1.0 / bars).to(moves).view(-1, 1, 1)
    seed = window_mean(moves, torch.zeros_like(bars), bars - 1.0)
    gain, loss = seeded_recurrence(moves * share, 1.0 - 1.0 / bars, seed, bars - 1.0).chunk(2, dim=1)
    total = gain + loss
    index = torch.where(total > 0.0, 100.0 * gain / total, 0.0)
    time = torch.arange(index.shape[-1], device=index.device)
    index = index.masked_fill(time < bars.to(index).view(-1, 1, 1) - 1.0, nan)
    index = pad(index, (1, 0), value=nan)[..., : prices.shape[-1]]
    return index.reshape((len(periods), *prices.shape) if several else prices.shape)


def rsi_of_averages(prices: Tensor, period: int, average: str) -> Tensor:
    """Compute the RSI of NautilusTrader's built-in class: any moving average, from the first bar, 0 to 1.

    The first move counts as 0; ``1 - 1 / (1 + gain / loss)``, and 1 where the average loss is 0.

    Parameters
    ----------
    prices : Tensor
        Shape (..., time).
    period : int
        Bars of the moving average.
    average : str
        A name in `MOVING_AVERAGES`.

    Returns
    -------
    Tensor
        Shape of `prices`.
    """
    mean = named_average(average)
    gain, loss = (mean(pad(move, (1, 0)), period) for move in _moves(prices))
    index = torch.where(loss == 0.0, 1.0, 1.0 - 1.0 / (1.0 + gain / loss))
    return index[..., : prices.shape[-1]]


def _moves(prices: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gains and the losses between bars, both positive, shape (..., time - 1)."""
    moves = prices.diff(dim=-1)
    return moves.clamp(min=0.0), (-moves).clamp(min=0.0)


class RsiState:
    """The RSI of `rsi`, price by price.

    Attributes
    ----------
    initialized : bool
        Whether ``period + 1`` prices have come.
    update_raw : callable
        Takes the next finite price, and returns the index on the 0 to 100 scale; NaN before `initialized`.
    """

    __slots__ = ("initialized", "period", "update_raw")

    def __init__(self, period: int) -> None:
        self.period = whole_bars("period", period)
        self.initialized = False
        self.update_raw = stepping(self._updates())

    def _updates(self) -> Generator[float, float, None]:
        weight, keep = 1.0 / self.period, 1.0  # the seed is a plain mean: nothing decays while it gathers
        gain, loss, missing, index = 0.0, 0.0, self.period, nan
        last = yield nan
        while True:
            price = yield index
            move = price - last
            last = price
            if move > 0.0:
                gain = gain * keep + move * weight
                loss *= keep
            else:
                loss = loss * keep - move * weight
                gain *= keep
            if missing:
                missing -= 1
                if missing:
                    continue
                keep = 1.0 - weight
                self.initialized = True
            total = gain + loss
            index = 100.0 * gain / total if total > 0.0 else 0.0


class RsiSeries:
    """The RSI of `rsi` for many series side by side, each with its own number of prices so far."""

    def __init__(self, series: int, period: int) -> None:
        self.period = whole_bars("period", period)
        self.needed = self.period + 1
        self.count = np.zeros(series, np.int64)
        self._last, self._gain, self._loss = np.zeros((3, series))

    def reset(self, rows: NDArray[np.int64]) -> None:
        """Forget all prices of the series in `rows`."""
        for state in (self.count, self._last, self._gain, self._loss):
            state[rows] = 0

    def update(self, prices: NDArray[np.float64], rows: NDArray[np.int64]) -> None:
        """Take the next finite price of each series in `rows`."""
        count = self.count[rows]
        move = np.where(count > 0, prices - self._last[rows], 0.0)
        weight = 1.0 / self.period
        keep = np.where(count > self.period, 1.0 - weight, 1.0)
        self._gain[rows] = self._gain[rows] * keep + np.maximum(move, 0.0) * weight
        self._loss[rows] = self._loss[rows] * keep + np.maximum(-move, 0.0) * weight
        self._last[rows] = prices
        self.count[rows] = count + 1

    def values(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the RSI of the series in `rows`; NaN where it is not initialized."""
        gain = self._gain[rows]
        total = gain + self._loss[rows]
        index = 100.0 * gain / np.where(total > 0.0, total, 1.0)
        return np.where(self.count[rows] >= self.needed, index, nan)
