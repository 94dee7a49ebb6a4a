r"""Black-Scholes-Merton prices and Greeks of European options, batched over contracts.

With the forward's moneyness :math:`x = \ln(S/K) + (r - q)T` and the total volatility :math:`s = \sigma\sqrt T`,

.. math:: C = S e^{-qT} N(x/s + s/2) - K e^{-rT} N(x/s - s/2),

and a put by the same formula with the signs of the arguments and of the two terms turned. Both are computed
directly, never one from the other by parity, which would cancel. Times are years, volatilities yearly, rates and
yields yearly and continuously compounded.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from nautilus_metal.kernels.contracts import KINDS, Number, kind_sign, log_ratio, tensors
from nautilus_metal.kernels.gaussian import normal_cdf, normal_density
from nautilus_metal.kernels.implied_volatility import ImpliedVolatility, implied_volatility

__all__ = [
    "KINDS",
    "Greeks",
    "ImpliedVolatility",
    "black_76",
    "digital",
    "garman_kohlhagen",
    "greeks",
    "implied_volatility",
    "price",
]

_FAR = 50.0  # standard deviations at which density and tail are zero in float64: no infinity meets a zero beyond


class Greeks(NamedTuple):
    """Sensitivities of a price, each of the broadcast shape of the arguments.

    Attributes
    ----------
    delta, gamma : Tensor
        First and second derivative by the spot.
    vega : Tensor
        By the volatility, per 1.00.
    theta : Tensor
        By the passing of time, per year.
    rho : Tensor
        By the rate, per 1.00.
    vanna, volga : Tensor
        Second derivatives, by spot and volatility, and twice by the volatility.
    """

    delta: Tensor
    gamma: Tensor
    vega: Tensor
    theta: Tensor
    rho: Tensor
    vanna: Tensor
    volga: Tensor


class _Terms(NamedTuple):
    """What price and Greeks share; `sign` is +1 for a call and -1 for a put, `d1` and `d2` are turned by it."""

    spot: Tensor
    strike: Tensor
    expiry: Tensor
    rate: Tensor
    volatility: Tensor
    dividend_yield: Tensor
    sign: Tensor | float
    d1: Tensor
    d2: Tensor
    spot_value: Tensor
    strike_value: Tensor


def price(
    spot: Number,
    strike: Number,
    expiry: Number,
    rate: Number,
    volatility: Number,
    dividend_yield: Number = 0.0,
    kind: str | Tensor = "call",
) -> Tensor:
    """Price European options.

    Parameters
    ----------
    spot, strike : float or Tensor
        Price of the underlying and exercise price, not negative.
    expiry : float or Tensor
        Years to expiry, not negative; zero gives the payoff.
    rate, dividend_yield : float or Tensor
        Continuously compounded, per year.
    volatility : float or Tensor
        Per year, not negative; zero gives the discounted payoff of the forward.
    kind : {"call", "put"} or Tensor
        Of all contracts, or for each contract +1 (call) or -1 (put).

    Returns
    -------
    Tensor
        The arguments' broadcast shape, in their dtype (float64 where all are numbers). Within 1e-6 of spot plus
        strike in float32. A tensor's element outside its range gives NaN, which costs no look at the device.

    Raises
    ------
    InputError
        If a plain number is outside its range, or `kind` is unknown.

    References
    ----------
    Merton (1973), "Theory of rational option pricing", Bell Journal of Economics 4(1).

    Examples
    --------
    >>> price(100.0, torch.tensor([90.0, 110.0]), 1.0, 0.05, 0.2)
    tensor([16.6995,  6.0401])
    >>> price(100.0, 90.0, 0.0, 0.05, 0.2)
    tensor(10., dtype=torch.float64)
    """
    terms = _terms(spot, strike, expiry, rate, volatility, dividend_yield, kind)
    return _price(terms)


def greeks(
    spot: Number,
    strike: Number,
    expiry: Number,
    rate: Number,
    volatility: Number,
    dividend_yield: Number = 0.0,
    kind: str | Tensor = "call",
) -> Greeks:
    """Differentiate the price of European options.

    Parameters, shapes and errors are those of `price`.

    Returns
    -------
    Greeks
        Seven sensitivities. Where no uncertainty is left (expiry or volatility zero) they are those of the discounted
        payoff of the forward; exactly at its kink delta is the mean of its two sides and gamma is 0.

    Examples
    --------
    >>> found = greeks(100.0, 100.0, 1.0, 0.05, 0.2)
    >>> round(float(found.delta), 6), round(float(found.vega), 6)
    (0.636831, 37.524035)
    """
    return _price_and_greeks(_terms(spot, strike, expiry, rate, volatility, dividend_yield, kind))[1]


def price_and_greeks(
    spot: Number,
    strike: Number,
    expiry: Number,
    rate: Number,
    volatility: Number,
    dividend_yield: Number = 0.0,
    kind: str | Tensor = "call",
) -> tuple[Tensor, Greeks]:
    """`price` and `greeks` of the same options.

    Examples
    --------
    >>> value, found = price_and_greeks(100.0, 100.0, 1.0, 0.05, 0.2)
    >>> round(float(value), 6), round(float(found.delta), 6)
    (10.450584, 0.636831)
    """
    return _price_and_greeks(_terms(spot, strike, expiry, rate, volatility, dividend_yield, kind))


def digital(
    spot: Number,
    strike: Number,
    expiry: Number,
    rate: Number,
    volatility: Number,
    dividend_yield: Number = 0.0,
    kind: str | Tensor = "call",
) -> Tensor:
    """Price options that pay 1 at expiry where they end in the money.

    Parameters, shapes and errors are those of `price`.

    Examples
    --------
    >>> round(float(digital(100.0, 100.0, 1.0, 0.05, 0.2)), 6)
    0.532325
    """
    terms = _terms(spot, strike, expiry, rate, volatility, dividend_yield, kind)
    return (-terms.rate * terms.expiry).exp() * normal_cdf(terms.d2)


def black_76(
    forward: Number, strike: Number, expiry: Number, rate: Number, volatility: Number, kind: str | Tensor = "call"
) -> Tensor:
    """Price European options on a future, whose price carries no interest.

    Parameters, shapes and errors are those of `price`, with the future's price for the spot.

    References
    ----------
    Black (1976), "The pricing of commodity contracts", Journal of Financial Economics 3.

    Examples
    --------
    >>> round(float(black_76(100.0, 100.0, 1.0, 0.05, 0.2)), 6)
    7.577082
    """
    return price(forward, strike, expiry, rate, volatility, rate, kind)


def garman_kohlhagen(
    spot: Number,
    strike: Number,
    expiry: Number,
    domestic_rate: Number,
    foreign_rate: Number,
    volatility: Number,
    kind: str | Tensor = "call",
) -> Tensor:
    """Price European options on a currency, which earns the foreign rate.

    Parameters, shapes and errors are those of `price`; `spot` is units of domestic for one of foreign currency.

    References
    ----------
    Garman and Kohlhagen (1983), "Foreign currency option values", Journal of International Money and Finance 2.

    Examples
    --------
    >>> round(float(garman_kohlhagen(1.1, 1.1, 1.0, 0.05, 0.03, 0.1)), 6)
    0.053556
    """
    return price(spot, strike, expiry, domestic_rate, volatility, foreign_rate, kind)


def _price_and_greeks(t: _Terms) -> tuple[Tensor, Greeks]:
    root = t.expiry.sqrt()
    alive = t.volatility * root > 0
    total = torch.where(alive, t.volatility * root, 1.0)
    height, share = normal_density(t.d1), normal_cdf(t.d1)
    density = t.spot_value * height
    spot_part = t.sign * t.spot_value * share
    strike_part = t.sign * t.strike_value * normal_cdf(t.d2)
    growth = (-t.dividend_yield * t.expiry).exp()
    gamma = torch.where(alive & (t.spot > 0), density / (t.spot * t.spot * total), 0.0)
    vega = density * root
    decay = torch.where(alive, 0.5 * density * t.volatility * t.volatility / total, 0.0)
    vol = torch.where(alive, t.volatility, 1.0)
    skew = torch.where(alive, t.sign * t.d2 / vol, 0.0)
    found = Greeks(
        delta=t.sign * growth * share,
        gamma=gamma,
        vega=vega,
        theta=t.dividend_yield * spot_part - t.rate * strike_part - decay,
        rho=t.expiry * strike_part,
        vanna=-growth * height * skew,
        volga=vega * t.sign * t.d1 * skew,
    )
    return (spot_part - strike_part).clamp(min=0.0), found


def _price(t: _Terms) -> Tensor:
    return (t.sign * (t.spot_value * normal_cdf(t.d1) - t.strike_value * normal_cdf(t.d2))).clamp(min=0.0)


def _terms(
    spot: Number,
    strike: Number,
    expiry: Number,
    rate: Number,
    volatility: Number,
    dividend_yield: Number,
    kind: str | Tensor,
) -> _Terms:
    sign = kind_sign(kind)
    numbers = {"spot": spot, "strike": strike, "expiry": expiry, "rate": rate, "volatility": volatility}
    s, k, t, r, v, q = tensors(numbers | {"dividend_yield": dividend_yield})
    moneyness = log_ratio(s, k) + (r - q) * t
    total = v * t.sqrt()
    alive = total > 0
    # No uncertainty: far from the money on the forward's side, or in the middle of it.
    certain = torch.where(moneyness == 0, 0.0, torch.copysign(torch.full_like(moneyness, _FAR), moneyness))
    safe = torch.where(alive, total, 1.0)
    middle = torch.where(alive, moneyness / safe, certain)
    valid = (s >= 0) & (k >= 0) & (t >= 0) & (v >= 0)
    middle = torch.where(valid, middle, torch.nan)
    half = 0.5 * total
    d1 = sign * (middle + half).clamp(-_FAR, _FAR)
    d2 = sign * (middle - half).clamp(-_FAR, _FAR)
    return _Terms(s, k, t, r, v, q, sign, d1, d2, s * (-q * t).exp(), k * (-r * t).exp())
