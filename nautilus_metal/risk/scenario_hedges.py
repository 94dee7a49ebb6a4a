"""Hedges fitted on scenarios: least standard deviation, and least expected shortfall, net of what trading costs."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from nautilus_metal.errors import InputError
from nautilus_metal.kernels.tail import TailWeights, tail_weights
from nautilus_metal.risk.book import Array
from nautilus_metal.risk.hedge_terms import (
    HEDGED,
    INFEASIBLE,
    UNNEEDED,
    HedgeInstrument,
    HedgeResult,
    named_trades,
    rounded_trades,
    trade_caps,
    trade_cost,
)
from nautilus_metal.risk.programme import minimise

_CUTS, _ROUNDS = 200, 50
_GAP = 1e-4  # share of the risk that the shortfall may lie above its lower bound


def minimum_variance_hedge(
    book_pnl: ArrayLike, instruments: Sequence[HedgeInstrument], unit_pnl: ArrayLike, cost_weight: float = 1.0
) -> HedgeResult:
    r"""Minimise the standard deviation of P&L plus the cost of trading.

    .. math:: \min_t \operatorname{sd}(p + t^\top u) + w \sum_i c_i |t_i|

    Without costs, limits and lots that is the regression of the book's P&L on the instruments'. With them it is a
    series of quadratic programmes, as :math:`\operatorname{sd} = \min_s (\operatorname{var} / s + s) / 2`.

    Parameters
    ----------
    book_pnl : array_like, shape (scenarios,)
        P&L of the book, what is held of the instruments included, in the base currency.
    instruments : sequence of HedgeInstrument
        What may be traded.
    unit_pnl : array_like, shape (instruments, scenarios)
        P&L of one unit of each on the same scenarios, which are those of the VaR.
    cost_weight : float, default 1.0
        Money of risk worth one of cost; 0 ignores costs.

    Returns
    -------
    HedgeResult
        Its risk is the standard deviation; "unneeded" where no trade is worth its cost.

    Raises
    ------
    InputError
        If shapes do not fit, there are fewer than 2 scenarios, or a number is not finite.

    Examples
    --------
    >>> market = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    >>> hedge = minimum_variance_hedge(10 * market, [HedgeInstrument("FUND")], [2 * market])
    >>> hedge.trades, round(hedge.risk_after, 9)
    ({'FUND': -5.0}, 0.0)
    """
    problem = _Scenarios(*_checked(book_pnl, instruments, unit_pnl, cost_weight), "standard_deviation", _deviation)
    return problem.hedge(problem.least_variance)


def minimum_es_hedge(
    book_pnl: ArrayLike,
    instruments: Sequence[HedgeInstrument],
    unit_pnl: ArrayLike,
    level: float = 0.975,
    cost_weight: float = 1.0,
) -> HedgeResult:
    r"""Minimise the expected shortfall of P&L plus the cost of trading.

    .. math:: \min_t \operatorname{ES}(p + t^\top (u - \bar u)) + w \sum_i c_i |t_i|

    What instruments are expected to earn is left out: with it, whatever decays in every scenario, such as an option
    that will expire worthless, would be sold without end and called a hedge.

    By cutting planes: the shortfall is convex, the mean of the tail's losses is its value and its slope there, and a
    linear programme over all tails seen so far bounds the optimum from below. It stops where the best point lies
    within 1e-4 of that bound.

    Parameters
    ----------
    book_pnl, instruments, unit_pnl, cost_weight
        As in `minimum_variance_hedge`.
    level : float, default 0.975
        Confidence level of the shortfall.

    Returns
    -------
    HedgeResult
        Its risk is the expected shortfall without what the instruments are expected to earn; `before` and `after` are
        those with it, as `nautilus_metal.risk.assess` estimates them.

    Raises
    ------
    InputError
        As in `minimum_variance_hedge`, or if the sample is too small for `level`.

    References
    ----------
    Rockafellar and Uryasev (2000), "Optimization of conditional value-at-risk", Journal of Risk 2.
    Kelley (1960), "The cutting-plane method for solving convex programs", SIAM Journal 8.
    """
    pnl, allowed, units, weight = _checked(book_pnl, instruments, unit_pnl, cost_weight)
    weights = tail_weights(len(pnl), (level,))
    centred = (pnl, allowed, units - units.mean(axis=1, keepdims=True), weight)
    problem = _Scenarios(*centred, "expected_shortfall", lambda pnl: _shortfall(pnl, weights)[0], weights)
    result = problem.hedge(problem.least_shortfall)
    trades = np.array([result.trades.get(one.name, 0.0) for one in allowed])
    return replace(result, after={problem.measure: problem.risk(pnl + trades @ units)})


@dataclass(frozen=True, eq=False)
class _Scenarios:
    """One call of either function; its solutions share `cuts`, and start from the last one's deviation."""

    pnl: Array
    instruments: tuple[HedgeInstrument, ...]
    units: Array
    weight: float
    measure: str
    risk: Callable[[Array], float]
    tail: TailWeights | None = None
    cuts: list[tuple[float, Array]] = field(default_factory=list)
    deviations: list[float] = field(default_factory=list)

    @cached_property
    def size(self) -> Array:
        """Standard deviation of one unit of each instrument."""
        return self.units.std(axis=1)

    @cached_property
    def _may_pay(self) -> NDArray[np.bool_]:
        """Whether one unit can lower the risk by more than it costs: by no more than its own risk, either way."""
        sides = [max(self.risk(-row), self.risk(row)) for row in self.units]
        costs = [self.weight * one.cost for one in self.instruments]
        return (self.size > 0) & (np.array(sides) > costs)

    def hedge(self, solve: Callable[[Mapping[int, float]], Array]) -> HedgeResult:
        """Find, round and judge the trades."""
        none = np.zeros(len(self.instruments))
        before = self.risk(self.pnl)
        if not self.pnl.any():
            return self._result(UNNEEDED, "nothing is at risk", none)
        if not self.size.any():
            return self._result(INFEASIBLE, "no instrument to hedge with", none)
        best = solve({})
        trades = rounded_trades(self.instruments, best, self.size, solve)
        gain = before - self._total(trades)
        if trades.any() and gain > 0:
            return self._result(HEDGED, f"least {self.measure.replace('_', ' ')} net of costs", trades)
        if all(one.limit == abs(one.held) for one in self.instruments):
            return self._result(INFEASIBLE, "limits allow no trade", none)
        if np.abs(best).max() > 0 and before - self._total(best) > _GAP * before:
            return self._result(UNNEEDED, "less than one lot would be traded", none)
        return self._result(UNNEEDED, "no trade is worth its cost", none)

    def least_variance(self, fixed: Mapping[int, float]) -> Array:
        """Return the trades of least deviation plus cost, some of them given."""
        trades, start, free = self._start(fixed)
        if not free or not start.std() > 0:
            return trades
        scale, columns, caps, cost = self._scaled(free, start)
        covariance = columns @ columns.T / len(start)
        slope = columns @ (start - start.mean()) / len(start)
        count, unit, moves = len(free), float(start.std()), np.zeros(len(free))
        deviation = self.deviations[-1] if self.deviations else unit
        both = np.concatenate([np.eye(count), -np.eye(count)])
        box = np.vstack([np.eye(2 * count), -np.eye(2 * count)])
        bounds = np.concatenate([caps.ravel(), np.zeros(2 * count)])
        for _ in range(_ROUNDS):
            quadratic = both @ (covariance / unit**2) @ both.T
            linear = both @ slope / unit**2 + deviation / unit * np.tile(cost / unit, 2) + 1e-9
            x = minimise(linear, box, bounds, quadratic).x
            moves = x[:count] - x[count:]
            last, deviation = deviation, max(float((start + moves @ columns).std()), 1e-9 * unit)
            if abs(deviation - last) <= 1e-5 * unit or not cost.any():  # the optimum is flat: 1e-10 of it
                break
        self.deviations.append(deviation)
        trades[free] = moves * scale
        return trades

    def least_shortfall(self, fixed: Mapping[int, float]) -> Array:
        """Return the trades of least shortfall plus cost, some of them given."""
        trades, _, free = self._start(fixed)
        if not free:
            return trades
        unit = self.pnl.std()
        scale = unit / self.size[free]
        caps = trade_caps([self.instruments[i] for i in free], scale)
        cost = self.weight * np.array([self.instruments[i].cost for i in free]) * scale / unit
        first = trades.copy()
        if self.cuts:  # of a solution with fewer trades given, which lies near
            first[free] = self._master(trades, free, scale, caps, cost, unit)[0] * scale
        else:
            first = self.least_variance(fixed)
        best = point = first
        best_total = self._total(best)
        for _ in range(_CUTS):
            value, slope = _shortfall(self.pnl + point @ self.units, self.tail)
            gradient = -(self.units @ slope)
            self.cuts.append((value - float(gradient @ point), gradient))
            total = value + self.weight * trade_cost(self.instruments, point)
            if total < best_total:
                best, best_total = point, total
            moves, bound = self._master(trades, free, scale, caps, cost, unit)
            bound += self.weight * trade_cost(self.instruments, trades)
            if best_total - bound <= _GAP * unit:
                break
            point = trades.copy()
            point[free] = moves * scale
        return best

    def _master(
        self, trades: Array, free: list[int], scale: Array, caps: Array, cost: Array, unit: float
    ) -> tuple[Array, float]:
        """Minimise the cuts' upper envelope plus cost; return moves and that lower bound in money."""
        count = len(free)
        offsets = np.array([level + gradient @ trades for level, gradient in self.cuts]) / unit
        slopes = np.array([gradient[free] for _, gradient in self.cuts]) * scale / unit
        box = np.hstack([np.vstack([np.eye(2 * count), -np.eye(2 * count)]), np.zeros((4 * count, 1))])
        rows = np.vstack([np.hstack([slopes, -slopes, -np.ones((len(slopes), 1))]), box])
        bounds = np.concatenate([-offsets, caps.ravel(), np.zeros(2 * count)])
        found = minimise(np.concatenate([np.tile(cost, 2), [1.0]]), rows, bounds).x
        value = float((offsets + slopes @ (found[:count] - found[count:-1])).max())
        moves = found[:count] - found[count:-1]
        return moves, (value + float(cost @ (found[:count] + found[count:-1]))) * unit

    def _start(self, fixed: Mapping[int, float]) -> tuple[Array, Array, list[int]]:
        trades = np.zeros(len(self.instruments))
        for i, quantity in fixed.items():
            trades[i] = quantity
        free = [i for i in range(len(trades)) if i not in fixed and self._may_pay[i]]
        return trades, self.pnl + trades @ self.units, free

    def _scaled(self, free: list[int], start: Array) -> tuple[Array, Array, Array, Array]:
        """Trades in units that each move P&L by the book's deviation."""
        unit = float(start.std())
        scale = unit / self.size[free]
        columns = (self.units[free] - self.units[free].mean(axis=1, keepdims=True)) * scale[:, None]
        caps = trade_caps([self.instruments[i] for i in free], scale)
        cost = self.weight * np.array([self.instruments[i].cost for i in free]) * scale
        return scale, columns, caps, cost

    def _total(self, trades: Array) -> float:
        return self.risk(self.pnl + trades @ self.units) + self.weight * trade_cost(self.instruments, trades)

    def _result(self, status: str, reason: str, trades: Array) -> HedgeResult:
        after = self.pnl + trades @ self.units
        before_risk, after_risk = self.risk(self.pnl), self.risk(after)
        return HedgeResult(
            status,
            reason,
            named_trades(self.instruments, trades),
            {self.measure: before_risk},
            {self.measure: after_risk},
            before_risk,
            after_risk,
            trade_cost(self.instruments, trades),
        )


def _deviation(pnl: Array) -> float:
    return float(pnl.std())


def _shortfall(pnl: Array, weights: TailWeights | None) -> tuple[float, Array]:
    """Expected shortfall and its slope by each scenario's loss, shape (scenarios,)."""
    assert weights is not None
    losses = torch.from_numpy(-pnl)
    worst, where = torch.topk(losses, weights.size)
    share = weights.figures[:, 1]
    slope = np.zeros(len(pnl))
    slope[where.numpy()] = share.numpy()
    return float(worst @ share), slope


def _checked(
    book_pnl: ArrayLike, instruments: Sequence[HedgeInstrument], unit_pnl: ArrayLike, cost_weight: float
) -> tuple[Array, tuple[HedgeInstrument, ...], Array, float]:
    pnl = np.asarray(book_pnl, dtype=np.float64)
    units = np.asarray(unit_pnl, dtype=np.float64)
    if pnl.ndim != 1 or len(pnl) < 2:
        raise InputError(f"`book_pnl` must be of shape (scenarios,), at least 2 of them, was {pnl.shape}")
    if not len(instruments):
        units = np.zeros((0, len(pnl)))
    if units.shape != (len(instruments), len(pnl)):
        raise InputError(f"`unit_pnl` must be of shape {(len(instruments), len(pnl))}, was {units.shape}")
    if not (np.isfinite(pnl).all() and np.isfinite(units).all()):
        raise InputError("`book_pnl` and `unit_pnl` must be finite, a NaN or infinity came")
    if not (math.isfinite(cost_weight) and cost_weight >= 0):
        raise InputError(f"`cost_weight` must be at least 0, was {cost_weight}")
    return pnl, tuple(instruments), units, cost_weight
