"""The standard normal distribution by operators that every device has, and Student's quantile for small samples."""

import math
from functools import lru_cache
from statistics import NormalDist

from torch import Tensor

_ROOT_HALF = math.sqrt(0.5)
_DENSITY_AT_ZERO = 1.0 / math.sqrt(2.0 * math.pi)
_SERIES_DEGREES = 400  # above it the expansion around the normal quantile is exact to 1e-9


def normal_cdf(x: Tensor) -> Tensor:
    """Standard normal distribution function, accurate relative to itself in the lower tail.

    Parameters
    ----------
    x : Tensor
        Any shape.

    Returns
    -------
    Tensor
        Of the same shape and dtype, in [0, 1].

    Examples
    --------
    >>> import torch
    >>> normal_cdf(torch.tensor([0.0, -10.0], dtype=torch.float64))
    tensor([5.0000e-01, 7.6199e-24], dtype=torch.float64)
    """
    return 0.5 * (-_ROOT_HALF * x).erfc()


def normal_density(x: Tensor) -> Tensor:
    """Standard normal density.

    Parameters and shape are those of `normal_cdf`.
    """
    return _DENSITY_AT_ZERO * (-0.5 * x * x).exp()


@lru_cache(maxsize=1024)
def student_quantile(probability: float, degrees: int) -> float:
    """Quantile of Student's distribution with a whole number of degrees of freedom.

    Parameters
    ----------
    probability : float
        Above 0.5 and below 1.
    degrees : int
        Degrees of freedom, at least 1.

    Returns
    -------
    float
        The quantile.

    References
    ----------
    Abramowitz and Stegun (1964), 26.7.3, 26.7.4 (finite series) and 26.7.5 (expansion around the normal).

    Examples
    --------
    >>> round(student_quantile(0.975, 15), 6), round(student_quantile(0.975, 1), 4)
    (2.13145, 12.7062)
    """
    if degrees > _SERIES_DEGREES:
        z = NormalDist().inv_cdf(probability)
        first = (z**3 + z) / 4
        second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
        return z + first / degrees + second / degrees**2
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _student_within(middle, degrees) < 2 * probability - 1 else (low, middle)
    return math.sqrt(degrees) * math.tan((low + high) / 2)


def _student_within(angle: float, degrees: int) -> float:
    """Chance that t lies within sqrt(degrees) tan(angle) of zero."""
    cosine, sine = math.cos(angle), math.sin(angle)
    odd = degrees % 2
    term = cosine if odd else 1.0
    total = 0.0
    for k in range(degrees // 2):
        total += term
        term *= cosine * cosine * (2 * k + 1 + odd) / (2 * k + 2 + odd)
    return 2 / math.pi * (angle + sine * total) if odd else sine * total
