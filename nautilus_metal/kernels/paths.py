r"""Risk-neutral paths under Black-Scholes and Merton's jumps, differentiable by every parameter of every path.

A model turns `Parameters` and `Draws` into `Paths`. Parameters are given for each path (a leaf tensor that repeats
one number), so that one backward pass yields the derivative of each path and with it a standard error of each Greek.
Times are years; steps are equal parts of the expiry.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from nautilus_metal.kernels.brownian import Draws


class Parameters(NamedTuple):
    """What every model has; a value for each path.

    Attributes
    ----------
    spot, volatility : Tensor
        Shape (assets, paths); for Heston the volatility is the root of the initial variance.
    rate, expiry : Tensor
        Shape (paths,).
    dividend_yield : Tensor
        Shape (assets, 1).
    """

    spot: Tensor
    volatility: Tensor
    rate: Tensor
    expiry: Tensor
    dividend_yield: Tensor


class Paths(NamedTuple):
    """Simulated paths, and the distribution by which likelihood ratios are taken.

    Attributes
    ----------
    spots : Tensor
        Shape (assets, rows, paths); row 0 is today.
    variances : Tensor
        Variance of the first asset's logarithm between rows, shape (rows - 1, paths); zero over a jump.
    stride : int
        Every `stride`-th row after the first is the end of a step.
    mean, std, normal : Tensor
        Shape (paths,): the first asset ends at exp(mean + std * normal), the normal being independent of the others.
    score : Tensor
        Shape (assets, paths): spot times the derivative by the spot of the log density of the first row, or of the
        last row where the payoff sees no other.
    clock : Tensor
        Shape (paths,) or a zero: derivative by the expiry of the log probability of the number of jumps.
    uniforms : Tensor
        Shape (rows - 1 or 0, paths), for the extremes between rows.
    """

    spots: Tensor
    variances: Tensor
    stride: int
    mean: Tensor
    std: Tensor
    normal: Tensor
    score: Tensor
    clock: Tensor
    uniforms: Tensor

    @property
    def final(self) -> Tensor:
        """Prices at expiry, shape (assets, paths)."""
        return self.spots[:, -1]

    @property
    def observed(self) -> Tensor:
        """The first asset at the ends of the steps, shape (steps, paths)."""
        return self.spots[0, self.stride :: self.stride]


def black_scholes_paths(p: Parameters, drawn: Draws, cholesky: Tensor) -> Paths:
    """Geometric Brownian motions, exact at any step.

    Parameters
    ----------
    p : Parameters
        Of each path.
    drawn : Draws
        Normals of shape (assets, steps, paths).
    cholesky : Tensor
        Lower factor of the correlation, shape (assets, assets).

    Returns
    -------
    Paths
        With a row for each step.

    Examples
    --------
    >>> one = torch.ones(1, 2)
    >>> p = Parameters(100 * one, 0.2 * one, 0 * one[0], one[0], torch.zeros(1, 1))
    >>> black_scholes_paths(p, Draws(torch.tensor([[[1.0, -1.0]]]), torch.empty(0, 2)), torch.ones(1, 1)).final
    tensor([[119.7217,  80.2519]])
    """
    assets, steps, count = drawn.normals.shape
    z = drawn.normals if assets == 1 else (cholesky @ drawn.normals.reshape(assets, -1)).reshape(drawn.normals.shape)
    step = p.expiry / steps
    deviation = p.volatility * step.sqrt()
    drift = (p.rate - p.dividend_yield) * step - 0.5 * deviation * deviation
    moves = torch.addcmul(drift.unsqueeze(1), deviation.unsqueeze(1), z)
    logs = moves if steps == 1 else moves.cumsum(1)
    spots = torch.cat([p.spot.unsqueeze(1), p.spot.unsqueeze(1) * logs.exp()], 1)
    std = deviation[0] * steps**0.5
    normal = z[0].sum(0) / steps**0.5
    first = drawn.normals[:, 0]
    if assets > 1:
        first = torch.linalg.solve_triangular(cholesky.T.contiguous(), first, upper=True)
    return Paths(
        spots,
        (deviation[0] * deviation[0]).expand(steps, count),
        1,
        p.spot[0].log() + drift[0] * steps,
        std,
        normal,
        (first / deviation).detach(),
        torch.zeros_like(std),
        drawn.uniforms,
    )


def merton_paths(
    p: Parameters, drawn: Draws, intensity: float, jump_mean: float, jump_std: float, terminal: bool
) -> Paths:
    """Geometric Brownian motion with a Poisson number of normal jumps of the logarithm.

    Parameters
    ----------
    p : Parameters
        Of one asset.
    drawn : Draws
        Normals of shape (2, steps, paths): the diffusion's and the jumps'; uniforms that begin with one a step.
    intensity : float
        Expected jumps per year.
    jump_mean, jump_std : float
        Of the logarithm of a jump.
    terminal : bool
        Whether the payoff sees the last row only.

    Returns
    -------
    Paths
        Two rows for each step, before and after its jumps, which are put at its end.

    References
    ----------
    Merton (1976), "Option pricing when underlying stock returns are discontinuous", Journal of Financial Economics 3.
    """
    steps, count = drawn.normals.shape[1:]
    z, sizes = drawn.normals[0], drawn.normals[1]
    jumps = poisson_counts(drawn.uniforms[:steps], float(p.expiry.detach()[0]) / steps * intensity)
    leaps = jumps * jump_mean + jumps.sqrt() * jump_std * sizes
    step = p.expiry / steps
    deviation = p.volatility[0] * step.sqrt()
    growth = torch.expm1(torch.tensor(jump_mean + 0.5 * jump_std**2, dtype=torch.float64)).item()
    drift = (p.rate - p.dividend_yield[0] - intensity * growth) * step - 0.5 * deviation * deviation
    after = (drift + deviation * z + leaps).cumsum(0)
    rows = torch.stack([after - leaps, after], 1).reshape(2 * steps, count)
    spots = torch.cat([p.spot, p.spot * rows.exp()], 0).unsqueeze(0)
    variance = (deviation * deviation).expand(steps, count)
    total = deviation * steps**0.5
    normal = z.sum(0) / steps**0.5
    score = normal / total if terminal else z[0] / deviation
    return Paths(
        spots,
        torch.stack([variance, torch.zeros_like(variance)], 1).reshape(2 * steps, count),
        2,
        p.spot[0].log() + drift * steps + leaps.sum(0),
        total,
        normal,
        score.detach().unsqueeze(0),
        jumps.sum(0) / p.expiry.detach() - intensity,
        drawn.uniforms[steps:],
    )


def poisson_counts(numbers: Tensor, mean: float) -> Tensor:
    """Poisson numbers by inversion of uniforms, in the uniforms' dtype.

    Examples
    --------
    >>> poisson_counts(torch.tensor([0.1, 0.7, 0.999]), 0.5)
    tensor([0., 1., 4.])
    """
    longest = int(mean + 12.0 * mean**0.5 + 20.0)
    k = torch.arange(longest, dtype=torch.float64)
    logs = k * torch.log(torch.tensor(max(mean, 1e-300), dtype=torch.float64)) - mean - torch.lgamma(k + 1)
    table = logs.exp().cumsum(0).to(dtype=numbers.dtype).to(numbers.device)
    return torch.searchsorted(table, numbers.contiguous()).to(numbers.dtype)
