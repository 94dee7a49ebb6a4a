"""Walk-forward evaluation: trained on the past, judged on what came next, beside forecasts that need no model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nautilus_metal.errors import InputError
from nautilus_metal.models.features import Array, Samples

Predict = Callable[[NDArray[np.float32]], Array]

NAIVE: dict[str, Callable[[Samples], Array]] = {
    "last price": lambda samples: np.zeros(len(samples)),
    "last return": lambda samples: samples.last,
    "mean return": lambda samples: samples.mean,
}
_CLEAR = 2.0  # standard errors from which on a difference counts


@dataclass(frozen=True, slots=True)
class Score:
    """How one forecast did.

    Attributes
    ----------
    name : str
        The forecast: "model", or a row of `NAIVE`.
    rmse : float
        Root mean squared error of log returns.
    hit_rate : float or None
        Share of the returns other than 0 whose sign it had; None where it names no sign.
    skill : float or None
        ``1 - MSE(model) / MSE(this)``: above 0 where the model is better; None for the model itself.
    difference, standard_error : float or None
        Mean of squared error of the model minus this one's, and its standard error over times (all series of one time
        are one observation, as they move together; Newey-West over `horizon - 1` lags). None for the model itself.
    """

    name: str
    rmse: float
    hit_rate: float | None
    skill: float | None = None
    difference: float | None = None
    standard_error: float | None = None

    @property
    def verdict(self) -> str:
        """Whether the model is "better", "worse", or "no different" by two standard errors; "" for the model."""
        if self.difference is None or self.standard_error is None:
            return ""
        if abs(self.difference) <= _CLEAR * self.standard_error:
            return "no different"
        return "better" if self.difference < 0.0 else "worse"


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a walk forward came to.

    Attributes
    ----------
    samples : Samples
        All that was forecast, in order of time.
    forecasts : ndarray
        The model's, as log returns.
    trained : tuple of int
        By fold: samples that it was trained on.
    scores : tuple of Score
        The model's first, then those of `NAIVE`.
    """

    samples: Samples
    forecasts: Array
    trained: tuple[int, ...]
    scores: tuple[Score, ...]

    @property
    def beats_naive(self) -> bool:
        """Whether the model is better than every naive forecast by two standard errors."""
        return all(score.verdict == "better" for score in self.scores[1:])


def walk_forward(samples: Samples, fit: Callable[[Samples], Predict], starts: Sequence[int]) -> Evaluation:
    """Train on what is known before each start and forecast from it to the next one.

    Parameters
    ----------
    samples : Samples
        Histories, cut.
    fit : callable
        Takes the samples whose outcome is known at the bar before a fold, and returns what maps inputs, shape
        (n, length, columns), to forecasts in units of `Samples.scale`, shape (n,).
    starts : sequence of int
        Bars at which folds start, ascending; the last fold ends with the samples.

    Raises
    ------
    InputError
        If a fold has nothing to be trained on or to forecast, or a forecast is not finite.
    """
    if not starts or list(starts) != sorted(set(starts)):
        raise InputError(f"`starts` must be ascending bars, was {list(starts)}")
    tested, forecasts, trained = [], [], []
    for first, end in zip(starts, [*starts[1:], int(samples.at[-1]) + 1], strict=True):
        past, test = samples.known_at(first - 1), samples.between(first, end)
        if not len(past) or not len(test):
            raise InputError(f"`starts` must leave samples before and after each, bar {first} does not")
        made = np.asarray(fit(past)(test.inputs), dtype=np.float64)
        if made.shape != (len(test),) or not np.isfinite(made).all():
            raise InputError(f"`fit` must make {len(test)} finite forecasts, made {made.shape}")
        tested.append((samples.at >= first) & (samples.at < end))
        forecasts.append(made * test.scale)
        trained.append(len(past))
    whole = samples.where(np.logical_or.reduce(tested))
    joined = np.concatenate(forecasts)
    return Evaluation(whole, joined, tuple(trained), compare(whole, joined))


def compare(samples: Samples, forecasts: Array) -> tuple[Score, ...]:
    """Score forecasts of log returns, shape (n,), beside the naive ones; the model's score comes first."""
    own = (forecasts - samples.returns) ** 2
    scores = [Score("model", float(np.sqrt(own.mean())), hit_rate(forecasts, samples.returns))]
    for name, naive in NAIVE.items():
        guess = naive(samples)
        theirs = (guess - samples.returns) ** 2
        difference, error = clustered_mean(own - theirs, samples.at, samples.horizon)
        rmse, skill = float(np.sqrt(theirs.mean())), 1.0 - float(own.mean() / theirs.mean())
        scores.append(Score(name, rmse, hit_rate(guess, samples.returns), skill, difference, error))
    return tuple(scores)


def hit_rate(forecasts: Array, returns: Array) -> float | None:
    """Share of returns other than 0 whose sign was forecast, among forecasts other than 0; None without any."""
    both = (forecasts != 0.0) & (returns != 0.0)
    return float(np.mean(np.sign(forecasts[both]) == np.sign(returns[both]))) if both.any() else None


def clustered_mean(values: Array, at: NDArray[np.int64], horizon: int) -> tuple[float, float]:
    """Return the mean of values and its standard error, those of one time being one observation.

    Parameters
    ----------
    values : ndarray, shape (n,)
        The values.
    at : ndarray of int, shape (n,)
        The time of each.
    horizon : int
        Overlapping outcomes: autocovariances up to ``horizon - 1`` lags count, with Bartlett weights.

    References
    ----------
    Diebold and Mariano (1995), "Comparing predictive accuracy"; Newey and West (1987).
    """
    _, place = np.unique(at, return_inverse=True)
    centred = values - values.mean()
    sums = np.bincount(place, weights=centred)
    variance = float(sums @ sums)
    for lag in range(1, horizon):
        variance += 2.0 * (1.0 - lag / horizon) * float(sums[lag:] @ sums[:-lag])
    return float(values.mean()), float(np.sqrt(max(variance, 0.0)) / len(values))
