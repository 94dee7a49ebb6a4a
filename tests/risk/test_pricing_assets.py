"""Several assets: mixed gammas, and jumps and stochastic variances against limits and plain simulations."""

import math

import numpy as np
import pytest
import torch

from nautilus_metal.errors import InputError
from nautilus_metal.kernels import closed_forms
from nautilus_metal.kernels.closed_forms import Inputs
from nautilus_metal.kernels.heston import heston_factor
from nautilus_metal.kernels.path_greeks import exact_figures
from tests.risk.pricing_cases import GREEKS, HESTON, JUMPS, LIMIT, MARKET, PAIR, basket, heston, merton, ours, spread

SPREAD = PAIR | {"strike": 8.0}
BASKET = PAIR | {"strike": 95.0, "weights": (0.5, 0.5)}
OWN = {"common_jumps": False, "jump_intensity": (0.6, 0.9)}
BY_ASSET = {"jump_mean": (-0.1, 0.05), "jump_std": (0.15, 0.1)}
HESTONS = HESTON | {
    "mean_reversion": (1.5, 2.0),
    "long_run_volatility": (0.3, 0.25),
    "spot_correlation": (-0.6, -0.3),
}
MODELS = {
    "black_scholes": {},
    "common jumps": JUMPS | BY_ASSET | {"jump_correlation": 0.3},
    "own jumps": JUMPS | BY_ASSET | OWN,
    "heston": HESTONS,
}
CORRELATION = np.array([[1.0, 0.4], [0.4, 1.0]])


def near(found, expected, room=0.0):
    assert abs(found.price - expected) < LIMIT * found.standard_errors["price"] + room


@pytest.mark.parametrize("kind", ["call", "put"])
@pytest.mark.parametrize(("style", "asked", "reference"), [("spread", SPREAD, spread), ("basket", BASKET, basket)])
@pytest.mark.parametrize(
    ("model", "room"),
    [
        (JUMPS | {"jump_intensity": 0.0}, 5e-3),
        (JUMPS | OWN | {"jump_intensity": 0.0}, 5e-3),
        (JUMPS | {"jump_mean": 0.0, "jump_std": 0.0}, 5e-3),
    ],
)
def test_without_jumps_prices_are_black_scholes(model, room, style, asked, reference, kind):
    near(ours(kind, style, **asked | model), reference(kind), room)


@pytest.mark.parametrize("kind", ["call", "put"])
@pytest.mark.parametrize(("style", "asked", "reference"), [("spread", SPREAD, spread), ("basket", BASKET, basket)])
def test_a_still_variance_is_black_scholes(style, asked, reference, kind):
    still = HESTON | {"volatility_of_variance": 1e-4, "long_run_volatility": (0.25, 0.35), "spot_correlation": 0.0}
    near(ours(kind, style, **asked | still, num_simulations=10_000), reference(kind), 5e-3)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("model", ["merton", "own jumps", "heston"])
def test_a_basket_of_one_is_european(model, place):
    weights = np.eye(2)[place]
    one = {"spot": (100.0, 100.0), "volatility": (0.25, 0.25), "weights": weights, "correlation": 0.5}
    asked = {"merton": JUMPS, "own jumps": JUMPS | {"common_jumps": False}, "heston": HESTON}[model]
    found = ours("call", "basket", **one | asked, num_simulations=40_000)
    if model == "heston":
        near(found, heston("call"), 5e-3)
        return
    near(found, merton("call"))
    exact = ours("call", **JUMPS, method="closed_form")
    for name in GREEKS:
        figure, error = (
            np.atleast_1d(table[name])[place if name in ("delta", "gamma", "vega") else 0]
            for table in (found.greeks, found.standard_errors)
        )
        assert abs(figure - exact.greeks[name]) < LIMIT * error + 1e-9, name
    assert found.greeks["delta"][1 - place] == 0.0


def plain_merton(own, count=300_000, seed=8):
    """Final prices by numpy, jump by jump."""
    rng = np.random.default_rng(seed)
    spot, volatility = np.array(PAIR["spot"]), np.array(PAIR["volatility"])
    mean, std = np.array(BY_ASSET["jump_mean"]), np.array(BY_ASSET["jump_std"])
    intensity = np.array(OWN["jump_intensity"] if own else (JUMPS["jump_intensity"],) * 2)
    growth = intensity * np.expm1(mean + std**2 / 2)
    logs = MARKET["rate"] - MARKET["dividend_yield"] - growth - volatility**2 / 2
    logs = logs + volatility * rng.multivariate_normal([0, 0], CORRELATION, count)
    jumps = rng.poisson(intensity, (count, 2)) if own else np.repeat(rng.poisson(intensity[0], (count, 1)), 2, 1)
    sizes = np.eye(2) if own else np.array([[1.0, 0.3], [0.3, 1.0]])
    for number in range(jumps.max()):
        leaps = mean + std * rng.multivariate_normal([0, 0], sizes, count)
        logs = logs + np.where(jumps > number, leaps, 0.0)
    return spot * np.exp(logs)


def plain_heston(count=60_000, steps=200, seed=9):
    """Final prices by Euler's scheme with full truncation, in numpy."""
    rng = np.random.default_rng(seed)
    rho = np.array(HESTONS["spot_correlation"])
    kappa, theta, xi = (
        np.array(HESTONS[name]) for name in ("mean_reversion", "long_run_volatility", "volatility_of_variance")
    )
    v, logs, step = np.tile(np.array(PAIR["volatility"]) ** 2, (count, 1)), np.zeros((count, 2)), 1.0 / steps
    for _ in range(steps):
        w = rng.multivariate_normal([0, 0], CORRELATION, count)
        u = rho * w + np.sqrt(1 - rho**2) * rng.standard_normal((count, 2))
        now = np.maximum(v, 0.0)
        logs += (MARKET["rate"] - MARKET["dividend_yield"] - now / 2) * step + np.sqrt(now * step) * w
        v = v + kappa * (theta**2 - now) * step + xi * np.sqrt(now * step) * u
    return np.array(PAIR["spot"]) * np.exp(logs)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "simulate", "room"),
    [
        ("common jumps", lambda: plain_merton(own=False), 0.0),
        ("own jumps", lambda: plain_merton(own=True), 0.0),
        ("heston", plain_heston, 0.02),
    ],
)
def test_prices_are_those_of_a_plain_simulation(model, simulate, room):
    final = simulate()
    for style, asked, weights in (("spread", SPREAD, (1.0, -1.0)), ("basket", BASKET, (0.5, 0.5))):
        worth = math.exp(-MARKET["rate"]) * np.maximum(final @ np.array(weights) - asked["strike"], 0.0)
        found = ours("call", style, **asked | MODELS[model], num_simulations=60_000)
        error = math.hypot(worth.std() / math.sqrt(len(worth)), found.standard_errors["price"])
        assert abs(found.price - worth.mean()) < LIMIT * error + room, style


def test_common_jumps_move_a_spread_less_than_jumps_of_its_own_assets():
    same = JUMPS | {"jump_correlation": 1.0}
    together, apart = (ours("call", "spread", **SPREAD | model) for model in (same, JUMPS | {"common_jumps": False}))
    error = math.hypot(together.standard_errors["price"], apart.standard_errors["price"])
    assert apart.price - together.price > 5 * error


def test_the_factor_makes_the_stated_correlations():
    correlation = torch.tensor([[1.0, 0.7, -0.2], [0.7, 1.0, 0.1], [-0.2, 0.1, 1.0]], dtype=torch.float64)
    rho = torch.tensor([-0.8, 0.3, -0.5], dtype=torch.float64)
    factor = heston_factor(correlation, rho)
    own, variance = factor[:3], factor[3:]
    price = rho[:, None] * variance + (1 - rho**2).sqrt()[:, None] * own
    expected = torch.outer(rho, rho) * correlation
    expected.fill_diagonal_(1.0)
    torch.testing.assert_close(price @ price.T, correlation)
    torch.testing.assert_close(price @ variance.T, correlation * rho)
    torch.testing.assert_close(variance @ variance.T, expected)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_mixed_gammas_are_margrabes(sign):
    def tensor(numbers):
        return torch.tensor(numbers, dtype=torch.float64).reshape(-1, 1)

    one = torch.ones(1, dtype=torch.float64)
    x = Inputs(tensor(PAIR["spot"]), tensor(PAIR["volatility"]), 0.05 * one, one, tensor((0.02, 0.02)))
    exact = exact_figures(x, lambda x: closed_forms.exchange(x, sign, 0.4))[:, 0]
    found = ours("call" if sign > 0 else "put", "spread", **PAIR | {"strike": 0.0}, control_variates=False)
    cross, error = np.array(found.greeks["cross_gamma"]), np.array(found.standard_errors["cross_gamma"])
    expected = np.array([[exact[3], exact[4]], [exact[4], exact[5]]])
    assert (error > 0).all()
    assert (abs(cross - expected) < LIMIT * error).all()
    assert found.greeks["gamma"] == tuple(np.diag(cross))
    controlled = ours("call" if sign > 0 else "put", "spread", **PAIR | {"strike": 0.0})
    assert (abs(np.array(controlled.greeks["cross_gamma"]) - expected) < 1e-9).all()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("style", "asked"), [("spread", SPREAD), ("basket", BASKET)])
def test_mixed_gammas_are_the_differences_of_the_deltas(style, asked, model):
    asked = asked | MODELS[model] | {"num_simulations": 20_000, "control_variates": False}
    if model == "heston":
        asked |= {"steps": 8}
    found = ours("call", style, **asked)
    cross, error = np.array(found.greeks["cross_gamma"]), np.array(found.standard_errors["cross_gamma"])
    np.testing.assert_array_equal(cross, cross.T)
    for j in range(2):
        moves = [tuple(np.array(PAIR["spot"]) + side * 2.0 * np.eye(2)[j]) for side in (1, -1)]
        high, low = (ours("call", style, **asked | {"spot": spot}) for spot in moves)
        slope = (np.array(high.greeks["delta"]) - np.array(low.greeks["delta"])) / 4
        noise = np.hypot(*(np.array(x.standard_errors["delta"]) for x in (high, low))) / 4
        assert (abs(cross[:, j] - slope) < LIMIT * np.hypot(error[:, j], noise)).all()


def test_three_assets_have_a_matrix_of_three():
    three = {"spot": (100.0, 90.0, 80.0), "weights": (0.4, 0.3, 0.3), "correlation": 0.2}
    found = ours("put", "basket", **three, strike=90.0, num_simulations=5000)
    assert np.shape(found.greeks["cross_gamma"]) == (3, 3)
    assert np.shape(found.standard_errors["gamma"]) == (3,)


@pytest.mark.parametrize("correlation", [1.0, -1.0, 0.99])
@pytest.mark.parametrize("model", MODELS)
def test_a_singular_correlation_is_priced(model, correlation):
    found = ours("call", "spread", **SPREAD | MODELS[model] | {"correlation": correlation, "num_simulations": 2000})
    assert found.price > 0
    assert np.isfinite(np.array(found.greeks["delta"])).all()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (JUMPS | {"jump_correlation": 1.2}, "`jump_correlation` must be positive semi-definite, had the"),
        (JUMPS | {"jump_correlation": [[1.0, 0.5], [0.4, 1.0]]}, "`jump_correlation` must be symmetric"),
        (JUMPS | {"common_jumps": 1}, "`common_jumps` must be True or False, was 1"),
        (JUMPS | {"jump_intensity": (0.5, 0.6)}, "`jump_intensity` must be one number for common jumps"),
        (JUMPS | {"common_jumps": False, "jump_correlation": 0.5}, "`jump_correlation` must be None for jumps that"),
        (JUMPS | {"jump_mean": (0.1, 0.1, 0.1)}, "`jump_mean` must be one number or 2, was of shape (3,)"),
        (JUMPS | {"jump_std": (0.1, -0.1)}, "`jump_std` must be at least 0, was -0.1"),
        (HESTON | {"spot_correlation": (0.5, -1.0)}, "`spot_correlation` must lie between -1 and 1, was -1.0"),
        (HESTON | {"mean_reversion": (1.0, 0.0)}, "`mean_reversion` must be above 0, was 0.0 at 1"),
        (HESTON | {"common_jumps": True}, "`common_jumps` is no option of style 'spread' under model 'heston'"),
        ({"correlation": math.nan}, "`correlation` must be finite"),
        ({"correlation": "high"}, "`correlation` must be numbers, was 'high'"),
        ({"volatility": (0.2, 0.3, 0.4)}, "`volatility` must be one number or 2"),
        ({"spot": (100.0, -90.0)}, "`spot` must be above 0, was -90.0 at 1"),
    ],
)
def test_bad_input_names_the_argument(asked, words):
    with pytest.raises(InputError) as caught:
        ours("call", "spread", **SPREAD | asked)
    assert words in str(caught.value)


def test_constants_of_one_asset_are_numbers():
    with pytest.raises(InputError, match="`jump_mean` must be one number, was of shape"):
        ours("call", **JUMPS | {"jump_mean": (0.1, 0.2)})
