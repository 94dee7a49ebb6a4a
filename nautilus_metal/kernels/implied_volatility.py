r"""Implied volatility of European options, batched, by a bracketed Householder iteration on the normalised price.

A price is turned into the out-of-the-money one and divided by :math:`e^{-rT}\sqrt{FK}`:

.. math:: b(x, s) = e^{x/2} N(x/s + s/2) - e^{-x/2} N(x/s - s/2), \quad x = -|\ln(F/K)|,

which rises from 0 to :math:`e^{x/2}` in the total volatility :math:`s` and turns from convex to concave at
:math:`\sqrt{2|x|}`. Each side gets an objective that is nearly straight there: :math:`1/\ln b` below, :math:`\ln(
e^{x/2} - b)` above.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from nautilus_metal.kernels.contracts import Number, kind_sign, log_ratio, tensors
from nautilus_metal.kernels.gaussian import normal_cdf

REASONS = {
    0: "solved",
    1: "the price is below its lower no-arbitrage bound",
    2: "the price is at or above its upper no-arbitrage bound",
    3: "the price carries no time value beyond rounding, so that every small volatility fits",
    4: "an argument is NaN or outside its range, or no time is left",
}

_STEPS = 9
_GUESS_STEPS = 3
_NEAR = 0.02  # of the turn's price
_ROUNDING = 2.0  # units in the last place of spot plus strike within which an option in the money is its intrinsic
_SMALL, _NEAR_MONEY = 0.05, 5.0  # of s / 2 and of -x / s, where the Taylor series is exact to 1e-13
_ROOT_HALF = math.sqrt(0.5)
_ROOT_TWO_PI = math.sqrt(2.0 * math.pi)


class ImpliedVolatility(NamedTuple):
    """Volatilities with the reason for each that is missing.

    Attributes
    ----------
    volatility : Tensor
        Per year; NaN where there is none.
    reason : Tensor
        int8, a key of `REASONS`: 0 where solved.
    """

    volatility: Tensor
    reason: Tensor


def implied_volatility(
    price: Number,
    spot: Number,
    strike: Number,
    expiry: Number,
    rate: Number,
    dividend_yield: Number = 0.0,
    kind: str | Tensor = "call",
) -> ImpliedVolatility:
    """Find the volatility at which the Black-Scholes-Merton formula gives a price.

    Parameters
    ----------
    price : float or Tensor
        Of the option.
    spot, strike, expiry, rate, dividend_yield, kind
        As for `black_scholes.price`.

    Returns
    -------
    ImpliedVolatility
        Volatilities and reason codes of the arguments' broadcast shape. The error is that of a price rounded in the
        arguments' dtype, divided by vega, and a few units in the last place of the volatility.

    Raises
    ------
    InputError
        If a plain number is not finite or is negative where it may not be, or `kind` is unknown.

    References
    ----------
    Jaeckel (2015), "Let's be rational", Wilmott 2015(75): the normalisation, the objectives and the steps.

    Examples
    --------
    >>> found = implied_volatility(torch.tensor([10.450584, 4.0, 101.0]), 100.0, 100.0, 1.0, 0.05)
    >>> found.volatility
    tensor([0.2000,    nan,    nan])
    >>> [REASONS[code] for code in found.reason.tolist()][1]
    'the price is below its lower no-arbitrage bound'
    """
    sign = kind_sign(kind)
    numbers = {"price": price, "spot": spot, "strike": strike, "expiry": expiry, "rate": rate}
    paid, s, k, t, r, q = torch.broadcast_tensors(*tensors(numbers | {"dividend_yield": dividend_yield}))
    spot_value, strike_value = s * (-q * t).exp(), k * (-r * t).exp()
    moneyness = log_ratio(s, k) + (r - q) * t
    # The exact difference of nearly equal values, so that an option near the money loses no digits to its intrinsic.
    distance = sign * strike_value * torch.expm1(moneyness)
    intrinsic = distance.clamp(min=0.0)
    most = spot_value if isinstance(sign, float) and sign > 0 else strike_value
    if isinstance(sign, Tensor):
        most = torch.where(sign > 0, spot_value, strike_value)
    rounding = _ROUNDING * torch.finfo(paid.dtype).eps
    time_value = paid - intrinsic
    scale = (spot_value * strike_value).sqrt()
    slack = torch.where(intrinsic > 0, rounding * (spot_value + strike_value), 0.0)
    bad = ~((s > 0) & (k > 0) & (t > 0) & torch.isfinite(paid + r + q))
    reason = torch.where(time_value <= slack, 3, 0)
    reason = torch.where(time_value < -slack, 1, reason)
    reason = torch.where(paid >= most, 2, reason)
    reason = torch.where(bad, 4, reason).to(torch.int8)
    solvable = reason == 0
    x = -torch.where(solvable, moneyness, 0.0).abs()
    beta = torch.where(solvable, time_value / scale, 0.3)
    total = _total_volatility(beta, x)
    return ImpliedVolatility(torch.where(solvable, total / t.sqrt(), torch.nan), reason)


def _total_volatility(beta: Tensor, x: Tensor) -> Tensor:
    """Solve b(x, s) = beta for s, with 0 < beta < exp(x/2) and x not above 0."""
    tiny = torch.finfo(x.dtype).tiny
    turn = (-2.0 * x).sqrt()
    most = (0.5 * x).exp()
    at_turn = torch.where(turn > 0, normalised_price(x, turn.clamp(min=tiny)), 0.0)
    lower = beta < at_turn
    low, high = torch.where(lower, 0.0, turn), torch.where(lower, turn, torch.inf)
    s = torch.where(lower, _low_guess(beta, at_turn, x, turn), _high_guess(beta, at_turn, x, turn))
    for _ in range(_STEPS):
        s = s.clamp(min=tiny)
        b = normalised_price(x, s)
        low, high = torch.where(b < beta, s, low), torch.where(b > beta, s, high)
        step = _householder(b, beta, x, s, most, lower)
        moved = s + step
        middle = torch.where(torch.isinf(high), 2.0 * s, 0.5 * (low + high))
        inside = (moved >= low) & (moved <= high)
        s = torch.where(inside, moved, torch.where(b == beta, s, middle))
    return s


def normalised_price(x: Tensor, s: Tensor) -> Tensor:
    """b(x, s) for x not above 0 and s above 0, each element by the one form of three that cancels nothing there.

    Notes
    -----
    Far out of the money the two terms are scaled complementary error functions with their exponential as a common
    factor, so that a price of 1e-200 keeps its leading digits. Near the money at little volatility their difference
    is a Taylor series. Otherwise it is the formula as it stands.
    """
    h, t = x / s, 0.5 * s
    series = (t < _SMALL) & (h > -_NEAR_MONEY)
    tail = ((h + t < 0) | (t < 1.0)) & ~series
    near = torch.where(tail, t, 0.0)
    left, right = -_ROOT_HALF * (h + near), -_ROOT_HALF * (h - near)
    scaled = torch.special.erfcx(left.clamp(min=-3.0)) - torch.special.erfcx(right)
    small = 0.5 * (-0.5 * (h * h + near * near)).exp() * scaled
    large = (0.5 * x).exp() * normal_cdf(h + t) - (-0.5 * x).exp() * normal_cdf(h - t)
    close = _series(torch.where(series, h, 0.0), torch.where(series, t, 0.0))
    return torch.where(series, close, torch.where(tail, small, large))


def _series(h: Tensor, t: Tensor) -> Tensor:
    """Y(h + t) - Y(h - t) times the density, with Y = N / N', Y' = 1 + h Y, in odd powers of t."""
    w, g = t * t, h * h
    a = 1.0 + h * (0.5 * _ROOT_TWO_PI) * torch.special.erfcx(-_ROOT_HALF * h)
    third = (3.0 * a - 1.0 + a * g) / 6.0
    fifth = (15.0 * a - 7.0 + g * (10.0 * a - 1.0 + a * g)) / 120.0
    seventh = (105.0 * a - 57.0 + g * (105.0 * a - 18.0 + g * (21.0 * a - 1.0 + a * g))) / 5040.0
    return 2.0 * t * (a + w * (third + w * (fifth + w * seventh))) * (-0.5 * (g + w)).exp() / _ROOT_TWO_PI


def _householder(b: Tensor, beta: Tensor, x: Tensor, s: Tensor, most: Tensor, lower: Tensor) -> Tensor:
    """Third-order step on each side's objective, from the first three derivatives of b."""
    h, t = x / s, 0.5 * s
    slope = (-0.5 * (h * h + t * t)).exp() / _ROOT_TWO_PI
    curve = h * h / s - 0.25 * s  # b'' / b'
    third = curve * curve - 3.0 * (h / s) ** 2 - 0.25  # b''' / b'
    log_b, log_beta = b.log(), beta.log()
    ratio = slope / b
    newton_low = (log_beta - log_b) * log_b / log_beta / ratio
    near_low = ratio * (1.0 + 2.0 / log_b)
    second_low = curve - near_low
    third_low = third + 2 * ratio * ratio * (1 + 3 / log_b * (1 + 1 / log_b)) - 3 * curve * near_low
    left, wanted = most - b, most - beta
    newton_high = ((wanted.log() - left.log()) * -left) / slope
    over = slope / left
    second_high = curve + over
    third_high = third + 2 * over * over + 3 * curve * over
    newton = torch.where(lower, newton_low, newton_high)
    second = torch.where(lower, second_low, second_high)
    third_order = torch.where(lower, third_low, third_high)
    top = 1.0 + 0.5 * second * newton
    bottom = 1.0 + newton * (second + third_order * newton / 6.0)
    step = newton * top / bottom
    return torch.where(torch.isfinite(step), step, newton)


def _low_guess(beta: Tensor, at_turn: Tensor, x: Tensor, turn: Tensor) -> Tensor:
    """The tangent at the turn, or far below it a fixed point of b = s^3 exp(-x^2 / 2 s^2) / (x^2 sqrt(2 pi))."""
    tangent = turn + (beta - at_turn) * _ROOT_TWO_PI * (-0.5 * x).exp()
    x = torch.where(x < 0, x, -1.0)
    known = -(beta * _ROOT_TWO_PI * x * x).log()
    s = tangent.clamp(min=torch.finfo(x.dtype).tiny)
    for _ in range(_GUESS_STEPS):
        exponent = known + 3.0 * s.log()
        s = torch.where(exponent > 0, torch.minimum(-x / (2.0 * exponent.clamp(min=1e-6)).sqrt(), tangent), s)
    return torch.where(beta > _NEAR * at_turn, tangent, s)


def _high_guess(beta: Tensor, at_turn: Tensor, x: Tensor, turn: Tensor) -> Tensor:
    """The tangent at the turn, or the asymptote exp(-s^2 / 8) of the distance to the bound where that is larger."""
    most = (0.5 * x).exp()
    tangent = turn + (beta - at_turn) * _ROOT_TWO_PI * (-0.5 * x).exp()
    left = ((most - beta) / (most - at_turn)).clamp(min=torch.finfo(x.dtype).tiny)
    far = (turn * turn - 8.0 * left.log()).sqrt()
    return torch.where(beta - at_turn > 0.5 * (most - at_turn), far, tangent)
