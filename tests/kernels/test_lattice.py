"""The lattice against QuantLib's finite differences over a batch, and its Greeks against its own differences."""

import math

import pytest
import QuantLib as ql  # noqa: N813
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus_metal.errors import InputError
from nautilus_metal.kernels import black_scholes
from nautilus_metal.kernels.lattice import lattice

TODAY = ql.Date(2, 1, 2025)
DAYS = ql.Actual365Fixed()
GRID = [
    (strike, days, volatility, rate, dividend_yield)
    for strike in (70.0, 100.0, 130.0)
    for days in (30, 365, 1095)
    for volatility in (0.1, 0.4)
    for rate, dividend_yield in ((0.05, 0.0), (0.02, 0.06))
]


def quantlib(strike, days, volatility, rate, dividend_yield, kind):
    """The option with finite differences, for its Greeks, and its price by the far more exact QD+ fixed point."""
    ql.Settings.instance().evaluationDate = TODAY
    flat = [ql.YieldTermStructureHandle(ql.FlatForward(TODAY, r, DAYS)) for r in (dividend_yield, rate)]
    vol = ql.BlackVolTermStructureHandle(ql.BlackConstantVol(TODAY, ql.NullCalendar(), volatility, DAYS))
    process = ql.BlackScholesMertonProcess(ql.QuoteHandle(ql.SimpleQuote(100.0)), *flat, vol)
    side = ql.Option.Call if kind == "call" else ql.Option.Put
    option = ql.VanillaOption(ql.PlainVanillaPayoff(side, strike), ql.AmericanExercise(TODAY, TODAY + days))
    option.setPricingEngine(ql.QdFpAmericanEngine(process))
    exact = option.NPV()
    option.setPricingEngine(ql.FdBlackScholesVanillaEngine(process, 200, 200))
    return option, exact


@pytest.mark.parametrize("kind", ["call", "put"])
def test_a_batch_is_quantlibs(kind):
    strike, days, volatility, rate, dividend_yield = torch.tensor(GRID, dtype=torch.float64).T
    found = lattice(100.0, strike, days / 365, rate, volatility, dividend_yield, kind, steps=300)
    for index, row in enumerate(GRID):
        option, exact = quantlib(*row, kind)
        assert abs(float(found.price[index]) - exact) < float(found.error[index]) + 2e-4, row
        assert float(found.error[index]) < 2e-2  # of a spot of 100
        if 0.05 < abs(option.delta()) < 0.95:
            assert float(found.delta[index]) == pytest.approx(option.delta(), abs=4e-3), row


def test_one_contract_is_the_same_in_a_batch_of_a_thousand():
    strikes = torch.linspace(60.0, 140.0, 1000, dtype=torch.float64)
    batch = lattice(100.0, strikes, 1.0, 0.05, 0.2, kind="put", steps=50)
    alone = lattice(100.0, strikes[617], 1.0, 0.05, 0.2, kind="put", steps=50)
    for many, one in zip(batch, alone, strict=True):
        torch.testing.assert_close(many[617], one)


def test_float32_is_float64_to_rounding(engine):
    strikes = torch.linspace(70.0, 130.0, 13, dtype=torch.float64)
    double = lattice(100.0, strikes, 1.0, 0.05, 0.2, kind="put")
    single = lattice(100.0, engine.upload(strikes), 1.0, 0.05, 0.2, kind="put")
    assert abs(engine.download(single.price) - double.price.numpy()).max() < 5e-3


@pytest.mark.parametrize("dates", [None, 4])
@pytest.mark.parametrize("kind", ["call", "put"])
def test_vega_and_rho_are_the_differences_of_the_price(kind, dates):
    strikes = torch.tensor([60.0, 90.0, 100.0, 115.0], dtype=torch.float64)
    market = {"expiry": 0.8, "rate": 0.04, "volatility": 0.3, "dividend_yield": 0.05}

    def at(**changes):
        return lattice(100.0, strikes, **market | changes, kind=kind, steps=96, dates=dates)

    for greek, name, step in (("vega", "volatility", 1e-5), ("rho", "rate", 1e-6)):
        high, low = (at(**{name: market[name] + side * step}).price for side in (1, -1))
        torch.testing.assert_close(getattr(at(), greek), (high - low) / (2 * step), rtol=1e-5, atol=1e-4)


def test_a_batch_in_parts_is_the_batch_at_once(monkeypatch):
    strikes = torch.linspace(60.0, 140.0, 12, dtype=torch.float64).reshape(3, 4)
    whole = lattice(100.0, strikes, 1.0, 0.05, 0.2, kind="put", steps=32)
    monkeypatch.setattr("nautilus_metal.kernels.lattice._CPU_NODES", 5 * 32)
    for many, parts in zip(whole, lattice(100.0, strikes, 1.0, 0.05, 0.2, kind="put", steps=32), strict=True):
        assert many.shape == (3, 4)
        torch.testing.assert_close(many, parts, rtol=1e-12, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(
    strike=st.floats(60, 160),
    expiry=st.floats(0.02, 3.0),
    rate=st.floats(-0.01, 0.1),
    volatility=st.floats(0.01, 0.8),
    dividend_yield=st.floats(0.0, 0.1),
    kind=st.sampled_from(["call", "put"]),
)
def test_order_of_european_bermudan_and_american(strike, expiry, rate, volatility, dividend_yield, kind):
    market = (100.0, strike, expiry, rate, volatility, dividend_yield, kind)
    european = float(black_scholes.price(*market))
    few, many = (lattice(*market, steps=96, dates=dates) for dates in (3, 12))
    american = lattice(*market, steps=96)
    room = 0.02 + 2 * max(float(x.error) for x in (few, many, american))
    assert european <= float(few.price) + room
    assert float(few.price) <= float(many.price) + room
    assert float(many.price) <= float(american.price) + room
    assert float(american.price) >= max(0.0, (1 if kind == "call" else -1) * (100.0 - strike))


def test_a_call_without_dividends_is_european():
    market = (100.0, torch.tensor([80.0, 100.0, 120.0], dtype=torch.float64), 1.0, 0.05, 0.2)
    torch.testing.assert_close(lattice(*market).price, black_scholes.price(*market), rtol=0, atol=2e-3)


def test_one_date_is_european():
    market = (100.0, torch.tensor([80.0, 100.0, 120.0], dtype=torch.float64), 1.0, 0.05, 0.2, 0.0, "put")
    torch.testing.assert_close(lattice(*market, dates=1).price, black_scholes.price(*market), rtol=0, atol=2e-3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 4}, "`steps` must be at least 16, was 4"),
        ({"dates": 0}, "`dates` must be at least 1, was 0"),
        ({"spot": math.nan}, "`spot` must be finite"),
        ({"kind": "x"}, "`kind` must be one of call, put"),
    ],
)
def test_bad_input_is_named(change, words):
    arguments = {"spot": 100.0, "strike": 100.0, "expiry": 1.0, "rate": 0.05, "volatility": 0.2} | change
    with pytest.raises(InputError) as caught:
        lattice(**arguments)
    assert words in str(caught.value)
