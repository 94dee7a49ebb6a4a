"""Which of two models is better? Scores that a right forecast makes smallest on average, and their comparison."""

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nautilus_metal.errors import InputError
from nautilus_metal.risk.validation.result import TestResult, check_level, series_of, tail_series


def quantile_score(pnl: ArrayLike, var: ArrayLike, level: float) -> NDArray[np.float64]:
    r"""Score VaR by day: smallest on average where it is the loss' quantile.

    .. math:: S_t = (1\{L_t \le v_t\} - level)(v_t - L_t)

    with the loss L and VaR v; in units of P&L, never negative.

    Parameters
    ----------
    pnl : array_like
        Profit (positive) or loss of each day, shape (days,).
    var : array_like
        Value at risk stated for that day beforehand, a positive loss, shape (days,).
    level : float
        Confidence level.

    Returns
    -------
    ndarray
        Shape (days,).

    References
    ----------
    Koenker and Bassett (1978), "Regression quantiles", Econometrica 46(1).
    Gneiting (2011), "Making and evaluating point forecasts", Journal of the American Statistical Association 106.

    Examples
    --------
    >>> quantile_score([-3.0, 1.0], [2.0, 2.0], 0.75).tolist()
    [0.75, 0.75]
    """
    check_level(level)
    profit, stated = series_of("`pnl` and `var`", pnl=pnl, var=var)
    return ((-profit <= stated) - level) * (stated + profit)


def fissler_ziegel_score(pnl: ArrayLike, var: ArrayLike, es: ArrayLike, level: float) -> NDArray[np.float64]:
    r"""Score VaR and expected shortfall together by day: Fissler and Ziegel's FZ0.

    .. math:: S_t = \frac{(L_t - v_t)^+}{(1 - level)\, e_t} + \frac{v_t}{e_t} + \ln e_t - 1

    with the loss L, VaR v and shortfall e. Of all scores that both figures minimise, this is the one whose
    differences between models do not depend on the unit of the P&L.

    Parameters
    ----------
    pnl : array_like
        Profit (positive) or loss of each day, shape (days,).
    var, es : array_like
        Value at risk and expected shortfall stated for that day beforehand, positive losses, shape (days,).
    level : float
        Confidence level of both.

    Returns
    -------
    ndarray
        Shape (days,); any sign.

    References
    ----------
    Fissler and Ziegel (2016), "Higher order elicitability and Osband's principle", Annals of Statistics 44(4).
    Patton, Ziegel and Chen (2019), "Dynamic semiparametric models for expected shortfall (and value-at-risk)",
    Journal of Econometrics 211(2), equation 6.

    Examples
    --------
    >>> fissler_ziegel_score([-3.0, 1.0], [1.0, 1.0], [2.0, 2.0], 0.5).round(4).tolist()
    [2.1931, 0.1931]
    """
    check_level(level)
    profit, stated, shortfall = tail_series(pnl, var, es)
    excess = np.maximum(-profit - stated, 0.0)
    return excess / ((1 - level) * shortfall) + stated / shortfall + np.log(shortfall) - 1


def diebold_mariano(first: ArrayLike, second: ArrayLike, lags: int | None = None) -> TestResult:
    r"""Do two models differ in their mean score? Two-sided, with a variance that allows for autocorrelation.

    .. math:: \frac{\bar d}{\sqrt{\hat\omega / n}} \sim N(0, 1), \quad
        \hat\omega = \hat\gamma_0 + 2 \sum_{j=1}^{m} \Big(1 - \frac{j}{m + 1}\Big) \hat\gamma_j

    with the differences d of the scores and their autocovariances. A negative statistic speaks for the first model.

    Parameters
    ----------
    first, second : array_like
        Scores of the two models by day, shape (days,), at least 2 days.
    lags : int, optional
        m; by default Newey and West's :math:`\lfloor 4 (n / 100)^{2/9} \rfloor`.

    Returns
    -------
    TestResult
        Where the scores are the same on all days, the statistic is 0 and the p-value 1.

    Raises
    ------
    InputError
        If the series differ in length or are not finite, there are too few days, or the difference is one constant
        other than 0, whose variance says nothing.

    References
    ----------
    Diebold and Mariano (1995), "Comparing predictive accuracy", Journal of Business & Economic Statistics 13(3).
    Newey and West (1987), "A simple, positive semi-definite, heteroskedasticity and autocorrelation consistent
    covariance matrix", Econometrica 55(3), and (1994), Review of Economic Studies 61(4), for the lags.
    """
    one, other = series_of("`first` and `second`", first=first, second=second)
    difference, days = one - other, len(one)
    if days < 2:
        raise InputError(f"`first` and `second` must have at least 2 days, had {days}")
    lags = min(int(4 * (days / 100) ** (2 / 9)), days - 1) if lags is None else lags
    if not 0 <= lags < days:
        raise InputError(f"`lags` must lie between 0 and {days - 1} for {days} days, was {lags}")
    if not difference.any():
        return TestResult(0.0, 1.0)
    deviation = difference - difference.mean()
    variance = deviation @ deviation
    for lag in range(1, lags + 1):
        variance += 2 * (1 - lag / (lags + 1)) * (deviation[lag:] @ deviation[:-lag])
    if variance <= (1e-12 * np.abs(difference).max()) ** 2 * days:
        raise InputError(f"`first` and `second` must differ by more than one constant, was {difference[0]:g}")
    statistic = float(difference.mean() * days / math.sqrt(variance))
    return TestResult(statistic, 2 * NormalDist().cdf(-abs(statistic)))
