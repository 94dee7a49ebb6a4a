"""Whether the device of a running system works: failures are noted and announced, and the device is tried again."""

from collections.abc import Callable
from functools import partial
from typing import Any

from nautilus_metal.actors.runtime import BackOff, Outcome, attempt
from nautilus_metal.engine import ComputeEngine
from nautilus_metal.engine.worker import Job, Worker
from nautilus_metal.host import broadcast, degrade, event_loop, post, recover
from nautilus_metal.messages import EngineEvent


class DeviceHealth:
    """Degrades a component when its device fails, and recovers it when the device answers a probe.

    Parameters
    ----------
    component : Component
        Of the engine.
    clock : Clock
        Of the system.
    msgbus : MessageBus
        Of the system.
    device : callable
        Returns the `ComputeEngine` of the configured device.

    Attributes
    ----------
    failure : str or None
        What the device said when it failed; None while it works.
    """

    def __init__(self, component: Any, clock: Any, msgbus: Any, device: Callable[[], ComputeEngine]) -> None:
        self._component, self._clock, self._bus, self._device = component, clock, msgbus, device
        self._prober = Worker("nautilus-metal-probe")
        self.reset()

    def reset(self) -> None:
        """Forget every failure."""
        self.failure: str | None = None
        self._back_off = BackOff()
        self._full = self._probing = False

    def stop(self, seconds: float) -> bool:
        """End a probe that runs; return whether it ended."""
        self._probing = False
        return self._prober.close(seconds)

    def take_note(self, outcome: Outcome[Any]) -> None:
        """Degrade after a fault, and say once where memory is short; on the thread of the system."""
        if outcome.fault is None:
            self._full = False
        elif not outcome.out_of_memory:
            self.fail(outcome.fault)
        elif not self._full:
            self._full = True
            self._component.log.warning(f"{self._name} has too little memory, working on the CPU: {outcome.fault}")
            self._announce("out_of_memory", "cpu", outcome.fault)

    def fail(self, fault: str) -> None:
        """Give the device up until it answers a probe."""
        if self.failure is None:
            self.failure = fault
            self._back_off.failed(self._clock.timestamp_ns())
            self._component.log.error(f"{self._name} failed, falling to the CPU: {fault}")
            degrade(self._component)
            self._announce("degraded", "cpu", fault)

    def probe(self) -> None:
        """Try a failed device again when its time has come: live, on a thread of its own, for it may hang."""
        if self.failure is None or self._probing or not self._back_off.due(self._clock.timestamp_ns()):
            return
        loop, engine = event_loop(self._clock), self._device()
        self._probing, work = True, partial(attempt, lambda engine: engine.probe(), engine, engine)
        if loop is None:
            self._probed(work())
        else:
            self._prober.submit(Job(work, partial(post, loop, self._probed)))

    def _probed(self, outcome: Outcome[None]) -> None:
        self._probing = False
        if self.failure is None:
            return
        if outcome.error is not None:
            self._back_off.failed(self._clock.timestamp_ns())
            return
        failed, self.failure = self.failure, None
        self._back_off.recovered()
        self._component.log.info(f"{self._name} works again, after {failed}")
        recover(self._component)
        self._announce("restored", self._name, failed)

    @property
    def _name(self) -> str:
        return str(self._device().device)

    def _announce(self, state: str, works_on: str, reason: str) -> None:
        now = self._clock.timestamp_ns()
        broadcast(self._bus, EngineEvent(now, now, self._name, works_on, state, reason))
