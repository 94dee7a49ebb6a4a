"""Shapes of a day's P&L: what lies between a stated VaR and expected shortfall and the whole distribution."""

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from nautilus_metal.errors import InputError
from nautilus_metal.risk.validation.result import check_level

_REACH = 8.5  # normal scores of the table; what lies beyond has a chance of 1e-17
_PER_UNIT = 512  # table entries per unit of the normal score
_SCORES = np.linspace(-_REACH, _REACH, round(2 * _REACH * _PER_UNIT) + 1)
_LOG_DENSITY_AT_ZERO = -0.5 * math.log(2 * math.pi)
_TAIL_NODES = 4097
_FARTHEST = 42.0  # asinh of the largest innovation, at which even one degree of freedom leaves 1e-18
_TAIL_POINTS = 2**16 + 1
_LEAST_CHANCE = 1e-19


class InnovationLaw:
    """The shape of a P&L distribution up to location and scale, as a table of its quantiles by normal score.

    A stated VaR and expected shortfall of one level fix location and scale, and so the whole distribution. Made by
    `normal_law`, `student_law` and `empirical_law`.

    Parameters
    ----------
    name : str
        What results call it.
    quantiles : ndarray
        The innovation's quantile at each of the table's normal scores, never falling.
    """

    def __init__(self, name: str, quantiles: NDArray[np.float64]) -> None:
        self.name = name
        self.quantiles = quantiles

    def __repr__(self) -> str:
        return f"InnovationLaw({self.name})"

    def value_at_risk(self, level: float) -> float:
        """VaR of the innovation itself, a positive loss."""
        check_level(level)
        return -float(np.interp(NormalDist().inv_cdf(1 - level), _SCORES, self.quantiles))

    def expected_shortfall(self, level: float) -> float:
        """Expected shortfall of the innovation itself: Simpson's rule over the tail's normal scores."""
        check_level(level)
        scores = np.linspace(-_REACH, NormalDist().inv_cdf(1 - level), _TAIL_NODES)
        weights = np.full(_TAIL_NODES, 2.0)
        weights[1::2] = 4.0
        weights[[0, -1]] = 1.0
        inside = np.interp(scores, _SCORES, self.quantiles) * np.exp(_LOG_DENSITY_AT_ZERO - scores**2 / 2)
        return -float(weights @ inside * (scores[1] - scores[0])) / 3 / (1 - level)

    def worst_mean(self, days: int, worst: int) -> float:
        r"""Expectation of the mean of the `worst` smallest of `days` innovations, as a positive loss.

        .. math:: -\frac{n}{k} \int Q(p)\, P(\mathrm{Bin}(n-1, p) < k)\, dp

        References
        ----------
        Acerbi and Szekely (2014), "Backtesting expected shortfall", Risk 27(11), where an incomplete beta function
        stands for the binomial one.
        """
        return _worst_mean(self, days, worst)

    def innovations(self, scores: Tensor, table: Tensor | None) -> Tensor:
        """Turn normal scores into innovations on any device; `table` is `quantiles` there, None for the normal."""
        if table is None:
            return scores
        place = ((scores + _REACH) * _PER_UNIT).clamp(0, len(self.quantiles) - 1.001)
        low = place.floor()
        index = low.long()
        left = table[index]
        return left + (place - low) * (table[index + 1] - left)

    def scores(self, innovations: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the normal scores of innovations: the inverse of `innovations`, for a law without atoms."""
        return np.interp(innovations, self.quantiles, _SCORES)

    @property
    def is_normal(self) -> bool:
        """Whether a normal score is its own innovation."""
        return self.quantiles is _SCORES


@lru_cache(maxsize=256)
def _worst_mean(law: InnovationLaw, days: int, worst: int) -> float:
    scores = torch.from_numpy(_SCORES)
    log_p, log_q = torch.special.log_ndtr(scores), torch.special.log_ndtr(-scores)
    log_chance = (days - 1) * log_q
    below = torch.zeros_like(scores)
    for count in range(worst):
        below += log_chance.exp()
        log_chance = log_chance + math.log(max(days - 1 - count, 1e-300) / (count + 1)) + log_p - log_q
    density = np.exp(_LOG_DENSITY_AT_ZERO - _SCORES**2 / 2)
    return -days / worst * float((law.quantiles * density) @ below.numpy()) / _PER_UNIT


@lru_cache(maxsize=1)
def normal_law() -> InnovationLaw:
    """Return the normal distribution's shape.

    Examples
    --------
    >>> law = normal_law()
    >>> round(law.value_at_risk(0.975), 4), round(law.expected_shortfall(0.975), 4)
    (1.96, 2.3378)
    """
    return InnovationLaw("normal", _SCORES)


@lru_cache(maxsize=32)
def student_law(degrees: float) -> InnovationLaw:
    r"""Return the shape of Student's distribution.

    The upper tail's chance is integrated inwards from the far tail, on the grid of :math:`u` with
    :math:`x = \sinh u`, by the trapezoidal rule with Euler and Maclaurin's first correction, so that it is accurate
    relative to itself; its normal score is then read backwards.

    Parameters
    ----------
    degrees : float
        Degrees of freedom, above 1 for the shortfall to exist.

    Examples
    --------
    >>> round(student_law(3).value_at_risk(0.99), 4)
    4.5407
    """
    if not (math.isfinite(degrees) and degrees > 1):
        raise InputError(f"`degrees` must be above 1, was {degrees}")
    u = np.linspace(0, _FARTHEST, _TAIL_POINTS)
    x, step = np.sinh(u), u[1]
    log_mass = -(degrees + 1) / 2 * np.log1p(x * x / degrees) + np.log(np.cosh(u))
    mass = np.exp(log_mass)
    slope = mass * (np.tanh(u) - (degrees + 1) * x * np.cosh(u) / (degrees + x * x))
    cells = step / 2 * (mass[:-1] + mass[1:]) - step**2 / 12 * (slope[1:] - slope[:-1])
    beyond = np.append(np.cumsum(cells[::-1])[::-1], 0.0) + mass[-1] / degrees
    chance = beyond / (2 * beyond[0])
    kept = chance > _LEAST_CHANCE
    scores = -torch.special.ndtri(torch.from_numpy(chance[kept])).numpy()
    upper = np.sinh(np.interp(_SCORES[_SCORES >= 0], scores, u[kept]))
    return InnovationLaw(f"student_t({degrees:g})", np.concatenate([-upper[:0:-1], upper]))


def empirical_law(innovations: ArrayLike) -> InnovationLaw:
    """Return the shape of a sample, as historical and filtered historical models have it.

    Parameters
    ----------
    innovations : array_like
        Profits (positive) or standardised residuals, shape (values,), at least 2 that differ.
    """
    sample = np.sort(np.asarray(innovations, dtype=np.float64))
    if sample.ndim != 1 or not np.isfinite(sample).all() or len(sample) < 2 or sample[0] == sample[-1]:
        raise InputError(f"`innovations` must be finite values that differ, were of shape {sample.shape}")
    place = torch.special.ndtr(torch.from_numpy(_SCORES)).numpy() * len(sample)
    return InnovationLaw(f"empirical({len(sample)})", np.interp(place, np.arange(len(sample)) + 0.5, sample))
