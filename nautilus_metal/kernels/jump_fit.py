"""Maximum likelihood of a diffusion whose assets jump together."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from nautilus_metal.errors import InputError

_MOST_JUMPS = 6  # in one period: with the intensities that daily data have, the chance of more is below 1e-5
_MOST_INTENSITY = 1.5
_STEPS, _TOLERANCE = 300, 1e-7  # of the log-likelihood by period
_STARTS = (0.02, 0.15)  # intensities
_RIDGE = 1e-6  # of an asset's variance, so that assets that move alike leave a density


class JumpDiffusion(NamedTuple):
    r"""Fitted law of a period: :math:`r = \mu + A z + \sum_{j \le N} (m + B y_j)`, N Poisson, z and y normal.

    Attributes
    ----------
    mean, covariance : Tensor
        mu and AA', of the diffusion, shape (assets,) and (assets, assets).
    intensity : float
        Expected number of jumps.
    jump_mean, jump_covariance : Tensor
        m and BB', of one jump.
    log_likelihood : float
        Over all periods.
    converged : bool
        Whether the likelihood had come to rest.
    """

    mean: Tensor
    covariance: Tensor
    intensity: float
    jump_mean: Tensor
    jump_covariance: Tensor
    log_likelihood: float
    converged: bool


def fit_jump_diffusion(returns: Tensor) -> JumpDiffusion:
    """Fit by expectation maximisation, with the number of each period's jumps and their sum as what is not seen.

    Given the number, both are normal, so that each step has a closed form and raises the likelihood; the better of
    two starts counts (rare large jumps, and frequent ones).

    Parameters
    ----------
    returns : Tensor
        Shape (assets, periods), more periods than assets, float64; every asset must move.

    Raises
    ------
    InputError
        If there are not more periods than assets: then the density has no bound.

    References
    ----------
    Merton (1976), "Option pricing when underlying stock returns are discontinuous", Journal of Financial Economics 3.
    Press (1967), "A compound events model for security prices", Journal of Business 40(3): the likelihood.
    Dempster, Laird and Rubin (1977), "Maximum likelihood from incomplete data via the EM algorithm", Journal of the
    Royal Statistical Society B 39(1).
    """
    assets, periods = returns.shape
    if periods <= 2 * assets:
        raise InputError(
            f"`returns` must hold more than twice as many periods as moving instruments for jumps, held {periods} of "
            f"{assets}"
        )
    scale = returns.std(dim=-1, correction=0)
    units = returns / scale[:, None]
    best = max((_climb(units, start) for start in _STARTS), key=lambda fit: fit.log_likelihood)
    pair = scale[:, None] * scale
    return JumpDiffusion(
        best.mean * scale,
        best.covariance * pair,
        best.intensity,
        best.jump_mean * scale,
        best.jump_covariance * pair,
        best.log_likelihood - periods * float(scale.log().sum()),
        best.converged,
    )


def _climb(x: Tensor, intensity: float) -> JumpDiffusion:
    """EM from a start in which a jump has, over many periods, half of the variance."""
    assets, periods = x.shape
    whole = x @ x.T / periods - torch.outer(x.mean(-1), x.mean(-1))
    eye = torch.eye(assets, dtype=x.dtype)
    fit = JumpDiffusion(
        x.mean(-1), 0.5 * whole + _RIDGE * eye, intensity, torch.zeros_like(x[:, 0]), 0.5 * whole / intensity,
        -math.inf, False,
    )  # fmt: skip
    ones = torch.cat([x, torch.ones_like(x[:1])])  # one product gives sums and squares
    for _ in range(_STEPS):
        numbers = torch.arange(_MOST_JUMPS + 1, dtype=x.dtype)
        logs = _log_joint(x, fit, numbers)
        each = torch.logsumexp(logs, dim=0)
        weights = (logs - each).exp()
        value = float(each.sum())
        done = value - fit.log_likelihood < _TOLERANCE * periods
        moments = [(ones * one) @ ones.T for one in weights]
        fit = _maximised(fit, moments, periods, eye)._replace(log_likelihood=value, converged=done)
        if done:
            break
    return fit


def _log_joint(x: Tensor, fit: JumpDiffusion, numbers: Tensor) -> Tensor:
    """Log-density of each period together with each number of jumps, shape (numbers, periods)."""
    covariances = fit.covariance + numbers[:, None, None] * fit.jump_covariance
    roots = torch.linalg.cholesky(covariances)
    inverse = torch.linalg.inv(roots)
    means = fit.mean + numbers[:, None] * fit.jump_mean
    white = inverse @ x - (inverse @ means.unsqueeze(-1))
    logs = -0.5 * white.square().sum(dim=1) - roots.diagonal(dim1=-2, dim2=-1).log().sum(-1, keepdim=True)
    poisson = numbers * math.log(fit.intensity) - fit.intensity - torch.lgamma(numbers + 1)
    return logs + (poisson - 0.5 * len(x) * math.log(2 * math.pi)).unsqueeze(-1)


def _maximised(fit: JumpDiffusion, moments: list[Tensor], periods: int, eye: Tensor) -> JumpDiffusion:
    """Maximise the expected log-likelihood; `moments` are weighted sums of (x, 1)(x, 1)' for each number of jumps."""
    assets = len(eye)
    jumps = jumped = 0.0
    jump_sum, square = torch.zeros(assets, dtype=eye.dtype), torch.zeros_like(eye)
    plain_sum, plain_square = torch.zeros_like(jump_sum), torch.zeros_like(eye)
    for number, moment in enumerate(moments):
        weight, first, second = float(moment[-1, -1]), moment[:assets, -1], moment[:assets, :assets]
        jumps += number * weight
        gain = number * torch.linalg.solve(fit.covariance + number * fit.jump_covariance, fit.jump_covariance).T
        offset = number * fit.jump_mean - gain @ (fit.mean + number * fit.jump_mean)
        left = number * (fit.jump_covariance - gain @ fit.jump_covariance)  # of the jumps' sum, given the return
        # the jumps' sum is gain x + offset, and the diffusion's part (1 - gain) x - offset, plus what is left
        plain_sum += first - gain @ first - weight * offset
        plain_square += _square(eye - gain, -offset, weight, first, second) + weight * left
        if number:
            jumped += weight * number
            jump_sum += gain @ first + weight * offset
            square += (_square(gain, offset, weight, first, second) + weight * left) / number
            # within a period the jumps scatter about their mean, whatever their sum
            square += weight * (number - 1) * fit.jump_covariance
    mean = plain_sum / periods
    intensity = min(max(jumps / periods, 1e-6), _MOST_INTENSITY)
    jump_mean = jump_sum / max(jumped, 1e-12)
    spread = square / max(jumped, 1e-12) - torch.outer(jump_mean, jump_mean)
    covariance = plain_square / periods - torch.outer(mean, mean) + _RIDGE * eye
    return JumpDiffusion(mean, covariance, intensity, jump_mean, 0.5 * (spread + spread.T), 0.0, False)


def _square(slope: Tensor, offset: Tensor, weight: float, first: Tensor, second: Tensor) -> Tensor:
    """Weighted sum of yy' for y = slope x + offset."""
    crossed = torch.outer(slope @ first, offset)
    return slope @ second @ slope.T + crossed + crossed.T + weight * torch.outer(offset, offset)
