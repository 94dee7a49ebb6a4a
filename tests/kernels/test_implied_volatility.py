"""Implied volatility: recovery wherever vega allows, and reasons where there is none."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus_metal.errors import InputError
from nautilus_metal.kernels import black_scholes
from nautilus_metal.kernels.implied_volatility import REASONS, normalised_price

GOALS = {torch.float64: 1e-8, torch.float32: 1e-5}


def contracts(dtype, count=40_000):
    draw = torch.Generator().manual_seed(3)
    uniform = torch.rand((4, count), generator=draw, dtype=torch.float64)
    expiry = (uniform[0] * math.log(10 * 8766)).exp() / 8766  # an hour to ten years
    volatility = (uniform[1] * math.log(300)).exp() / 100  # 1% to 300%
    spread = (volatility * expiry.sqrt()).clamp(min=1e-4)
    strike = 100 * ((uniform[2] * 2 - 1) * 4 * spread).clamp(-3, 3).exp()
    sign = torch.where(uniform[3] < 0.5, 1.0, -1.0)
    return strike.to(dtype), expiry.to(dtype), volatility.to(dtype), sign.to(dtype)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_recovers_the_volatility_wherever_vega_allows(engine, dtype):
    if engine.device.type == "mps" and dtype == torch.float64:
        pytest.skip("mps has no float64")
    strike, expiry, volatility, sign = contracts(dtype)
    exact = [row.double() for row in (strike, expiry, volatility, sign)]
    paid = black_scholes.price(100.0, exact[0], exact[1], 0.03, exact[2], 0.01, exact[3])
    vega = black_scholes.greeks(100.0, exact[0], exact[1], 0.03, exact[2], 0.01).vega
    rounding = 8 * torch.finfo(dtype).eps * (paid + (100 - exact[0]).abs() + 100 * exact[1] * 0.04) / vega
    allowed = GOALS[dtype] + 8 * torch.finfo(dtype).eps * exact[2]
    easy = rounding < 0.25 * GOALS[dtype]
    assert easy.double().mean() > (0.6 if dtype == torch.float64 else 0.2)
    arguments = [engine.upload(row, dtype) for row in (paid, strike, expiry, sign)]
    found = black_scholes.implied_volatility(arguments[0], 100.0, *arguments[1:3], 0.03, 0.01, arguments[3])
    error = torch.from_numpy(engine.download(found.volatility)) - exact[2]
    assert not found.reason.cpu()[easy].any()
    assert (error.abs() <= allowed + rounding)[easy].all()
    solved = found.reason.cpu() == 0
    tolerable = (error.abs() <= allowed + 2 * rounding) | (rounding > 0.01 * exact[2])
    assert tolerable[solved].all()
    assert solved.equal(~torch.isnan(found.volatility.cpu()))


@settings(max_examples=200, deadline=None)
@given(
    moneyness=st.floats(-1.0, 1.0),
    expiry=st.floats(0.01, 5.0),
    volatility=st.floats(0.05, 2.0),
    rate=st.floats(-0.02, 0.1),
    kind=st.sampled_from(["call", "put"]),
)
def test_price_of_the_implied_volatility_is_the_price(moneyness, expiry, volatility, rate, kind):
    strike = 50.0 * math.exp(moneyness)
    paid = black_scholes.price(50.0, strike, expiry, rate, volatility, 0.0, kind)
    found = black_scholes.implied_volatility(paid, 50.0, strike, expiry, rate, 0.0, kind)
    if int(found.reason) == 0:
        again = black_scholes.price(50.0, strike, expiry, rate, found.volatility, 0.0, kind)
        assert float(again) == pytest.approx(float(paid), rel=1e-11, abs=1e-13)
    else:
        assert int(found.reason) == 3


def test_prices_of_one_in_a_googol_invert():
    x = torch.tensor([-1.0, -0.01, -3.0], dtype=torch.float64)
    s = torch.tensor([0.05, 0.0005, 0.2], dtype=torch.float64)
    beta = normalised_price(x, s)
    assert (beta > 0).all()
    assert (beta < 1e-50).all()
    strike = 100.0 * (-x).exp()
    paid = beta * (100.0 * strike).sqrt()
    found = black_scholes.implied_volatility(paid, 100.0, strike, 1.0, 0.0)
    torch.testing.assert_close(found.volatility, s, rtol=1e-10, atol=0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, 0),
        ({"price": 4.0}, 1),
        ({"price": -1.0}, 1),
        ({"price": 100.0}, 2),
        ({"price": 1000.0}, 2),
        ({"price": 100.0 - 100.0 * math.exp(-0.05)}, 3),
        ({"price": 0.0, "strike": 1000.0}, 3),
        ({"price": math.nan}, 4),
        ({"expiry": 0.0}, 4),
        ({"spot": 0.0}, 4),
        ({"price": 96.0, "kind": "put"}, 2),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_each_reason(change, reason, dtype):
    row = {"price": 10.0, "spot": 100.0, "strike": 100.0, "expiry": 1.0} | change
    kind = row.pop("kind", "call")
    found = black_scholes.implied_volatility(
        **{name: torch.tensor([value], dtype=dtype) for name, value in row.items()}, rate=0.05, kind=kind
    )
    assert int(found.reason) == reason, REASONS[int(found.reason)]
    assert bool(torch.isnan(found.volatility)) == (reason != 0)


def test_unknown_kind_is_named():
    with pytest.raises(InputError, match="`kind` must be one of call, put"):
        black_scholes.implied_volatility(10.0, 100.0, 100.0, 1.0, 0.05, kind="both")
