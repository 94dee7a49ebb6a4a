"""Daily P&L of options and their hedge from the fills of a run, and what it comes from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtests._option_market import FUND, MULTIPLIER, OptionMarket
from nautilus_metal.risk.option import YEAR_NS

SOURCES = ("delta", "gamma", "vega", "theta", "costs", "rest")
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Fill:
    """A fill as the bus told it: signed quantity, price, commission in dollars."""

    ts: int
    instrument: str
    strategy: str
    quantity: float
    price: float
    commission: float


@dataclass(frozen=True, eq=False)
class Ledger:
    """P&L by day and source; D days.

    Attributes
    ----------
    parts : ndarray, shape (D, 6)
        P&L of each day by `SOURCES`, marked at the middle of bid and ask.
    value : float
        Of what is held at the end, at the marks.
    cash : float
        Spent and received for all fills, commissions included.
    """

    parts: Array
    value: float
    cash: float

    @property
    def pnl(self) -> Array:
        """P&L of each day, shape (D,)."""
        return self.parts.sum(axis=1)


@dataclass(frozen=True, eq=False)
class Marks:
    """Prices and sensitivities by day and instrument, the fund first; NaN on days without a quote.

    Attributes
    ----------
    column : dict of str to int
        Of an instrument ID.
    price, volatility, delta, gamma, vega, theta : ndarray, shape (D, C + 1)
        Of one unit, without its multiplier. An option's price on its last day is its payoff.
    multiplier : ndarray, shape (C + 1,)
        Dollars for a price of 1.00.
    index : ndarray, shape (D,)
        What delta and gamma refer to.
    years : ndarray, shape (D,)
        Time of the day's quotes since the first day's.
    """

    column: dict[str, int]
    price: Array
    volatility: Array
    delta: Array
    gamma: Array
    vega: Array
    theta: Array
    multiplier: Array
    index: Array
    years: Array


def marks_of(market: OptionMarket) -> Marks:
    """Spread the market's quotes over days and instruments."""
    days, count = len(market.days), len(market.contracts) + 1
    names = {f"{contract.name}.{FUND.venue}": i + 1 for i, contract in enumerate(market.contracts)}
    at = (market.quotes["day"].to_numpy(), market.quotes["contract"].to_numpy() + 1)
    table = {}
    for name in ("mid", "volatility", "delta", "gamma", "vega", "theta"):
        table[name] = np.full((days, count), np.nan)
        table[name][at] = market.quotes[name]
    price = table.pop("mid")
    price[:, 0] = market.fund
    position = {day: i for i, day in enumerate(market.days)}
    for i, contract in enumerate(market.contracts):
        last = position.get(contract.expiry)
        if last is not None:
            price[last, i + 1] = max(contract.sign * (market.index[last] - contract.strike), 0.0)
    multiplier = np.full(count, float(MULTIPLIER))
    multiplier[0] = 1.0
    years = (market.midnight - market.midnight[0]) / YEAR_NS
    return Marks({str(FUND): 0} | names, price, **table, multiplier=multiplier, index=market.index, years=years)


def ledger(fills: Sequence[Fill], market: OptionMarket, marks: Marks) -> Ledger:
    r"""Split each day's P&L into its sources.

    For a quantity held from one day's quotes to the next, with the sensitivities of the first,

    .. math:: P_1 - P_0 = \Delta\,dS + \tfrac12 \Gamma\,dS^2 + \mathcal{V}\,d\sigma + \Theta\,dt + \text{rest},

    where sigma is the volatility of its own strike. Costs are what fills lose against the marks of their day.

    Parameters
    ----------
    fills : sequence of Fill
        Of any strategies, in order of time; settlements of expired options are among them.
    market : OptionMarket
        The days.
    marks : Marks
        Their prices.
    """
    days, count = marks.price.shape
    traded, costs = np.zeros((days, count)), np.zeros(days)
    midnight, cash = market.midnight, 0.0
    for fill in fills:
        day = int(np.searchsorted(midnight, fill.ts, side="right")) - 1
        column = marks.column[fill.instrument]
        size = fill.quantity * marks.multiplier[column]
        costs[day] += size * (marks.price[day, column] - fill.price) - fill.commission
        cash -= size * fill.price + fill.commission
        traded[day, column] += fill.quantity
    held = np.cumsum(traded, axis=0)
    held[np.abs(held) < 1e-9] = 0.0
    parts = np.zeros((days, len(SOURCES)))
    parts[1:, :4], total = _explained(held[:-1] * marks.multiplier, marks)
    parts[:, 4] = costs
    parts[1:, 5] = total - parts[1:, :4].sum(axis=1)
    value = float(np.where(held[-1] != 0, held[-1] * marks.multiplier * marks.price[-1], 0.0).sum())
    return Ledger(parts, value, cash)


def _explained(units: Array, marks: Marks) -> tuple[Array, Array]:
    """P&L by delta, gamma, vega and theta, shape (D - 1, 4), and all of it, shape (D - 1,)."""
    move, passed = np.diff(marks.index)[:, None], np.diff(marks.years)[:, None]
    change = np.diff(marks.volatility, axis=0)
    change[np.isnan(change)] = 0.0  # on the last day an option's volatility has no meaning left
    moves = (
        marks.delta[:-1] * move,
        0.5 * marks.gamma[:-1] * move**2,
        marks.vega[:-1] * change,
        marks.theta[:-1] * passed,
    )
    parts = [_sum(units, each) for each in moves]
    jumps = np.diff(marks.price, axis=0)
    parts[0] += units[:, 0] * jumps[:, 0]
    return np.stack(parts, axis=1), _sum(units, jumps)


def _sum(units: Array, values: Array) -> Array:
    """Sum over what is held, where it must have a value; the fund has no sensitivities."""
    held = units != 0
    held[:, 0] &= ~np.isnan(values[:, 0])
    return np.where(held, units * np.where(held, values, 0.0), 0.0).sum(axis=1)


def fill_of(event: Any) -> Fill:
    """Read a fill from the bus."""
    quantity = event.last_qty.as_double() * (1.0 if event.is_buy else -1.0)
    commission = 0.0 if event.commission is None else event.commission.as_double()
    return Fill(
        event.ts_event,
        str(event.instrument_id),
        str(event.strategy_id),
        quantity,
        event.last_px.as_double(),
        commission,
    )
