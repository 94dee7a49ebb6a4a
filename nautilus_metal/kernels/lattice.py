"""American and Bermudan options on a binomial lattice, batched over contracts."""

from typing import NamedTuple

import torch
from torch import Tensor

from nautilus_metal.errors import InputError
from nautilus_metal.kernels import black_scholes
from nautilus_metal.kernels.contracts import Number, kind_sign, tensors

_LEAST_STEPS = 16  # the coarsest lattice still has the levels that the Greeks are read from
_CPU_NODES, _DEVICE_NODES = 2**16, 2**22  # of a level in one pass: near a cache, or enough to fill a GPU


class LatticeFigures(NamedTuple):
    """Prices and Greeks from the lattice, each of the arguments' broadcast shape.

    Attributes
    ----------
    price, delta, gamma, vega, theta, rho : Tensor
        As in `black_scholes.Greeks`.
    error : Tensor
        Estimate of the price's discretisation error: what the extrapolation, or doubling the steps, moved it by.
    """

    price: Tensor
    delta: Tensor
    gamma: Tensor
    vega: Tensor
    theta: Tensor
    rho: Tensor
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
    are equally likely and the forward is exact, so that no volatility is too low for the rate. Vega and rho are
    differentiated forwards through the lattice. A large batch is worked off in parts, so that its memory is that of
    the arguments.

    Parameters
    ----------
    spot, strike, expiry, rate, volatility, dividend_yield, kind
        As for `black_scholes.price`; the Greeks take an expiry and a volatility above 0.
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
    given = tensors(numbers | {"dividend_yield": dividend_yield})
    sign = kind_sign(kind)
    *arguments, signs = torch.broadcast_tensors(*given, torch.as_tensor(sign).to(given[0]))
    nodes = _CPU_NODES if signs.device.type == "cpu" else _DEVICE_NODES
    parts = zip(*(x.reshape(-1).split(max(1, nodes // steps)) for x in (*arguments, signs)), strict=True)
    found = zip(*(_part(part, steps, dates) for part in parts), strict=True)
    return LatticeFigures(*(torch.cat(figure).reshape(signs.shape) for figure in found))


def _part(arguments: tuple[Tensor, ...], steps: int, dates: int | None) -> LatticeFigures:
    """Figures of a batch of shape (contracts,), extrapolated."""
    rough, coarse, fine = (_roll(_Market(*arguments), steps // part, dates) for part in (4, 2, 1))
    price, delta, gamma, vega, theta, rho = (2 * f - c for f, c in zip(fine, coarse, strict=True))
    before = 2 * coarse[0] - rough[0]
    error = torch.maximum((price - before).abs(), (price - fine[0]).abs())
    if dates is None:
        spot, strike, sign = arguments[0], arguments[1], arguments[-1]
        price = torch.maximum(price, (sign * (spot - strike)).clamp(min=0))
    return LatticeFigures(price, delta, gamma, vega, theta, rho, error)


class _Market(NamedTuple):
    """The arguments of `lattice`, of one shape; the sign is +1 for a call and -1 for a put."""

    spot: Tensor
    strike: Tensor
    expiry: Tensor
    rate: Tensor
    volatility: Tensor
    dividend_yield: Tensor
    sign: Tensor


class _Nodes:
    """Prices on the lattice of a batch and their derivatives; everything is discounted to today.

    The discounted price at level l and node j is spot * exp(jump * j - l * fall), in which no rate is left.
    """

    def __init__(self, market: _Market, steps: int) -> None:
        m = self.market = _Market(*(x.unsqueeze(-1) for x in market))
        self.steps = steps
        self.step = m.expiry / steps
        jump = m.volatility * self.step.sqrt()
        self.fall = m.dividend_yield * self.step + torch.cosh(jump).log()
        self.fall_by_volatility = torch.tanh(jump) * self.step.sqrt()
        self.rows = []
        for first in (0, 1):  # of even and of odd distance from the last level, so that a level is one slice
            ups = torch.arange(first - steps, steps + 1, 2, dtype=jump.dtype, device=jump.device)
            reach = m.sign * m.spot * (jump * ups).exp()
            self.rows.append((reach, reach * self.step.sqrt() * ups))

    def prices(self, level: int) -> tuple[Tensor, Tensor]:
        """Signed discounted prices and their derivatives by the volatility, shape (contracts, level + 1)."""
        odd = (self.steps - level) % 2
        first = (self.steps - level) // 2
        reach, by_volatility = (row[:, first : first + level + 1] for row in self.rows[odd])
        fall = (-self.fall * level).exp()
        return reach * fall, torch.addcmul(by_volatility, reach, -level * self.fall_by_volatility) * fall

    def gains(self, level: int) -> tuple[Tensor, Tensor, Tensor]:
        """What exercising gains, and its derivatives by volatility and rate."""
        prices, by_volatility = self.prices(level)
        time = self.step * level
        strike = self.market.sign * self.market.strike * (-self.market.rate * time).exp()
        return prices - strike, by_volatility, strike * time

    def europeans(self, level: int) -> Tensor:
        """Black-Scholes prices of one step's life and their derivatives, shape (3, contracts, level + 1)."""
        m, time = self.market, self.step * level
        growth = (m.rate * time).exp()
        prices, by_volatility = (m.sign * growth * x for x in self.prices(level))
        arguments = (prices, m.strike, self.step, m.rate, m.volatility, m.dividend_yield, m.sign)
        value, by = black_scholes.price_and_greeks(*arguments)
        vega = by.vega + by.delta * by_volatility
        rho = by.rho + (by.delta * prices - value) * time
        return torch.stack([value, vega, rho]) / growth


def _roll(market: _Market, steps: int, dates: int | None) -> tuple[Tensor, ...]:
    """Price, delta, gamma, vega, theta and rho; the derivatives of the price are rolled back beside it."""
    nodes = _Nodes(market, steps)
    every = 1 if dates is None else steps // dates
    last = steps - 1
    value = nodes.europeans(last)
    kept: dict[int, Tensor] = {}
    for level in range(last, -1, -1):
        if level < last:
            value = torch.lerp(value[..., 1:], value[..., :-1], 0.5)
        if level % every == 0 and (level > 0 or dates is None):
            gain, *slopes = nodes.gains(level)
            better = gain > value[0]
            for row, other in zip(value, (gain, *slopes), strict=True):
                torch.where(better, other, row, out=row)
        if level <= 2:
            kept[level] = value
    price, vega, rho = kept[0].squeeze(-1)
    delta, gamma, theta = _node_greeks(kept, nodes)
    return price, delta, gamma, vega, theta, rho


def _node_greeks(kept: dict[int, Tensor], nodes: _Nodes) -> tuple[Tensor, Tensor, Tensor]:
    """Differences between the nodes of the first two levels, carried back to today by Taylor's rule."""
    m = nodes.market
    growth = (m.rate * nodes.step).exp()
    s1, first = (m.sign * nodes.prices(1)[0] * growth).unbind(-1), (kept[1][0] * growth).unbind(-1)
    low, middle, high = (m.sign * nodes.prices(2)[0] * growth**2).unbind(-1)
    second = (kept[2][0] * growth**2).unbind(-1)
    spot, price = m.spot.squeeze(-1), kept[0][0].squeeze(-1)
    down, up = (second[1] - second[0]) / (middle - low), (second[2] - second[1]) / (high - middle)
    gamma = 2.0 * (up - down) / (high - low)
    delta = (first[1] - first[0]) / (s1[1] - s1[0])
    delta = delta + gamma * (spot - 0.5 * (s1[1] + s1[0]))
    slope = 0.5 * (down + up) + gamma * (middle - 0.25 * (low + 2.0 * middle + high))
    shifted = second[1] + slope * (spot - middle) + 0.5 * gamma * (spot - middle) ** 2
    return delta, gamma, (shifted - price) / (2.0 * nodes.step.squeeze(-1))
