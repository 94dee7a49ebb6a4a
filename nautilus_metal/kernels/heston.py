r"""Heston's stochastic volatility by Andersen's quadratic-exponential scheme, whose variance is never negative.

:math:`dv = \kappa(\theta - v)dt + \xi\sqrt v\,dW_v`, :math:`dS/S = (r-q)dt + \sqrt v\,dW_S`, with correlation
:math:`\rho` of the two motions.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from nautilus_metal.kernels.brownian import Draws
from nautilus_metal.kernels.gaussian import normal_cdf
from nautilus_metal.kernels.paths import Parameters, Paths

_SWITCH = 1.5  # of variance over squared mean, between the scheme's two distributions
_LAST_CELL = 1e-7  # below 1 by more than float32's rounding


class Heston(NamedTuple):
    """Constants of the model: kappa, theta, xi and rho."""

    mean_reversion: float
    long_run_variance: float
    volatility_of_variance: float
    spot_correlation: float


def heston_paths(p: Parameters, drawn: Draws, model: Heston, terminal: bool) -> Paths:
    """Simulate spot and variance; the discounted spot is a martingale at any step.

    Parameters
    ----------
    p : Parameters
        Of one asset; its volatility is the root of the initial variance.
    drawn : Draws
        Normals of shape (2, steps, paths): those of the spot's own motion and those of the variance.
    model : Heston
        The constants.
    terminal : bool
        Whether the payoff sees the last row only.

    Returns
    -------
    Paths
        With a row for each step. The derivative by the volatility leaves out the scheme's switch between its two
        distributions, which few paths are near.

    References
    ----------
    Andersen (2008), "Simple and efficient simulation of the Heston model", Journal of Computational Finance 11(3),
    sections 3.2 and 4.2 (martingale correction).
    """
    steps = drawn.normals.shape[1]
    step = p.expiry / steps
    v = p.volatility[0] * p.volatility[0]
    log_spot = p.spot[0].log()
    spots, variances, means = [p.spot[0]], [], []
    for index in range(steps):
        following, mean, variance = _advance(v, step, drawn.normals[1, index], model)
        mean = mean + (p.rate - p.dividend_yield[0]) * step
        log_spot = log_spot + mean + _root(variance) * drawn.normals[0, index]
        means.append(mean)
        variances.append(variance)
        spots.append(log_spot.exp())
        v = following
    own = torch.stack(variances)
    std = _root(own.sum(0))
    normal = (own.sqrt() * drawn.normals[0]).sum(0).detach() / std.detach().clamp(min=1e-12)
    score = normal / std if terminal else drawn.normals[0, 0] / _root(own[0])
    total = own / (1.0 - model.spot_correlation**2)
    mean = p.spot[0].log() + torch.stack(means).sum(0)
    zero = torch.zeros_like(std)
    rows = torch.stack(spots).unsqueeze(0)
    return Paths(rows, total, 1, mean, std, normal, score.detach().unsqueeze(0), zero, drawn.uniforms)


def _root(x: Tensor) -> Tensor:
    """Square root whose derivative at zero is finite."""
    return x.clamp(min=1e-12).sqrt()


def _advance(v: Tensor, step: Tensor, normal: Tensor, model: Heston) -> tuple[Tensor, Tensor, Tensor]:
    """The next variance, and mean and variance of the log return given both variances (without rate and yield)."""
    kappa, theta, xi, rho = model
    fade = (-kappa * step).exp()
    m = theta + (v - theta) * fade
    spread = v * xi**2 * fade * (1 - fade) / kappa + theta * xi**2 * (1 - fade) ** 2 / (2 * kappa)
    psi = spread / (m * m)
    low = psi <= _SWITCH
    inverse = 2.0 / torch.where(low, psi, 1.0)
    b2 = inverse - 1.0 + (inverse * (inverse - 1.0)).sqrt()
    a = m / (1.0 + b2)
    wide = torch.where(low, 2.0, psi)
    p = (wide - 1.0) / (wide + 1.0)
    beta = (1.0 - p) / m
    u = normal_cdf(normal).clamp(max=1.0 - _LAST_CELL)
    exponential = ((1.0 - p) / (1.0 - u)).log().clamp(min=0.0) / beta
    following = torch.where(low, a * (b2.sqrt() + normal) ** 2, exponential)
    pull = 0.5 * step * (kappa * rho / xi - 0.5)
    k1, k2 = pull - rho / xi, pull + rho / xi
    k3 = 0.5 * step * (1.0 - rho**2)
    tilt = k2 + 0.5 * k3
    room = (1.0 - 2.0 * tilt * a).clamp(min=1e-6)
    quadratic = -tilt * b2 * a / room + 0.5 * room.log()
    tail = -(p + beta * (1.0 - p) / (beta - tilt).clamp(min=1e-6)).log()
    k0 = torch.where(low, quadratic, tail) - (k1 + 0.5 * k3) * v
    return following, k0 + k1 * v + k2 * following, k3 * (v + following)
