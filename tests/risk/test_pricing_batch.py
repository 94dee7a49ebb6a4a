"""`price_options`: each contract as alone, sizes up to 100,000, shapes, and bad input with its place."""

import math

import numpy as np
import pytest

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.errors import InputError
from nautilus_metal.kernels import lattice
from nautilus_metal.risk import pricing_monte_carlo
from nautilus_metal.risk.pricing import OptionPrice, price_option, price_options
from tests.risk.pricing_cases import CPU, HESTON, JUMPS, MARKET, PAIR, ours

KINDS = np.array(["call", "put", "put", "call", "put"])
ROWS = {
    "kind": KINDS,
    "spot": np.array([100.0, 95.0, 120.0, 103.0, 100.0]),
    "strike": np.array([105.0, 100.0, 100.0, 110.0, 97.0]),
    "expiry": np.array([1.0, 0.3, 2.0, 1.0, 1.5]),
    "rate": np.array([0.05, 0.01, 0.03, -0.01, 0.05]),
    "volatility": np.array([0.25, 0.4, 0.2, 0.3, 0.15]),
    "dividend_yield": np.array([0.02, 0.0, 0.04, 0.01, 0.02]),
}
PAIRS = ROWS | {
    "spot": np.stack([ROWS["spot"], ROWS["spot"] - 10.0], 1),
    "volatility": np.stack([ROWS["volatility"], ROWS["volatility"] + 0.1], 1),
    "dividend_yield": 0.02,
    "correlation": 0.4,
}
MONTE_CARLO = [
    ("european", ROWS),
    ("european", ROWS | JUMPS),
    ("european", ROWS | HESTON),
    ("digital", ROWS | {"payout": np.array([1.0, 2.0, 5.0, 10.0, 1.0])}),
    ("asian", ROWS | {"observations": 4}),
    ("asian", ROWS | {"observations": 4} | JUMPS),
    ("barrier", ROWS | {"barrier": np.array([80.0, 75.0, 90.0, 85.0, 80.0]), "barrier_type": "down_and_in"}),
    ("lookback", ROWS),
    ("lookback", ROWS | {"lookback_type": "floating", "strike": None, "steps": 3}),
    ("basket", PAIRS | {"weights": np.array([[0.5, 0.5], [0.5, 0.4], [0.5, 0.6], [0.5, -0.1], [0.5, 0.5]])}),
    ("spread", PAIRS | JUMPS | {"common_jumps": False}),
    ("american", ROWS | {"exercise_dates": 5}),
    ("bermudan", ROWS | {"exercise_dates": 3}),
]


def batch(style, asked, **how):
    return price_options(style=style, **{"engine": CPU, "num_simulations": 1500, "seed": 5} | asked | how)


def one_of(asked, index):
    """What the door for one contract takes for one of the batch."""
    found = {}
    for name, value in asked.items():
        array = np.asarray(value)
        found[name] = array[index].tolist() if array.ndim and len(array) == len(KINDS) else value
    return found


def assert_same(found: OptionPrice, alone: OptionPrice, rel: float):
    assert found.price == pytest.approx(alone.price, rel=rel, abs=1e-12)
    assert found.greeks.keys() == alone.greeks.keys()
    assert found.standard_errors.keys() == alone.standard_errors.keys()
    for many, one in ((found.greeks, alone.greeks), (found.standard_errors, alone.standard_errors)):
        for name, figure in one.items():
            np.testing.assert_allclose(many[name], figure, rtol=rel, atol=1e-9, err_msg=name)
    for level, edges in alone.confidence_intervals.items():
        assert found.confidence_intervals[level] == pytest.approx(edges, rel=rel)
    for name in ("method", "num_simulations", "sampler", "device", "precision"):
        assert getattr(found, name) == getattr(alone, name)
    assert found.details == pytest.approx(alone.details)


@pytest.mark.parametrize("sampler", ["pseudo", "antithetic", "sobol"])
@pytest.mark.parametrize(("style", "asked"), MONTE_CARLO)
def test_each_simulated_contract_is_as_alone(style, asked, sampler):
    found = batch(style, asked, sampler=sampler)
    assert len(found) == 5
    for index in range(5):
        how = {"engine": CPU, "num_simulations": 1500, "seed": 5, "sampler": sampler}
        assert_same(found[index], price_option(style=style, **one_of(asked, index) | how), rel=1e-8)


@pytest.mark.parametrize(
    ("style", "asked"),
    [
        ("european", ROWS),
        ("european", ROWS | JUMPS),
        ("digital", ROWS),
        ("asian", ROWS | {"average": "geometric"}),
        ("american", ROWS | {"steps": 64}),
        ("bermudan", ROWS | {"steps": 64, "exercise_dates": 4}),
    ],
)
def test_each_exact_contract_is_as_alone(style, asked):
    found = price_options(style=style, **asked)
    for index in range(5):
        assert_same(found[index], price_option(style=style, **one_of(asked, index)), rel=1e-11)


def test_parts_of_a_batch_are_the_batch(monkeypatch):
    whole = batch("asian", ROWS | {"observations": 4})
    monkeypatch.setattr(pricing_monte_carlo, "_CPU_BLOCK", 3 * 4 * 500)
    parts = batch("asian", ROWS | {"observations": 4})
    for index in range(5):
        assert_same(parts[index], whole[index], rel=1e-9)


def test_contracts_share_their_random_numbers():
    strikes = np.array([100.0, 100.5])
    asked = MARKET | {"strike": strikes, "num_simulations": 1000, "control_variates": False}
    found = price_options(**asked, engine=CPU)
    gap = found.price[0] - found.price[1]
    assert 0 < gap < 0.5
    assert found.standard_errors["price"][0] > 0.4


def test_arguments_broadcast_and_results_have_the_shape():
    found = price_options(
        ["call", "put"], spot=100.0, strike=[[90.0], [100.0], [110.0]], expiry=1.0, rate=0.05, volatility=0.2
    )
    assert found.price.shape == found.greeks["gamma"].shape == found.method.shape == (3, 2)
    assert found.confidence_intervals[0.95].shape == (3, 2, 2)
    alone = price_option("put", spot=100.0, strike=110.0, expiry=1.0, rate=0.05, volatility=0.2)
    assert_same(found[2, 1], alone, rel=1e-12)
    several = batch("basket", PAIRS | {"weights": 0.5})
    assert several.price.shape == (5,)
    assert several.greeks["delta"].shape == several.standard_errors["gamma"].shape == (5, 2)
    assert several.greeks["cross_gamma"].shape == (5, 2, 2)


def test_the_result_says_what_made_it():
    found = batch("european", ROWS, sampler="sobol")
    assert (found.device, found.precision, found.sampler, found.seed) == ("cpu", "float64", "sobol", 5)
    assert (found.model, found.style) == ("black_scholes", "european")
    assert found.computation_time_ms > 0
    assert found.num_simulations.tolist() == [1504] * 5
    assert found.method.tolist() == ["monte_carlo"] * 5
    assert set(found.standard_errors) == {"price", *found.greeks}


@pytest.mark.parametrize(
    ("style", "asked", "method"),
    [
        ("european", {}, "closed_form"),
        ("european", JUMPS, "closed_form"),
        ("digital", {}, "closed_form"),
        ("asian", {"average": "geometric"}, "closed_form"),
        ("american", {}, "lattice"),
        ("bermudan", {"exercise_dates": 4}, "lattice"),
        ("european", {"num_simulations": 100}, "monte_carlo"),
        ("european", {"sampler": "sobol"}, "monte_carlo"),
        ("american", {"num_simulations": 100}, "longstaff_schwartz"),
        ("european", {"num_simulations": 100, "method": "closed_form"}, "closed_form"),
        ("european", {"method": "monte_carlo"}, "monte_carlo"),
        ("spread", PAIR | {"strike": 8.0}, "monte_carlo"),
        ("asian", {}, "monte_carlo"),
    ],
)
def test_the_best_method_unless_a_simulation_is_asked_for(style, asked, method):
    found = price_option("put", style, **MARKET | {"engine": CPU} | asked)
    assert found.method == method
    assert (found.num_simulations > 0) == (method in ("monte_carlo", "longstaff_schwartz"))
    if found.num_simulations and "num_simulations" not in asked:
        assert found.num_simulations == 100_000


def test_contracts_without_uncertainty_are_exact_among_simulated_ones():
    asked = ROWS | {"volatility": np.array([0.25, 0.0, 0.2, 0.3, 0.0]), "expiry": np.array([1.0, 0.3, 0.0, 1.0, 1.5])}
    found = batch("european", asked)
    assert found.method.tolist() == ["monte_carlo", "closed_form", "closed_form", "monte_carlo", "closed_form"]
    assert np.isfinite(found.price).all()
    for index in range(5):
        alone = price_option(engine=CPU, num_simulations=1500, seed=5, **one_of(asked, index))
        assert found.price[index] == pytest.approx(alone.price, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("model", [{}, JUMPS, HESTON])
@pytest.mark.parametrize("style", ["european", "digital", "american", "bermudan"])
@pytest.mark.parametrize("kind", ["call", "put"])
def test_at_expiry_an_option_is_its_payoff(kind, style, model):
    spots = np.array([90.0, 100.0, 110.0])
    asked = MARKET | {"spot": spots, "strike": 100.0, "expiry": 0.0} | model
    found = price_options(kind, style, **asked, **({"exercise_dates": 3} if style == "bermudan" else {}))
    away = spots - 100.0 if kind == "call" else 100.0 - spots
    worth = (away > 0) + 0.5 * (away == 0) if style == "digital" else np.maximum(away, 0.0)
    np.testing.assert_array_equal(found.price, worth)
    for name, figure in found.greeks.items():
        assert np.isfinite(figure).all(), name


@pytest.mark.parametrize("style", ["european", "digital"])
@pytest.mark.parametrize("kind", ["call", "put"])
def test_no_nan_at_expiry_at_zero_volatility_or_at_the_strike(style, kind):
    rows = {"spot": [[90.0], [100.0], [110.0]], "expiry": [0.0, 1.0, 0.0, 1.0], "volatility": [0.2, 0.0, 0.0, 0.2]}
    found = price_options(kind, style, strike=100.0, rate=0.0, **rows)
    for name, figure in {"price": found.price, **found.greeks}.items():
        assert np.isfinite(figure).all(), name


SIZES = [1, 2, 1000, pytest.param(100_000, marks=pytest.mark.slow)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("style", "asked"),
    [
        ("european", {}),
        ("european", JUMPS),
        ("digital", {}),
        ("european", {"num_simulations": 64, "sampler": "antithetic"}),
        ("american", {"steps": 32}),
    ],
)
def test_from_one_contract_to_a_hundred_thousand(style, asked, size, monkeypatch):
    nodes = []
    roll = lattice._roll
    monkeypatch.setattr(lattice, "_roll", lambda m, s, d: nodes.append(m.spot.numel() * s) or roll(m, s, d))
    strikes = np.linspace(70.0, 140.0, size)
    expiries = np.linspace(0.1, 2.0, size)[::-1]
    market = {"spot": 100.0, "rate": 0.05, "volatility": 0.25, "dividend_yield": 0.02}
    cpu = ComputeEngine("cpu")
    found = price_options("put", style, strike=strikes, expiry=expiries, engine=cpu, **market, **asked)
    assert len(found) == size
    for name, figure in {"price": found.price, **found.greeks}.items():
        assert figure.shape == (size,)
        assert np.isfinite(figure).all(), name
    assert max(nodes, default=0) <= lattice._CPU_NODES
    for index in {0, size // 3, size - 1}:
        terms = {"strike": strikes[index], "expiry": expiries[index]}
        alone = price_option("put", style, **terms, engine=cpu, **market, **asked)
        assert found.price[index] == pytest.approx(alone.price, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"spot": [100.0, -1.0]}, "`spot` must be above 0, was -1.0 at 1"),
        ({"strike": [[100.0, math.nan]]}, "`strike` must be finite, was nan at 0, 1"),
        ({"volatility": [0.2, -0.2]}, "`volatility` must be at least 0, was -0.2 at 1"),
        ({"expiry": [-1.0]}, "`expiry` must be at least 0, was -1.0 at 0"),
        ({"rate": [0.1, math.inf]}, "`rate` must be finite, was inf at 1"),
        ({"kind": ["call", "straddle"]}, "`kind` must be one of call, put, was 'straddle'"),
        ({"kind": [1.0, -1.0]}, "`kind` must be one of call, put"),
        ({"strike": [90.0, 100.0], "spot": [100.0, 101.0, 102.0]}, "`strike` must broadcast to"),
        ({"spot": []}, "`spot` and the other arguments must make at least one contract"),
        ({"spot": [[100.0], [1.0, 2.0]]}, "`spot` must be numbers"),
        ({"style": "digital", "payout": [1.0, 0.0]}, "`payout` must be above 0, was 0.0 at 1"),
        ({"style": "asian", "volatility": [0.2, 0.0]}, "`volatility` must be above 0 for style 'asian' by monte_c"),
        ({"style": "american", "volatility": [0.2, 0.0]}, "for style 'american' by lattice, was 0.0 at 1"),
        ({"style": "asian", "expiry": [0.2, 0.0]}, "`expiry` must be above 0 for style 'asian'"),
        ({"style": "asian", "observations": [4, 5]}, "`observations` must be a whole number, was [4, 5]"),
        ({"style": "spread", "spot": [9.0, 8.0, 7.0], "correlation": 0.1}, "`spot` must be two prices for each"),
        ({"style": "spread", "spot": 9.0, "correlation": 0.1}, "`spot` must be two prices for each contract"),
        ({"num_simulations": 1}, "`num_simulations` must be at least 2, was 1"),
        ({"sampler": "halton"}, "`sampler` must be one of pseudo, antithetic, sobol"),
        ({"seed": -1}, "`seed` must be at least 0"),
        ({"method": "lattice"}, "`method` must be 'monte_carlo' for style 'european'"),
        (JUMPS | {"jump_intensity": [0.1, 0.2]}, "`jump_intensity` must be"),
    ],
)
def test_bad_input_names_the_argument_and_its_place(asked, words):
    with pytest.raises(InputError) as caught:
        price_options(**MARKET | asked)
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["strike", "expiry", "rate", "volatility", "dividend_yield"])
def test_the_door_for_one_takes_no_arrays(name):
    with pytest.raises(InputError, match=f"`{name}` must be one number"):
        ours(**{name: [0.1, 0.2]})
