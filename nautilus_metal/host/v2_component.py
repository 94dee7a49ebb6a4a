"""A component of ours under NautilusTrader 2.x, which has none in Python: states, events and a log."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

from nautilus_trader.common import Logger


class ComponentState(Enum):
    """The states of 1.x that a component of ours can be in; those of 2.x are not for Python's use."""

    READY = "ready"
    RUNNING = "running"
    STOPPED = "stopped"
    DEGRADED = "degraded"
    DISPOSED = "disposed"


@dataclass(frozen=True, slots=True)
class StateChanged:
    """What a component says on the bus, at ``events.system.{component_id}``."""

    component_id: str
    state: ComponentState
    ts_event: int


class Component:
    """What 1.x's class of this name does, as far as this package uses it.

    Parameters
    ----------
    clock : Clock
        Of the system.
    component_id : ComponentId
        Its name.
    msgbus : Bus
        Of an actor.
    config : ActorConfig
        Its settings.
    """

    def __init__(self, clock: Any, component_id: Any, msgbus: Any, config: Any) -> None:
        self.id = component_id
        self.state = ComponentState.READY
        self._log = Logger(str(component_id))
        self._clock, self._bus = clock, msgbus

    @property
    def is_running(self) -> bool:
        """Whether it runs, and is not degraded."""
        return self.state is ComponentState.RUNNING

    @property
    def is_degraded(self) -> bool:
        """Whether it is degraded."""
        return self.state is ComponentState.DEGRADED

    def start(self) -> None:
        """Run."""
        self._become(ComponentState.RUNNING)

    resume = start

    def stop(self) -> None:
        """Stop."""
        self._stop()
        self._become(ComponentState.STOPPED)

    def reset(self) -> None:
        """Start again from nothing."""
        self._reset()
        self._become(ComponentState.READY)

    def dispose(self) -> None:
        """End for good."""
        self._become(ComponentState.DISPOSED)

    def degrade(self) -> None:
        """Go on with less."""
        self._become(ComponentState.DEGRADED)

    def _stop(self) -> None:
        """Let go of what runs."""

    def _reset(self) -> None:
        """Forget what is known."""

    def _become(self, state: ComponentState) -> None:
        self.state = state
        if state not in (ComponentState.DISPOSED, ComponentState.READY):  # the bus may be gone
            changed = StateChanged(str(self.id), state, self._clock.timestamp_ns())
            self._bus.publish(f"events.system.{self.id}", changed)
