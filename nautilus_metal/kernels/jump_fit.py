"""Maximum likelihood of a diffusion whose assets jump together."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from nautilus_metal.errors import InputError

_MOST_JUMPS = 5  # in one period: with the intensities that daily data have, the chance of more is below 1e-3
_LEAST_INTENSITY, _MOST_INTENSITY = 1e-6, 1.5
_STEPS, _TOLERANCE = 200, 1e-6  # of the log-likelihood by period
_START = 0.2  # intensity
_RIDGE = 1e-4  # of an asset's variance, so that assets that move alike, or rarely, leave a density


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
        Over all periods, before the last step.
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

    Given the number, both are normal, so that each step has a closed form and raises the likelihood. The diffusion's
    variances are kept a little above zero.

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
    best = _climb(units, _START)
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
    numbers = torch.arange(_MOST_JUMPS + 1, dtype=x.dtype)
    for _ in range(_STEPS):
        logs = _log_joint(x, fit, numbers)
        each = torch.logsumexp(logs, dim=0)
        weights = (logs - each).exp()
        value = float(each.sum())
        done = value - fit.log_likelihood < _TOLERANCE * periods
        moments = (weights.unsqueeze(1) * ones) @ ones.T
        fit = _maximised(fit, moments, periods, numbers)._replace(log_likelihood=value, converged=done)
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


def _maximised(fit: JumpDiffusion, moments: Tensor, periods: int, numbers: Tensor) -> JumpDiffusion:
    """Maximise the expected log-likelihood; `moments` are weighted sums of (x, 1)(x, 1)' for each number of jumps."""
    assets, count = len(fit.mean), numbers[:, None, None]
    weight, first, second = moments[:, -1, -1], moments[:, :assets, -1], moments[:, :assets, :assets]
    eye = torch.eye(assets, dtype=moments.dtype)
    # given the return x, the jumps' sum is normal about gain x + offset, and the diffusion's part is the rest
    total = count * fit.jump_covariance
    gain = torch.linalg.solve(fit.covariance + total, total).transpose(1, 2)
    means = fit.mean + numbers[:, None] * fit.jump_mean
    offset = numbers[:, None] * fit.jump_mean - (gain @ means.unsqueeze(-1)).squeeze(-1)
    left = weight[:, None, None] * (total - gain @ total)
    mean = (first - (gain @ first.unsqueeze(-1)).squeeze(-1) - weight[:, None] * offset).sum(0) / periods
    plain = (_squares(eye - gain, -offset, weight, first, second) + left).sum(0) / periods
    jumped = float((weight * numbers).sum())
    jump_mean = ((gain @ first.unsqueeze(-1)).squeeze(-1) + weight[:, None] * offset)[1:].sum(0) / jumped
    squares = (_squares(gain, offset, weight, first, second) + left)[1:] / count[1:]
    # the jumps of a period scatter about their mean, whatever their sum
    squares = squares + weight[1:, None, None] * (count[1:] - 1) * fit.jump_covariance
    spread = squares.sum(0) / jumped - torch.outer(jump_mean, jump_mean)
    covariance = plain - torch.outer(mean, mean) + _RIDGE * eye
    intensity = min(max(jumped / periods, _LEAST_INTENSITY), _MOST_INTENSITY)
    return JumpDiffusion(mean, covariance, intensity, jump_mean, 0.5 * (spread + spread.T), 0.0, False)


def _squares(slope: Tensor, offset: Tensor, weight: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Weighted sums of yy' for y = slope x + offset, one for each number of jumps."""
    crossed = (slope @ first.unsqueeze(-1)) * offset.unsqueeze(-2)
    own = weight[:, None, None] * offset.unsqueeze(-1) * offset.unsqueeze(-2)
    return slope @ second @ slope.transpose(1, 2) + crossed + crossed.transpose(1, 2) + own
