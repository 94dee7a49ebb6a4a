"""Exact p-values of the coverage tests, by simulating exceptions of a right model."""

from functools import lru_cache
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nautilus_metal.errors import InputError
from nautilus_metal.kernels.normals import uniforms
from nautilus_metal.risk.validation.ratios import coverage_ratio, independence_ratio, waiting_ratio, waits_ratio
from nautilus_metal.risk.validation.result import TestResult, check_level, checked_hits

_BLOCK = 2**22  # days simulated at a time, summed over series
_ROUNDING = 1e-9  # relative: sums of the same terms in another order are equal statistics
_TIE_STREAM = 2**62  # row of the uniforms that break ties, far from those that make exceptions


class CoverageNull:
    r"""How the coverage tests' statistics are distributed when VaR is right, by simulation.

    A right model's exceptions are independent and have the chance 1 - level each, so that n simulated series give
    every test its exact law, where the chi-square laws are rough: with few exceptions they reject a right model of
    `kupiec` or `haas_mixed` far from 5% of the time. The p-value of a statistic S among simulated :math:`S_i` is

    .. math:: \frac{1 + \#\{S_i > S\} + \#\{S_i = S, U_i \ge U\}}{n + 1}

    Statistics of counts tie; independent uniforms U decide, which makes the test's size exactly its significance.

    Parameters
    ----------
    days : int
        Length of the series, at least 2.
    level : float
        Confidence level of the VaR.
    simulations : int
        Series to simulate, at least 99.
    seed : int
        Selects the portable random numbers.

    References
    ----------
    Dufour (2006), "Monte Carlo tests with nuisance parameters", Journal of Econometrics 133(2).
    Christoffersen and Pelletier (2004), "Backtesting value-at-risk: a duration-based approach", Journal of Financial
    Econometrics 2(1), who use it for exceptions.

    Examples
    --------
    The chi-square law rejects 7 exceptions in 255 days at 99%, and 0 as well:

    >>> hits = [False] * 255
    >>> 0.02 < CoverageNull(255, 0.99).test(hits)["kupiec"].p_value < 0.12
    True
    """

    def __init__(self, days: int, level: float, simulations: int = 9999, seed: int = 0) -> None:
        check_level(level)
        if days < 2:
            raise InputError(f"`days` must be at least 2, was {days}")
        if simulations < 99:
            raise InputError(f"`simulations` must be at least 99, was {simulations}")
        self.days, self.level, self.simulations, self.seed = days, level, simulations, seed
        self._simulated, self._ties = _simulated(days, level, simulations, seed)

    def test(self, hits: ArrayLike, draw: int = 0) -> dict[str, TestResult]:
        """Test one series; keys as in `coverage_statistics`.

        Parameters
        ----------
        hits : array_like of bool
            Exceptions by day, shape (days,).
        draw : int
            Selects the uniform that breaks ties: one number, fixed beforehand, makes a verdict replay.
        """
        found, p_values = self.test_many(checked_hits(hits)[None], draw)
        return {name: TestResult(float(found[name][0]), float(p_values[name][0])) for name in found}

    def test_many(
        self, hits: NDArray[np.bool_], draw: int = 0
    ) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]]:
        """Return statistics and p-values of many series, hits of shape (series, days), ties broken independently."""
        if hits.ndim != 2 or hits.shape[1] != self.days:
            raise InputError(f"`hits` must be series of {self.days} days, were of shape {hits.shape}")
        ties = uniforms(1, len(hits), self.seed, start=self.simulations + draw, first_row=_TIE_STREAM)[0].numpy()
        found = coverage_statistics(hits, self.level)
        return found, {name: self._p_value(name, statistic, ties) for name, statistic in found.items()}

    def _p_value(self, name: str, statistic: NDArray[np.float64], ties: NDArray[np.float64]) -> NDArray[np.float64]:
        simulated, total = self._simulated[name], self.simulations
        near = _ROUNDING * (1 + np.abs(statistic))
        larger = total - np.searchsorted(simulated, statistic + near, side="right")
        at_least = total - np.searchsorted(simulated, statistic - near, side="left")
        above = np.array(
            [
                (self._ties[total - high : total - low] >= tie).sum()
                for high, low, tie in zip(at_least, larger, ties, strict=True)
            ]
        )
        return (1.0 + larger + above) / (total + 1.0)


def coverage_statistics(hits: NDArray[np.bool_], level: float) -> dict[str, NDArray[np.float64]]:
    """Return the statistics of all coverage tests.

    Parameters
    ----------
    hits : ndarray of bool
        Shape (series, days).
    level : float
        Confidence level of the VaR.

    Returns
    -------
    dict
        kupiec, tuff, independence, christoffersen, haas_independence and haas_mixed, shape (series,) each; larger
        ones speak against the model. Without an exception `tuff` is that of one on the next day.
    """
    days = hits.shape[1]
    coverage = coverage_ratio(hits.sum(axis=1).astype(np.float64), days, level)
    waited = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1.0, days + 1.0)
    independence, waits = independence_ratio(hits), waits_ratio(hits, level)
    return {
        "kupiec": coverage,
        "tuff": waiting_ratio(waited, level),
        "independence": independence,
        "christoffersen": coverage + independence,
        "haas_independence": waits,
        "haas_mixed": coverage + waits,
    }


@lru_cache(maxsize=16)
def _simulated(
    days: int, level: float, simulations: int, seed: int
) -> tuple[MappingProxyType[str, NDArray[np.float64]], NDArray[np.float64]]:
    """Sorted statistics of simulated series, and their tie-breakers."""
    parts = []
    step = max(1, _BLOCK // days)
    for first in range(0, simulations, step):
        some = min(step, simulations - first)
        hits = uniforms(some, days, seed, first_row=first).numpy() < 1 - level
        parts.append(coverage_statistics(hits, level))
    table = {name: np.sort(np.concatenate([part[name] for part in parts])) for name in parts[0]}
    return MappingProxyType(table), uniforms(1, simulations, seed, first_row=_TIE_STREAM)[0].numpy()
