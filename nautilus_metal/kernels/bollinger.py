"""Bollinger bands around a moving average: over histories, price by price, and over many series step by step.

Reference: Bollinger, J. (2001). Bollinger on Bollinger Bands, chapters 7 and 8.
"""

from math import nan
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nautilus_metal.kernels.averages import named_average
from nautilus_metal.kernels.parameters import band_width, whole_bars
from nautilus_metal.kernels.windows import WindowSeries, window_moments


class BollingerValues(NamedTuple):
    """Bands in the units of the price, as arrays; `bandwidth` and `percent_b` are plain fractions."""

    upper: Any
    middle: Any
    lower: Any
    bandwidth: Any  # (upper - lower) / middle, NaN where the middle is 0
    percent_b: Any  # (price - lower) / (upper - lower), NaN where the bands meet


class BandMoments(NamedTuple):
    """What bands are made of, in the units of the price."""

    middle: Tensor
    sigma: Tensor  # root mean square distance of the window's prices from the middle
    deviation: Tensor  # the newest price less the middle


def bollinger_moments(prices: Tensor, period: int) -> BandMoments:
    """Compute centre and population sigma of moving windows, as TA-Lib's bands have them.

    Parameters
    ----------
    prices : Tensor
        Shape (..., time), finite; may be shifted before it is rounded, the middle then is too.
    period : int
        Window in bars, at least 1.

    Returns
    -------
    BandMoments
        Three tensors of the shape of `prices`, NaN for the first ``period - 1`` bars.

    Raises
    ------
    InputError
        If `period` is not a whole number of at least 1.

    Examples
    --------
    >>> bollinger_moments(torch.tensor([1.0, 3.0, 5.0]), 2).middle
    tensor([nan, 2., 4.])
    """
    period = whole_bars("period", period)
    mean, variance, deviation = window_moments(prices, period)
    early = torch.arange(prices.shape[-1], device=prices.device) < period - 1
    return BandMoments(*(out.masked_fill(early, nan) for out in (mean, variance.sqrt(), deviation)))


def bollinger_moments_of_averages(prices: Tensor, period: int, average: str) -> BandMoments:
    """Compute centre and sigma of NautilusTrader's built-in bands: any moving average, from the first bar.

    Sigma is taken around the moving average, over the prices so far while the first window fills.

    Parameters
    ----------
    prices : Tensor
        Shape (..., time).
    period : int
        Window in bars.
    average : str
        A name in `MOVING_AVERAGES`.

    Returns
    -------
    BandMoments
        Three tensors of the shape of `prices`.
    """
    mean, variance, _ = window_moments(prices, period)
    middle = named_average(average)(prices, period)
    return BandMoments(middle, (variance + (mean - middle).square()).sqrt(), prices - middle)


def bollinger_bands[Values: (NDArray[np.float64], Tensor)](
    middle: Values, sigma: Values, deviation: Values, k: float
) -> BollingerValues:
    """Make the bands `k` sigma around `middle`, in float64: of arrays, or of tensors on a device that has it."""
    library: Any = torch if isinstance(middle, Tensor) else np
    reach = band_width(k) * sigma
    with np.errstate(divide="ignore", invalid="ignore"):
        bandwidth = library.where(middle != 0.0, 2.0 * reach / middle, nan)
        percent_b = library.where(reach > 0.0, 0.5 + 0.5 * deviation / reach, nan)
    return BollingerValues(middle + reach, middle, middle - reach, bandwidth, percent_b)


class BollingerSeries(WindowSeries):
    """The bands of `bollinger_moments` for many series, each with its own number of prices so far."""

    def __init__(self, series: int, period: int, k: float) -> None:
        super().__init__(series, whole_bars("period", period))
        self.k = band_width(k)
        self.needed = self.period

    def values(self, rows: NDArray[np.int64]) -> BollingerValues:
        """Return the bands of the series in `rows`; NaN where they are not initialized."""
        ready = self.count[rows] >= self.needed
        mean, variance, deviation = (np.where(ready, moment, nan) for moment in self.moments(rows))
        return bollinger_bands(mean, np.sqrt(variance), deviation, self.k)
