"""Does the loss exceed VaR as often as it should, and do exceptions come alone?"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from nautilus_metal.risk.validation.ratios import coverage_ratio, independence_ratio, waiting_ratio, waits_ratio
from nautilus_metal.risk.validation.result import (
    TestResult,
    check_counts,
    check_level,
    checked_hits,
    chi_square,
    series_of,
)


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
    profit, stated = series_of("`pnl` and `var`", pnl=pnl, var=var)
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
    check_counts(exception_count, days, level)
    return chi_square(coverage_ratio(exception_count, days, level), 1)


def binomial(exception_count: int, days: int, level: float) -> TestResult:
    r"""Binomial test: how many standard deviations is the number of exceptions off, two-sided?

    .. math:: Z = (x - nq) / \sqrt{nq(1-q)} \sim N(0, 1), \quad q = 1 - level

    Parameters
    ----------
    exception_count, days : int
        x of n.
    level : float
        Confidence level of the VaR.

    References
    ----------
    Jorion (2011), "Financial Risk Manager Handbook", 6th edition, section 15.2.

    Examples
    --------
    >>> round(binomial(57, 1043, 0.95).statistic, 5)
    0.68905
    """
    check_counts(exception_count, days, level)
    off = (exception_count - days * (1 - level)) / math.sqrt(days * level * (1 - level))
    return TestResult(off, 2 * NormalDist().cdf(-abs(off)))


def tuff(hits: ArrayLike, level: float) -> TestResult | None:
    r"""Time until first failure: did the first exception come too early or too late?

    .. math:: LR = -2 \ln \frac{q (1-q)^{v-1}}{(1/v)(1-1/v)^{v-1}} \sim \chi^2_1, \quad q = 1 - level

    where v is the day of the first exception, counted from 1. One day in many decides, so that the test has little
    power, as Kupiec says himself.

    Parameters
    ----------
    hits : array_like of bool
        Exceptions by day, shape (days,), at least two days.
    level : float
        Confidence level of the VaR.

    Returns
    -------
    TestResult or None
        None where no exception has come yet, unless it comes too late already: then, with more than 1/q days, the
        result is that of an exception on the next day, if its p-value is below 5%.

    References
    ----------
    Kupiec (1995), "Techniques for verifying the accuracy of risk measurement models", Journal of Derivatives 3(2).
    """
    series = checked_hits(hits)
    check_level(level)
    waited = int(series.argmax()) + 1 if series.any() else len(series) + 1
    result = chi_square(waiting_ratio(float(waited), level), 1)
    known = series.any() or (len(series) > 1 / (1 - level) and result.p_value < 0.05)
    return result if known else None


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
    return chi_square(independence_ratio(checked_hits(hits)[None])[0], 1)


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
    series = checked_hits(hits)
    independence = christoffersen_independence(series)
    return chi_square(kupiec(int(series.sum()), len(series), level).statistic + independence.statistic, 2)


def haas_independence(hits: ArrayLike, level: float) -> TestResult | None:
    """Time between failures: is every wait for an exception as long as it should be?

    Sums the ratio of `tuff` over the waits for each of x exceptions, chi-square with x degrees. A single wait's ratio
    is far from its chi-square law, and the sum keeps the error: a right model is rejected too often (see
    `CoverageNull`, whose p-values are exact). The days since the last exception do not count.

    Parameters
    ----------
    hits : array_like of bool
        Exceptions by day, shape (days,).
    level : float
        Confidence level of the VaR.

    Returns
    -------
    TestResult or None
        None where there is no exception.

    References
    ----------
    Haas (2001), "New methods in backtesting", Financial Engineering, Research Center Caesar, Bonn.
    """
    series = checked_hits(hits)
    check_level(level)
    count = int(series.sum())
    return chi_square(waits_ratio(series[None], level)[0], count) if count else None


def haas_mixed(hits: ArrayLike, level: float) -> TestResult:
    """Haas' mixed Kupiec test: `kupiec` plus `haas_independence`, chi-square with x + 1 degrees for x exceptions.

    Parameters
    ----------
    hits : array_like of bool
        Exceptions by day, shape (days,); without any, the test is Kupiec's.
    level : float
        Confidence level of the VaR.

    References
    ----------
    Haas (2001), "New methods in backtesting", Financial Engineering, Research Center Caesar, Bonn.
    """
    series = checked_hits(hits)
    count = int(series.sum())
    coverage = kupiec(count, len(series), level).statistic
    return chi_square(coverage + waits_ratio(series[None], level)[0], count + 1)


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
    check_counts(exception_count, days, level)
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


def _binomial_cdf(count: int, trials: int, chance: float) -> float:
    k = torch.arange(count + 1, dtype=torch.float64)
    total = torch.tensor(float(trials), dtype=torch.float64)
    log_terms = torch.lgamma(total + 1) - torch.lgamma(k + 1) - torch.lgamma(total - k + 1)
    log_terms += k * math.log(chance) + (total - k) * math.log1p(-chance)
    return min(1.0, float(log_terms.exp().sum()))
