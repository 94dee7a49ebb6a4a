"""The worst scenarios of an assessment, and what each position loses in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nautilus_metal.engine import ComputeEngine, shared_engine, threads_for
from nautilus_metal.errors import InputError
from nautilus_metal.kernels.option_scenarios import option_changes
from nautilus_metal.kernels.scenarios import relative_changes, scenario_returns
from nautilus_metal.risk.assessment import RiskAssessment
from nautilus_metal.risk.book import Array
from nautilus_metal.risk.evaluation import Task
from nautilus_metal.risk.inputs import Inputs
from nautilus_metal.risk.option_evaluation import _by_position
from nautilus_metal.risk.option_tables import make_tables
from nautilus_metal.risk.option_task import OptionTask
from nautilus_metal.risk.tail_scenarios import TailScenarios, tail_scenarios


@dataclass(frozen=True, eq=False)
class WorstScenarios:
    """The scenarios of the largest losses, the largest first; K of them. Losses are positive.

    Attributes
    ----------
    base_currency : str
        Of every amount.
    positions, instruments : tuple of str
        Names of the rows of `position_losses` and of `returns`.
    index : ndarray of int64, shape (K,)
        Numbers of the scenarios in the stream, or in the history that is the sample, from 0.
    losses : ndarray, shape (K,)
        Of the book: the sum of its positions'.
    position_losses : ndarray, shape (positions, K)
        Of each position.
    returns : ndarray, shape (instruments, K)
        Log return of each instrument over the horizon.
    volatility_factors : mapping of str to ndarray
        By underlying of options whose implied volatility moves: the factor on it, shape (K,).
    periods_ago : ndarray of int64, shape (K,), or None
        Where a scenario is a piece of history itself: how many periods before the last one it ended.
    dates : tuple or None
        The label of that period, where the history's periods are labelled.
    """

    base_currency: str
    positions: tuple[str, ...]
    instruments: tuple[str, ...]
    index: NDArray[np.int64]
    losses: Array
    position_losses: Array
    returns: Array
    volatility_factors: dict[str, Array]
    periods_ago: NDArray[np.int64] | None
    dates: tuple[Any, ...] | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values: one entry for each scenario, the largest loss first."""
        return {"base_currency": self.base_currency, "scenarios": [self._entry(k) for k in range(len(self.losses))]}

    def _entry(self, k: int) -> dict[str, Any]:
        lost: dict[str, float] = {}
        for name, loss in zip(self.positions, self.position_losses[:, k].tolist(), strict=True):
            lost[name] = lost.get(name, 0.0) + loss  # a book may hold several positions of one instrument
        return {
            "scenario": int(self.index[k]),
            "loss": float(self.losses[k]),
            "date": None if self.dates is None else str(self.dates[k]),
            "periods_ago": None if self.periods_ago is None else int(self.periods_ago[k]),
            "positions": lost,
            "returns": dict(zip(self.instruments, self.returns[:, k].tolist(), strict=True)),
            "volatility_factors": {name: float(row[k]) for name, row in self.volatility_factors.items()},
        }


def worst_scenarios(
    assessment: RiskAssessment,
    count: int = 10,
    *,
    dates: Sequence[Any] | None = None,
    engine: ComputeEngine | None = None,
) -> WorstScenarios:
    """Name the scenarios in which an assessed book loses most, with what each position loses in them.

    The scenarios are those of the assessment. They are found on the device and gathered in one transfer; what the
    positions lose in them is computed in float64 on the host.

    Parameters
    ----------
    assessment : RiskAssessment
        From `assess`, or a RiskActor's `last_assessment`.
    count : int, default 10
        How many; all of them where there are fewer.
    dates : sequence, optional
        Labels of the history's periods, oldest first, as many as it has. By default those of the frame that the
        history came in.
    engine : ComputeEngine, optional
        Where to look for them; the process' shared engine where not given.

    Raises
    ------
    InputError
        If `count` is below 1, or there are not as many dates as periods.

    Examples
    --------
    >>> from nautilus_metal.risk import Book, assess
    >>> history = np.array([[0.01, 0.02], [-0.03, 0.0], [0.0, -0.05], [0.01, 0.0]])
    >>> book = Book.linear(quantities=[1, 1], prices=[100.0, 100.0])
    >>> worst = worst_scenarios(assess(book, history, "historical", levels=(0.6,)), 2)
    >>> worst.index.tolist(), worst.losses.round(2).tolist()
    ([2, 1], [4.88, 2.96])
    """
    inputs = assessment.inputs
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise InputError(f"`count` must be a whole number of at least 1, was {count!r}")
    labels = inputs.dates if dates is None else dates
    periods = inputs.window.shape[-1]
    if labels is not None and len(labels) != periods:
        raise InputError(f"`dates` must hold a label for each of the {periods} periods, held {len(labels)}")
    if not inputs.book.positions:
        return _nothing(inputs)
    with threads_for(inputs.window.numel() + assessment.scenarios * len(inputs.window)):
        fitted = inputs.fitted()
        task = inputs.task(fitted)
        tail = tail_scenarios(task, engine or shared_engine(), min(count, fitted.count))
        by_position, returns, factors = _revalued(task, tail, inputs)
    ago = None
    if fitted.empirical is not None and not fitted.drawn:
        ago = fitted.count - 1 - tail.index
    total = by_position.sum(axis=0)
    order = np.argsort(-total, kind="stable")
    return WorstScenarios(
        base_currency=inputs.book.base_currency,
        positions=tuple(position.instrument for position in inputs.book.positions),
        instruments=inputs.book.instruments,
        index=tail.index[order],
        losses=total[order],
        position_losses=by_position[:, order],
        returns=returns[:, order],
        volatility_factors={name: row[order] for name, row in factors.items()},
        periods_ago=None if ago is None else ago[order],
        dates=None if ago is None or labels is None else tuple(labels[periods - 1 - i] for i in ago[order].tolist()),
    )


def _revalued(
    task: Task | OptionTask, tail: TailScenarios, inputs: Inputs
) -> tuple[Array, Array, dict[str, Array]]:
    """Losses by position, log returns by instrument and factors on implied volatilities, in float64 on the host."""
    if isinstance(task, OptionTask):
        return _options_revalued(task, tail)
    book = inputs.book
    changes = relative_changes(tail.spots, task.linear).numpy()
    lost = -book.values[:, None] * changes[book.instrument_index]
    return lost, scenario_returns(tail.spots).numpy(), {}


def _options_revalued(task: OptionTask, tail: TailScenarios) -> tuple[Array, Array, dict[str, Array]]:
    tables = make_tables(task, [*task.parts, torch.zeros(0)], tail.spots, tail.noise, None)
    count = len(tail.losses)
    basis, changes = np.empty((len(task.exposures), count)), np.empty((len(task.notionals), count))
    factors: dict[str, Array] = {}
    names = [task.book.instruments[row] for row in task.volatility_rows[0]]
    if tail.noise is not None:
        factors = {name: np.empty(count) for name in names}
    with tables.pieces(tables.scenarios) as (rows, pieces, buffer):
        for columns, market in pieces:
            basis[:, columns] = market.changes.numpy()
            if market.volatility is not None:
                for name, row in zip(names, market.volatility.numpy(), strict=True):
                    factors[name][columns] = row
            for start in range(0, len(changes), rows):
                part = slice(start, start + rows)
                changes[part, columns] = option_changes(tables.terms.part(part), market, buffer).numpy()
    return _by_position(task, basis, changes)[1], scenario_returns(tail.spots).numpy(), factors


def _nothing(inputs: Inputs) -> WorstScenarios:
    whole, none = np.zeros(0, dtype=np.int64), np.zeros((0, 0))
    return WorstScenarios(inputs.book.base_currency, (), (), whole, np.zeros(0), none, none, {}, None, None)
