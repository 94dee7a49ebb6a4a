r"""Risk-neutral paths, differentiable by every parameter of every path, and those of Black-Scholes.

A model turns `Parameters` and `Draws` into `Paths`. Parameters are given for each path (a leaf tensor that repeats
one number), so that one backward pass yields the derivative of each path and with it a standard error of each Greek.
In the shapes below, "paths" is one axis, or two of contracts and paths; draws that all contracts share have one
contract. Times are years; steps are equal parts of the expiry.

Derivatives by the expiry are minus those by the passing of time: with `scheduled` dates only the first step changes
with the expiry, since the dates keep their distance to each other; without, all steps do.
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
        Shape (assets, 1) or (assets, contracts, 1).
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
        Shape (paths,): derivative by the expiry of the log probability of the number of jumps; beside a `leap` minus
        their intensity.
    uniforms : Tensor
        Shape (rows - 1 or 0, paths), for the extremes between rows.
    leap : Tensor, optional
        Shape (paths,): the factor of one more jump, made now, on all later prices.
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
    leap: Tensor | None = None

    @property
    def final(self) -> Tensor:
        """Prices at expiry, shape (assets, paths)."""
        return self.spots[:, -1]

    @property
    def observed(self) -> Tensor:
        """The first asset at the ends of the steps, shape (steps, paths)."""
        return self.spots[0, self.stride :: self.stride]


def step_lengths(expiry: Tensor, steps: int, scheduled: bool) -> Tensor:
    """Years of each step, shape (steps, paths), or (1, paths) where they are the same in every derivative."""
    even = (expiry / steps).unsqueeze(0)
    if not scheduled or steps == 1:
        return even
    later = even.detach().expand(steps - 1, *expiry.shape)
    return torch.cat([even.detach() + (expiry - expiry.detach()), later])


def elapsed(expiry: Tensor, share: float | Tensor, scheduled: bool) -> Tensor:
    """Years to a share of the expiry, with derivative 1 by it where dates are scheduled, else the share."""
    return share * expiry.detach() + (expiry - expiry.detach()) if scheduled else share * expiry


def correlated(factor: Tensor, normals: Tensor) -> Tensor:
    """Normals times a lower factor of their correlation, along the first axis."""
    if len(factor) == 1:
        return normals
    return (factor @ normals.reshape(len(factor), -1)).reshape(normals.shape)


def spot_score(normals: Tensor, deviation: Tensor, factor: Tensor) -> Tensor:
    """Derivative by each log spot of the log density of jointly normal logarithms.

    Parameters
    ----------
    normals : Tensor
        The independent normals under them, shape (assets, paths).
    deviation : Tensor
        Of each logarithm, shape (assets, paths).
    factor : Tensor
        Lower factor of their correlation.

    Returns
    -------
    Tensor
        Shape (assets, paths), without gradient.
    """
    if len(factor) > 1:
        flat = normals.reshape(len(factor), -1)
        normals = torch.linalg.solve_triangular(factor.T.contiguous(), flat, upper=True).reshape(normals.shape)
    return (normals / deviation).detach()


def black_scholes_paths(
    p: Parameters, drawn: Draws, cholesky: Tensor, terminal: bool = False, scheduled: bool = False
) -> Paths:
    """Geometric Brownian motions, exact at any step.

    Parameters
    ----------
    p : Parameters
        Of each path.
    drawn : Draws
        Normals of shape (assets, steps, paths).
    cholesky : Tensor
        Lower factor of the correlation, shape (assets, assets).
    terminal : bool
        Whether the payoff sees the last row only.
    scheduled : bool
        Whether time passes towards fixed dates, see above.

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
    steps = drawn.normals.shape[1]
    deviation, drift = diffusion_steps(p, steps, scheduled)
    moves = torch.addcmul(drift, deviation, correlated(cholesky, drawn.normals))
    logs = moves if steps == 1 else moves.cumsum(1)
    spots = torch.cat([p.spot.unsqueeze(1), p.spot.unsqueeze(1) * logs.exp()], 1)
    return Paths(
        spots,
        (deviation[0] * deviation[0]).expand(steps, *p.expiry.shape),
        1,
        *last_logarithm(p, drawn.normals, drift[0]),
        diffusion_score(p, drawn.normals, deviation, cholesky, terminal),
        torch.zeros_like(p.expiry),
        drawn.uniforms,
    )


def diffusion_steps(
    p: Parameters, steps: int, scheduled: bool, compensation: float | Tensor = 0.0
) -> tuple[Tensor, Tensor]:
    """Deviation and drift of the logarithms in each step, shape (assets, steps or 1, paths)."""
    return diffusion_over(p, step_lengths(p.expiry, steps, scheduled), compensation)


def diffusion_over(p: Parameters, lengths: Tensor, compensation: float | Tensor = 0.0) -> tuple[Tensor, Tensor]:
    """Deviation and drift of the logarithms in steps of given lengths, shape (assets, *lengths.shape)."""
    deviation = p.volatility.unsqueeze(1) * lengths.sqrt()
    growth = (p.rate - p.dividend_yield - compensation).unsqueeze(1)
    return deviation, growth * lengths - 0.5 * deviation * deviation


def last_logarithm(p: Parameters, normals: Tensor, drift: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, deviation and normal of the first asset's last logarithm, jumps aside."""
    steps = normals.shape[1]
    total = drift[0] * steps if len(drift) == 1 else drift.sum(0)
    std = p.volatility[0] * p.expiry.sqrt()
    return p.spot[0].log() + total, std, (normals[0].sum(0) / steps**0.5).expand(std.shape)


def diffusion_score(p: Parameters, normals: Tensor, deviation: Tensor, cholesky: Tensor, terminal: bool) -> Tensor:
    """Scores of the diffusions' first step, or of all steps where the payoff sees the last row only."""
    if terminal:
        return spot_score(normals.sum(1) / normals.shape[1] ** 0.5, p.volatility * p.expiry.sqrt(), cholesky)
    return spot_score(normals[:, 0], deviation[:, 0], cholesky)
