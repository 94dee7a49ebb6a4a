"""Was the VaR right? The backtests that regulators use, as pure functions of P&L and VaR series."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from nautilus_metal.errors import InputError


@dataclass(frozen=True)
class TestResult:
    """A likelihood-ratio statistic and its asymptotic p-value.

    Attributes
    ----------
    statistic : float
        The likelihood ratio.
    p_value : float
        The chance of a larger one under a right model.
    """

    __test__ = False  # not a test case for pytest

    statistic: float
    p_value: float


@dataclass(frozen=True)
class VarScore:
    """The verdict on a VaR series at one level.

    Attributes
    ----------
    days, exceptions : int
        Days scored, and those whose loss exceeded VaR.
    expected : float
        Exceptions that a right model has on average.
    kupiec_p, christoffersen_p : float or None
        p-values of unconditional coverage and of conditional coverage; None where there are no days.
    zone : str or None
        Basel traffic light of the whole series: "green", "yellow" or "red".
    """

    days: int
    exceptions: int
    expected: float
    kupiec_p: float | None
    christoffersen_p: float | None
    zone: str | None


def exceptions(pnl: ArrayLike, var: ArrayLike) -> NDArray[np.bool_]:
    """Mark the days whose loss exceeded VaR, shape (days,).

    Parameters
    ----------
    pnl : array_like
        Profit (positive) or loss of each day, shape (days,).
    var : array_like
        Value at risk stated for that day beforehand, a positive loss, shape (days,).
    """
    profit, stated = np.asarray(pnl, dtype=np.float64), np.asarray(var, dtype=np.float64)
    if profit.shape != stated.shape or profit.ndim != 1:
        raise InputError(f"`pnl` and `var` must be series of one length, were {profit.shape} and {stated.shape}")
    if not (np.isfinite(profit).all() and np.isfinite(stated).all()):
        raise InputError("`pnl` and `var` must be finite, a NaN or infinity came")
    return -profit > stated


def kupiec(exception_count: int, days: int, level: float) -> TestResult:
    r"""Proportion of failures: are there as many exceptions as the level promises?

    .. math:: LR = -2 \ln \frac{(1-q)^{n-x} q^x}{(1-x/n)^{n-x} (x/n)^x} \sim \chi^2_1, \quad q = 1 - level

    Parameters
    ----------
    exception_count, days : int
        x of n.
    level : float
        Confidence level of the VaR.

    References
    ----------
    Kupiec (1995), "Techniques for verifying the accuracy of risk measurement models", Journal of Derivatives 3(2).

    Examples
    --------
    Kupiec's table 3 accepts fewer than 7 exceptions in 255 days at 99%:

    >>> [kupiec(count, 255, 0.99).p_value > 0.05 for count in (6, 7)]
    [True, False]
    """
    _check_counts(exception_count, days, level)
    q, rate = 1 - level, exception_count / days
    ratio = -2 * (
        _log_likelihood(exception_count, days - exception_count, q)
        - _log_likelihood(exception_count, days - exception_count, rate)
    )
    return _chi_square(ratio, 1)


def christoffersen_independence(hits: ArrayLike) -> TestResult:
    """Do exceptions come alone? Tests a first-order Markov chain against independence, chi-square with 1 degree.

    Parameters
    ----------
    hits : array_like of bool
        Exceptions by day, shape (days,), at least two days.

    References
    ----------
    Christoffersen (1998), "Evaluating interval forecasts", International Economic Review 39(4).
    """
    series = _checked_hits(hits)
    before, after = series[:-1], series[1:]
    calm_calm, calm_hit = int((~before & ~after).sum()), int((~before & after).sum())
    hit_calm, hit_hit = int((before & ~after).sum()), int((before & after).sum())
    pooled = (calm_hit + hit_hit) / len(before)
    independent = _log_likelihood(calm_hit + hit_hit, calm_calm + hit_calm, pooled)
    markov = _log_likelihood(calm_hit, calm_calm, calm_hit / max(calm_calm + calm_hit, 1))
    markov += _log_likelihood(hit_hit, hit_calm, hit_hit / max(hit_calm + hit_hit, 1))
    return _chi_square(-2 * (independent - markov), 1)


def christoffersen(hits: ArrayLike, level: float) -> TestResult:
    """Conditional coverage: the right number of exceptions, and independent ones; chi-square with 2 degrees.

    Parameters
    ----------
    hits : array_like of bool
        Exceptions by day, shape (days,).
    level : float
        Confidence level of the VaR.

    References
    ----------
    Christoffersen (1998): the sum of the two likelihood ratios.
    """
    series = _checked_hits(hits)
    independence = christoffersen_independence(series)
    return _chi_square(kupiec(int(series.sum()), len(series), level).statistic + independence.statistic, 2)


def traffic_light(exception_count: int, days: int, level: float = 0.99) -> str:
    """Basel zone: yellow from 95% of the binomial distribution of exceptions on, red from 99.99% on.

    With 250 days at 99% that is the familiar 0-4 green, 5-9 yellow, 10 and more red. No exception is always green,
    which in a few days the distribution alone would not say.

    References
    ----------
    Basel Committee on Banking Supervision (1996), "Supervisory framework for the use of backtesting in conjunction
    with the internal models approach to market risk capital requirements".

    Examples
    --------
    >>> [traffic_light(count, 250) for count in (4, 5, 9, 10)]
    ['green', 'yellow', 'yellow', 'red']
    """
    _check_counts(exception_count, days, level)
    cumulative = _binomial_cdf(exception_count, days, 1 - level)
    if exception_count == 0 or cumulative < 0.95:
        return "green"
    return "yellow" if cumulative < 0.9999 else "red"


def score(pnl: ArrayLike, var: ArrayLike, level: float) -> VarScore:
    """Run the tests on a P&L and a VaR series of one level.

    Parameters
    ----------
    pnl, var : array_like
        Shape (days,): the day's profit, and the VaR stated before that day.
    level : float
        Confidence level.
    """
    hits = exceptions(pnl, var)
    days, count = len(hits), int(hits.sum())
    expected = days * (1 - level)
    if days < 2:
        return VarScore(days, count, expected, None, None, None)
    return VarScore(
        days=days,
        exceptions=count,
        expected=expected,
        kupiec_p=kupiec(count, days, level).p_value,
        christoffersen_p=christoffersen(hits, level).p_value,
        zone=traffic_light(count, days, level),
    )


def _checked_hits(hits: ArrayLike) -> NDArray[np.bool_]:
    series = np.asarray(hits)
    if series.ndim != 1 or len(series) < 2:
        raise InputError(f"`hits` must be a series of at least 2 days, was of shape {series.shape}")
    if not np.isin(series, (0, 1)).all():
        raise InputError("`hits` must be true or false for each day, held something else: see `exceptions`")
    return series.astype(bool)


def _check_counts(count: int, days: int, level: float) -> None:
    if not 0 < level < 1:
        raise InputError(f"`level` must lie between 0 and 1, was {level}")
    whole = all(isinstance(number, int | np.integer) and not isinstance(number, bool) for number in (count, days))
    if not whole or days < 1 or not 0 <= count <= days:
        raise InputError(f"`exception_count` must be a whole number from 0 to `days`, was {count} of {days}")


def _log_likelihood(hits: int, misses: int, rate: float) -> float:
    """Of a Bernoulli sample, with 0 log 0 = 0."""
    return (hits * math.log(rate) if hits else 0.0) + (misses * math.log1p(-rate) if misses else 0.0)


def _chi_square(statistic: float, degrees: int) -> TestResult:
    statistic = max(0.0, statistic)  # rounding may leave it a hair under zero
    half = torch.tensor([degrees / 2, statistic / 2], dtype=torch.float64)
    return TestResult(statistic, float(torch.special.gammaincc(half[0], half[1])))


def _binomial_cdf(count: int, trials: int, chance: float) -> float:
    k = torch.arange(count + 1, dtype=torch.float64)
    total = torch.tensor(float(trials), dtype=torch.float64)
    log_terms = torch.lgamma(total + 1) - torch.lgamma(k + 1) - torch.lgamma(total - k + 1)
    log_terms += k * math.log(chance) + (total - k) * math.log1p(-chance)
    return min(1.0, float(log_terms.exp().sum()))
