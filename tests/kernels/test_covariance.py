"""Covariance estimators against numpy, scikit-learn and loops; factors of singular matrices."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import LedoitWolf

from nautilus_metal.errors import InputError
from nautilus_metal.kernels.covariance import (
    correlation,
    ewma_covariance,
    factor,
    ledoit_wolf_covariance,
    products,
    sample_covariance,
)


def window(assets: int, periods: int, seed: int = 0) -> torch.Tensor:
    """Correlated returns with a mean, some of them strongly alike."""
    rng = np.random.default_rng(seed)
    market = rng.standard_t(4, size=periods)
    noise = rng.normal(size=(assets, periods)) * rng.uniform(0.1, 2, size=(assets, 1))
    return torch.from_numpy(0.01 * (market + noise) + 0.0005)


SHAPES = [(1, 2), (1, 50), (3, 50), (20, 1000), (30, 10)]


@pytest.mark.parametrize(("assets", "periods"), SHAPES)
def test_sample_covariance_equals_numpy(assets: int, periods: int) -> None:
    returns = window(assets, periods)
    expected = np.atleast_2d(np.cov(returns.numpy()))
    np.testing.assert_allclose(sample_covariance(returns).numpy(), expected, rtol=1e-10, atol=1e-18)


@pytest.mark.parametrize(("assets", "periods"), SHAPES)
def test_ledoit_wolf_equals_scikit_learn(assets: int, periods: int) -> None:
    returns = window(assets, periods, seed=1)
    expected = LedoitWolf().fit(returns.numpy().T).covariance_
    np.testing.assert_allclose(ledoit_wolf_covariance(returns).numpy(), expected, rtol=1e-9, atol=1e-18)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_large_products_are_those_of_each_pair_of_rows(dtype: torch.dtype) -> None:
    rows = window(300, 800, seed=2).to(dtype)
    found = products(rows)
    assert found.dtype == dtype
    assert torch.equal(found, found.T)
    exact = torch.einsum("ik,jk->ij", rows.double(), rows.double())
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=20 * torch.finfo(dtype).eps * float(exact.max()))
    np.testing.assert_allclose(correlation(rows).numpy(), np.corrcoef(rows.double().numpy()), rtol=0, atol=2e-6)


def test_large_products_have_gradients() -> None:
    rows = window(300, 800, seed=2).requires_grad_()
    products(rows).diagonal().sum().backward()
    torch.testing.assert_close(rows.grad, 2 * rows.detach())


@pytest.mark.parametrize("decay", [0.5, 0.94, 0.999])
def test_ewma_covariance_equals_a_loop(decay: float) -> None:
    returns = window(4, 300).numpy()
    total, weights = np.zeros((4, 4)), 0.0
    for age, row in enumerate(returns.T[::-1]):
        total += decay**age * np.outer(row, row)
        weights += decay**age
    ours = ewma_covariance(torch.from_numpy(returns), decay).numpy()
    np.testing.assert_allclose(ours, total / weights, rtol=1e-10)


def test_ewma_weighs_the_last_period_most() -> None:
    returns = torch.zeros(1, 100, dtype=torch.float64)
    returns[0, -1] = 1.0
    assert float(ewma_covariance(returns, 0.9)[0, 0]) == pytest.approx(0.1 / (1 - 0.9**100))


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.1, float("nan")])
def test_a_decay_outside_its_range_is_refused(decay: float) -> None:
    with pytest.raises(InputError, match="`decay` must lie between 0 and 1"):
        ewma_covariance(window(2, 10), decay)


def test_zero_returns_have_zero_covariance() -> None:
    returns = torch.zeros(3, 20, dtype=torch.float64)
    for estimate in (sample_covariance, ewma_covariance, ledoit_wolf_covariance):
        assert float(estimate(returns).abs().max()) == 0.0


@settings(max_examples=60, deadline=None)
@given(
    assets=st.integers(1, 12),
    periods=st.integers(2, 40),
    seed=st.integers(0, 99),
    scale=st.sampled_from([1e-8, 1.0, 1e6]),
)
def test_a_factor_gives_the_covariance_back(assets: int, periods: int, seed: int, scale: float) -> None:
    covariance = sample_covariance(window(assets, periods, seed)) * scale
    lower = factor(covariance)
    assert float((lower @ lower.T - covariance).abs().max()) <= 1e-12 * float(covariance.diagonal().max())


def test_singular_matrices_have_factors() -> None:
    constant = window(4, 100)
    constant[2] = 0.003
    twins = window(3, 100)
    twins[1] = twins[0]
    hedge = window(3, 100)
    hedge[2] = -2 * hedge[0]
    for returns in (constant, twins, hedge, window(40, 12), torch.zeros(3, 9, dtype=torch.float64)):
        covariance = sample_covariance(returns)
        lower = factor(covariance)
        assert bool(torch.isfinite(lower).all())
        assert float((lower @ lower.T - covariance).abs().max()) <= 1e-12 * max(float(covariance.max()), 1e-300)


def test_a_matrix_with_a_negative_eigenvalue_is_refused() -> None:
    with pytest.raises(InputError, match="`covariance` must be positive semi-definite"):
        factor(torch.tensor([[1.0, 2.0], [2.0, 1.0]], dtype=torch.float64))


@pytest.mark.parametrize("assets", [3, 300])
def test_correlations_leave_what_they_are_given_and_have_gradients(assets: int) -> None:
    rows = window(assets, 800, seed=4)
    given, wanted = rows.clone(), torch.linspace(-1.0, 1.0, assets * assets, dtype=torch.float64).reshape(assets, -1)
    found = correlation(given)
    assert torch.equal(given, rows)
    leaf = given.requires_grad_()
    torch.testing.assert_close(correlation(leaf), found, rtol=0, atol=1e-14)
    (wanted * correlation(leaf)).sum().backward()
    step = 1e-6 * rows[1]
    up, down = ((wanted * correlation(torch.cat([rows[:1], each[None], rows[2:]]))).sum() for each in (
        rows[1] + step.roll(1), rows[1] - step.roll(1)))  # fmt: skip
    torch.testing.assert_close((leaf.grad[1] * 2 * step.roll(1)).sum(), up - down, rtol=1e-4, atol=1e-13)


def test_correlations_about_large_means_in_float32() -> None:
    rows = (window(300, 800, seed=5) + 10.0).float()  # a thousand deviations from zero
    np.testing.assert_allclose(correlation(rows).numpy(), np.corrcoef(rows.double().numpy()), rtol=0, atol=2e-4)
