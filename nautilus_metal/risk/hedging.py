"""Hedges by exposures: the cheapest trades in allowed instruments that bring delta, gamma and vega into bands.

Every function here and in `scenario_hedges` answers with a `HedgeResult`, whose status says "infeasible" with a
reason where limits, lots or a lack of instruments stand in the way: a live actor asks, and is never thrown out of its
loop. Only an argument that is no number raises.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from nautilus_metal.errors import InputError
from nautilus_metal.risk.book import Array
from nautilus_metal.risk.hedge_terms import (
    HEDGED,
    INFEASIBLE,
    UNNEEDED,
    HedgeInstrument,
    HedgeResult,
    in_units,
    named_trades,
    rounded_trades,
    trade_caps,
    trade_cost,
)
from nautilus_metal.risk.programme import minimise

__all__ = ["HedgeInstrument", "HedgeResult", "delta_hedge", "exposure_hedge"]

_NOTHING = 1e-6  # share of the book's risk that counts as none
_WIDE = 1e9  # times the book's own risk: a band that no trades leave


def delta_hedge(delta: float, instrument: HedgeInstrument, unit_delta: float, band: float = 0.0) -> HedgeResult:
    """Bring a delta within a band by one instrument: the underlying or its future.

    Parameters
    ----------
    delta : float
        The book's, in money for a given move (such as `BookGreeks.total["cash_delta"]`).
    instrument : HedgeInstrument
        What to trade.
    unit_delta : float
        The same of one unit of it.
    band : float, default 0.0
        Deltas up to here are left alone; beyond, the cheapest trade is back to its edge.

    Examples
    --------
    >>> delta_hedge(-5_230.0, HedgeInstrument("SPY", cost=0.005), unit_delta=100.0).trades
    {'SPY': 52.0}
    """
    return exposure_hedge({"delta": delta}, [instrument], [[unit_delta]], {"delta": band})


def exposure_hedge(
    exposures: Mapping[str, float],
    instruments: Sequence[HedgeInstrument],
    units: ArrayLike,
    bands: Mapping[str, float] | None = None,
) -> HedgeResult:
    r"""Bring exposures (delta, gamma, vega) within bands at the least cost of trading.

    Two linear programmes: the least excess over the bands that limits allow, then the least cost at that excess,

    .. math:: \min_t \sum_i c_i |t_i| \quad\text{subject to}\quad |g_e + \sum_i A_{ei} t_i| \le b_e + v_e,

    then rounding to lots one instrument after the other, the coarsest first, the rest solved again each time.

    Parameters
    ----------
    exposures : mapping of str to float
        Signed, in money of one kind so that they compare: best the standard deviation of a day's P&L from each.
    instruments : sequence of HedgeInstrument
        What may be traded.
    units : array_like, shape (exposures, instruments)
        Exposures of one unit of each instrument.
    bands : mapping of str to float, optional
        Absolute exposure that is left alone, 0 where not given.

    Returns
    -------
    HedgeResult
        Its risk is the root of the summed squares of the exposures.

    Raises
    ------
    InputError
        If shapes do not fit, or a number is not finite.

    Examples
    --------
    >>> fund, call = HedgeInstrument("SPY", cost=0.01), HedgeInstrument("SPY C500", cost=5.0)
    >>> book = {"delta": -300.0, "vega": -2000.0}
    >>> hedge = exposure_hedge(book, [fund, call], [[1.0, 30.0], [0.0, 100.0]])
    >>> hedge.trades, hedge.after
    ({'SPY': -300.0, 'SPY C500': 20.0}, {'delta': 0.0, 'vega': 0.0})
    """
    names = tuple(exposures)
    given = np.array([exposures[name] for name in names], dtype=np.float64)
    table = _matrix(units, (len(names), len(instruments)), "units")
    band = np.array([(bands or {}).get(name, 0.0) for name in names], dtype=np.float64)
    _check_finite(given, "exposures")
    if not (band >= 0).all():
        raise InputError(f"`bands` must be at least 0, were {dict(bands or {})}")
    problem = _Exposures(names, given, table, band, tuple(instruments))
    if (np.abs(given) <= band).all():
        return problem.result(UNNEEDED, "within the bands", np.zeros(len(instruments)))
    trades, excess = problem.solve({})
    rounded = rounded_trades(instruments, trades, problem.size, lambda fixed: problem.solve(fixed)[0])
    return problem.judge(rounded, excess)


@dataclass(frozen=True, eq=False)
class _Exposures:
    """One call of `exposure_hedge`."""

    names: tuple[str, ...]
    given: Array
    table: Array
    band: Array
    instruments: tuple[HedgeInstrument, ...]

    @property
    def risk(self) -> float:
        return math.hypot(*self.given)  # which does not underflow as a sum of squares does

    @property
    def size(self) -> Array:
        return np.linalg.norm(self.table, axis=0)

    def solve(self, fixed: Mapping[int, float]) -> tuple[Array, Array]:
        """Return the cheapest trades of the least excess, and that excess, shape (exposures,)."""
        trades = np.zeros(len(self.instruments))
        for i, quantity in fixed.items():
            trades[i] = quantity
        start, unit = (self.given + self.table @ trades) / self.risk, self.risk
        free = [i for i in range(len(trades)) if i not in fixed and self.size[i] > 0]
        band = in_units(self.band, unit, _WIDE)
        excess = np.maximum(np.abs(start) - band, 0.0)
        if free and excess.any():
            scale = np.maximum(unit / self.size[free], np.finfo(np.float64).tiny)
            columns = self.table[:, free] / self.size[free]
            caps = trade_caps([self.instruments[i] for i in free], scale)
            cost = np.array([self.instruments[i].cost for i in free]) * scale
            moves, excess = _cheapest(start, columns, band, caps, cost / (cost.max() or 1.0))
            trades[free] = moves * scale
        return trades, excess * unit

    def judge(self, trades: Array, excess: Array) -> HedgeResult:
        """Name the status of rounded trades."""
        short = bool((excess > _NOTHING * self.risk).any())
        none = np.zeros(len(trades))
        if math.hypot(*(self.given + self.table @ trades)) >= self.risk:
            if short:
                return self.result(INFEASIBLE, self._why(excess, none), none)
            return self.result(UNNEEDED, "less than one lot would be traded", none)
        if not short and self._limited(trades):
            short, excess = True, self._excess(trades)
        if short:
            return self.result(INFEASIBLE, self._why(excess, trades), trades)
        left = np.abs(self.given + self.table @ trades) > self.band + _NOTHING * self.risk
        return self.result(HEDGED, "to the nearest lots" if left.any() else "into the bands", trades)

    def _excess(self, trades: Array) -> Array:
        return np.maximum(np.abs(self.given + self.table @ trades) - self.band, 0.0)

    def _limited(self, trades: Array) -> bool:
        """Whether one more lot of anything would leave less outside the bands, and a limit forbids it."""
        now = math.hypot(*self._excess(trades))
        for i, one in enumerate(self.instruments):
            for lot in (one.lot, -one.lot):
                more = trades.copy()
                more[i] += lot
                inside = one.range[0] <= more[i] <= one.range[1]
                if not inside and math.hypot(*self._excess(more)) < now - _NOTHING * self.risk:
                    return True
        return False

    def _why(self, excess: Array, trades: Array) -> str:
        if not len(self.instruments):
            return "no instrument to hedge with"
        worst = int(np.argmax(excess))
        if not self.table[worst].any():
            return f"no instrument has {self.names[worst]}"
        at_limit = [
            one.name
            for one, trade in zip(self.instruments, trades, strict=True)
            if one.limit < math.inf and abs(one.held + trade) > one.limit - one.lot
        ]
        cause = f"limits of {', '.join(at_limit)}" if at_limit else "the instruments"
        return f"{cause} leave {excess[worst]:,.6g} of {self.names[worst]} outside its band"

    def result(self, status: str, reason: str, trades: Array) -> HedgeResult:
        """Put the answer together."""
        after = self.given + self.table @ trades
        after = np.where(np.abs(after) <= 1e-12 * self.risk, 0.0, after)
        return HedgeResult(
            status,
            reason,
            named_trades(self.instruments, trades),
            dict(zip(self.names, self.given.tolist(), strict=True)),
            dict(zip(self.names, after.tolist(), strict=True)),
            self.risk,
            math.hypot(*after),
            trade_cost(self.instruments, trades),
        )


def _cheapest(start: Array, columns: Array, band: Array, caps: Array, cost: Array) -> tuple[Array, Array]:
    """Solve the two programmes: the least excess, then the least cost; all in units of the book's risk."""
    count, exposures = columns.shape[1], len(start)
    both = np.hstack([columns, -columns])
    box = np.vstack([np.eye(2 * count), -np.eye(2 * count)])
    box_bounds = np.concatenate([caps.ravel(), np.zeros(2 * count)])
    none = np.zeros((len(box), exposures))
    rows = np.block([[both, -np.eye(exposures)], [-both, -np.eye(exposures)], [box, none]])
    rows = np.vstack([rows, np.hstack([np.zeros((exposures, 2 * count)), -np.eye(exposures)])])
    bounds = np.concatenate([band - start, band + start, box_bounds, np.zeros(exposures)])
    first = minimise(np.concatenate([np.zeros(2 * count), np.ones(exposures)]), rows, bounds).x
    excess = np.nan_to_num(np.maximum(first[2 * count :], 0.0), nan=0.0, posinf=0.0)
    excess[excess < _NOTHING] = 0.0
    rows = np.vstack([both, -both, box])
    room = band + excess * (1 + 1e-6) + 1e-9
    bounds = np.concatenate([room - start, room + start, box_bounds])
    second = minimise(np.tile(cost, 2) + 1e-6, rows, bounds)
    moves = second.x if second.converged else first[: 2 * count]
    if not np.isfinite(moves).all():  # numbers of orders of magnitude that no step could be made with
        return np.zeros(count), np.maximum(np.abs(start) - band, 0.0)
    return moves[:count] - moves[count:], excess


def _matrix(values: ArrayLike, shape: tuple[int, int], name: str) -> Array:
    table = np.asarray(values, dtype=np.float64)
    if table.size == 0 and 0 in shape:
        table = np.zeros(shape)
    if table.shape != shape:
        raise InputError(f"`{name}` must be of shape {shape}, was {table.shape}")
    _check_finite(table, name)
    return table


def _check_finite(values: Array, name: str) -> None:
    if not np.isfinite(values).all():
        raise InputError(f"`{name}` must be finite, a NaN or infinity came")
