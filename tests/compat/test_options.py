"""Options and paths against closed forms, in standard errors; what `optimize_for_*` changes."""

import asyncio
import math

import numpy as np
import pytest

from nautilus_metal import metal_device_manager, metal_monte_carlo, optimize_for_monte_carlo, price_option_metal
from nautilus_metal.compat import MetalConfig, optimize_for_financial_computing
from nautilus_metal.errors import InputError
from nautilus_metal.risk.pricing import price_option

TERMS = {
    "spot_price": 100.0, "strike_price": 105.0, "time_to_expiry": 0.5, "risk_free_rate": 0.03, "volatility": 0.25,
}  # fmt: skip
MARKET = {"spot": 100.0, "strike": 105.0, "expiry": 0.5, "rate": 0.03, "volatility": 0.25}
PATHS = {"initial_price": 100.0, "volatility": 0.2, "risk_free_rate": 0.05, "time_horizon": 0.25}


def priced(**changes):
    return asyncio.run(price_option_metal(**{"num_simulations": 100_000, **TERMS, **changes}))


def simulated(**changes):
    return asyncio.run(metal_monte_carlo.simulate_price_paths_gpu(**{**PATHS, **changes}))


@pytest.mark.parametrize("option_type", ["call", "put"])
def test_price_and_greeks_are_within_their_errors_of_the_closed_form(option_type, device):
    found = priced(option_type=option_type, seed=3)
    exact = price_option(option_type, **MARKET)
    for name, value in {"option_price": exact.price, **exact.greeks}.items():
        error = found.standard_errors["price" if name == "option_price" else name]
        assert error > 0
        assert abs(getattr(found, name) - value) < 4.5 * error, name
    low, high = found.confidence_intervals["95%"]
    assert low < found.option_price < high
    assert (high - low) / 2 == pytest.approx(1.96 * found.standard_errors["price"], rel=0.01)
    assert found.implied_volatility == pytest.approx(0.25, abs=4.5 * found.standard_errors["price"] / found.vega)
    assert (found.device, found.metal_accelerated) == (device, device != "cpu")
    assert found.num_simulations == 100_000
    assert found.computation_time_ms > 0


def test_the_figures_are_those_of_the_risk_room_and_replay(device):
    # First: it may compile, which nothing does beside a loop, and the ordinary kernels round differently.
    ours = price_option(**MARKET, num_simulations=100_000, seed=7, engine=metal_device_manager.engine("auto"))
    found = priced(seed=7)
    again = asyncio.run(metal_monte_carlo.price_option(**TERMS, num_simulations=100_000, seed=7))
    assert found.option_price == again.option_price == ours.price
    assert priced(seed=8).option_price != found.option_price


def test_certain_prices_have_no_simulations():
    found = priced(time_to_expiry=0.0, strike_price=90.0)
    assert (found.option_price, found.num_simulations, found.standard_errors["price"]) == (10.0, 0, 0.0)
    assert (found.method, found.metal_accelerated, found.implied_volatility) == ("closed_form", False, None)


def test_other_styles_and_samplers_pass():
    found = priced(style="barrier", barrier=130.0, barrier_type="up_and_out", antithetic_variates=True)
    assert found.sampler == "antithetic"
    assert 0 < found.option_price < priced().option_price
    assert found.implied_volatility is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"spot_price": -1.0}, "`spot`"),
        ({"volatility": math.nan}, "`volatility`"),
        ({"option_type": "straddle"}, "`kind` must be one of call, put"),
        ({"num_simulations": 1}, "`num_simulations` must be at least 2, was 1"),
        ({"num_simulations": 1e6}, "`num_simulations` must be a whole number"),
        ({"style": "rainbow"}, "`style`"),
        ({"barrier": 1.0}, "barrier"),
        ({"sampler": "sobol", "antithetic_variates": True}, "`antithetic_variates` must be left out"),
        ({"seed": -1}, "`seed`"),
    ],
)
def test_bad_terms_are_refused_by_name(changes, words):
    with pytest.raises(InputError, match=words):
        priced(**changes)


def test_optimizing_for_monte_carlo_changes_what_is_drawn():
    plain = priced()
    returned = optimize_for_monte_carlo()
    better = priced()
    assert (plain.sampler, better.sampler) == ("pseudo", returned["sampler"]) == ("pseudo", "sobol")
    assert better.standard_errors["price"] < plain.standard_errors["price"] / 3
    assert simulated(num_simulations=1000).sampler == "sobol"


def test_optimizing_for_financial_computing_changes_the_type(exact):
    assert priced().precision == "float32"
    returned = optimize_for_financial_computing()
    assert priced().precision == returned["precision"] == ("float64" if exact else "float32")


def test_final_prices_follow_the_lognormal_law(device):
    found = simulated(num_simulations=200_000, num_steps=4, seed=2)
    assert found.paths.shape == (5, 200_000)
    assert (found.paths[0] == 100.0).all()
    mean, std = (0.05 - 0.02) * 0.25, 0.2 * 0.25**0.5
    logs = np.log(found.final_prices.astype(np.float64) / 100.0)
    assert abs(logs.mean() - mean) < 4.5 * std / 200_000**0.5
    assert abs(logs.std() - std) < 4.5 * std / 400_000**0.5
    steps = np.diff(np.log(found.paths.astype(np.float64)), axis=0)
    assert abs(np.corrcoef(steps)[0, 1]) < 4.5 / 200_000**0.5
    assert (found.device, found.metal_accelerated) == (device, device != "cpu")


def test_batches_change_nothing_but_the_batches():
    whole = simulated(num_simulations=10_000, num_steps=3)
    metal_device_manager.config.batch_size = 4096
    parts = simulated(num_simulations=10_000, num_steps=3)
    assert (whole.batches, parts.batches) == (1, 3)
    np.testing.assert_array_equal(whole.paths, parts.paths)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"initial_price": 0.0}, "`initial_price` must be above 0, was 0.0"),
        ({"volatility": -0.1}, "`volatility`"),
        ({"risk_free_rate": math.inf}, "`risk_free_rate` must be a finite number"),
        ({"time_horizon": 0.0}, "`time_horizon` must be above 0"),
        ({"num_simulations": 0}, "`num_simulations` must be at least 1, was 0"),
        ({"num_steps": 1.5}, "`num_steps` must be a whole number"),
        ({"sampler": "antithetic"}, "`sampler` must be one of pseudo, sobol"),
    ],
)
def test_bad_paths_are_refused_by_name(changes, words):
    with pytest.raises(InputError, match=words):
        simulated(**changes)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("memory_fraction", value) for value in (0.0, -0.5, 1.5, math.nan, True, "much")),
        *(("optimization_level", value) for value in ("extreme", 3)),
        *(("batch_size", value) for value in (0, -1, 2.0, True, "big")),
    ],
)
def test_settings_are_validated(name, value):
    config = MetalConfig()
    with pytest.raises(InputError, match=f"`{name}` must be"):
        setattr(config, name, value)
    assert getattr(config, name) is None
