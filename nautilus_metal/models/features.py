"""Features of bars that know nothing of the future, and the samples that a network is trained on.

Bars are arrays of shape (..., 5, time): open, high, low, close and volume, the long axis last.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from nautilus_metal.errors import InputError
from nautilus_metal.kernels.parameters import whole_bars

Array = NDArray[np.float64]
OPEN, HIGH, LOW, CLOSE, VOLUME = range(5)
STILL = 1e-9  # a standard deviation of returns up to which it is rounding


@dataclass(frozen=True, slots=True)
class Column:
    """One feature.

    Attributes
    ----------
    lookback : int
        Bars before its own that it reads.
    of : callable
        Bars, shape (..., 5, time), to values, shape (..., time); NaN where the lookback is not there.
    """

    lookback: int
    of: Callable[[Array], Array]


def _log_change(field: int, bars: int) -> Column:
    def of(values: Array) -> Array:
        level = np.log(values[..., field, :])
        change = np.full_like(level, np.nan)
        change[..., bars:] = level[..., bars:] - level[..., :-bars]
        return change

    return Column(bars, of)


COLUMNS: dict[str, Column] = {
    "return": _log_change(CLOSE, 1),
    "week": _log_change(CLOSE, 5),
    "month": _log_change(CLOSE, 21),
    "range": Column(0, lambda bars: np.log(bars[..., HIGH, :] / bars[..., LOW, :])),
    "body": Column(0, lambda bars: np.log(bars[..., CLOSE, :] / bars[..., OPEN, :])),
    "volume": _log_change(VOLUME, 1),
}


def rolling_standardise(values: Array, window: int, clip: float = 8.0) -> Array:
    """Standardise each value by the `window` values before it, itself left out.

    Parameters
    ----------
    values : ndarray, shape (..., time)
        The series; the long axis last.
    window : int
        At least 2 values.
    clip : float, default 8.0
        Largest distance from 0. A value beyond a past without any variation is at that distance.

    Returns
    -------
    ndarray, shape (..., time)
        ``(x[t] - mean(x[t-window:t])) / std(x[t-window:t])`` with the population's standard deviation; NaN where the
        window is not full, or holds a NaN.
    """
    _check_window(window)
    made = np.full(values.shape, np.nan)
    if values.shape[-1] <= window:
        return made
    past, now = sliding_window_view(values, window, axis=-1)[..., :-1, :], values[..., window:]
    mean, deviation = past.mean(-1), past.std(-1)
    deviation = np.maximum(deviation, 1e-12 * np.abs(mean) + 1e-300)  # a constant's is rounding, or 0
    made[..., window:] = np.clip((now - mean) / deviation, -clip, clip)
    return made


@dataclass(frozen=True)
class Recipe:
    """How bars become the windows that a network sees. It is a model's scaler, and is kept in its checkpoint.

    Parameters
    ----------
    columns : tuple of str
        Rows of `COLUMNS`.
    window : int
        Bars that a value is standardised by.
    length : int
        Steps of time that the network sees.
    clip : float
        Largest standardised value.

    Raises
    ------
    InputError
        If a column is not known, or a number is too small.
    """

    columns: tuple[str, ...] = ("return", "week", "month")
    window: int = 60
    length: int = 20
    clip: float = 8.0

    def __post_init__(self) -> None:
        unknown = [name for name in self.columns if name not in COLUMNS]
        if unknown or not self.columns:
            raise InputError(f"`columns` must be of {', '.join(COLUMNS)}, was {', '.join(unknown) or 'none'}")
        whole_bars("length", self.length)
        _check_window(self.window)
        if not self.clip > 0.0:
            raise InputError(f"`clip` must be above 0, was {self.clip}")

    @property
    def needed(self) -> int:
        """Bars up to and with the last one that a window takes."""
        return max(max(COLUMNS[name].lookback for name in self.columns) + self.window + self.length, self.window + 1)

    def features(self, bars: Array) -> Array:
        """Return standardised features, shape (..., time, columns); NaN where the past is too short."""
        _check_bars(bars)
        raw = [rolling_standardise(COLUMNS[name].of(bars), self.window, self.clip) for name in self.columns]
        return np.stack(raw, -1)

    def scale(self, bars: Array) -> Array:
        """Return the deviation of the last `window` log returns, shape (..., time): the past's, known then."""
        returns, made = COLUMNS["return"].of(bars), np.full(bars[..., CLOSE, :].shape, np.nan)
        if returns.shape[-1] >= self.window:
            made[..., self.window - 1 :] = sliding_window_view(returns, self.window, axis=-1).std(-1)
        return made

    def last_window(self, bars: Array) -> tuple[Array, Array]:
        """Return what a network sees at the last bar, shape (..., length, columns), and the scale there, (...)."""
        if bars.shape[-1] < self.needed:
            raise InputError(f"`bars` must be at least {self.needed}, was {bars.shape[-1]}")
        recent = bars[..., -self.needed :]
        return self.features(recent)[..., -self.length :, :], self.scale(recent)[..., -1]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that `from_dict` takes."""
        return asdict(self) | {"columns": list(self.columns)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Recipe":
        """Make it again from plain values."""
        return cls(**(values | {"columns": tuple(values["columns"])}))


@dataclass(frozen=True, eq=False)
class Samples:
    """Windows and what came after them; n samples in order of time.

    Attributes
    ----------
    inputs : ndarray of float32, shape (n, length, columns)
        What is known at bar `at`.
    targets : ndarray, shape (n,)
        The log return from bar `at` to the one `horizon` bars later, in units of `scale`.
    scale : ndarray, shape (n,)
        The standard deviation of returns known at `at`, times the square root of the horizon.
    at : ndarray of int, shape (n,)
        The bar's position on the axis of time.
    series : ndarray of int, shape (n,)
        Which series.
    last, mean : ndarray, shape (n,)
        The last `horizon` bars' log return at `at`, and `horizon` times the mean of all one-bar returns up to it.
    horizon : int
        Bars ahead.
    """

    inputs: NDArray[np.float32]
    targets: Array
    scale: Array
    at: NDArray[np.int64]
    series: NDArray[np.int64]
    last: Array
    mean: Array
    horizon: int

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def returns(self) -> Array:
        """The log returns that came, shape (n,)."""
        return self.targets * self.scale

    def where(self, chosen: NDArray[np.bool_]) -> "Samples":
        """Return the chosen samples."""
        names = ("inputs", "targets", "scale", "at", "series", "last", "mean")
        return replace(self, **{name: getattr(self, name)[chosen] for name in names})

    def known_at(self, bar: int) -> "Samples":
        """Return the samples whose outcome is known at a bar: what may be learned from there."""
        return self.where(self.at + self.horizon <= bar)

    def between(self, first: int, last: int) -> "Samples":
        """Return the samples of the bars ``first <= at < last``."""
        return self.where((self.at >= first) & (self.at < last))


def make_samples(bars: Array, recipe: Recipe, horizon: int = 1) -> Samples:
    """Cut histories into samples, from the first bar that has a whole past to the last with a known outcome.

    A bar whose `window` past returns have no variation, a price that stands still, makes no sample.

    Parameters
    ----------
    bars : ndarray, shape (series, 5, time)
        Open, high, low, close, volume of several series on the same times.
    recipe : Recipe
        How to see them.
    horizon : int, default 1
        Bars ahead.

    Raises
    ------
    InputError
        If there are too few bars, or a value is not finite and positive where it must be.
    """
    whole_bars("horizon", horizon)
    _check_bars(bars)
    time = bars.shape[-1]
    first, end = recipe.needed - 1, time - horizon
    if bars.ndim != 3 or end <= first:
        raise InputError(
            f"`bars` must be of shape (series, 5, at least {recipe.needed + horizon}), was {bars.shape}"
        )
    returns, ahead = COLUMNS["return"].of(bars), _log_change(CLOSE, horizon).of(bars)
    scale = recipe.scale(bars) * np.sqrt(horizon)
    mean = np.cumsum(np.nan_to_num(returns), -1) / np.maximum(np.arange(time), 1) * horizon
    seen = sliding_window_view(recipe.features(bars), recipe.length, axis=-2).swapaxes(-1, -2)
    at = np.arange(first, end)

    def flat(values: Array) -> Array:
        return np.ascontiguousarray(values.T.reshape(-1))

    made = Samples(
        inputs=np.ascontiguousarray(
            seen[:, first - recipe.length + 1 : end - recipe.length + 1].swapaxes(0, 1), dtype=np.float32
        ).reshape(-1, recipe.length, len(recipe.columns)),
        targets=flat(ahead[:, first + horizon :] / np.maximum(scale[:, first:end], STILL)),
        scale=flat(scale[:, first:end]),
        at=np.repeat(at, len(bars)),
        series=np.tile(np.arange(len(bars)), len(at)),
        last=flat(ahead[:, first:end]),
        mean=flat(mean[:, first:end]),
        horizon=horizon,
    )
    return made if (made.scale > STILL).all() else made.where(made.scale > STILL)


def _check_window(window: int) -> None:
    if whole_bars("window", window) < 2:
        raise InputError(f"`window` must be at least 2 bars, was {window}")


def _check_bars(bars: Array) -> None:
    if bars.ndim < 2 or bars.shape[-2] != 5:
        raise InputError(f"`bars` must be of shape (..., 5, time), was {bars.shape}")
    prices = bars[..., :VOLUME, :]
    if not (np.isfinite(prices).all() and (prices > 0.0).all()):
        raise InputError("`bars` must have finite prices above 0")
