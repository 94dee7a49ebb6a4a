"""American and Bermudan options: Longstaff and Schwartz's regression on paths, and a batched binomial lattice."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from nautilus_metal.errors import InputError
from nautilus_metal.kernels import black_scholes
from nautilus_metal.kernels.contracts import Number, kind_sign, tensors
from nautilus_metal.kernels.paths import Paths
from nautilus_metal.kernels.payoffs import vanilla

_DEGREE = 4
_LEAST_STEPS = 16  # the coarsest lattice still has the levels that the Greeks are read from
_POINTS_A_TERM = 20
_RIDGE = 1e-12


class Policy(NamedTuple):
    """When to exercise: at the first date on which the price has passed that date's boundary.

    Attributes
    ----------
    boundary : Tensor
        Price at or beyond which (below for a put, above for a call) the option is exercised, shape (dates,), float64
        on the CPU; the last one is the strike.
    stride : int
        Rows of the paths between two dates.
    continuation : float
        In-sample value of not exercising today.
    """

    boundary: Tensor
    stride: int
    continuation: float


def train_policy(
    paths: Paths,
    dates: int,
    strike: float,
    sign: float,
    rate: float,
    expiry: float,
    scale: float,
    european: Callable[[Tensor, float], Tensor] | None = None,
) -> Policy:
    """Fit the exercise boundary backwards on training paths.

    At each date the value of waiting is regressed on powers of the log-moneyness of the paths in the money, and the
    boundary is where exercising beats it. Where the European price is known, only the premium over it is
    regressed, path by path against the European option where the path stops, which takes most of the noise out.

    Parameters
    ----------
    paths : Paths
        Of one asset in float64; rows after the first are a multiple of `dates`.
    dates : int
        Exercise dates at equal distances, the last at expiry; today is not among them.
    strike, sign : float
        Of the option.
    rate, expiry : float
        Per year, and years.
    scale : float
        Standard deviation of the log price at expiry, above 0.
    european : callable, optional
        Price of the European option from (prices, years left).

    Returns
    -------
    Policy
        To be used on other paths: the value found there is a lower bound.

    References
    ----------
    Longstaff and Schwartz (2001), "Valuing American options by simulation: a simple least-squares approach",
    Review of Financial Studies 14(1).
    """
    spots = paths.spots[0].detach()
    stride = (spots.shape[0] - 1) // dates
    discount = math.exp(-rate * expiry / dates)
    cash = vanilla(spots[-1], strike, sign)
    held = cash.clone()  # the European option at the path's stopping date: a martingale
    boundary = torch.full((dates,), strike, dtype=torch.float64)
    for date in range(dates - 1, 0, -1):
        cash *= discount
        held *= discount
        inside = torch.nonzero(sign * (spots[date * stride] - strike) > 0).squeeze(1)
        price = spots[date * stride][inside]
        exercise = sign * (price - strike)
        if european is None:
            base = torch.zeros_like(price)
            waiting = _regressed(price, cash[inside], strike, scale)
        else:
            base = european(price, expiry * (1 - date / dates))
            waiting = base + _regressed(price, (cash - held)[inside], strike, scale)
        boundary[date - 1] = _boundary(price, exercise - waiting, sign)
        stop = sign * (price - boundary[date - 1]) >= 0
        cash[inside[stop]] = exercise[stop]
        held[inside[stop]] = base[stop]
    return Policy(boundary, stride, float(cash.mean()) * discount)


def _regressed(price: Tensor, target: Tensor, strike: float, scale: float) -> Tensor:
    """Polynomial regression; few points give a lower degree."""
    degree = min(_DEGREE, len(price) // _POINTS_A_TERM)
    if degree < 1:
        return torch.full_like(target, torch.inf)
    x = ((price / strike).log() / scale).clamp(-6.0, 6.0)
    basis = torch.stack([x**power for power in range(degree + 1)])
    root = (basis * basis).mean(1).sqrt().clamp(min=1e-12)
    scaled = basis / root.unsqueeze(1)
    matrix = scaled @ scaled.T + _RIDGE * len(price) * torch.eye(degree + 1, dtype=basis.dtype)
    return torch.linalg.solve(matrix, scaled @ target) @ scaled


def _boundary(price: Tensor, gain: Tensor, sign: float) -> float:
    """The boundary that collects most gain from the paths beyond it; never to exercise collects none."""
    if not len(price) or not bool(torch.isfinite(gain).all()):
        return sign * math.inf
    deepest_first = price.argsort(descending=sign > 0)
    collected = gain[deepest_first].cumsum(0)
    best = int(collected.argmax())
    return float(price[deepest_first[best]]) if float(collected[best]) > 0 else sign * math.inf


def stopping_dates(paths: Paths, policy: Policy, sign: float) -> Tensor:
    """Index of the date on which each path is exercised or expires, shape (paths,)."""
    spots = paths.spots[0, policy.stride :: policy.stride].detach()
    boundary = policy.boundary.to(dtype=spots.dtype).to(spots.device).unsqueeze(1)
    stop = sign * (spots - boundary) >= 0
    stop[-1] = True
    return stop.to(torch.int8).argmax(0)


def stopped_value(paths: Paths, policy: Policy, strike: float, sign: float, rate: Tensor, expiry: Tensor) -> Tensor:
    """Discounted payoff of each path at the date where the policy stops it, differentiable by its prices.

    Parameters
    ----------
    paths : Paths
        Independent of those that trained the policy.
    policy : Policy
        From `train_policy`.
    strike, sign : float
        Of the option.
    rate, expiry : Tensor
        Shape (paths,).

    Returns
    -------
    Tensor
        Shape (paths,).
    """
    first = stopping_dates(paths, policy, sign)
    price = paths.spots[0, policy.stride :: policy.stride].gather(0, first.unsqueeze(0))[0]
    time = (first + 1).to(rate.dtype) / len(policy.boundary)
    return (-rate * time * expiry).exp() * vanilla(price, strike, sign)


def stopped_european(
    paths: Paths, policy: Policy, strike: float, sign: float, rate: Tensor, expiry: Tensor, dividend_yield: float
) -> Tensor:
    """Discounted Black-Scholes price of the European option where the policy stops each path.

    Its expectation is the European price today, whatever the policy; parameters are those of `stopped_value`.
    """
    first = stopping_dates(paths, policy, sign)
    row = policy.stride * (first + 1).unsqueeze(0)
    price = paths.spots[0].gather(0, row)[0]
    time = (first + 1).to(rate.dtype) / len(policy.boundary)
    spent = torch.cat([torch.zeros_like(paths.variances[:1]), paths.variances.cumsum(0)])
    variance = (spent[-1] - spent.gather(0, row)[0]).clamp(min=1e-10)
    left = ((1.0 - time) * expiry).clamp(min=1e-6)
    kind = "call" if sign > 0 else "put"
    value = black_scholes.price(price, strike, left, rate, (variance / left).sqrt(), dividend_yield, kind)
    return (-rate * time * expiry).exp() * value


class LatticeFigures(NamedTuple):
    """Prices and Greeks from the lattice, each of the arguments' broadcast shape.

    Attributes
    ----------
    price, delta, gamma, theta : Tensor
        As in `black_scholes.Greeks`.
    error : Tensor
        Estimate of the price's discretisation error: what the extrapolation, or doubling the steps, moved it by.
    """

    price: Tensor
    delta: Tensor
    gamma: Tensor
    theta: Tensor
    error: Tensor


def lattice(
    spot: Number,
    strike: Number,
    expiry: Number,
    rate: Number,
    volatility: Number,
    dividend_yield: Number = 0.0,
    kind: str | Tensor = "call",
    steps: int = 200,
    dates: int | None = None,
) -> LatticeFigures:
    """Price American or Bermudan options on a binomial lattice, batched over contracts.

    The step before expiry holds Black-Scholes prices, which makes the error smooth in the number of steps, and two
    lattices, of `steps` and half of them, are extrapolated; a third one, of a quarter, tells the error. Up and down
    are equally likely and the forward is exact, so that no volatility is too low for the rate.

    Parameters
    ----------
    spot, strike, expiry, rate, volatility, dividend_yield, kind
        As for `black_scholes.price`.
    steps : int, default 200
        Of the finest lattice; rounded up to a multiple of four times the dates, or of four.
    dates : int, optional
        Exercise dates at equal distances, the last at expiry, today not among them; any time if not given.

    Returns
    -------
    LatticeFigures
        In the arguments' dtype; use float64 where the device has it.

    Raises
    ------
    InputError
        As for `black_scholes.price`; or if `steps` is below 16 or `dates` below 1.

    References
    ----------
    Broadie and Detemple (1996), "American option valuation: new bounds, approximations, and a comparison of existing
    methods", Review of Financial Studies 9(4): the method BBSR.

    Examples
    --------
    >>> found = lattice(100.0, torch.tensor([90.0, 110.0], dtype=torch.float64), 1.0, 0.05, 0.2, kind="put")
    >>> found.price
    tensor([ 2.4725, 11.9744], dtype=torch.float64)
    """
    if steps < _LEAST_STEPS:
        raise InputError(f"`steps` must be at least {_LEAST_STEPS}, was {steps}")
    if dates is not None and dates < 1:
        raise InputError(f"`dates` must be at least 1, was {dates}")
    unit = 4 * (dates or 1)
    steps = -(-steps // unit) * unit
    numbers = {"spot": spot, "strike": strike, "expiry": expiry, "rate": rate, "volatility": volatility}
    arguments = torch.broadcast_tensors(*tensors(numbers | {"dividend_yield": dividend_yield}))
    sign = kind_sign(kind)
    rough, coarse, fine = (_roll(arguments, sign, steps // part, dates) for part in (4, 2, 1))
    price, delta, gamma, theta = (2 * f - c for f, c in zip(fine, coarse, strict=True))
    before = 2 * coarse[0] - rough[0]
    error = torch.maximum((price - before).abs(), (price - fine[0]).abs())
    if dates is None:
        price = torch.maximum(price, (sign * (arguments[0] - arguments[1])).clamp(min=0))
    return LatticeFigures(price, delta, gamma, theta, error)


def _roll(arguments: tuple[Tensor, ...], sign: float | Tensor, steps: int, dates: int | None) -> tuple[Tensor, ...]:
    spot, strike, expiry, rate, volatility, dividend_yield = (x.unsqueeze(-1) for x in arguments)
    sign = sign.unsqueeze(-1) if isinstance(sign, Tensor) and sign.dim() else sign
    step = expiry / steps
    jump = volatility * step.sqrt()
    drift = (rate - dividend_yield) * step - (torch.cosh(jump)).log()
    every = 1 if dates is None else steps // dates
    ups = torch.arange(-steps, steps + 1, dtype=spot.dtype, device=spot.device)
    reach = spot * (jump * ups).exp()
    discount = 0.5 * (-rate * step).exp()

    def at(level: int) -> Tensor:
        return reach[..., steps - level : steps + level + 1 : 2] * (drift * level).exp()

    last = steps - 1
    value = black_scholes.price(at(last), strike, step, rate, volatility, dividend_yield, sign_tensor(sign, spot))
    if last % every == 0:
        value = torch.maximum(value, sign * (at(last) - strike))
    kept: dict[int, Tensor] = {}
    for level in range(last - 1, -1, -1):
        value = discount * (value[..., 1:] + value[..., :-1])
        if level % every == 0 and (level > 0 or dates is None):
            value = torch.maximum(value, sign * (at(level) - strike))
        if level <= 2:
            kept[level] = value
    return _node_figures(kept, at(2), at(1), arguments, 2 * step.squeeze(-1))


def sign_tensor(sign: float | Tensor, like: Tensor) -> Tensor:
    """A sign as a tensor of the dtype and device of another."""
    return sign.to(like) if isinstance(sign, Tensor) else torch.full_like(like, sign)


def _node_figures(
    kept: dict[int, Tensor], s2: Tensor, s1: Tensor, arguments: tuple[Tensor, ...], ahead: Tensor
) -> tuple[Tensor, ...]:
    """Differences between the nodes of the first two levels, carried back to today by Taylor's rule."""
    spot = arguments[0]
    price, second = kept[0][..., 0], kept[2]
    low, middle, high = s2.unbind(-1)
    down, up = (second[..., 1] - second[..., 0]) / (middle - low), (second[..., 2] - second[..., 1]) / (high - middle)
    gamma = 2.0 * (up - down) / (high - low)
    delta = (kept[1][..., 1] - kept[1][..., 0]) / (s1[..., 1] - s1[..., 0])
    delta = delta + gamma * (spot - 0.5 * (s1[..., 1] + s1[..., 0]))
    slope = 0.5 * (down + up) + gamma * (middle - 0.25 * (low + 2.0 * middle + high))
    shifted = second[..., 1] + slope * (spot - middle) + 0.5 * gamma * (spot - middle) ** 2
    return price, delta, gamma, (shifted - price) / ahead
