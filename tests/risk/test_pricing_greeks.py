"""Every Greek of every style under every model: there, and right against QuantLib, closed forms and differences."""

import math

import numpy as np
import pytest
import QuantLib as ql  # noqa: N813

from tests.risk.pricing_cases import (
    GREEKS,
    HESTON,
    JUMPS,
    LIMIT,
    MARKET,
    PAIR,
    SIDES,
    TODAY,
    heston,
    heston_model,
    merton,
    ours,
    payoff,
    process,
    value,
)

MODELS = {"black_scholes": {}, "merton": JUMPS, "heston": HESTON}
STYLES = {
    "european": {},
    "digital": {"payout": 10.0},
    "asian": {"observations": 12},
    "barrier": {"barrier": 85.0, "barrier_type": "down_and_out"},
    "lookback": {"strike": 95.0},
    "floating lookback": {"lookback_type": "floating", "strike": None},
    "basket": PAIR | {"strike": 95.0, "weights": (0.5, 0.5)},
    "spread": PAIR | {"strike": 8.0},
    "american": {"exercise_dates": 8},
    "bermudan": {"exercise_dates": 4},
}


FEW = {"num_simulations": 2000, "control_variates": False}


def near(found, name, expected, room=0.0):
    gap = abs((found.price if name == "price" else found.greeks[name]) - expected)
    assert gap < LIMIT * found.standard_errors[name] + room, (name, gap, found.standard_errors[name])


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("row", STYLES)
def test_no_figure_is_missing(row, model):
    style = row.removeprefix("floating ")
    found = ours("put", style, **STYLES[row] | MODELS[model], num_simulations=1000)
    wanted = {*GREEKS, "cross_gamma"} if style in ("basket", "spread") else set(GREEKS)
    assert set(found.greeks) == wanted
    for name in wanted:
        assert np.isfinite(np.array(found.greeks[name], dtype=float)).all(), name
        assert (np.array(found.standard_errors[name], dtype=float) >= 0).all(), name
    exact = {"gamma"} if row == "floating lookback" else set()
    assert {name for name in wanted if not np.any(found.standard_errors[name])} == exact


def later(engine, option, days):
    """Theta by QuantLib's prices of two expiries around a year."""
    high, low = (value(option(ql.EuropeanExercise(TODAY + 365 + side * days)), engine()) for side in (1, -1))
    return -(high - low) / (2 * days / 365)


@pytest.mark.parametrize("kind", ["call", "put"])
@pytest.mark.parametrize("level", [85.0, 130.0])
def test_theta_of_barriers_is_quantlibs(level, kind):
    side = ql.Barrier.DownOut if level < 100 else ql.Barrier.UpOut
    name = "down_and_out" if level < 100 else "up_and_out"
    theta = later(
        lambda: ql.AnalyticBarrierEngine(process()),
        lambda end: ql.BarrierOption(side, level, 0.0, payoff(kind), end),
        3,
    )
    for steps in (None, 4):
        found = ours(kind, "barrier", barrier=level, barrier_type=name, steps=steps)
        near(found, "theta", theta, 2e-3)


def test_theta_of_a_barrier_under_heston_is_quantlibs():
    theta = later(
        lambda: ql.FdHestonBarrierEngine(heston_model(), 100, 200, 80),
        lambda end: ql.BarrierOption(ql.Barrier.DownOut, 80.0, 0.0, payoff("call"), end),
        20,
    )
    found = ours("call", "barrier", barrier=80.0, barrier_type="down_and_out", steps=32, **HESTON)
    near(found, "theta", theta, 0.03)


@pytest.mark.parametrize("kind", ["call", "put"])
def test_theta_of_lookbacks_is_quantlibs(kind):
    fixed = later(
        lambda: ql.AnalyticContinuousFixedLookbackEngine(process()),
        lambda end: ql.ContinuousFixedLookbackOption(MARKET["spot"], payoff(kind), end),
        3,
    )
    floating = later(
        lambda: ql.AnalyticContinuousFloatingLookbackEngine(process()),
        lambda end: ql.ContinuousFloatingLookbackOption(MARKET["spot"], ql.FloatingTypePayoff(SIDES[kind]), end),
        3,
    )
    for steps in (None, 8):
        near(ours(kind, "lookback", steps=steps), "theta", fixed, 2e-3)
        near(ours(kind, "lookback", lookback_type="floating", strike=None, steps=steps), "theta", floating, 2e-3)


@pytest.mark.parametrize("average", ["arithmetic", "geometric"])
@pytest.mark.parametrize(("model", "reference"), [(JUMPS, merton), (HESTON, heston)])
def test_an_asian_of_one_date_is_european(model, reference, average):
    found = ours("call", "asian", observations=1, average=average, **model)
    near(found, "price", reference("call"), 5e-3)
    if model is JUMPS:
        exact = ours("call", method="closed_form", **model)
        for name in GREEKS:
            near(found, name, exact.greeks[name])
        return
    theta = later(
        lambda: ql.AnalyticHestonEngine(heston_model(), 160), lambda end: ql.VanillaOption(payoff("call"), end), 3
    )
    near(found, "theta", theta, 0.02)


def simulated_asian(first, count=400_000, seed=4):
    """An arithmetic Asian call on two dates under jumps in plain numpy, the first date moved."""
    rng = np.random.default_rng(seed)
    normals, sizes = rng.standard_normal((2, 2, count))
    chances = rng.random((2, count))
    rate, volatility = MARKET["rate"], MARKET["volatility"]
    intensity, mean, std = (JUMPS[name] for name in ("jump_intensity", "jump_mean", "jump_std"))
    drift = rate - MARKET["dividend_yield"] - intensity * math.expm1(mean + std**2 / 2) - volatility**2 / 2
    log, seen = np.log(MARKET["spot"]), []
    for k, years in enumerate((first, 0.5)):
        expected = intensity * years
        chance = np.cumsum([math.exp(-expected) * expected**n / math.factorial(n) for n in range(9)])
        jumps = np.searchsorted(chance, chances[k])
        leap = mean * jumps + std * np.sqrt(jumps) * sizes[k]
        log = log + drift * years + volatility * math.sqrt(years) * normals[k] + leap
        seen.append(np.exp(log))
    return math.exp(-rate * (first + 0.5)) * np.maximum(np.mean(seen, 0) - MARKET["strike"], 0.0)


def test_theta_of_an_asian_under_jumps_is_that_of_a_plain_simulation_with_its_first_date_moved():
    difference = -(simulated_asian(0.55) - simulated_asian(0.45)) / 0.1
    found = ours("call", "asian", observations=2, num_simulations=100_000, **JUMPS)
    error = math.hypot(difference.std() / math.sqrt(len(difference)), found.standard_errors["theta"])
    assert abs(found.greeks["theta"] - difference.mean()) < LIMIT * error + 0.01


@pytest.mark.parametrize("style", ["barrier", "lookback", "american"])
@pytest.mark.parametrize("model", ["merton", "heston"])
def test_theta_is_the_difference_between_two_expiries(style, model):
    asked = STYLES[style] | MODELS[model] | {"kind": "put", "style": style, "num_simulations": 20_000}
    if style != "american":
        asked |= {"steps": 16}
    found, high, low = (ours(**asked, expiry=years) for years in (1.0, 1.1, 0.9))
    error = 5 * math.hypot(high.standard_errors["price"], low.standard_errors["price"])  # of paths as if independent
    assert abs(found.greeks["theta"] + (high.price - low.price) / 0.2) < LIMIT * math.hypot(
        error, found.standard_errors["theta"]
    )


def test_a_bermudans_theta_is_the_lattices():
    asked = {"exercise_dates": 4, "dividend_yield": 0.04}
    tree = ours("put", "bermudan", method="lattice", **asked)
    found = ours("put", "bermudan", num_simulations=100_000, **asked)
    for name in GREEKS:
        near(found, name, tree.greeks[name], 0.01 * abs(tree.greeks[name]))


@pytest.mark.parametrize("strike", [80.0, 104.0, 125.0])
@pytest.mark.parametrize("steps", [None, 6])
@pytest.mark.parametrize("kind", ["call", "put"])
def test_gamma_of_fixed_lookbacks_is_quantlibs(kind, steps, strike):
    strike = strike if kind == "call" else 200.0 - strike
    exercise = ql.EuropeanExercise(TODAY + 365)

    def at(spot):
        option = ql.ContinuousFixedLookbackOption(spot, payoff(kind, strike), exercise)
        return value(option, ql.AnalyticContinuousFixedLookbackEngine(process(spot=spot)))

    expected = (at(101.0) - 2 * at(100.0) + at(99.0)) if abs(strike - 100) > 10 else None
    if expected is None:
        expected = (at(100.1) - 2 * at(100.0) + at(99.9)) / 0.01
    near(ours(kind, "lookback", strike=strike, steps=steps), "gamma", expected, 1e-4)


@pytest.mark.parametrize("model", ["merton", "heston"])
def test_gamma_of_fixed_lookbacks_is_the_difference_of_their_deltas(model):
    asked = MODELS[model] | {"strike": 120.0, "num_simulations": 40_000, "steps": 24}
    found, high, low = (ours("call", "lookback", **asked, spot=spot) for spot in (100.0, 102.0, 98.0))
    error = math.hypot(high.standard_errors["delta"], low.standard_errors["delta"]) / 4
    gap = found.greeks["gamma"] - (high.greeks["delta"] - low.greeks["delta"]) / 4
    assert abs(gap) < LIMIT * math.hypot(error, found.standard_errors["gamma"])
    assert found.greeks["gamma"] > 10 * found.standard_errors["gamma"]


@pytest.mark.parametrize("model", MODELS)
def test_a_floating_lookback_is_proportional_to_the_spot(model):
    found = ours("put", "lookback", **STYLES["floating lookback"] | MODELS[model] | FEW)
    assert found.greeks["delta"] == pytest.approx(found.price / 100.0, rel=1e-9)
    assert found.greeks["gamma"] == 0.0
