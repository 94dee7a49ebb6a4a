"""What every hedge is made of: instruments that may be traded, the answer, trades in lots and within limits."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nautilus_metal.errors import InputError
from nautilus_metal.risk.book import Array

UNNEEDED, HEDGED, INFEASIBLE = "unneeded", "hedged", "infeasible"
STATUSES = (UNNEEDED, HEDGED, INFEASIBLE)
_MOST = 100.0  # times the book's own risk: what an instrument without a limit may take on


@dataclass(frozen=True, slots=True)
class HedgeInstrument:
    """What may be traded for a hedge.

    Parameters
    ----------
    name : str
        The instrument.
    cost : float, default 0.0
        Of trading one unit (half the spread, fees), in the book's base currency.
    lot : float, default 1.0
        Trades are whole multiples of it.
    held : float, default 0.0
        Signed quantity held already; the book's risk includes it.
    limit : float, default inf
        The largest absolute quantity that may be held after the trade.

    Raises
    ------
    InputError
        If a number is outside its range.
    """

    name: str
    cost: float = 0.0
    lot: float = 1.0
    held: float = 0.0
    limit: float = math.inf

    def __post_init__(self) -> None:
        for name, good in (
            ("cost", math.isfinite(self.cost) and self.cost >= 0),
            ("lot", math.isfinite(self.lot) and self.lot > 0),
            ("held", math.isfinite(self.held)),
            ("limit", self.limit >= 0),
        ):
            if not good:
                raise InputError(f"`{name}` of {self.name} must be {_RANGES[name]}, was {getattr(self, name)}")

    @property
    def range(self) -> tuple[float, float]:
        """Least and largest trade; what is held beyond the limit already may stay, but not grow."""
        return min(-self.limit - self.held, 0.0), max(self.limit - self.held, 0.0)


_RANGES = {"cost": "at least 0", "lot": "above 0", "held": "finite", "limit": "at least 0"}


@dataclass(frozen=True)
class HedgeResult:
    """The answer of a hedge.

    Attributes
    ----------
    status : {"unneeded", "hedged", "infeasible"}
        Nothing to do, or less than a lot; done, to the nearest lots; or not to be had as asked, in which case
        `trades` are those that come nearest.
    reason : str
        In words.
    trades : mapping of str to float
        By instrument: signed quantity to trade, whole lots; without those of 0.
    before, after : mapping of str to float
        Exposures, or measures of risk, in the base currency.
    risk_before, risk_after : float
        The risk that the hedge is to lower, in the base currency.
    cost : float
        Of the trades, in the base currency.
    """

    status: str
    reason: str
    trades: Mapping[str, float]
    before: Mapping[str, float]
    after: Mapping[str, float]
    risk_before: float
    risk_after: float
    cost: float

    @property
    def removed(self) -> float:
        """Share of the risk that the trades remove; 0 where there was none."""
        return 1.0 - self.risk_after / self.risk_before if self.risk_before > 0 else 0.0


def rounded_trades(
    instruments: Sequence[HedgeInstrument],
    trades: Array,
    size: Array,
    solve: Callable[[Mapping[int, float]], Array],
) -> Array:
    """Round trades to lots, the one whose lot weighs most first, solving the rest again after each.

    Parameters
    ----------
    instruments : sequence of HedgeInstrument
        What is traded.
    trades : ndarray, shape (instruments,)
        The optimum in fractions.
    size : ndarray, shape (instruments,)
        Risk of one unit of each.
    solve : callable
        The optimum with some trades (by index) fixed.
    """
    lots = np.array([instrument.lot for instrument in instruments])
    fixed: dict[int, float] = {}
    for i in np.argsort(-lots * size, kind="stable").tolist():
        low, high = instruments[i].range
        count = round(trades[i] / lots[i])
        count = min(max(count, math.ceil(low / lots[i]) if low > -math.inf else count),
                    math.floor(high / lots[i]) if high < math.inf else count)  # fmt: skip
        moved = abs(count * lots[i] - trades[i]) > 1e-6 * lots[i]
        fixed[i] = count * lots[i]
        if moved and len(fixed) < len(instruments):
            trades = solve(fixed)
    return np.array([fixed[i] for i in range(len(instruments))])


def named_trades(instruments: Sequence[HedgeInstrument], trades: Array) -> dict[str, float]:
    """Trades by instrument, without those of 0."""
    pairs = zip(instruments, trades.tolist(), strict=True)
    return {instrument.name: quantity for instrument, quantity in pairs if quantity}


def trade_cost(instruments: Sequence[HedgeInstrument], trades: Array) -> float:
    """What the trades cost, in the base currency."""
    return sum(one.cost * abs(quantity) for one, quantity in zip(instruments, trades.tolist(), strict=True))


def trade_caps(instruments: Sequence[HedgeInstrument], scale: Array) -> Array:
    """Most that may be bought and sold of each, in units of `scale`; shape (2, instruments)."""
    ranges = np.array([instrument.range for instrument in instruments]).reshape(-1, 2)
    return in_units(np.stack([ranges[:, 1], -ranges[:, 0]]), scale)


def in_units(amounts: Array, unit: Array | float, most: float = _MOST) -> Array:
    """Amounts over a unit, which may be as small as a number can be: beyond a bound all are alike."""
    with np.errstate(over="ignore"):
        return np.minimum(amounts / unit, most)
