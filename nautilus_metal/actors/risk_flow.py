"""The flow of risk ticks: one at a time, the newest snapshot wins, nothing old is published after something new."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from nautilus_metal.actors.one_at_a_time import OneAtATime
from nautilus_metal.actors.risk_config import RiskActorConfig, least_scenarios
from nautilus_metal.actors.risk_tick import Inputs, Pace, TickFigures, tick_figures
from nautilus_metal.engine import ComputeEngine
from nautilus_metal.host import event_loop, later
from nautilus_metal.risk import MODELS


class TickFlow:
    """At most one tick in flight: requests that come meanwhile are one tick after it, from the snapshot of then.

    In a backtest a tick is computed and published before anything else happens.

    Parameters
    ----------
    owner : Actor
        Registered, with an `engine`, a `MetalEngine`.
    config : RiskActorConfig
        The settings; `config` may be replaced by one with another model, which counts from the next tick on.
    take : callable
        ``take(serial, skipped)`` returns the `Inputs` of this moment.
    publish : callable
        ``publish(inputs, figures)``.
    complain : callable
        ``complain(reason, detail)`` where a report is late or fails.
    """

    def __init__(
        self,
        owner: Any,
        config: RiskActorConfig,
        take: Callable[[int, int], Inputs],
        publish: Callable[[Inputs, TickFigures], None],
        complain: Callable[[str, str], None],
    ) -> None:
        self._owner, self.config = owner, config
        self._take, self._publish, self._complain = take, publish, complain
        self._deadline = None if config.deadline_ms is None else config.deadline_ms / 1e3
        self._pace = Pace(config.scenarios, least_scenarios(config.levels), self._deadline)
        self._serial = self._published = 0
        self._line = OneAtATime(owner, self._start, self._failed)
        self.reset()

    def reset(self) -> None:
        """Forget all requests."""
        self._line.reset()
        self._call_off: Callable[[], None] = _nothing
        self._pace.reset()

    def request(self) -> None:
        """Ask for a tick after all data of the current time stamp."""
        self._line.request()

    def run_now(self) -> None:
        """Make a tick before returning, whatever is in flight."""
        inputs = self._inputs(0)
        work = partial(tick_figures, inputs, self.config, self.config.scenarios)
        self._hand_out(inputs, self._owner.engine.run(work, *self._size(inputs)))

    def stop(self) -> None:
        """Give up the tick in flight; in a backtest make the one that is asked for, as the run may end on it."""
        self._call_off()
        asked = self._line.stop()
        self.reset()
        if asked:
            self.run_now()

    def _start(self, skipped: int) -> None:
        started, inputs, early = time.monotonic(), self._inputs(skipped), list[TickFigures]()
        stages, config = self._pace.stages(), self.config

        def work(engine: ComputeEngine) -> TickFigures:
            early.clear()
            for count in stages[:-1]:
                early.append(tick_figures(inputs, config, count, engine))
            return tick_figures(inputs, config, stages[-1], engine)

        if self._deadline is not None and event_loop(self._owner.clock) is not None:
            late = partial(self._late, inputs, early, started)
            self._call_off = later(self._owner, f"{self._owner.id}-deadline", self._deadline, late)
        self._line.submit(work, partial(self._arrived, inputs, started), *self._size(inputs))

    def _inputs(self, skipped: int) -> Inputs:
        self._serial += 1
        return self._take(self._serial, skipped)

    def _size(self, inputs: Inputs) -> tuple[str, int]:
        """The kind of work, and the elements of its largest tensor, by which it is placed."""
        book = inputs.snapshot.book
        linear = MODELS[self.config.model].linear and not len(book.option_index)
        return "losses" if linear else "revaluation", len(book.positions) * self.config.scenarios

    def _late(self, inputs: Inputs, early: list[TickFigures], started: float) -> None:
        """At the deadline: publish what there is, and let the rest go; with nothing there, say so and wait."""
        self._pace.took(time.monotonic() - started + 1e-9)
        if not early:
            self._complain("deadline", f"no figures within {self.config.deadline_ms:g} ms")
            return
        self._line.give_up()
        self._hand_out(inputs, early[-1])

    def _arrived(self, inputs: Inputs, started: float, figures: TickFigures) -> None:
        self._call_off()
        self._pace.took(time.monotonic() - started)
        self._hand_out(inputs, figures)

    def _failed(self, error: Exception) -> None:
        self._call_off()
        self._complain("error", f"{type(error).__name__}: {error}")

    def _hand_out(self, inputs: Inputs, figures: TickFigures) -> None:
        if inputs.serial > self._published:
            self._published = inputs.serial
            self._publish(inputs, figures)


def _nothing() -> None:
    """Stand in for what is not there to be called off."""
