"""Volatility filters against `arch`'s recursions and loops."""

import numpy as np
import pytest
import torch
from arch.univariate import GARCH, EWMAVariance
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus_metal.errors import InputError
from nautilus_metal.kernels.volatility import (
    VarianceFilter,
    conditional_variance,
    ewma_filter,
    garch_filter,
    standardise,
    variance_innovation,
)

FILTERS = {
    "ewma": ewma_filter(0.94),
    "garch": garch_filter(0.05, 0.90),
    "gjr": garch_filter(0.02, 0.88, 0.14),
    "integrated": garch_filter(0.1, 0.9),
    "constant": garch_filter(0.0, 0.0),
    "arch": garch_filter(0.3, 0.0),
}


def returns(periods: int = 1000, assets: int = 3) -> np.ndarray:
    """Heavy-tailed returns, shape (assets, periods)."""
    return 0.01 * np.random.default_rng(7).standard_t(4, size=(assets, periods))


def by_loop(series: np.ndarray, chosen: VarianceFilter) -> np.ndarray:
    """Variance of each period before it is seen, and of the one after the last."""
    long_run = (series**2).mean()
    variance = [(series[:50] ** 2).mean()]
    constant = (1 - chosen.alpha - chosen.gamma / 2 - chosen.beta) * long_run
    for value in series:
        weight = chosen.alpha + (chosen.gamma if value < 0 else 0.0)
        variance.append(constant + weight * value**2 + chosen.beta * variance[-1])
    return np.array(variance)


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("periods", [1, 2, 49, 63, 64, 65, 1000])
def test_variance_equals_a_loop(name: str, periods: int) -> None:
    history = returns(periods)
    ours = conditional_variance(torch.from_numpy(history), FILTERS[name]).numpy()
    assert ours.shape == (3, periods + 1)
    expected = np.array([by_loop(row, FILTERS[name]) for row in history])
    np.testing.assert_allclose(ours, expected, rtol=1e-10)


@pytest.mark.parametrize("name", ["garch", "gjr"])
def test_variance_equals_arch(name: str) -> None:
    chosen, history = FILTERS[name], returns()[0] * 100
    ours = conditional_variance(torch.from_numpy(history)[None], chosen).numpy()[0]
    model = GARCH(p=1, o=1 if chosen.gamma else 0, q=1)
    constant = (1 - chosen.persistence) * (history**2).mean()
    weights = [constant, chosen.alpha, *([chosen.gamma] if chosen.gamma else []), chosen.beta]
    sigma2 = np.empty_like(history)
    model.compute_variance(np.array(weights), history, sigma2, ours[0], model.variance_bounds(history))
    np.testing.assert_allclose(ours[200:1000], sigma2[200:], rtol=1e-7)  # arch backcasts its first variance


def test_ewma_equals_arch() -> None:
    history = returns()[0] * 100
    ours = conditional_variance(torch.from_numpy(history)[None], ewma_filter(0.94)).numpy()[0]
    model, sigma2 = EWMAVariance(0.94), np.empty_like(history)
    model.compute_variance(np.empty(0), history, sigma2, ours[0], model.variance_bounds(history))
    np.testing.assert_allclose(ours[:1000], sigma2, rtol=1e-9)


def test_a_variance_knows_nothing_of_its_own_day() -> None:
    history = torch.from_numpy(returns())
    later = history.clone()
    later[:, 500] = 0.3
    before = conditional_variance(history, FILTERS["ewma"])
    after = conditional_variance(later, FILTERS["ewma"])
    assert torch.equal(before[:, :501], after[:, :501])
    assert bool((after[:, 501] > before[:, 501]).all())


def test_variance_targeting_keeps_the_windows_variance() -> None:
    history = torch.from_numpy(returns(200_000, 1))
    mean = float(conditional_variance(history, FILTERS["gjr"]).mean())
    assert mean == pytest.approx(float((history**2).mean()), rel=0.02)


@settings(max_examples=60, deadline=None)
@given(alpha=st.floats(0, 0.99), beta=st.floats(0, 0.99), gamma=st.floats(0, 0.99), seed=st.integers(0, 99))
def test_variances_are_never_negative(alpha: float, beta: float, gamma: float, seed: int) -> None:
    if alpha + gamma / 2 + beta > 1:
        with pytest.raises(InputError, match="at most 1"):
            garch_filter(alpha, beta, gamma)
        return
    history = torch.from_numpy(np.random.default_rng(seed).normal(size=(2, 90)))
    assert float(conditional_variance(history, garch_filter(alpha, beta, gamma)).min()) >= 0


def test_the_innovation_is_the_recursion_without_its_memory() -> None:
    step = torch.tensor([[-0.02, 0.02, 0.0]], dtype=torch.float64)
    long_run = torch.tensor([[1e-4]], dtype=torch.float64)
    got = variance_innovation(step, long_run, garch_filter(0.05, 0.80, 0.10)).numpy()[0]
    np.testing.assert_allclose(got, [1e-5 + 0.15 * 4e-4, 1e-5 + 0.05 * 4e-4, 1e-5], rtol=1e-12)


def test_standardised_returns_have_unit_scale_and_no_nan() -> None:
    history = torch.from_numpy(returns())
    history[1] = 0.0
    variance = conditional_variance(history, FILTERS["garch"])[:, :-1]
    shocks = standardise(history, variance)
    assert bool(torch.isfinite(shocks).all())
    assert float(shocks[1].abs().max()) == 0.0
    np.testing.assert_allclose(shocks[0].numpy(), history[0].numpy() / variance[0].sqrt().numpy(), rtol=1e-12)
    assert 0.9 < float((shocks[0] ** 2).mean()) < 1.15


@pytest.mark.parametrize("decay", [0.0, 1.0, 1.5, float("nan")])
def test_a_decay_outside_its_range_is_refused_by_name(decay: float) -> None:
    with pytest.raises(InputError, match="`decay` must lie between 0 and 1"):
        ewma_filter(decay)


@pytest.mark.parametrize(
    ("coefficients", "message"),
    [
        ({"alpha": -0.1}, "`alpha` must be at least 0"),
        ({"beta": 1.0}, "`beta` must be at least 0 and below 1"),
        ({"gamma": float("nan")}, "`gamma` must be at least 0"),
        ({"alpha": 0.1, "beta": 0.85, "gamma": 0.2}, "must be at most 1"),
    ],
)
def test_bad_coefficients_are_refused(coefficients: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        garch_filter(**coefficients)
