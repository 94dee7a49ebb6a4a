r"""Merton's jump diffusion of one asset or several, whose jumps are common or each asset's own."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from nautilus_metal.kernels.brownian import Draws
from nautilus_metal.kernels.paths import (
    Parameters,
    Paths,
    correlated,
    diffusion_score,
    diffusion_steps,
    last_logarithm,
)


class Jumps(NamedTuple):
    """Constants of normal jumps of the logarithms.

    Attributes
    ----------
    intensity : tuple of float
        Expected jumps per year: one number for jumps that all assets make together, or one for each asset.
    mean, std : tuple of float
        Of each asset's jump.
    cholesky : Tensor
        Lower factor of the correlation of jumps at one time, shape (assets, assets).
    """

    intensity: tuple[float, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    cholesky: Tensor


def merton_paths(
    p: Parameters, drawn: Draws, cholesky: Tensor, jumps: Jumps, terminal: bool = False, scheduled: bool = False
) -> Paths:
    """Geometric Brownian motions with Poisson numbers of normal jumps of the logarithms.

    Parameters
    ----------
    p : Parameters
        Of each path.
    drawn : Draws
        Normals of shape (2 * assets, steps, paths): the diffusions' and the jumps'; uniforms that begin with one for
        each intensity and step, and with scheduled dates two more.
    cholesky : Tensor
        Lower factor of the correlation of the diffusions, shape (assets, assets).
    jumps : Jumps
        Common ones, or each asset's own, which are independent of the others'.
    terminal, scheduled : bool
        As for `black_scholes_paths`.

    Returns
    -------
    Paths
        Two rows for each step, before and after its jumps, which are put at its end.

    References
    ----------
    Merton (1976), "Option pricing when underlying stock returns are discontinuous", Journal of Financial Economics 3.
    Glasserman (2004), "Monte Carlo methods in financial engineering", section 3.5.

    Notes
    -----
    The derivative by the expiry of the number of jumps is a likelihood ratio. With scheduled dates it is one over a
    short first step, whose variance is large: there it is the difference that one more jump makes, by
    :math:`\\partial_m E f(N) = E f(N+1) - E f(N)` for a Poisson number of mean m (for one asset).
    """
    assets, steps = len(p.spot), drawn.normals.shape[1]
    counts = _jump_counts(p, drawn.uniforms, jumps.intensity, steps)
    rest = drawn.uniforms[len(jumps.intensity) * steps :]
    total_intensity = sum(jumps.intensity)
    clock, leap = counts.sum((0, 1)) / p.expiry.detach() - total_intensity, None
    if scheduled:
        normal = (-2.0 * rest[0].log()).sqrt() * (2.0 * math.pi * rest[1]).cos()  # Box and Muller
        clock, leap = torch.full_like(clock, -total_intensity), (jumps.mean[0] + jumps.std[0] * normal).exp()
    mean, std = (_column(row, p.spot).unsqueeze(1) for row in (jumps.mean, jumps.std))
    leaps = counts * mean + counts.sqrt() * std * correlated(jumps.cholesky, drawn.normals[assets:])
    deviation, drift = diffusion_steps(p, steps, scheduled, _compensation(jumps, p.spot))
    diffusions = drawn.normals[:assets]
    after = (torch.addcmul(drift, deviation, correlated(cholesky, diffusions)) + leaps).cumsum(1)
    rows = torch.stack([after - leaps, after], 2).flatten(1, 2)
    variance = (deviation[0] * deviation[0]).expand(steps, *p.expiry.shape)
    mean_log, deviation_log, normal = last_logarithm(p, diffusions, drift[0])
    return Paths(
        torch.cat([p.spot.unsqueeze(1), p.spot.unsqueeze(1) * rows.exp()], 1),
        torch.stack([variance, torch.zeros_like(variance)], 1).flatten(0, 1),
        2,
        mean_log + leaps[0].sum(0),
        deviation_log,
        normal,
        diffusion_score(p, diffusions, deviation, cholesky, terminal),
        clock,
        rest,
        leap,
    )


def _compensation(jumps: Jumps, spot: Tensor) -> Tensor:
    """Growth of each asset by its jumps, per year."""
    intensity, mean, std = (torch.tensor(row, dtype=torch.float64) for row in jumps[:3])
    return _column((intensity * torch.expm1(mean + 0.5 * std * std)).tolist(), spot)


def _column(row: tuple[float, ...] | list[float], spot: Tensor) -> Tensor:
    """A number for each asset, to go with the spots."""
    return torch.tensor(row, dtype=spot.dtype, device=spot.device).reshape(-1, *[1] * (spot.dim() - 1))


def _jump_counts(p: Parameters, uniforms: Tensor, intensity: tuple[float, ...], steps: int) -> Tensor:
    """Jumps of each clock in each step, shape (clocks, steps, paths)."""
    years = p.expiry.detach()[..., 0].to("cpu").to(torch.float64) / steps
    rows = [poisson_counts(uniforms[k * steps : (k + 1) * steps], rate * years) for k, rate in enumerate(intensity)]
    return torch.stack(rows)


def poisson_counts(numbers: Tensor, mean: float | Tensor) -> Tensor:
    """Poisson numbers by inversion of uniforms, in the uniforms' dtype.

    Parameters
    ----------
    numbers : Tensor
        Uniforms, shape (steps, paths), or (steps, 1, paths) for a batch.
    mean : float or Tensor
        Of all numbers, or of each contract of a batch, shape (contracts,), float64 on the CPU.

    Returns
    -------
    Tensor
        Of the uniforms' shape, with as many contracts as there are means.

    Examples
    --------
    >>> poisson_counts(torch.tensor([0.1, 0.7, 0.999]), 0.5)
    tensor([0., 1., 4.])
    """
    means = torch.as_tensor(mean, dtype=torch.float64).reshape(-1, 1)
    most = float(means.max())
    k = torch.arange(int(most + 12.0 * most**0.5 + 20.0), dtype=torch.float64)
    logs = k * means.clamp(min=1e-300).log() - means - torch.lgamma(k + 1)
    table = logs.exp().cumsum(1).to(dtype=numbers.dtype).to(numbers.device)
    if len(table) == 1:
        return torch.searchsorted(table[0], numbers.contiguous()).to(numbers.dtype)
    found = torch.searchsorted(table, numbers.reshape(1, -1).expand(len(table), -1).contiguous())
    return found.reshape(len(table), len(numbers), -1).transpose(0, 1).to(numbers.dtype)
