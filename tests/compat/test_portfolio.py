"""Correlation and value at risk against numpy and closed forms."""

import numpy as np
import pytest
from scipy.stats import norm

from nautilus_metal import (
    calculate_correlation_metal,
    calculate_var_metal,
    optimize_for_matrix_operations,
    optimize_portfolio_metal,
)
from nautilus_metal.errors import InputError
from nautilus_metal.risk.allocation import OBJECTIVES, Constraints, optimise


@pytest.fixture
def returns() -> np.ndarray:
    mix = np.random.default_rng(1).normal(size=(6, 6))
    return 0.01 * np.random.default_rng(2).normal(size=(1500, 6)) @ mix


def test_correlation(returns, exact, device):
    found = calculate_correlation_metal(returns * [1, 1e-6, 1e4, 1, 1, 1])
    wanted = np.corrcoef(returns.T)
    np.testing.assert_allclose(found.correlation_matrix, wanted, atol=1e-12 if exact else 1e-5)
    assert (np.diag(found.correlation_matrix) == 1.0).all()
    values = np.linalg.eigvalsh(wanted)
    np.testing.assert_allclose(found.eigenvalues, values[::-1], rtol=1e-9 if exact else 1e-3)
    assert found.explained_variance_ratio.sum() == pytest.approx(1.0)
    assert found.condition_number == pytest.approx(values[-1] / values[0], rel=1e-9 if exact else 1e-3)
    assert (found.device, found.metal_accelerated) == (device, device != "cpu")


def test_a_singular_matrix_says_so(returns):
    doubled = np.column_stack([returns, returns[:, 0] + returns[:, 1]])
    assert calculate_correlation_metal(doubled).condition_number > 1e6


def test_optimizing_for_matrices_changes_the_type(returns):
    plain = calculate_correlation_metal(returns)
    returned = optimize_for_matrix_operations()
    quick = calculate_correlation_metal(returns)
    assert quick.precision == returned["precision"] == "float32"
    np.testing.assert_allclose(quick.correlation_matrix, plain.correlation_matrix, atol=1e-5)


@pytest.mark.parametrize("horizon", [1, 10])
def test_var_of_a_normal_portfolio(returns, horizon):
    weights = np.array([0.3, -0.2, 0.4, 0.1, 0.2, 0.2])
    found = calculate_var_metal(
        returns, weights, 0.99, portfolio_value=1e6, horizon=horizon, num_simulations=50_000, seed=1
    )
    sigma = 1e6 * np.sqrt(horizon * weights @ np.cov(returns.T) @ weights)
    assert abs(found.value_at_risk - norm.ppf(0.99) * sigma) < 4 * found.value_at_risk_error
    shortfall = norm.pdf(norm.ppf(0.99)) / 0.01 * sigma
    assert abs(found.expected_shortfall - shortfall) < 4 * found.expected_shortfall_error
    assert found.component_var.sum() == pytest.approx(found.value_at_risk, rel=1e-4)
    assert (found.confidence_level, found.horizon, found.num_simulations) == (0.99, horizon, 50_000)


def test_weights_are_equal_where_they_are_not_given(returns):
    plain = calculate_var_metal(returns, seed=2)
    given = calculate_var_metal(returns, np.full(6, 1 / 6), seed=2)
    assert plain.value_at_risk == pytest.approx(given.value_at_risk, rel=1e-12)
    alone = calculate_var_metal(returns[:, 0], model="historical")
    assert alone.num_simulations == len(returns)
    assert abs(alone.value_at_risk + np.quantile(np.expm1(returns[:, 0]), 0.05)) < 3 * alone.value_at_risk_error


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda r: calculate_correlation_metal(r[:1]), "at least 2 periods"),
        (lambda r: calculate_correlation_metal(r[None]), "must be of shape"),
        (lambda r: calculate_correlation_metal("text"), "must be a matrix of numbers"),
        (lambda r: calculate_correlation_metal(r * [1, 1, 0, 1, 1, 1]), "were constant in column 2"),
        (lambda r: calculate_correlation_metal(np.where(r == r[3, 1], np.nan, r)), "was nan in period 3, column 1"),
        (lambda r: calculate_var_metal(r, [1.0]), "`weights` must be 6 finite numbers"),
        (lambda r: calculate_var_metal(r, confidence_level=0.4), "between 0.5 and 1"),
        (lambda r: calculate_var_metal(r, portfolio_value=0), "`portfolio_value` must be above 0"),
        (lambda r: calculate_var_metal(r, num_simulations="many"), "`num_simulations` must be a whole number"),
        (lambda r: calculate_var_metal(r, model="magic"), "`model` must be one of"),
    ],
)
def test_bad_input_is_refused_by_name(returns, call, words):
    with pytest.raises(InputError, match=words):
        call(returns)


CURRENT = np.array([0.5, 0.5, 0.0, 0.0, 0.0, 0.0])


def test_the_least_variance_has_its_closed_form(returns):
    found = optimize_portfolio_metal(None, returns, {"lower": -10.0, "upper": 10.0})
    solved = np.linalg.solve(np.cov(returns.T), np.ones(6))
    np.testing.assert_allclose(found.optimal_weights, solved / solved.sum(), atol=1e-4)
    assert found.volatility == pytest.approx((1.0 / solved.sum()) ** 0.5, rel=1e-3)
    assert found.sharpe_ratio == pytest.approx(found.expected_return / found.volatility)
    assert (found.status, found.objective) == ("optimal", "minimum_variance")
    assert found.gap is not None
    assert found.metal_accelerated is (found.device != "cpu")


def test_trading_is_counted_from_the_weights_held_now(returns):
    free = optimize_portfolio_metal(CURRENT, returns, {"upper": 0.6})
    held = optimize_portfolio_metal(CURRENT, returns, {"upper": 0.6, "turnover": 0.3})
    assert free.turnover == pytest.approx(np.abs(free.optimal_weights - CURRENT).sum())
    assert held.turnover <= 0.3 + 1e-6 < free.turnover
    assert held.volatility > free.volatility
    still = optimize_portfolio_metal(CURRENT, returns, Constraints(turnover=0.0))
    np.testing.assert_allclose(still.optimal_weights, CURRENT, atol=1e-5)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_passes(returns, objective):
    found = optimize_portfolio_metal(None, returns, objective=objective)
    ours = optimise(returns, objective, device="cpu")
    np.testing.assert_allclose(found.optimal_weights, ours.weights, atol=2e-3)
    assert found.objective == objective
    assert found.optimal_weights.sum() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"constraints": {"uper": 1.0}}, "`constraints` must have keys of lower, upper, .*, had 'uper'"),
        ({"constraints": [1.0]}, "`constraints` must be Constraints or a mapping, was list"),
        ({"constraints": {"previous": 0.1}}, "`previous` must be left out"),
        ({"constraints": {"upper": 0.1}}, "budget"),
        ({"weights": [1.0]}, "`weights` must be 6 finite numbers"),
        ({"objective": "luck"}, "`objective`"),
    ],
)
def test_bad_problems_are_refused_by_name(returns, arguments, words):
    with pytest.raises(InputError, match=words):
        optimize_portfolio_metal(**{"weights": CURRENT, "returns": returns, **arguments})
