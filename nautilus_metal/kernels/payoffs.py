"""Payoffs on simulated paths, undiscounted, one value a path; continuous ones are differentiable by every price.

Barriers and extremes are monitored continuously: between two rows the logarithm is a Brownian bridge, whose chance to
cross, and whose extreme, are known (Beaglehole, Dybvig and Zhou 1997, "Going to extremes", Financial Analysts Journal
53(1)). Under Black-Scholes this is exact with a single step. Strikes, levels and signs are numbers, or tensors that
broadcast to the paths.
"""

import math

import torch
from torch import Tensor

from nautilus_metal.kernels.contracts import Number
from nautilus_metal.kernels.gaussian import normal_cdf
from nautilus_metal.kernels.paths import Paths

AVERAGES = ("arithmetic", "geometric")
BARRIERS = {"up_and_out": (1, False), "up_and_in": (1, True), "down_and_out": (-1, False), "down_and_in": (-1, True)}
LOOKBACKS = ("fixed", "floating")


def vanilla(final: Tensor, strike: Number, sign: Number) -> Tensor:
    """The positive part of price minus strike (sign +1, a call) or strike minus price (-1, a put).

    Examples
    --------
    >>> vanilla(torch.tensor([90.0, 110.0]), 100.0, 1.0)
    tensor([ 0., 10.])
    """
    return (sign * (final - strike)).clamp(min=0.0)


def digital(final: Tensor, strike: Number, sign: Number) -> Tensor:
    """One where the option ends in the money."""
    return (sign * (final - strike) > 0).to(final.dtype)


def average(paths: Paths, kind: str, every: int = 1) -> Tensor:
    """Mean of the prices at the ends of the steps, or of every so many of them, today's not among them.

    Parameters
    ----------
    paths : Paths
        Of one asset.
    kind : {"arithmetic", "geometric"}
        Of the mean.
    every : int
        Steps from one observation to the next.

    Returns
    -------
    Tensor
        Shape (paths,).
    """
    seen = paths.observed[every - 1 :: every]
    return seen.mean(0) if kind == "arithmetic" else seen.log().mean(0).exp()


def survival(paths: Paths, barrier: Number, direction: Number) -> Tensor:
    """Chance that a path with these rows never touched a barrier.

    Parameters
    ----------
    paths : Paths
        Of one asset.
    barrier : float or Tensor
        The level.
    direction : int or Tensor
        +1 for a barrier above, -1 below.

    Returns
    -------
    Tensor
        Shape (paths,), 0 where a row is beyond the barrier.
    """
    distance = direction * (_log(barrier, paths.final) - paths.spots[0].log())
    outside = distance <= 0
    kept = torch.where(outside, 1.0, distance)
    certain = paths.variances <= 0
    exponent = 2.0 * kept[:-1] * kept[1:] / torch.where(certain, 1.0, paths.variances)
    logs = torch.where(certain, 0.0, (-torch.expm1(-exponent)).log())
    return torch.where(outside.any(0), 0.0, logs.sum(0).exp())


def extreme(paths: Paths, direction: Number) -> Tensor:
    """Highest (+1) or lowest (-1) price of each path between today and expiry.

    The uniform of each interval selects the bridge's extreme: half of the sum of its ends and of
    sqrt(difference^2 - 2 variance ln U), in logarithms.
    """
    logs = direction * paths.spots[0].log()
    gap = logs[1:] - logs[:-1]
    square = gap * gap - 2.0 * paths.variances * paths.uniforms.log()
    still = square <= 0
    root = torch.where(still, 0.0, torch.where(still, 1.0, square).sqrt())
    highest = (0.5 * (logs[1:] + logs[:-1] + root)).amax(0)
    return (direction * highest).exp()


def expected_extreme(paths: Paths, direction: Number, strike: Number | None) -> Tensor:
    r"""Expectation, given a single step's ends, of the bridge's extreme, or of the strike where that is further.

    With logarithms x and y turned by the direction s, variance v and :math:`w = \max(x, y, s\ln K)`, the chance of an
    extreme beyond z is :math:`e^{-2(z-x)(z-y)/v}`, whose integral against :math:`e^{sz}` from w is normal.

    Parameters
    ----------
    paths : Paths
        Of two rows.
    direction : int or Tensor
        +1 for the highest price, -1 for the lowest.
    strike : float, Tensor or None
        The least (highest) extreme that counts.

    Returns
    -------
    Tensor
        Shape (paths,).
    """
    x, y = direction * paths.spots[0].log()
    v = paths.variances[0]
    w = torch.maximum(x, y)
    if strike is not None:
        w = torch.maximum(w, direction * _log(strike, w))
    centre = 0.5 * (x + y) + 0.25 * direction * v
    scale = (0.5 * (x - y) ** 2 / v + 0.5 * direction * (x + y) + 0.125 * v).exp() * (0.5 * math.pi * v).sqrt()
    beyond = scale * normal_cdf(2.0 * (centre - w) / v.sqrt())
    return (direction * w).exp() + direction * beyond


def lookback(paths: Paths, kind: str, strike: Number, sign: Number) -> Tensor:
    """Payoff by the extreme: against the strike ("fixed") or against the last price ("floating")."""
    direction = sign if kind == "fixed" else -sign
    if len(paths.variances) > 1:
        reached = extreme(paths, direction)
        return vanilla(reached, strike, sign) if kind == "fixed" else sign * (paths.final[0] - reached)
    if kind == "fixed":
        return sign * (expected_extreme(paths, direction, strike) - strike)
    return sign * (paths.final[0] - expected_extreme(paths, direction, None))


def lookback_curvature(paths: Paths, kind: str, strike: Number, sign: Number) -> Tensor:
    r"""Second derivative of a lookback's expected payoff by today's price, on each path.

    Prices are today's times a path that does not depend on it, so that the payoff's expectation is homogeneous in
    price and strike together: floating lookbacks are proportional to today's price, and of the fixed ones
    :math:`S^2 V_{SS} = K^2 V_{KK}`, where :math:`V_{KK}` is the extreme's density at the strike: the derivative of
    the chance that the path, given its rows, stays within the strike.

    Returns
    -------
    Tensor
        Shape (paths,). A jump in the last row leaves out its own part, of the order of the scheme's error.
    """
    if kind == "floating":
        return torch.zeros_like(paths.final[0])
    fixed = paths._replace(spots=paths.spots.detach(), variances=paths.variances.detach())
    with torch.enable_grad():
        level = torch.zeros_like(fixed.final[0]).add(strike).requires_grad_()
        (slope,) = torch.autograd.grad(survival(fixed, level, sign).sum(), level)
    return sign * slope * (level.detach() / fixed.spots[0, 0]) ** 2


def _log(level: Number, like: Tensor) -> Tensor:
    return torch.as_tensor(level, dtype=like.dtype, device=like.device).log()
