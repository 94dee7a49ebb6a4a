"""Figures by formulas are those that gradients give."""

from functools import partial

import pytest
import torch

from nautilus_metal.kernels import closed_forms
from nautilus_metal.kernels.closed_forms import Inputs
from nautilus_metal.kernels.path_greeks import (
    exact_figures,
    forward_figures,
    geometric_asian_figures,
    vanilla_figures,
)
from nautilus_metal.kernels.paths import elapsed


def inputs(assets, contracts=5):
    generator = torch.Generator().manual_seed(1)
    spot, volatility, dividend, rate, expiry = (
        low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64)
        for low, high, shape in (
            (80.0, 120.0, (assets, contracts)), (0.1, 0.6, (assets, contracts)), (0.0, 0.08, (assets, contracts)),
            (-0.02, 0.09, (contracts,)), (0.05, 3.0, (contracts,)),
        )
    )  # fmt: skip
    return Inputs(spot, volatility, rate, expiry, dividend)


@pytest.mark.parametrize("assets", [1, 3])
@pytest.mark.parametrize("each", [True, False])
def test_forward(assets, each):
    x = inputs(assets)
    weights = torch.linspace(-0.4, 1.1, assets * 5 if each else assets, dtype=torch.float64).reshape(assets, -1)
    expected = exact_figures(x, partial(closed_forms.forward, weights=weights))
    torch.testing.assert_close(forward_figures(x, weights), expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_vanilla(sign):
    x, strike, signs = inputs(1), torch.linspace(85.0, 115.0, 5, dtype=torch.float64), torch.full((5,), sign).double()
    expected = exact_figures(x, partial(closed_forms.vanilla, strike=strike, sign=signs))
    torch.testing.assert_close(vanilla_figures(x, strike, signs), expected, rtol=1e-11, atol=1e-11)


def geometric_asian(x, strike, sign, observations):
    n = observations
    drift = x.rate - x.dividend_yield[0] - 0.5 * x.volatility[0] ** 2
    mean = x.spot[0].log() + drift * elapsed(x.expiry, (n + 1) / (2 * n), scheduled=True)
    variance = x.volatility[0] ** 2 * elapsed(x.expiry, (n + 1) * (2 * n + 1) / (6 * n * n), scheduled=True)
    return closed_forms.lognormal(mean, variance, strike, x.rate, x.expiry, sign)


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("observations", [1, 12, 252])
def test_geometric_asian(sign, observations):
    x, strike, signs = inputs(1), torch.linspace(85.0, 115.0, 5, dtype=torch.float64), torch.full((5,), sign).double()
    terms = {"strike": strike, "sign": signs, "observations": observations}
    expected = exact_figures(x, partial(geometric_asian, **terms))
    torch.testing.assert_close(geometric_asian_figures(x, **terms), expected, rtol=1e-10, atol=1e-10)


def test_geometric_asian_without_uncertainty():
    x = inputs(1)
    x = x._replace(volatility=torch.zeros_like(x.volatility))
    strike, sign = 0.9 * x.spot[0], torch.ones(5, dtype=torch.float64)
    price, delta, gamma, vega, theta, rho = geometric_asian_figures(x, strike, sign, 4)
    discount, carry = (-x.rate * x.expiry).exp(), x.rate - x.dividend_yield[0]
    forward = x.spot[0] * (carry * x.expiry * 0.625).exp()
    torch.testing.assert_close(price, discount * (forward - strike))
    torch.testing.assert_close(delta, discount * forward / x.spot[0])
    torch.testing.assert_close(theta, discount * (x.rate * (forward - strike) - carry * forward))
    torch.testing.assert_close(rho, discount * x.expiry * (0.625 * forward - (forward - strike)))
    assert not gamma.any()
    assert not vega.any()
