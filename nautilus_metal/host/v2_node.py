"""What the actors of one running NautilusTrader 2.x system share: an object found over the system's message bus."""

import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from nautilus_metal.host.facts import Phase
from nautilus_metal.host.v2_failures import guarded

TOPIC = "metal.node"
_WAITING: list[weakref.ref[Any]] = []  # actors that are made and have joined no system


class Node:
    """One per system.

    Attributes
    ----------
    offers : dict of str to object
        What `offer` laid out, by endpoint.
    followers : list of callable
        Called with each `Phase` of the run.
    fills : list of callable
        Called when a position has changed.
    look_soon : callable, optional
        Calls `look` once all of the current time stamp has been handled; None where a timer does.
    """

    def __init__(self) -> None:
        self.offers: dict[str, Any] = {}
        self.followers: list[Callable[[Phase], None]] = []
        self.fills: list[Callable[[Any], None]] = []
        self.look_soon: Callable[[], None] | None = None
        self._running: set[Any] = set()
        self._phase = Phase.READY
        self._ended = (0, 0)  # orders and positions
        self._held: set[tuple[Any, int, int]] = set()

    def answer(self, found: list["Node"]) -> None:
        """Tell an actor that asks over the bus."""
        found.append(self)

    def started(self, actor: Any) -> None:
        """Note that an actor starts: with the first the run begins."""
        if not self._running:
            self._ended, self._held = (0, 0), set()
            self._tell(Phase.RUNNING)
        self._running.add(actor)

    def left(self, actor: Any, phase: Phase) -> None:
        """Note that an actor has stopped, was reset or disposed: with the last one to stop the run has."""
        self._running.discard(actor)
        if not self._running and phase is not self._phase:
            self._tell(phase)

    def look_for_fills(self, cache: Any) -> None:
        """Look for fills after a bar or quote, and once more where an order is on its way then."""
        if self.fills:
            self.look(cache)
            known = cache.orders_closed_count() + cache.orders_open_count()
            if self.look_soon and cache.orders_total_count() > known:
                self.look_soon()

    def look(self, cache: Any) -> None:
        """Call the followers of fills where a position has changed since the last look.

        It is called with every bar, so it reads counts, which the host keeps, unless an order works or has ended; and
        then the open positions alone: of closed ones there are more and more, and the host hands out copies.
        """
        orders, closed = cache.orders_closed_count(), cache.positions_closed_count()
        if (orders, closed) == self._ended and not cache.orders_open_count():
            return
        more, self._ended = closed > self._ended[1], (orders, closed)  # less where a live node forgets closed ones
        positions = cache.positions_open()
        held = {(one.id, one.event_count, one.ts_last) for one in positions}
        if more or held != self._held:
            self._held = held
            for handler in self.fills:
                handler(positions)

    def _tell(self, phase: Phase) -> None:
        self._phase = phase
        for follower in list(self.followers):
            follower(phase)


class Bus:
    """An actor's message bus: subscriptions outlive a reset, as in 1.x, and what a handler raises is recorded.

    Parameters
    ----------
    owner : Actor
        Whose it is.
    """

    def __init__(self, owner: Any) -> None:
        self.owner = owner
        self.node: Node | None = None
        self._kept: list[tuple[str, Callable[[Any], None]]] = []

    def subscribe(self, topic: str, handler: Callable[[Any], None]) -> None:
        """Hear what is published at a topic; a handler that does hears it once."""
        if self._of(topic, handler):
            return
        kept = guarded(handler, f"{self.owner.id}'s handler of {topic}", self.owner)
        self._kept.append((topic, kept))
        self.owner.subscribe_topic(topic, kept)

    def unsubscribe(self, topic: str, handler: Callable[[Any], None]) -> None:
        """Hear it no longer."""
        for kept in self._of(topic, handler):
            self._kept.remove(kept)
            self.owner.unsubscribe_topic(*kept)

    def publish(self, topic: str, message: Any) -> None:
        """Publish any object."""
        self.owner.publish_message(topic, message)

    def _of(self, topic: str, handler: Callable[[Any], None]) -> list[tuple[str, Callable[[Any], None]]]:
        return [one for one in self._kept if one[0] == topic and one[1].__wrapped__ == handler]

    def renew(self) -> None:
        """Subscribe again what a reset of the host has dropped."""
        for topic, handler in self._kept:
            with suppress(Exception):
                self.owner.unsubscribe_topic(topic, handler)
            self.owner.subscribe_topic(topic, handler)


def waiting() -> list[Any]:
    """Return the actors that are made and have joined no system."""
    return [actor for actor in (reference() for reference in _WAITING) if actor is not None]


def node_of(component: Any) -> Node | None:
    """Return the node of the system that a component of whatever class is in; None where none of ours is there."""
    found: list[Node] = []
    component.publish_message(TOPIC, found)
    return found[0] if found else None


def wait(actor: Any) -> None:
    """Note that an actor is made, so that it joins with the first one of its system that starts."""
    _WAITING.append(weakref.ref(actor))


def join(actor: Any) -> None:
    """Bring an actor that starts, and all others that were added to its system, into the system's node.

    1.x tells every actor that it was added before the first one starts; 2.x does not tell.
    """
    node = _node_of(actor)
    waiting, _WAITING[:] = list(_WAITING), []
    for reference in waiting:
        other = reference()
        if other is not None and other is not actor and not _register(other, node):
            _WAITING.append(reference)
    _register(actor, node)
    if actor.msgbus.node is node:
        actor.msgbus.renew()
    node.started(actor)


def _node_of(actor: Any) -> Node:
    found = node_of(actor)
    if found is not None:
        return found
    node: Node = actor.msgbus.node or Node()
    actor.subscribe_topic(TOPIC, node.answer)
    return node


def _register(actor: Any, node: Node) -> bool:
    """Tell an actor that it was added, once; return whether it belongs to the system."""
    if actor.msgbus.node is node:
        return True
    found: list[Node] = []
    try:
        actor.publish_message(TOPIC, found)
    except Exception:  # of another system, or of none yet
        return False
    if node not in found:
        return False
    actor.msgbus.node = node
    actor.register_base(None, actor.msgbus, actor.cache, actor.clock)
    return True
