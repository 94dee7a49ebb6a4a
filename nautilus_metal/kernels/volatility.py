"""Conditional volatility filters: what a period's volatility was expected to be before it came."""

from typing import NamedTuple

import torch
from torch import Tensor

from nautilus_metal.errors import InputError
from nautilus_metal.kernels.recurrence import linear_recurrence

_SEED_PERIODS = 50


class VarianceFilter(NamedTuple):
    r"""Coefficients of a variance recursion of the GARCH family.

    .. math:: \sigma^2_{t+1} = \omega + (\alpha + \gamma\, 1[r_t < 0])\, r_t^2 + \beta\, \sigma^2_t

    The constant is set so that the long-run variance equals the window's (variance targeting, Engle and Mezrich
    1996). The exponentially weighted average is the case beta = decay, alpha = 1 - decay, gamma = omega = 0.

    Attributes
    ----------
    alpha, gamma, beta : float
        Weights of the last square, of the last square after a fall, and of the last variance.
    """

    alpha: float
    gamma: float
    beta: float

    @property
    def persistence(self) -> float:
        """Weight of the past in the next variance; 1 for the exponentially weighted average."""
        return self.alpha + self.gamma / 2 + self.beta


def ewma_filter(decay: float = 0.94) -> VarianceFilter:
    """Make the exponentially weighted filter (RiskMetrics 1996)."""
    if not 0 < decay < 1:
        raise InputError(f"`decay` must lie between 0 and 1, was {decay}")
    return garch_filter(alpha=1 - decay, beta=decay)


def garch_filter(alpha: float = 0.05, beta: float = 0.93, gamma: float = 0.0) -> VarianceFilter:
    """Make a GARCH(1,1) filter, or with `gamma` a GJR filter (Glosten, Jagannathan and Runkle 1993).

    Raises
    ------
    InputError
        If a coefficient is negative or the persistence alpha + gamma/2 + beta exceeds 1.
    """
    chosen = VarianceFilter(alpha, gamma, beta)
    for name, number in chosen._asdict().items():
        if not 0 <= number < 1:
            raise InputError(f"`{name}` must be at least 0 and below 1, was {number}")
    if chosen.persistence > 1 + 1e-12:
        raise InputError(f"`alpha` + `gamma`/2 + `beta` must be at most 1, was {chosen.persistence}")
    return chosen


def variance_innovation(returns: Tensor, long_run: Tensor, coefficients: VarianceFilter) -> Tensor:
    """What a return adds to beta times the last variance: the recursion without its memory.

    Parameters
    ----------
    returns : Tensor
        Shape (assets, ...).
    long_run : Tensor
        Long-run variance, broadcasting against `returns`.
    coefficients : VarianceFilter
        The recursion.
    """
    weight = (returns < 0).to(returns.dtype).mul_(coefficients.gamma).add_(coefficients.alpha)
    constant = max(0.0, 1 - coefficients.persistence) * long_run
    return weight.mul_(returns).mul_(returns).add_(constant)


def conditional_variance(returns: Tensor, coefficients: VarianceFilter) -> Tensor:
    """Filter the variance of each period from the periods before it.

    Starts from the mean square of the first 50 periods.

    Parameters
    ----------
    returns : Tensor
        Shape (assets, periods), oldest first.
    coefficients : VarianceFilter
        The recursion.

    Returns
    -------
    Tensor
        Shape (assets, periods + 1): column t is the variance expected for period t before it is seen, the last
        column the forecast for the period after the window.
    """
    squares = returns.square()
    initial = first_variance(squares)
    innovation = variance_innovation(returns, squares.mean(dim=-1, keepdim=True), coefficients)
    later = linear_recurrence(innovation, coefficients.beta, initial=initial)
    return torch.cat([initial[:, None], later], dim=-1)


def first_variance(squares: Tensor) -> Tensor:
    """What a filter starts from, shape (assets,), of squared returns of shape (assets, periods)."""
    return squares[:, :_SEED_PERIODS].mean(dim=-1)


def filtered_shocks(returns: Tensor, coefficients: VarianceFilter, least: Tensor) -> tuple[Tensor, Tensor]:
    """Divide returns by their filtered volatility, and give the variance of the period ahead.

    Parameters
    ----------
    returns : Tensor
        Shape (assets, periods), oldest first.
    coefficients : VarianceFilter
        The recursion.
    least : Tensor
        What variances are raised to once they are filtered, shape (assets,); zero only where nothing moves.

    Returns
    -------
    tuple of Tensor
        Shocks of the shape of `returns`, and variances, shape (assets,).
    """
    variance = torch.maximum(conditional_variance(returns, coefficients), least[:, None])
    return standardise(returns, variance[:, :-1]), variance[:, -1]


def standardise(returns: Tensor, variance: Tensor) -> Tensor:
    """Divide returns by their conditional volatility; a series that never moves gives zeros."""
    return torch.where(variance > 0, returns * torch.rsqrt(variance.clamp(min=1e-300)), 0.0)
