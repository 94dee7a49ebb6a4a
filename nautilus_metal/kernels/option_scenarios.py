r"""European options under joint scenarios of spot and volatility, in pieces that fit scratch memory.

Each option is priced as the out-of-the-money one of its pair; parity adds its forward, whose P&L is linear in the
price change and is summed with that of plain positions. In units of the discounted spot :math:`S e^{-q\tau}`,

.. math:: c = \pm\left(e^r N(\pm d_1) - k N(\pm d_2)\right), \quad d_{1,2} = \frac{x + r}{w} \pm \frac{w}{2},

with the log return r of the scenario, :math:`k = K e^{-(R-q)\tau} / S`, :math:`x = -\ln k`, and the total volatility
:math:`w = \sigma\sqrt\tau` times the scenario's factor. Little is lost to rounding: nothing as large as the spot is
subtracted from anything but in the money.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from nautilus_metal.kernels.scenarios import ScenarioSet, scenario_returns

BUFFERS = 3  # of the shape of a piece, that `option_changes` works in

_LEAST_TOTAL_VOLATILITY = 1e-7  # below it an option is its payoff, to rounding
_ROOT_HALF = math.sqrt(0.5)


class OptionTerms(NamedTuple):
    """Options in the form that scenarios are applied to, each of shape (options,).

    Attributes
    ----------
    moneyness : Tensor
        x, log of the forward over the strike at the horizon.
    strike : Tensor
        k, discounted strike over discounted spot.
    total_volatility : Tensor
        w.
    sign : Tensor
        +1 or -1: priced as a call or as a put, whichever is out of the money.
    base : Tensor
        Today's value less that of the forward, in the same units: what the P&L counts from.
    row : Tensor
        Row of the underlying among the returns, int64.
    volatility_row : Tensor
        Row of the underlying among the volatility factors, int64.
    """

    moneyness: Tensor
    strike: Tensor
    total_volatility: Tensor
    sign: Tensor
    base: Tensor
    row: Tensor
    volatility_row: Tensor

    def part(self, rows: slice) -> "OptionTerms":
        """Return the options of `rows` alone."""
        return OptionTerms(*(column[rows] for column in self))


class JointScenarios(NamedTuple):
    r"""Scenarios of log returns, and of log changes of volatility: :math:`a (r - m) + b \epsilon`.

    Attributes
    ----------
    spots : ScenarioSet
        Of the returns r.
    row : Tensor
        Row of each volatility's underlying among the returns, int64, shape (volatilities,).
    slope, centre, spread : Tensor
        a, m, b, each of shape (volatilities,).
    noise : Tensor or None
        epsilon, standard normals of shape (volatilities, scenarios); None where volatility is constant.
    """

    spots: ScenarioSet
    row: Tensor
    slope: Tensor
    centre: Tensor
    spread: Tensor
    noise: Tensor | None

    @property
    def size(self) -> int:
        """The number of scenarios."""
        return self.spots.factors.shape[1]

    def part(self, columns: Tensor | slice) -> "JointScenarios":
        """Return the scenarios of `columns` alone."""
        noise = self.noise
        if noise is not None:
            noise = noise[:, columns] if isinstance(columns, slice) else noise.index_select(1, columns)
        return self._replace(spots=self.spots.part(columns), noise=noise)

    def without_factors(self) -> "JointScenarios":
        """Return the scenarios without what the returns are made of: scale and noise alone."""
        return self._replace(spots=self.spots._replace(factors=self.spots.factors[:0]))


class Moves(NamedTuple):
    """What scenarios do to the market.

    Attributes
    ----------
    returns : Tensor
        Log returns, shape (assets, scenarios).
    changes : Tensor
        Relative price changes, of the same shape.
    volatility : Tensor or None
        Factors on implied volatilities, shape (volatilities, scenarios); None for one.
    """

    returns: Tensor
    changes: Tensor
    volatility: Tensor | None


def moves(scenarios: JointScenarios, buffer: Tensor) -> Moves:
    """Evaluate scenarios.

    Parameters
    ----------
    scenarios : JointScenarios
        The scenarios.
    buffer : Tensor
        Flat scratch of at least (2 assets + volatilities) x scenarios elements, which the result lives in.
    """
    assets, volatilities, count = len(scenarios.spots.shift), len(scenarios.row), scenarios.size
    size = assets * count
    returns = scenario_returns(scenarios.spots, out=buffer[:size].view(assets, count))
    changes = torch.expm1(returns, out=buffer[size : 2 * size].view(assets, count))
    if scenarios.noise is None:
        return Moves(returns, changes, None)
    factors = buffer[2 * size : 2 * size + volatilities * count].view(volatilities, count)
    torch.index_select(returns, 0, scenarios.row, out=factors)
    factors.sub_(scenarios.centre[:, None]).mul_(scenarios.slope[:, None])
    factors.addcmul_(scenarios.spread[:, None].expand_as(factors), scenarios.noise)
    return Moves(returns, changes, factors.exp_())


def option_changes(terms: OptionTerms, market: Moves, buffer: Tensor) -> Tensor:
    """Change of value of each option less that of its forward, in units of its discounted spot.

    Parameters
    ----------
    terms : OptionTerms
        The options.
    market : Moves
        The scenarios.
    buffer : Tensor
        Flat scratch of at least `BUFFERS` x options x scenarios elements, which the result lives in.

    Returns
    -------
    Tensor
        Shape (options, scenarios).
    """
    options, count = len(terms.row), market.returns.shape[1]
    size = options * count
    first, second, third = (buffer[i * size : (i + 1) * size].view(options, count) for i in range(BUFFERS))
    sign = terms.sign[:, None]
    middle = torch.index_select(market.returns, 0, terms.row, out=first).add_(terms.moneyness[:, None])
    if market.volatility is None:
        total = terms.total_volatility[:, None].clamp(min=_LEAST_TOTAL_VOLATILITY)
        middle.div_(total)
        half = 0.5 * total
    else:
        half = torch.index_select(market.volatility, 0, terms.volatility_row, out=second)
        half.mul_(terms.total_volatility[:, None]).clamp_(min=_LEAST_TOTAL_VOLATILITY)
        middle.div_(half)
        half.mul_(0.5)
    spot_part = torch.add(middle, half, out=third).mul_(-_ROOT_HALF * sign).erfc_()
    strike_part = middle.sub_(half).mul_(-_ROOT_HALF * sign).erfc_().mul_(terms.strike[:, None])
    changes = torch.index_select(market.changes, 0, terms.row, out=second)
    spot_part.addcmul_(spot_part, changes)  # erfc times 1 + change
    return spot_part.sub_(strike_part).mul_(0.5 * sign).sub_(terms.base[:, None])
