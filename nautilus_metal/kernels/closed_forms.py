r"""Closed forms under Black-Scholes and Merton, differentiable, that serve as control variates and references.

Each is a function of spots and volatilities, shape (assets, contracts), and of rates and expiries, shape
(contracts,); one contract may leave that axis out. Strikes and signs (+1 for a call, -1 for a put) are numbers, or
tensors of shape (contracts,).
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from nautilus_metal.kernels import black_scholes
from nautilus_metal.kernels.contracts import Number


class Inputs(NamedTuple):
    """Tensors that a closed form may be differentiated by, and the dividend yields, of the spots' shape."""

    spot: Tensor
    volatility: Tensor
    rate: Tensor
    expiry: Tensor
    dividend_yield: Tensor


def lognormal(mean: Tensor, variance: Tensor, strike: Number, rate: Tensor, expiry: Tensor, sign: Number) -> Tensor:
    """Price of a European option on a price whose logarithm is normal with this mean and variance at expiry."""
    forward = (mean + 0.5 * variance).exp()
    return black_scholes.price(forward, strike, expiry, rate, (variance / expiry).sqrt(), rate, signed(sign, mean))


def vanilla(x: Inputs, strike: Number, sign: Number) -> Tensor:
    """European option on the first asset."""
    return black_scholes.price(
        x.spot[0], strike, x.expiry, x.rate, x.volatility[0], x.dividend_yield[0], signed(sign, x.expiry)
    )


def forward(x: Inputs, weights: Tensor) -> Tensor:
    """Present value of a weighted sum of prices at expiry."""
    return (weights * x.spot * (-x.dividend_yield * x.expiry).exp()).sum(0)


def geometric_basket(
    x: Inputs, strike: Number, sign: Number, powers: Tensor, scale: Number, correlation: Tensor
) -> Tensor:
    """Option on `scale` times the product of the prices raised to `powers`."""
    drift = x.rate - x.dividend_yield - 0.5 * x.volatility**2
    mean = torch.as_tensor(scale).log() + (powers * (x.spot.log() + drift * x.expiry)).sum(0)
    weighted = powers * x.volatility
    variance = (weighted * (correlation @ weighted)).sum(0) * x.expiry
    return lognormal(mean, variance, strike, x.rate, x.expiry, sign)


def exchange(x: Inputs, sign: Number, correlation: float) -> Tensor:
    """Right to receive the first asset for the second (sign +1) or the second for the first (-1).

    References
    ----------
    Margrabe (1978), "The value of an option to exchange one asset for another", Journal of Finance 33(1).
    """
    variance = x.volatility[0] ** 2 + x.volatility[1] ** 2 - 2 * correlation * x.volatility[0] * x.volatility[1]
    volatility = variance.clamp(min=1e-16).sqrt()
    first, second = x.spot * (-x.dividend_yield * x.expiry).exp()
    zero = torch.zeros_like(x.expiry)
    return black_scholes.price(first, second, x.expiry, zero, volatility, zero, signed(sign, x.expiry))


def merton(
    x: Inputs, strike: Number, sign: Number, intensity: float, jump_mean: float, jump_std: float
) -> Tensor:
    """European option under normal jumps of the logarithm: Black-Scholes prices weighted by the number of jumps.

    References
    ----------
    Merton (1976), "Option pricing when underlying stock returns are discontinuous", Journal of Financial Economics 3.

    Examples
    --------
    >>> one = torch.ones(1, dtype=torch.float64)
    >>> x = Inputs(100 * one, 0.2 * one, 0.05 * one[0], one[0], 0 * one)
    >>> round(float(merton(x, 100.0, 1.0, 0.0, -0.1, 0.2)), 6)
    10.450584
    """
    growth = math.expm1(jump_mean + 0.5 * jump_std**2)
    expected = intensity * float(x.expiry.detach().max())
    terms = int(expected + 12 * math.sqrt(expected) + 20)
    k = torch.arange(terms, dtype=x.spot.dtype).reshape(-1, *[1] * x.expiry.dim())
    mean = (intensity * x.expiry).clamp(min=1e-300)
    chance = (k * mean.log() - mean - torch.lgamma(k + 1)).exp()
    ahead = (k * (jump_mean + 0.5 * jump_std**2) - intensity * growth * x.expiry).exp()
    volatility = (x.volatility[0] ** 2 + k * jump_std**2 / x.expiry).sqrt()
    prices = black_scholes.price(
        x.spot[0] * ahead, strike, x.expiry, x.rate, volatility, x.dividend_yield[0], signed(sign, x.expiry)
    )
    return (chance * prices).sum(0)


def signed(sign: Number, like: Tensor) -> Tensor:
    """A sign as a tensor beside others."""
    return torch.as_tensor(sign, dtype=like.dtype, device=like.device)
