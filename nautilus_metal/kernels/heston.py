r"""Heston's stochastic volatility by Andersen's quadratic-exponential scheme, whose variance is never negative.

:math:`dv_i = \kappa_i(\theta_i - v_i)dt + \xi_i\sqrt{v_i}\,dV_i`, :math:`dS_i/S_i = (r-q_i)dt + \sqrt{v_i}\,dW_i`,
with correlation :math:`\rho_i` of an asset's two motions. Several assets each have a variance of their own. Their
prices' motions have a given correlation :math:`C`, and :math:`V_i = \rho_i W_i + \sqrt{1-\rho_i^2}\,U_i` with
independent :math:`U_i`: a variance follows the other assets only through its own asset's price, so that

.. math:: d\langle W_i, V_j\rangle = \rho_j C_{ij}\,dt, \quad d\langle V_i, V_j\rangle = \rho_i\rho_j C_{ij}\,dt,

which is a correlation for every :math:`C` that is one.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from nautilus_metal.kernels.brownian import Draws
from nautilus_metal.kernels.gaussian import normal_cdf
from nautilus_metal.kernels.paths import Parameters, Paths, correlated, spot_score, step_lengths

_SWITCH = 1.5  # of variance over squared mean, between the scheme's two distributions
_LAST_CELL = 1e-7  # below 1 by more than float32's rounding
_INDEPENDENT = 1e-14  # added to the variance of what may be singular before it is factored


class Heston(NamedTuple):
    """Constants of the model, kappa, theta, xi and rho: numbers, or tensors that broadcast to (assets, paths)."""

    mean_reversion: float | Tensor
    long_run_variance: float | Tensor
    volatility_of_variance: float | Tensor
    spot_correlation: float | Tensor


def heston_factor(correlation: Tensor, spot_correlation: Tensor) -> Tensor:
    """Map independent normals to the scheme's: the prices' motions less their variances' share, and the variances'.

    Parameters
    ----------
    correlation : Tensor
        Of the prices' motions, shape (assets, assets), float64 on the CPU.
    spot_correlation : Tensor
        Of each asset's price and variance, shape (assets,).

    Returns
    -------
    Tensor
        Shape (2 * assets, 2 * assets): blocks [[own, shared], [0, variances]], the diagonal ones lower triangular.

    Examples
    --------
    >>> correlation = torch.tensor([[1.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    >>> factor = heston_factor(correlation, torch.tensor([-0.6, -0.8], dtype=torch.float64))
    >>> round(float(factor[3] @ factor[2]), 3)  # -0.6 x -0.8 x 0.5, of the variances
    0.24
    """
    rho, one = spot_correlation, torch.eye(len(spot_correlation), dtype=torch.float64)
    off, rest = correlation - one, (1.0 - rho * rho).sqrt()
    variances = torch.linalg.cholesky(off * torch.outer(rho, rho) + one * (1.0 + _INDEPENDENT))
    cross = off * torch.outer(rest, rho)
    shared = torch.linalg.solve_triangular(variances.T, cross, upper=True, left=False)
    own = torch.linalg.cholesky(off * torch.outer(rest, rest) + one * (1.0 + _INDEPENDENT) - shared @ shared.T)
    return torch.cat([torch.cat([own, shared], 1), torch.cat([torch.zeros_like(one), variances], 1)])


def heston_paths(
    p: Parameters,
    drawn: Draws,
    model: Heston,
    factor: Tensor | None = None,
    terminal: bool = False,
    scheduled: bool = False,
) -> Paths:
    """Simulate spots and variances; the discounted spot is a martingale at any step.

    Parameters
    ----------
    p : Parameters
        Of each path; the volatility is the root of the initial variance.
    drawn : Draws
        Normals of shape (2 * assets, steps, paths): those of the prices' own motions and those of the variances.
    model : Heston
        The constants.
    factor : Tensor, optional
        From `heston_factor`, for several assets.
    terminal, scheduled : bool
        As for `black_scholes_paths`.

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
    assets, steps = len(p.spot), drawn.normals.shape[1]
    factor = torch.eye(2).to(p.spot) if factor is None else factor
    normals = drawn.normals if assets == 1 else correlated(factor, drawn.normals)
    lengths = step_lengths(p.expiry, steps, scheduled)
    v = p.volatility * p.volatility
    log_spot = p.spot.log()
    spots, variances, means = [p.spot], [], []
    for index in range(steps):
        step = lengths[min(index, len(lengths) - 1)]
        following, mean, variance = _advance(v, step, normals[assets:, index], model)
        mean = mean + (p.rate - p.dividend_yield) * step
        log_spot = log_spot + mean + _root(variance) * normals[:assets, index]
        means.append(mean[0])
        variances.append(variance)
        spots.append(log_spot.exp())
        v = following
    own = torch.stack(variances, 1)
    std = _root(own[0].sum(0))
    normal = (own[0].sqrt() * normals[0]).sum(0).detach() / std.detach().clamp(min=1e-12)
    rho = model.spot_correlation[0] if isinstance(model.spot_correlation, Tensor) else model.spot_correlation
    return Paths(
        torch.stack(spots, 1),
        own[0] / (1.0 - rho**2),
        1,
        p.spot[0].log() + torch.stack(means).sum(0),
        std,
        normal,
        _score(drawn.normals[:assets], own.detach(), factor[:assets, :assets], terminal),
        torch.zeros_like(std),
        drawn.uniforms,
    )


def _score(normals: Tensor, own: Tensor, factor: Tensor, terminal: bool) -> Tensor:
    """Score of the first step, or of all steps, weighted by their shares of each asset's variance."""
    if not terminal:
        return spot_score(normals[:, 0], _root(own[:, 0]), factor)
    return (spot_score(normals, _root(own), factor) * own).sum(1) / own.sum(1).clamp(min=1e-12)


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
