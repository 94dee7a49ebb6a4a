"""The AllocationActor: on a schedule, from the history of its instruments, publishes the weights to hold."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np

from nautilus_metal.actors.allocation_config import EQUAL_WEIGHT, AllocationActorConfig, check_config, constraints_of
from nautilus_metal.actors.bar_history import BarHistory
from nautilus_metal.actors.engine import MetalEngine
from nautilus_metal.actors.one_at_a_time import OneAtATime
from nautilus_metal.actors.saved_state import Envelope
from nautilus_metal.actors.stateful import StatefulActor
from nautilus_metal.engine import ComputeEngine
from nautilus_metal.errors import InputError
from nautilus_metal.host import Bar, event_loop, every, later, publish, request_history
from nautilus_metal.messages import AllocationTarget
from nautilus_metal.risk.allocation import Allocation, Constraints, optimise
from nautilus_metal.risk.book import Array

INFEASIBLE = "infeasible"
_ENVELOPE = Envelope("AllocationActor", b"NMAA", 1)


@dataclass(frozen=True, eq=False)
class _Task:
    """What one target is worked out from."""

    names: tuple[str, ...]
    returns: Array
    constraints: Constraints
    uncovered: dict[str, str]
    ts_event: int


class AllocationActor(StatefulActor):
    """Publishes an `AllocationTarget` after the first bars of each period of its schedule.

    An instrument with too short a history is listed in `uncovered` and gets no weight; the rest share the budget.
    Where the constraints leave no portfolio, the target is "infeasible", says which conflict, and has no weights. In
    a live system targets are worked out beside the event loop, once each instrument with enough history has closed,
    or `settle_seconds` after the first one did.

    Turnover and costs are counted from the last target, as prices have moved it since. After a restart a period that
    had its target gets no second one: history, the last target and its period are saved and loaded with the node's
    other state, or with `state_path`.

    Parameters
    ----------
    config : AllocationActorConfig
        The settings. Several actors in one system need a `component_id` each.

    Attributes
    ----------
    last_target : AllocationTarget or None
        As published.

    Raises
    ------
    InputError
        If a setting is outside its range.
    """

    state_key = "nautilus_metal.AllocationActor"

    def __init__(self, config: AllocationActorConfig) -> None:
        check_config(config)
        super().__init__(config)
        self._names = [str(bar_type.instrument_id) for bar_type in config.bar_types]
        self._line = OneAtATime(self, self._find, self._failed)
        self._waiting: Callable[[], None] | None = None
        self._history = BarHistory(config.window)
        self._served: tuple[int, ...] | None = None
        self._period: tuple[int, ...] | None = None
        self._due = True
        self._held: dict[str, tuple[float, float]] = {}
        self.last_target: AllocationTarget | None = None

    def register_base(self, portfolio: Any, msgbus: Any, cache: Any, clock: Any) -> None:
        """Register with a trader."""
        super().register_base(portfolio, msgbus, cache, clock)
        self.engine = MetalEngine.of(self)

    def on_start(self) -> None:
        """Take the state that was kept, subscribe to bars, ask for their history, and start the timer."""
        if not self._history.closed_at:
            self._recall()
        for bar_type in self.config.bar_types:
            self.subscribe_bars(bar_type)
            request_history(self, bar_type, self.config.window + 1)
        if self.config.timer_seconds is not None:
            every(self, f"{self.id}-timer", self.config.timer_seconds, self._line.request)

    def on_bar(self, bar: Bar) -> None:
        """Take a close into the history; the first of a period asks for a target."""
        self._history.observe(bar)
        if self.config.schedule is None:
            return
        period = period_of(bar.ts_event, self.config.schedule)
        if self._period is not None and period != self._period:
            self._due = True
        self._period = period
        if self._due and self._covered_names():
            if event_loop(self.clock) is None or self._all_closed(bar.ts_event):
                self._ask()
            elif self._waiting is None:
                self._waiting = later(self, f"{self.id}-settle", self.config.settle_seconds, self._ask)

    def on_historical_data(self, data: Any) -> None:
        """Take a requested bar into the history."""
        if isinstance(data, Bar):
            self._history.take(data)

    def on_stop(self) -> None:
        """Give up what is in flight: its period keeps its claim to a target."""
        self._line.stop()
        self._begin_periods()
        self._keep()

    def on_reset(self) -> None:
        """Forget history and targets."""
        self._history.reset()
        self._line.reset()
        self._served = None
        self._begin_periods()
        self._held, self.last_target = {}, None

    def _begin_periods(self) -> None:
        """Go on from the last period that had its target; the first bars ask for one where there is none."""
        self._period, self._due = self._served, self._served is None
        self._wait_no_more()

    def _wait_no_more(self) -> None:
        if self._waiting is not None:
            self._waiting()
        self._waiting = None

    def _packed(self) -> bytes:
        bars = {str(bar_type.instrument_id): str(bar_type) for bar_type in self.config.bar_types}
        memory = {
            "bars": bars,
            "schedule": self.config.schedule,
            "served": self._served,
            "held": self._held,
            "closed_at": self._history.closed_at,
        }
        return _ENVELOPE.pack(self._history.window.state(), memory)

    def _restore(self, data: bytes) -> None:
        arrays, memory = _ENVELOPE.unpack(data)
        for bar_type in self.config.bar_types:
            saved = memory["bars"].get(str(bar_type.instrument_id), str(bar_type))
            if saved != str(bar_type):
                raise InputError(f"`state` must be of {bar_type}, was of {saved}")
        self._history.window.restore(arrays)
        self._history.closed_at |= memory["closed_at"]
        self._held = {name: (weight, price) for name, (weight, price) in memory["held"].items()}
        same = memory["schedule"] == self.config.schedule and memory["served"] is not None
        self._served = tuple(memory["served"]) if same else None
        self._begin_periods()

    def _covered_names(self) -> list[str]:
        uncovered = self._history.window.uncovered(self._names, self.config.min_observations)
        return [name for name in self._names if name not in uncovered]

    def _all_closed(self, ts_event: int) -> bool:
        return all(self._history.closed_at[name] >= ts_event for name in self._covered_names())

    def _ask(self) -> None:
        """Ask for the target of a period, once."""
        self._wait_no_more()
        self._due = False
        self._line.request()

    def _failed(self, _error: Exception) -> None:
        self._due = self._served != self._period

    def _task(self) -> _Task:
        window = self._history.window
        uncovered = window.uncovered(self._names, self.config.min_observations)
        names = tuple(name for name in self._names if name not in uncovered)
        constraints = constraints_of(self.config, names, self._drifted())
        closed = [self._history.closed_at[name] for name in names]
        ts_event = max(closed, default=self.clock.timestamp_ns())
        return _Task(names, np.expm1(window.returns(names)), constraints, uncovered, ts_event)

    def _drifted(self) -> dict[str, float]:
        """The last target's weights as prices have moved them since; nothing before the first."""
        prices = self._history.window.prices
        worth = {name: weight * prices[name] / price for name, (weight, price) in self._held.items()}
        cash = 1.0 - sum(weight for weight, _ in self._held.values())
        whole = cash + sum(worth.values())
        return {name: value / whole for name, value in worth.items()} if whole > 0 else {}

    def _find(self, _skipped: int) -> None:
        task, config = self._task(), self.config

        def work(engine: ComputeEngine) -> Allocation | InputError | None:
            try:
                return allocate(config, task.names, task.returns, task.constraints, engine)
            except InputError as error:  # constraints that today's names cannot meet: an answer
                return error

        self._line.submit(work, partial(self._done, task))

    def _done(self, task: _Task, found: Allocation | InputError | None) -> None:
        if isinstance(found, InputError):
            self.log.warning(f"No target: {found}")
            self._tell(task, None, INFEASIBLE, str(found))
        elif not task.names:
            self._tell(task, None, INFEASIBLE, "no instrument has enough history")
        elif found is None:
            self._tell(task, None, "optimal", "")
        else:
            self._tell(task, found, found.status, "; ".join(found.reasons))

    def _tell(self, task: _Task, found: Allocation | None, status: str, reason: str) -> None:
        weights = found.named() if found is not None else {}
        if status != INFEASIBLE and found is None:
            weights = dict.fromkeys(task.names, self.config.budget / len(task.names))
        if status != INFEASIBLE:
            prices = self._history.window.prices
            self._held = {name: (weight, prices[name]) for name, weight in weights.items()}
        target = AllocationTarget(
            ts_event=task.ts_event,
            ts_init=self.clock.timestamp_ns(),
            source=str(self.id),
            objective=self.config.objective,
            status=status,
            reason=reason,
            weights=weights,
            value=None if found is None else found.value,
            gap=None if found is None else found.gap,
            residual=None if found is None else found.residual,
            expected_return=None if found is None else found.expected_return,
            volatility=None if found is None else found.volatility,
            scenarios=len(task.returns),
            device="cpu" if found is None else found.device,
            seed=None if found is None else found.seed,
            uncovered=dict(task.uncovered),
        )
        self.last_target = target
        if self.config.schedule is not None and task.names:
            before, self._served = self._served, period_of(task.ts_event, self.config.schedule)
            if before != self._served:  # kept now: the target will be traded even if the process dies
                self._keep()
        publish(self, target)


def allocate(
    config: AllocationActorConfig,
    names: tuple[str, ...],
    returns: Array,
    constraints: Constraints,
    engine: ComputeEngine,
) -> Allocation | None:
    """Find the weights that a configuration asks for; None where they are equal, or nothing is covered."""
    if not names or config.objective == EQUAL_WEIGHT:
        return None
    return optimise(
        returns,
        config.objective,
        constraints=constraints,
        risk_aversion=config.risk_aversion,
        assets=names,
        level=config.level,
        risk_free_rate=config.risk_free_rate,
        tolerance=config.tolerance,
        engine=engine,
    )


def period_of(ts: int, schedule: str) -> tuple[int, ...]:
    """Name the period of a schedule that a time falls into.

    Parameters
    ----------
    ts : int
        UNIX nanoseconds.
    schedule : str
        "daily", "weekly", "monthly" or "quarterly".

    Examples
    --------
    >>> period_of(1_700_000_000 * 10**9, "monthly"), period_of(1_700_000_000 * 10**9, "quarterly")
    ((2023, 11), (2023, 4))
    """
    day = datetime.fromtimestamp(ts // 10**9, tz=UTC)
    if schedule == "weekly":
        return day.isocalendar()[:2]
    parts = {"daily": (day.month, day.day), "monthly": (day.month,), "quarterly": ((day.month + 2) // 3,)}
    return (day.year, *parts[schedule])
