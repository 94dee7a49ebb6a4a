"""A component moved through the phases of a run."""

from typing import Any

from nautilus_metal.host.facts import Phase
from nautilus_metal.host.words import ComponentState


def move(component: Any, phase: Phase) -> None:
    """Bring a component to a phase of the run by the transitions that its state allows."""
    state = component.state
    live = state in (ComponentState.RUNNING, ComponentState.DEGRADED)
    if phase is Phase.RUNNING and state == ComponentState.READY:
        component.start()
    elif phase is Phase.RUNNING and state == ComponentState.STOPPED:
        component.resume()
    elif phase is not Phase.RUNNING and live:
        component.stop()
    if phase is Phase.READY and component.state in (ComponentState.STOPPED, ComponentState.READY):
        component.reset()
    elif phase is Phase.DISPOSED and component.state in (ComponentState.STOPPED, ComponentState.READY):
        component.dispose()


def degrade(component: Any) -> None:
    """Degrade a running component, which publishes the change on the bus; elsewhere it has no meaning."""
    if component.is_running:
        component.degrade()


def recover(component: Any) -> None:
    """Bring a degraded component back to running."""
    if component.is_degraded:
        component.resume()
