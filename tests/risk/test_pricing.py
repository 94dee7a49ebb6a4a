"""`price_option`: every style against QuantLib, coverage of its intervals, reproducibility, and bad input."""

import math

import numpy as np
import pytest
import QuantLib as ql  # noqa: N813
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.errors import InputError
from tests.risk.pricing_cases import (
    CONTRACTS,
    GREEKS,
    HESTON,
    JUMPS,
    LIMIT,
    MARKET,
    PAIR,
    TODAY,
    barrier,
    digital,
    fixed_lookback,
    geometric,
    heston,
    heston_model,
    merton,
    ours,
    payoff,
    process,
    vanilla,
)


@pytest.mark.parametrize("kind", ["call", "put"])
@pytest.mark.parametrize("sampler", ["pseudo", "antithetic", "sobol"])
@pytest.mark.parametrize(("style", "asked", "reference", "room"), CONTRACTS)
def test_price_is_quantlibs_within_its_standard_error(style, asked, reference, room, sampler, kind):
    found = ours(kind, style, **asked, sampler=sampler, num_simulations=16_384)
    error = found.standard_errors["price"]
    assert 0 < error < 0.25
    assert abs(found.price - reference(kind)) < LIMIT * error + room


def bumped(style, asked, reference_market):
    """Central differences of QuantLib's price by one market figure at a time."""
    kind = "call"
    saved = dict(MARKET)
    found = {}
    try:
        for greek, name, step in (("delta", "spot", 0.05), ("vega", "volatility", 1e-3), ("rho", "rate", 1e-4)):
            values = []
            for side in (1, 0, -1):
                MARKET[name] = saved[name] + side * step
                values.append(reference_market(kind))
            MARKET.update(saved)
            found[greek] = (values[0] - values[2]) / (2 * step)
            if greek == "delta":
                found["gamma"] = (values[0] - 2 * values[1] + values[2]) / step**2
    finally:
        MARKET.update(saved)
    return found


@pytest.mark.parametrize("sampler", ["pseudo", "sobol"])
@pytest.mark.parametrize(
    ("style", "asked", "reference"),
    [
        ("european", {}, vanilla),
        ("digital", {"payout": 10.0}, digital),
        ("asian", {"average": "geometric", "observations": 73}, geometric),
        ("barrier", {"barrier": 130.0, "barrier_type": "up_and_out"}, lambda k: barrier(k, 130.0, "up_and_out")),
        ("barrier", {"barrier": 85.0, "barrier_type": "down_and_in"}, lambda k: barrier(k, 85.0, "down_and_in")),
        ("lookback", {}, fixed_lookback),
        ("european", JUMPS, merton),
        ("european", HESTON, heston),
        ("digital", JUMPS | {"strike": 100.0}, None),
    ],
)
def test_greeks_are_quantlibs_within_their_standard_errors(style, asked, reference, sampler):
    found = ours("call", style, **asked, sampler=sampler, control_variates=False)
    if reference is None:
        step = 0.01
        low, high = (price_merton(100.0 + side * step) for side in (-1, 1))
        assert abs(found.price - -(high - low) / (2 * step)) < LIMIT * found.standard_errors["price"] + 1e-6
        return
    for name, expected in bumped(style, asked, reference).items():
        if name == "vega" and asked is HESTON:
            continue  # QuantLib's process takes the initial variance, tested below
        error = found.standard_errors[name]
        assert error > 0
        assert abs(found.greeks[name] - expected) < LIMIT * error + 2e-3 * abs(expected), name


def price_merton(strike):
    return ours("call", method="closed_form", strike=strike, **JUMPS).price


def test_heston_vega_is_by_todays_volatility():
    found = ours("call", **HESTON, sampler="sobol", num_simulations=2**16)
    expected = bumped("european", HESTON, heston)["vega"]
    assert abs(found.greeks["vega"] - expected) < LIMIT * found.standard_errors["vega"] + 0.01 * expected


@pytest.mark.parametrize("asked", [{}, {"style": "asian", "average": "geometric", "observations": 12}, JUMPS])
@pytest.mark.parametrize("kind", ["call", "put"])
def test_every_greek_is_the_closed_forms(asked, kind):
    exact = ours(kind, **asked, method="closed_form")
    for sampler in ("pseudo", "antithetic", "sobol"):
        found = ours(kind, **asked, sampler=sampler)
        names = [name for name in GREEKS if name in found.greeks]
        assert set(names) == set(GREEKS)
        for name in names:
            error = found.standard_errors[name]
            assert abs(found.greeks[name] - exact.greeks[name]) < LIMIT * error + 1e-9, (sampler, name)


@pytest.mark.parametrize("kind", ["call", "put"])
@pytest.mark.parametrize(
    ("style", "asked"),
    [
        ("asian", {"observations": 12}),
        ("barrier", {"barrier": 130.0, "barrier_type": "up_and_out"}),
        ("basket", PAIR | {"strike": 95.0, "weights": (0.5, 0.5)}),
        ("spread", PAIR | {"strike": 8.0}),
        ("lookback", {}),
    ],
)
def test_control_variates_change_the_error_and_not_the_figures(style, asked, kind):
    plain, controlled = (ours(kind, style, **asked, control_variates=on) for on in (False, True))
    assert controlled.standard_errors["price"] < 0.9 * plain.standard_errors["price"]
    for name in ("price", *plain.greeks):
        a, b = (np.atleast_1d(x.price if name == "price" else x.greeks[name]) for x in (plain, controlled))
        error = np.hypot(*(np.atleast_1d(x.standard_errors[name]) for x in (plain, controlled)))
        assert (abs(a - b) < LIMIT * error + 1e-9).all(), name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "paths", "truth"),
    [
        ({"sampler": "pseudo"}, 1000, vanilla),
        ({"sampler": "antithetic"}, 1000, vanilla),
        ({"sampler": "sobol"}, 1024, vanilla),
        ({"sampler": "pseudo", "control_variates": False}, 1000, vanilla),
        (
            {"style": "barrier", "barrier": 130.0, "barrier_type": "up_and_out"},
            2000,
            lambda k: barrier(k, 130.0, "up_and_out"),
        ),
        ({"style": "digital", "payout": 10.0}, 1000, digital),
    ],
)
def test_the_interval_covers_the_truth_in_95_of_100_seeds(asked, paths, truth):
    expected = truth("call")
    inside = {0.95: 0, 0.99: 0}
    for seed in range(1000):
        found = ours("call", **asked, num_simulations=paths, seed=seed)
        for level, (low, high) in found.confidence_intervals.items():
            inside[level] += low <= expected <= high
    assert 930 <= inside[0.95] <= 970
    assert 980 <= inside[0.99] <= 998


@pytest.mark.parametrize("kind", ["call", "put"])
@pytest.mark.parametrize(("dates", "tolerance"), [(None, 0.01), (5, 0.01)])
def test_early_exercise_is_quantlibs(kind, dates, tolerance):
    style = "american" if dates is None else "bermudan"
    days = [TODAY + 73 * k for k in range(1, 6)]
    exercise = ql.AmericanExercise(TODAY, TODAY + 365) if dates is None else ql.BermudanExercise(days)
    market = {"dividend_yield": 0.04}
    option = ql.VanillaOption(payoff(kind), exercise)
    option.setPricingEngine(ql.FdBlackScholesVanillaEngine(process(**market), 400, 400))
    asked = market | ({} if dates is None else {"exercise_dates": dates})
    tree = ours(kind, style, method="lattice", **asked)
    assert abs(tree.price - option.NPV()) < max(3e-3, 3 * tree.details["discretisation_error"])
    assert tree.greeks["delta"] == pytest.approx(option.delta(), abs=2e-3)
    assert tree.greeks["gamma"] == pytest.approx(option.gamma(), abs=3e-4)
    assert tree.greeks["theta"] == pytest.approx(option.theta(), abs=0.03)
    for sampler in ("pseudo", "sobol"):
        found = ours(kind, style, sampler=sampler, **asked)
        assert found.method == "longstaff_schwartz"
        gap = option.NPV() - found.price  # a lower bound; 50 dates lack 0.01 of an American option's price
        assert -LIMIT * found.standard_errors["price"] < gap < LIMIT * found.standard_errors["price"] + tolerance
        for name in ("delta", "vega"):
            expected = tree.greeks[name]
            assert abs(found.greeks[name] - expected) < LIMIT * found.standard_errors[name] + 0.01 * abs(expected), (
                name
            )


def test_early_exercise_under_heston_is_quantlibs_lower_bound():
    option = ql.VanillaOption(payoff("put"), ql.AmericanExercise(TODAY, TODAY + 365))
    option.setPricingEngine(ql.FdHestonVanillaEngine(heston_model(), 50, 100, 50))
    found = ours("put", "american", **HESTON, exercise_dates=20, num_simulations=20_000)
    assert (
        -LIMIT * found.standard_errors["price"] - 0.02
        < option.NPV() - found.price
        < 0.03 * option.NPV() + LIMIT * 0.05
    )


def test_a_deep_put_is_exercised_now():
    found = ours("put", "american", spot=50.0)
    assert found.method == "immediate_exercise"
    assert found.price == 55.0
    assert found.greeks["delta"] == -1.0


@settings(max_examples=20, deadline=None)
@given(
    strike=st.floats(70, 140), volatility=st.floats(0.1, 0.6), level=st.floats(60, 99), up=st.floats(101, 160),
    kind=st.sampled_from(["call", "put"]), seed=st.integers(0, 1000),
)  # fmt: skip
def test_relations_between_contracts_on_the_same_paths(strike, volatility, level, up, kind, seed):
    asked = {
        "strike": strike,
        "volatility": volatility,
        "seed": seed,
        "num_simulations": 2000,
        "control_variates": False,
    }
    european = ours(kind, **asked).price
    for side, edge in (("down", level), ("up", up)):
        parts = [
            ours(kind, "barrier", barrier=edge, barrier_type=f"{side}_and_{way}", **asked).price
            for way in ("in", "out")
        ]
        assert min(parts) >= -1e-12
        assert sum(parts) == pytest.approx(european, rel=1e-10, abs=1e-10)
    assert ours(kind, "lookback", **asked).price >= european - 1e-9
    arithmetic, geometric = (
        ours("call", "asian", average=a, observations=4, **asked).price for a in ("arithmetic", "geometric")
    )
    assert arithmetic >= geometric - 1e-9
    low, high = (ours("call", **asked | {"strike": strike + gap}).price for gap in (1.0, 0.0))
    assert low <= high


def test_put_call_parity_holds_on_the_same_paths():
    call, put = (ours(kind, sampler="sobol", num_simulations=2**14) for kind in ("call", "put"))
    expected = 100 * math.exp(-0.02) - 105 * math.exp(-0.05)
    assert call.price - put.price == pytest.approx(expected, abs=1e-9)


def test_an_arithmetic_asian_is_below_the_european():
    assert ours("call", "asian", observations=12).price < ours("call").price


def test_the_same_seed_gives_the_same_figures_and_another_does_not():
    first, again, other = (ours(seed=seed, num_simulations=1000) for seed in (3, 3, 4))
    assert (first.price, first.greeks) == (again.price, again.greeks)
    assert first.price != other.price


def test_more_blocks_give_the_figures_of_one(monkeypatch):
    from nautilus_metal.risk import pricing_monte_carlo

    whole = ours("call", "asian", observations=4, sampler="antithetic", num_simulations=10_000)
    monkeypatch.setattr(pricing_monte_carlo, "_CPU_BLOCK", 4 * 1000)
    parts = ours("call", "asian", observations=4, sampler="antithetic", num_simulations=10_000)
    assert parts.price == pytest.approx(whole.price, rel=1e-12)
    assert parts.standard_errors["gamma"] == pytest.approx(whole.standard_errors["gamma"], rel=1e-9)


@pytest.mark.parametrize(("style", "asked"), [(row[0], row[1]) for row in CONTRACTS])
def test_float32_is_float64_to_rounding(engine, style, asked):
    single = ours("call", style, **asked, engine=engine, num_simulations=4096)
    double = ours("call", style, **asked, num_simulations=4096)
    assert single.precision == "float32"
    assert single.device == str(engine.device)
    assert single.price == pytest.approx(double.price, rel=2e-4)
    assert single.greeks["delta"] == pytest.approx(double.greeks["delta"], rel=2e-2, abs=1e-3)


def test_the_result_says_what_made_it():
    found = ours("call", sampler="sobol", num_simulations=1000, seed=9)
    assert (found.sampler, found.seed, found.model, found.style, found.method) == (
        "sobol", 9, "black_scholes", "european", "monte_carlo"
    )  # fmt: skip
    assert found.num_simulations == 1008  # 16 scrambles of 63
    assert found.details["degrees_of_freedom"] == 15
    assert set(found.confidence_intervals) == {0.95, 0.99}
    assert found.confidence_intervals[0.99][0] < found.confidence_intervals[0.95][0] < found.price
    assert found.computation_time_ms > 0
    assert set(found.standard_errors) == {"price", *found.greeks} == {"price", *GREEKS}


def test_a_european_option_without_uncertainty_is_its_forwards_payoff():
    assert ours("call", expiry=0.0, strike=90.0).price == 10.0
    assert ours("call", volatility=0.0, strike=90.0).price == pytest.approx(
        100 * math.exp(-0.02) - 90 * math.exp(-0.05)
    )


def test_two_paths_are_enough_for_an_honest_interval():
    found = ours(num_simulations=2, seed=2, strike=80.0, control_variates=False)
    low, high = found.confidence_intervals[0.95]
    assert high - low == pytest.approx(2 * 12.7062 * found.standard_errors["price"], rel=1e-5)


@pytest.mark.parametrize("sampler", ["pseudo", "antithetic", "sobol"])
@pytest.mark.parametrize("num_simulations", [2, 3, 5, 17])
def test_few_paths_still_have_an_error(sampler, num_simulations):
    found = ours(num_simulations=num_simulations, seed=2, strike=50.0, sampler=sampler)
    assert found.num_simulations >= num_simulations
    assert min(found.standard_errors[name] for name in ("price", "delta", "gamma", "vega")) > 0


def test_an_overflow_is_an_error_and_not_a_price():
    with pytest.raises(InputError, match="`volatility` must leave prices finite in"):
        ours(spot=1e38, strike=1e38, volatility=5.0, engine=ComputeEngine("cpu"))


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"spot": -1.0}, "`spot` must be above 0, was -1.0"),
        ({"spot": math.nan}, "`spot` must be finite"),
        ({"spot": (1.0, 2.0)}, "`spot` must be one number for style 'european'"),
        ({"strike": 0.0}, "`strike` must be above 0"),
        ({"strike": None}, "`strike` must be given"),
        ({"volatility": -0.2}, "`volatility` must be at least 0, was -0.2"),
        ({"volatility": "high"}, "`volatility` must be numbers, was 'high'"),
        ({"expiry": -1.0}, "`expiry` must be at least 0"),
        ({"rate": math.inf}, "`rate` must be finite"),
        ({"dividend_yield": math.nan}, "`dividend_yield` must be finite"),
        ({"kind": "straddle"}, "`kind` must be one of call, put"),
        ({"style": "cliquet"}, "`style` must be one of european, digital"),
        ({"model": "sabr"}, "`model` must be one of black_scholes, merton, heston"),
        ({"sampler": "halton"}, "`sampler` must be one of pseudo, antithetic, sobol"),
        ({"method": "magic"}, "`method` must be one of auto, monte_carlo, closed_form, lattice"),
        ({"method": "lattice"}, "`method` must be 'monte_carlo' for style 'european'"),
        (
            {"style": "barrier", "method": "closed_form", "barrier": 80.0, "barrier_type": "up_and_in"},
            "`method` must be",
        ),
        ({"num_simulations": 1}, "`num_simulations` must be at least 2, was 1"),
        ({"num_simulations": 1e5}, "`num_simulations` must be a whole number"),
        ({"seed": -1}, "`seed` must be at least 0"),
        ({"barrier": 80.0}, "`barrier` is no option of style 'european'"),
        ({"style": "barrier", "barrier": 80.0}, "`barrier_type` must be given"),
        ({"style": "barrier", "barrier": -80.0, "barrier_type": "up_and_in"}, "`barrier` must be above 0"),
        ({"style": "barrier", "barrier": 80.0, "barrier_type": "double"}, "`barrier_type` must be one of up_and_out"),
        ({"style": "asian", "observations": 0}, "`observations` must be at least 1, was 0"),
        ({"style": "asian", "average": "harmonic"}, "`average` must be one of arithmetic, geometric"),
        ({"style": "asian", "volatility": 0.0}, "`volatility` must be above 0 for style 'asian'"),
        ({"style": "lookback", "lookback_type": "floating"}, "`strike` must be None for a floating lookback"),
        ({"style": "bermudan"}, "`exercise_dates` must be given"),
        ({"style": "spread", "spot": (1.0, 2.0, 3.0), "correlation": 0.1}, "`spot` must be two prices"),
        ({"style": "spread", "spot": (1.0, 2.0), "correlation": 1.5}, "`correlation` must be positive semi-definite"),
        (
            {"style": "basket", "spot": (1.0, 2.0, 3.0), "weights": 1.0, "correlation": -0.9},
            "`correlation` must be positive semi-definite, had the eigenvalue -0.8",
        ),
        (
            {"style": "basket", "spot": (1.0, 2.0), "weights": (1.0, 2.0, 3.0), "correlation": 0.0},
            "`weights` must be",
        ),
        (JUMPS | {"jump_intensity": -1.0}, "`jump_intensity` must be at least 0"),
        ({"model": "merton"}, "`jump_intensity` must be given"),
        (HESTON | {"spot_correlation": -1.0}, "`spot_correlation` must lie between -1 and 1"),
        (HESTON | {"mean_reversion": 0.0}, "`mean_reversion` must be above 0"),
    ],
)
def test_bad_input_names_the_argument(asked, words):
    with pytest.raises(InputError) as caught:
        ours(**asked)
    assert words in str(caught.value)


@pytest.mark.parametrize("spot_correlation", [1.0, -1.0])
def test_a_singular_correlation_is_priced(spot_correlation):
    found = ours("call", "spread", **PAIR | {"strike": 8.0, "correlation": spot_correlation})
    assert found.price > 0
    assert torch.isfinite(torch.tensor(found.greeks["delta"])).all()
