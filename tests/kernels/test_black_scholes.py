"""Black-Scholes-Merton against QuantLib, at its limits, and in float32."""

import math

import pytest
import QuantLib as ql  # noqa: N813
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus_metal.errors import InputError
from nautilus_metal.kernels import black_scholes

HOUR = 1.0 / 8766.0
SPOT, RATE, YIELD = 100.0, 0.03, 0.01
GRID = [
    (strike, expiry, volatility)
    for strike in (20.0, 60.0, 95.0, 100.0, 100.001, 105.0, 160.0, 500.0)
    for expiry in (HOUR, 1 / 365, 0.1, 1.0, 10.0)
    for volatility in (0.01, 0.2, 0.8, 3.0)
]


def reference(strike, expiry, volatility, kind, rate=RATE, dividend_yield=YIELD, spot=SPOT):
    side = ql.Option.Call if kind == "call" else ql.Option.Put
    forward = spot * math.exp((rate - dividend_yield) * expiry)
    payoff = ql.PlainVanillaPayoff(side, strike)
    return ql.BlackCalculator(payoff, forward, volatility * math.sqrt(expiry), math.exp(-rate * expiry))


def grid(dtype):
    return torch.tensor(GRID, dtype=dtype).T


@pytest.mark.parametrize("kind", ["call", "put"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 2e-5)])
def test_price_is_quantlibs(engine, kind, dtype, tolerance):
    if engine.device.type == "mps" and dtype == torch.float64:
        pytest.skip("mps has no float64")
    strike, expiry, volatility = (engine.upload(row, dtype) for row in grid(torch.float64))
    ours = engine.download(black_scholes.price(SPOT, strike, expiry, RATE, volatility, YIELD, kind))
    theirs = [reference(*row, kind).value() for row in GRID]
    assert abs(ours - theirs).max() < tolerance * SPOT


@pytest.mark.parametrize("kind", ["call", "put"])
def test_greeks_are_quantlibs(kind):
    strike, expiry, volatility = grid(torch.float64)
    ours = black_scholes.greeks(SPOT, strike, expiry, RATE, volatility, YIELD, kind)
    for index, (k, t, v) in enumerate(GRID):
        theirs = reference(k, t, v, kind)
        expected = {
            "delta": theirs.delta(SPOT),
            "gamma": theirs.gamma(SPOT),
            "vega": theirs.vega(t),
            "theta": theirs.theta(SPOT, t),
            "rho": theirs.rho(t),
        }
        for name, value in expected.items():
            assert float(getattr(ours, name)[index]) == pytest.approx(value, rel=1e-9, abs=1e-9), (name, k, t, v)


@pytest.mark.parametrize("kind", ["call", "put"])
def test_second_order_greeks_are_derivatives(kind):
    spot, vol = (torch.full((7,), x, dtype=torch.float64, requires_grad=True) for x in (100.0, 0.3))
    strike = torch.tensor([50.0, 80.0, 95.0, 100.0, 105.0, 120.0, 200.0], dtype=torch.float64)
    found = black_scholes.greeks(spot, strike, 0.7, RATE, vol, YIELD, kind)
    vanna = torch.autograd.grad(found.delta.sum(), vol, retain_graph=True)[0]
    volga = torch.autograd.grad(found.vega.sum(), vol)[0]
    torch.testing.assert_close(found.vanna, vanna)
    torch.testing.assert_close(found.volga, volga)


@pytest.mark.parametrize("kind", ["call", "put"])
def test_float32_greeks_hold_over_the_grid(kind):
    exact = black_scholes.greeks(SPOT, *_ordered(grid(torch.float32).double()), YIELD, kind)
    single = black_scholes.greeks(SPOT, *_ordered(grid(torch.float32)), YIELD, kind)
    for name, ours, truth in zip(exact._fields, single, exact, strict=True):
        scale = truth.abs().max()
        assert ((ours.double() - truth).abs() <= 1e-4 * truth.abs() + 1e-5 * scale).all(), name


def _ordered(rows):
    strike, expiry, volatility = rows
    return strike, expiry, RATE, volatility


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["call", "put"])
@pytest.mark.parametrize(("expiry", "volatility"), [(0.0, 0.2), (1.0, 0.0), (0.0, 0.0), (1e-30, 0.2), (1.0, 1e-30)])
def test_limits_are_the_payoff_of_the_forward(dtype, kind, expiry, volatility):
    strike = torch.tensor([1e-3, 50.0, 100.0, 150.0, 1e6], dtype=dtype)
    found = black_scholes.price(100.0, strike, expiry, 0.0, volatility, 0.0, kind)
    sign = 1 if kind == "call" else -1
    torch.testing.assert_close(found, (sign * (100.0 - strike)).clamp(min=0))
    for name, figures in black_scholes.greeks(100.0, strike, expiry, 0.0, volatility, 0.0, kind)._asdict().items():
        assert torch.isfinite(figures).all(), name
    delta = black_scholes.greeks(100.0, strike, expiry, 0.0, volatility, 0.0, kind).delta
    sides = [1, 1, 0.5, 0, 0] if sign > 0 else [0, 0, -0.5, -1, -1]
    torch.testing.assert_close(delta, torch.tensor(sides, dtype=dtype))


def test_zero_volatility_discounts_the_forwards_payoff():
    found = black_scholes.price(100.0, 102.0, 2.0, 0.05, 0.0, 0.01)
    assert float(found) == pytest.approx(100 * math.exp(-0.02) - 102 * math.exp(-0.1), rel=1e-14)


@settings(max_examples=150, deadline=None)
@given(
    spot=st.floats(1.0, 1000.0),
    moneyness=st.floats(-2.0, 2.0),
    expiry=st.floats(1e-4, 10.0),
    rate=st.floats(-0.05, 0.2),
    volatility=st.floats(0.01, 3.0),
    dividend_yield=st.floats(0.0, 0.1),
)
def test_parity_bounds_and_monotonicity(spot, moneyness, expiry, rate, volatility, dividend_yield):
    strike = spot * math.exp(moneyness)
    rest = (expiry, rate, volatility, dividend_yield)
    call, put = (black_scholes.price(spot, strike, *rest, kind) for kind in ("call", "put"))
    ahead, discounted = spot * math.exp(-dividend_yield * expiry), strike * math.exp(-rate * expiry)
    room = 1e-12 * (spot + strike)
    assert abs(float(call - put) - (ahead - discounted)) < room
    assert max(0.0, ahead - discounted) - room <= float(call) <= ahead + room
    assert max(0.0, discounted - ahead) - room <= float(put) <= discounted + room
    assert float(black_scholes.price(spot, strike * 1.01, *rest)) <= float(call) + room
    wilder = black_scholes.price(spot, strike, expiry, rate, volatility * 1.01, dividend_yield)
    assert float(wilder) >= float(call) - room


def test_black_76_and_garman_kohlhagen_are_named_cases():
    strikes = torch.tensor([80.0, 100.0, 125.0], dtype=torch.float64)
    for kind in ("call", "put"):
        for k, ours in zip(strikes, black_scholes.black_76(100.0, strikes, 0.5, 0.04, 0.3, kind), strict=True):
            side = ql.Option.Call if kind == "call" else ql.Option.Put
            theirs = ql.blackFormula(side, float(k), 100.0, 0.3 * math.sqrt(0.5), math.exp(-0.02))
            assert float(ours) == pytest.approx(theirs, rel=1e-12)
        fx = black_scholes.garman_kohlhagen(100.0, strikes, 0.5, 0.04, 0.02, 0.3, kind)
        torch.testing.assert_close(fx, black_scholes.price(100.0, strikes, 0.5, 0.04, 0.3, 0.02, kind))


def test_digital_is_the_negative_slope_by_strike():
    strike = torch.tensor([80.0, 100.0, 125.0], dtype=torch.float64, requires_grad=True)
    for kind, sign in (("call", -1.0), ("put", 1.0)):
        value = black_scholes.price(100.0, strike, 0.5, 0.04, 0.3, 0.01, kind)
        slope = torch.autograd.grad(value.sum(), strike)[0]
        torch.testing.assert_close(black_scholes.digital(100.0, strike, 0.5, 0.04, 0.3, 0.01, kind), sign * slope)


def test_signs_mix_kinds_and_shapes_broadcast():
    strike = torch.tensor([90.0, 110.0], dtype=torch.float64)
    sign = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    mixed = black_scholes.price(100.0, strike, 1.0, 0.05, 0.2, kind=sign)
    assert mixed.shape == (2, 2)
    torch.testing.assert_close(mixed[1], black_scholes.price(100.0, strike, 1.0, 0.05, 0.2, kind="put"))


def test_a_tensors_bad_element_is_nan_and_leaves_the_others():
    found = black_scholes.price(torch.tensor([100.0, -1.0, math.nan]), 100.0, 1.0, 0.05, 0.2)
    assert torch.isnan(found).tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"spot": -1.0}, "`spot` must be at least 0, was -1.0"),
        ({"strike": -1.0}, "`strike` must be at least 0"),
        ({"expiry": -0.1}, "`expiry` must be at least 0"),
        ({"volatility": -0.1}, "`volatility` must be at least 0"),
        ({"volatility": math.nan}, "`volatility` must be finite, was nan"),
        ({"rate": math.inf}, "`rate` must be finite"),
        ({"rate": "five"}, "`rate` must be a number, was 'five'"),
        ({"kind": "straddle"}, "`kind` must be one of call, put, was 'straddle'"),
    ],
)
def test_bad_numbers_are_named(change, words):
    arguments = {"spot": 100.0, "strike": 100.0, "expiry": 1.0, "rate": 0.05, "volatility": 0.2} | change
    with pytest.raises(InputError) as caught:
        black_scholes.price(**arguments)
    assert words in str(caught.value)
