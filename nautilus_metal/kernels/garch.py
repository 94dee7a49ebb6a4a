"""GARCH(1,1) and GJR models of many series at once: variance recursion, log-likelihood, its score and information."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nautilus_metal.errors import InputError
from nautilus_metal.kernels.recurrence import linear_recurrence

INNOVATIONS = ("normal", "t")
MEANS = ("zero", "constant")
LEAST_DEGREES, MOST_DEGREES = 2.05, 500.0  # arch's bounds
_BACKCAST_PERIODS, _BACKCAST_DECAY = 75, 0.94


class GarchParameters(NamedTuple):
    r"""Parameters of :math:`r_t = \mu + \sqrt{h_t} z_t` for each series, each of shape (...).

    .. math:: h_t = \omega + (\alpha + \gamma\, 1[e_{t-1} < 0])\, e_{t-1}^2 + \beta\, h_{t-1}, \quad e_t = r_t - \mu

    Attributes
    ----------
    mu, omega, alpha, gamma, beta : Tensor
        Mean, constant, weights of the last square, of the last square after a fall, and of the last variance.
    degrees : Tensor
        Degrees of freedom of unit-variance Student-t innovations; infinite for normal ones.
    """

    mu: Tensor
    omega: Tensor
    alpha: Tensor
    gamma: Tensor
    beta: Tensor
    degrees: Tensor

    @property
    def persistence(self) -> Tensor:
        """Weight of the past in the next variance."""
        return self.alpha + self.gamma / 2 + self.beta


class Likelihood(NamedTuple):
    """Of B series: value (B,), score (B, 6) and information (B, 6, 6) in the order of `GarchParameters`.

    Rows and columns of parameters that are not asked for are zero.
    """

    value: Tensor
    score: Tensor
    information: Tensor


LikelihoodFunction = Callable[[Tensor, Tensor, Tensor, Sequence[int]], Likelihood]


def backcast(returns: Tensor, mean: str = "zero") -> Tensor:
    """Variance and square before the first period: of the first 75, weights falling by 0.94 a period, as arch has it.

    Parameters
    ----------
    returns : Tensor
        Shape (..., periods).
    mean : {"zero", "constant"}
        Whether the squares are about zero, or about the sample mean.
    """
    if mean not in MEANS:
        raise InputError(f"`mean` must be one of {', '.join(MEANS)}, was {mean!r}")
    centred = returns - returns.mean(dim=-1, keepdim=True) if mean == "constant" else returns
    first = centred[..., :_BACKCAST_PERIODS]
    weights = _BACKCAST_DECAY ** torch.arange(first.shape[-1], dtype=returns.dtype, device=returns.device)
    return first.square() @ (weights / weights.sum())


def garch_variance(returns: Tensor, parameters: GarchParameters, start: Tensor) -> Tensor:
    """Filter the variance of each period from the periods before it.

    Parameters
    ----------
    returns : Tensor
        Shape (..., periods), oldest first.
    parameters : GarchParameters
        Each of shape (...).
    start : Tensor
        The variance and the square before the first period (half of it after a fall), shape (...): see `backcast`.

    Returns
    -------
    Tensor
        Shape (..., periods + 1), the last column the forecast for the period after the window.
    """
    mu, omega, alpha, gamma = (one.unsqueeze(-1) for one in parameters[:4])
    squares, falls = _past_squares(returns - mu, start)
    return linear_recurrence(omega + alpha * squares + gamma * falls, parameters.beta, initial=start)


def _past_squares(residuals: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    """Squares of the period before, and those of falls, shape (..., periods + 1)."""
    squares = residuals.square()
    before = start.unsqueeze(-1)
    return torch.cat([before, squares], -1), torch.cat([before / 2, squares * (residuals < 0)], -1)


def log_constants(degrees: Tensor) -> Tensor:
    """What an observation's log-likelihood has beside the data: its constant and the derivative, shape (2, ...).

    Of a unit-variance Student-t; of the normal law where `degrees` is infinite.
    """
    half = torch.where(degrees.isfinite(), degrees, 8.0) / 2
    constant = torch.lgamma(half + 0.5) - torch.lgamma(half) - 0.5 * torch.log(2 * math.pi * (half - 1))
    slope = 0.5 * (torch.digamma(half + 0.5) - torch.digamma(half)) - 0.25 / (half - 1)
    constant = torch.where(degrees.isfinite(), constant, -0.5 * math.log(2 * math.pi))
    return torch.stack([constant, torch.where(degrees.isfinite(), slope, 0.0)])


def garch_likelihood(returns: Tensor, parameters: Tensor, start: Tensor, free: Sequence[int]) -> Likelihood:
    r"""Log-likelihood of B series at their parameters, with score and information by the `free` ones.

    The derivatives of the variance obey the variance's own recursion (Fiorentini, Calzolari and Panattoni 1996). The
    information is the expected one for normal innovations, :math:`\frac12 \sum h_\theta h_\theta' / h^2` (and
    :math:`1/h` for the mean), and the sum of the scores' outer products for Student's.

    Parameters
    ----------
    returns : Tensor
        Shape (B, periods).
    parameters : Tensor
        Shape (B, 6), in the order of `GarchParameters`; the degrees are infinite in every row or in none.
    start : Tensor
        Shape (B,), as for `garch_variance`.
    free : sequence of int
        Numbers of the parameters to differentiate by.

    References
    ----------
    Bollerslev (1986), "Generalized autoregressive conditional heteroskedasticity", Journal of Econometrics 31.
    Bollerslev (1987), "A conditionally heteroskedastic time series model for speculative prices and rates of return",
    Review of Economics and Statistics 69: Student's innovations.
    Glosten, Jagannathan and Runkle (1993), "On the relation between the expected value and the volatility of the
    nominal excess return on stocks", Journal of Finance 48.
    """
    named = GarchParameters(*parameters.unbind(-1))
    normal = bool(named.degrees[:1].isinf().all())
    residuals = returns - named.mu.unsqueeze(-1)
    h = garch_variance(returns, named, start)
    slopes = _variance_slopes(residuals, h, named, start, [one for one in free if one < 5])
    h = h[:, :-1]
    constant, constant_slope = (one.unsqueeze(-1) for one in log_constants(named.degrees))
    squares = residuals.square() / h
    if normal:
        value = constant - 0.5 * (h.log() + squares)
        by_variance, by_residual = 0.5 * (squares - 1) / h, -residuals / h
        by_degrees = None
    else:
        degrees = named.degrees.unsqueeze(-1)
        ratio = squares / (degrees - 2)
        share, logs = ratio / (1 + ratio), torch.log1p(ratio)
        value = constant - 0.5 * h.log() - 0.5 * (degrees + 1) * logs
        by_variance = (0.5 * (degrees + 1) * share - 0.5) / h
        by_residual = -(degrees + 1) * residuals / (h * (degrees - 2) * (1 + ratio))
        by_degrees = constant_slope - 0.5 * logs + 0.5 * (degrees + 1) * share / (degrees - 2)
    scores = torch.zeros(len(free), *returns.shape, dtype=returns.dtype, device=returns.device)
    for place, one in enumerate(free):
        if one < 5:
            scores[place] = by_variance * slopes[place]
        elif by_degrees is not None:
            scores[place] = by_degrees
        if one == 0:
            scores[place] -= by_residual
    relative = scores
    if normal:
        relative = slopes / h * math.sqrt(0.5)
    inner = torch.einsum("ibt,jbt->bij", relative, relative)
    if normal and 0 in free:
        inner[:, free.index(0), free.index(0)] += (1 / h).sum(-1)
    return _spread(value.sum(-1), scores.sum(-1).T, inner, free)


def _variance_slopes(
    residuals: Tensor, h: Tensor, parameters: GarchParameters, start: Tensor, wanted: Sequence[int]
) -> Tensor:
    """Derivatives of the variance by the parameters `wanted`, shape (wanted, B, periods)."""
    squares, falls = _past_squares(residuals, start)
    none = torch.zeros_like(start).unsqueeze(-1)

    def input_of(one: int) -> Tensor:
        if one == 0:
            weight = parameters.alpha.unsqueeze(-1) + parameters.gamma.unsqueeze(-1) * (residuals < 0)
            return torch.cat([none, -2 * weight * residuals], -1)
        if one == 4:
            return torch.cat([start.unsqueeze(-1), h[:, :-1]], -1)
        return {1: torch.ones_like(squares), 2: squares, 3: falls}[one]

    inputs = torch.stack([input_of(one)[:, :-1] for one in wanted])
    return linear_recurrence(inputs, parameters.beta)


def _spread(value: Tensor, score: Tensor, inner: Tensor, free: Sequence[int]) -> Likelihood:
    """Put the columns of the free parameters among all six."""
    places = torch.tensor(list(free), device=value.device)
    whole = torch.zeros(len(value), 6, dtype=value.dtype, device=value.device)
    whole[:, places] = score
    information = torch.zeros(len(value), 6, 6, dtype=value.dtype, device=value.device)
    information[:, places.unsqueeze(1), places] = inner
    return Likelihood(value, whole, information)
