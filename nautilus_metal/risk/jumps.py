"""Merton's jump diffusion of the whole book: assets jump on the same days, and by correlated amounts."""

from functools import lru_cache

import torch
from torch import Tensor

from nautilus_metal.kernels import covariance as estimators
from nautilus_metal.kernels.jump_fit import JumpDiffusion, fit_jump_diffusion
from nautilus_metal.kernels.normals import uniforms
from nautilus_metal.risk.draws import sample_normals
from nautilus_metal.risk.request import Request, Scenarios, empirical


def jump_diffusion(window: Tensor, request: Request) -> Scenarios:
    r"""Normal log returns with a Poisson number of normal jumps, which all assets make together.

    .. math:: r = \mu h + \sqrt{h}\, A z + N m + \sqrt{N}\, B y, \quad N \sim \mathrm{Poisson}(\lambda h)

    Parameters
    ----------
    window : Tensor
        Shape (assets, periods), more than twice as many periods as assets that move.
    request : Request
        What is asked for.

    References
    ----------
    Merton (1976), "Option pricing when underlying stock returns are discontinuous", Journal of Financial Economics 3.
    """
    scale = window.std(dim=-1)
    moving = scale > 1e-12 * scale.max()
    if not moving.any():
        return empirical(window[:, :1].repeat(1, request.scenarios), torch.ones_like(scale), {}, drawn=True)
    fit = fit_jump_diffusion(window[moving])
    drawn = torch.zeros(len(window), request.scenarios, dtype=window.dtype)
    drawn[moving] = jump_returns(fit, request)
    drawn[~moving] = window[~moving][:, :1] * request.horizon
    details = {"intensity": fit.intensity, "converged": fit.converged}
    return empirical(drawn, torch.ones_like(scale), details, drawn=True)


def jump_returns(fit: JumpDiffusion, request: Request) -> Tensor:
    """Draw returns over the horizon, shape (assets, scenarios)."""
    assets, horizon = len(fit.mean), request.horizon
    normals = sample_normals(2 * assets, request.scenarios, request)
    number = _poisson(fit.intensity * horizon, request)
    returns = estimators.factor(fit.covariance * horizon) @ normals[:assets]
    returns += (estimators.factor(fit.jump_covariance) @ normals[assets:]) * number.sqrt()
    return returns.add_(torch.outer(fit.jump_mean, number)).add_((fit.mean * horizon)[:, None])


def _poisson(mean: float, request: Request) -> Tensor:
    """Poisson numbers by inversion, from the row of the stream that is kept for a mixing variable."""
    return poisson_quantile(_uniforms(request.scenarios, request.seed, request.sampler), mean)


def poisson_quantile(chances: Tensor, mean: float) -> Tensor:
    """Smallest number whose cumulative chance reaches each of `chances`."""
    numbers = torch.arange(int(mean + 12 * mean**0.5 + 24), dtype=chances.dtype)
    logs = numbers * torch.log(torch.tensor(mean, dtype=chances.dtype)) - mean - torch.lgamma(numbers + 1)
    return torch.searchsorted(logs.exp().cumsum(0), chances).to(chances.dtype)


@lru_cache(maxsize=8)
def _uniforms(count: int, seed: int, sampler: str) -> Tensor:
    return uniforms(1, count, seed, sampler)[0]
