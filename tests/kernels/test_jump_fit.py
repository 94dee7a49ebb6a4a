"""The common jump diffusion: its likelihood against the mixture's definition, its fit against a direct search."""

import math

import numpy as np
import pytest
import torch
from scipy import optimize, stats

from nautilus_metal.errors import InputError
from nautilus_metal.kernels.jump_fit import JumpDiffusion, fit_jump_diffusion


def drawn(assets: int, periods: int, seed: int = 0) -> np.ndarray:
    """Returns with 0.1 jumps a period, all assets on the same days."""
    rng = np.random.default_rng(seed)
    number = rng.poisson(0.1, periods)
    diffusion = rng.multivariate_normal(np.zeros(assets), 1e-4 * (0.5 + 0.5 * np.eye(assets)), periods).T
    jumps = -0.01 * number + 0.03 * np.sqrt(number) * rng.normal(size=(assets, periods))
    return diffusion + jumps


def mixture(returns: np.ndarray, fit: JumpDiffusion, most: int = 12) -> float:
    """Log-likelihood by the definition: normals weighted by Poisson chances."""
    total = np.zeros(returns.shape[1])
    for number in range(most):
        mean = (fit.mean + number * fit.jump_mean).numpy()
        covariance = (fit.covariance + number * fit.jump_covariance).numpy()
        density = stats.multivariate_normal(mean, covariance, allow_singular=True).pdf(returns.T)
        total += stats.poisson(fit.intensity).pmf(number) * density
    return float(np.log(total).sum())


def test_the_likelihood_is_the_mixtures() -> None:
    returns = drawn(3, 600)
    fit = fit_jump_diffusion(torch.from_numpy(returns))
    assert fit.converged
    assert fit.log_likelihood == pytest.approx(mixture(returns, fit), abs=0.05)  # of the last step's start


def test_one_asset_has_the_likelihood_that_a_direct_search_finds() -> None:
    returns = drawn(1, 700, seed=1)
    fit = fit_jump_diffusion(torch.from_numpy(returns))

    def negative(place: np.ndarray) -> float:
        mean, deviation, intensity, jump, size = place[0], *np.exp(place[1:3]), place[3], math.exp(place[4])
        matrix = torch.tensor([[deviation**2]]), torch.tensor([[size**2]])
        given = JumpDiffusion(torch.tensor([mean]), matrix[0], intensity, torch.tensor([jump]), matrix[1], 0.0, True)
        return -mixture(returns, given, 5)

    start = [0.0, math.log(0.01), math.log(0.1), -0.01, math.log(0.03)]
    best = optimize.minimize(negative, start, method="Nelder-Mead", options={"maxiter": 600, "fatol": 1e-5})
    assert mixture(returns, fit) > -best.fun - 0.05


def test_parameters_are_found_again() -> None:
    fit = fit_jump_diffusion(torch.from_numpy(drawn(4, 20_000, seed=2)))
    assert fit.intensity == pytest.approx(0.1, abs=0.01)
    assert fit.covariance.diagonal().numpy() == pytest.approx(1e-4, rel=0.05)
    assert fit.jump_mean.numpy() == pytest.approx(-0.01, abs=0.005)
    assert fit.jump_covariance.diagonal().sqrt().numpy() == pytest.approx(0.03, rel=0.1)


def test_assets_that_move_alike_leave_a_finite_fit() -> None:
    returns = torch.from_numpy(drawn(2, 500))
    fit = fit_jump_diffusion(torch.cat([returns, returns[:1]]))
    assert math.isfinite(fit.log_likelihood)
    assert fit.covariance[0, 2] / fit.covariance[0, 0] == pytest.approx(1.0, abs=2e-3)


def test_too_few_periods_are_refused() -> None:
    with pytest.raises(InputError, match="twice as many periods as moving instruments for jumps, held 6 of 3"):
        fit_jump_diffusion(torch.from_numpy(drawn(3, 6)))
