"""Where simulated prices go: the kind of work they are, and the wish of a user."""

import types

import pytest
import torch

from nautilus_metal.engine import ComputeEngine, governor
from nautilus_metal.engine.placement_measure import SIZES
from nautilus_metal.risk import pricing_placement
from nautilus_metal.risk.pricing import price_option, price_options
from nautilus_metal.risk.pricing_placement import simulation_work
from nautilus_metal.risk.pricing_terms import checked_terms
from nautilus_metal.risk.pricing_work import PRICING

MARKET = {"spot": 100.0, "volatility": 0.2, "dividend_yield": 0.0, "rate": 0.05, "expiry": 1.0}
OPTION = MARKET | {"kind": "put", "strike": 100.0, "num_simulations": 1_000}
BASKET = {"weights": [0.5, 0.5], "correlation": 0.5}
HESTON = {
    "mean_reversion": 2.0, "long_run_volatility": 0.2, "volatility_of_variance": 0.4, "spot_correlation": -0.6,
}  # fmt: skip


@pytest.mark.parametrize(
    ("style", "model", "market", "contract", "sampler", "expected"),
    [
        ("european", "black_scholes", {}, {}, "pseudo", ("european", 1_000)),
        ("european", "black_scholes", {}, {}, "fast", ("european", 1_000)),
        ("european", "black_scholes", {}, {}, "sobol", ("sobol", 1_000)),
        ("european", "black_scholes", {}, {"steps": 4}, "pseudo", ("heston", 4_000)),
        ("european", "black_scholes", {"spot": [90.0, 100.0]}, {}, "pseudo", ("digital", 2_000)),
        ("european", "heston", {}, HESTON, "pseudo", ("heston", 64_000)),
        ("asian", "black_scholes", {}, {"observations": 12}, "pseudo", ("asian", 12_000)),
        ("asian", "black_scholes", {}, {"observations": 12}, "antithetic", ("sobol", 12_000)),
        ("american", "black_scholes", {"spot": [90.0, 100.0]}, {}, "sobol", ("american", 50_000)),
        ("bermudan", "black_scholes", {}, {"exercise_dates": 4}, "pseudo", ("american", 4_000)),
        ("digital", "black_scholes", {}, {"payout": 10.0}, "pseudo", ("digital", 1_000)),
        ("basket", "black_scholes", {"spot": [[90.0, 100.0]]}, BASKET, "pseudo", ("digital", 2_000)),
    ],
)
def test_the_kind_and_size_of_a_simulation(style, model, market, contract, sampler, expected):
    terms = checked_terms("put", style, MARKET | market, 100.0, model, contract)
    kind, elements = simulation_work(terms, 1_000, sampler)
    assert (kind, elements) == expected
    assert kind in PRICING


@pytest.fixture
def asked(monkeypatch):
    """What placement is asked for, on a machine with a GPU whose work it puts on a float64 engine of the CPU."""
    calls = []
    shared = types.SimpleNamespace(device=torch.device("cuda:0"))
    with ComputeEngine("cpu", "float64") as there:
        monkeypatch.setattr(pricing_placement, "shared_engine", lambda: shared)
        monkeypatch.setattr(pricing_placement, "placed", lambda *work: calls.append(work) or there)
        yield calls


def test_a_simulation_goes_where_placement_puts_it(asked):
    assert price_option(**OPTION).precision == "float64"
    assert price_options(**(OPTION | {"spot": [90.0, 100.0]})).precision == "float64"
    assert asked == [(None, "european", 1_000), (None, "digital", 2_000)]


def test_the_engine_that_a_user_names_is_used(asked):
    with ComputeEngine("cpu", "float32") as named:
        assert price_option(**OPTION, engine=named).precision == "float32"
    assert asked == []


@pytest.mark.parametrize("how", [{"method": "closed_form"}, {"style": "american", "method": "lattice"}])
def test_what_is_not_simulated_is_not_placed(asked, how):
    assert price_option(**(OPTION | how)).num_simulations == 0
    assert asked == []


@pytest.mark.parametrize("kind", list(PRICING))
def test_each_kind_of_work_is_the_same_on_device_and_cpu(engine, kind):
    elements = SIZES[1]
    on_device = PRICING[kind].prepare(engine, elements)()
    assert on_device == pytest.approx(PRICING[kind].prepare(governor.cpu_of(engine), elements)(), rel=1e-4)
