"""American and Bermudan options on paths: Longstaff and Schwartz's regression, and what its policy pays."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from nautilus_metal.kernels import black_scholes
from nautilus_metal.kernels.paths import Paths, elapsed
from nautilus_metal.kernels.payoffs import vanilla

DEGREE = 4
POINTS_A_TERM = 20
RIDGE = 1e-12
DEPTH, BINS = 6.0, 4096  # deviations at expiry by which a price is in the money: the most, and steps of a boundary


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
        depth = (sign * (price / strike).log() / scale).clamp(0.0, DEPTH)
        if european is None:
            base = torch.zeros_like(price)
            waiting = _regressed(depth, cash[inside])
        else:
            base = european(price, expiry * (1 - date / dates))
            waiting = base + _regressed(depth, (cash - held)[inside])
        edge = _edge(depth, exercise - waiting)
        boundary[date - 1] = strike * math.exp(sign * scale * edge) if math.isfinite(edge) else sign * math.inf
        stop = depth >= edge
        cash[inside[stop]] = exercise[stop]
        held[inside[stop]] = base[stop]
    return Policy(boundary, stride, float(cash.mean()) * discount)


def _regressed(depth: Tensor, target: Tensor) -> Tensor:
    """Polynomial regression; few points give a lower degree."""
    degree = min(DEGREE, len(depth) // POINTS_A_TERM)
    if degree < 1:
        return torch.full_like(target, torch.inf)
    basis = torch.stack([depth**power for power in range(degree + 1)])
    root = (basis * basis).mean(1).sqrt().clamp(min=1e-12)
    scaled = basis / root.unsqueeze(1)
    matrix = scaled @ scaled.T + RIDGE * len(depth) * torch.eye(degree + 1, dtype=basis.dtype)
    return torch.linalg.solve(matrix, scaled @ target) @ scaled


def _edge(depth: Tensor, gain: Tensor) -> float:
    """The depth that collects most gain from the paths beyond it, infinite where never to exercise is better."""
    if not len(depth) or not bool(torch.isfinite(gain).all()):
        return math.inf
    bins = (depth * (BINS / DEPTH)).long().clamp(max=BINS - 1)
    collected = torch.zeros(BINS, dtype=gain.dtype).index_add_(0, bins, gain).flip(0).cumsum(0)
    best = int(collected.argmax())
    return (BINS - 1 - best) * (DEPTH / BINS) if float(collected[best]) > 0 else math.inf


def stopping_dates(paths: Paths, policy: Policy, sign: float) -> Tensor:
    """Index of the date on which each path is exercised or expires, of the shape of one row of the paths."""
    spots = paths.spots[0, policy.stride :: policy.stride].detach()
    boundary = policy.boundary.to(dtype=spots.dtype).to(spots.device).reshape(-1, *[1] * (spots.dim() - 1))
    stop = sign * (spots - boundary) >= 0
    stop[-1] = True
    return stop.to(torch.int8).argmax(0)


def stopped_value(
    paths: Paths, policy: Policy, strike: float, sign: float, rate: Tensor, expiry: Tensor, scheduled: bool = False
) -> Tensor:
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
    scheduled : bool
        Whether the dates are fixed, or move with the expiry (see `paths`).

    Returns
    -------
    Tensor
        Shape (paths,).
    """
    first = stopping_dates(paths, policy, sign)
    price = paths.spots[0, policy.stride :: policy.stride].gather(0, first.unsqueeze(0))[0]
    time = elapsed(expiry, (first + 1).to(rate.dtype) / len(policy.boundary), scheduled)
    return (-rate * time).exp() * vanilla(price, strike, sign)


def stopped_european(
    paths: Paths,
    policy: Policy,
    strike: float,
    sign: float,
    rate: Tensor,
    expiry: Tensor,
    dividend_yield: float,
    scheduled: bool = False,
) -> Tensor:
    """Discounted Black-Scholes price of the European option where the policy stops each path.

    Its expectation is the European price today, whatever the policy; parameters are those of `stopped_value`.
    """
    first = stopping_dates(paths, policy, sign)
    row = policy.stride * (first + 1).unsqueeze(0)
    price = paths.spots[0].gather(0, row)[0]
    time = elapsed(expiry, (first + 1).to(rate.dtype) / len(policy.boundary), scheduled)
    spent = torch.cat([torch.zeros_like(paths.variances[:1]), paths.variances.cumsum(0)])
    variance = (spent[-1] - spent.gather(0, row)[0]).clamp(min=1e-10)
    left = (expiry - time).clamp(min=1e-6)
    kind = "call" if sign > 0 else "put"
    value = black_scholes.price(price, strike, left, rate, (variance / left).sqrt(), dividend_yield, kind)
    return (-rate * time).exp() * value
