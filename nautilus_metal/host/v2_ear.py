"""What a live node of NautilusTrader 2.x says to whoever watches it from outside: reports, data, events of orders."""

from collections.abc import Callable
from typing import Any

from nautilus_metal.host.v2_actor import Actor
from nautilus_metal.host.v2_config import ActorConfig
from nautilus_metal.host.v2_runtime import every

_BARS, _QUOTES = "data.bars.*", "data.quotes.*"
_ORDERS, _FILLS = "events.order.*", "events.fills.*"
_LOOK_SECONDS = 0.05
Handler = Callable[[Any], None]


class Ear(Actor):
    """Hears for a `LiveNode`.

    2.x has no events of orders for an actor, so the cache is looked at 20 times a second; and no topics of data,
    so the bars and quotes of replays are subscribed.

    Parameters
    ----------
    replays : list of ReplayDataClient
        Whose data are heard.
    """

    def __init__(self, replays: list[Any]) -> None:
        super().__init__(ActorConfig(component_id="MetalEar", log_events=False, log_commands=False))
        self._replays = replays
        self._wanted: dict[str, list[Handler]] = {}
        self._events: dict[Any, int] = {}  # seen of each order that is not closed
        self._closed: set[Any] = set()

    def hear(self, topic: str, handler: Handler) -> None:
        """Call `handler` with each message of a topic, from the node's start on.

        Parameters
        ----------
        topic : str
            Of a message of this package, or "data.bars.*", "data.quotes.*", "events.fills.*", "events.order.*".
        handler : callable
            Called on the node's thread.
        """
        self._wanted.setdefault(topic, []).append(handler)

    def on_start(self) -> None:
        """Subscribe what somebody wants to hear."""
        for topic, handlers in self._wanted.items():
            if topic not in (_BARS, _QUOTES, _ORDERS, _FILLS):
                for handler in handlers:
                    self.msgbus.subscribe(topic, handler)
        for replay in self._replays:
            for bar_type in replay.bar_types if _BARS in self._wanted else ():
                self.subscribe_bars(bar_type)
            for instrument_id in replay.quoted if _QUOTES in self._wanted else ():
                self.subscribe_quotes(instrument_id)
        if _ORDERS in self._wanted or _FILLS in self._wanted:
            every(self, "metal-ear", _LOOK_SECONDS, self.look)

    def on_bar(self, bar: Any) -> None:
        """Hand a bar on."""
        self._tell(_BARS, bar)

    def on_quote_tick(self, tick: Any) -> None:
        """Hand a quote on."""
        self._tell(_QUOTES, tick)

    def look(self) -> None:
        """Hand on what has happened to orders since the last look."""
        found, known = [], set(self.cache.client_order_ids())
        self._closed &= known  # a node that runs for long forgets orders
        for key in known - self._closed:
            order = self.cache.order(key)
            if order is None:
                continue
            events = order.events()
            found += events[self._events.get(key, 0) :]
            self._events[key] = len(events)
            if order.is_closed:
                self._closed.add(key)
                del self._events[key]
        for event in sorted(found, key=lambda one: one.ts_init):
            self._tell(_ORDERS, event)
            if type(event).__name__ == "OrderFilled":
                self._tell(_FILLS, event)

    def _tell(self, topic: str, message: Any) -> None:
        for handler in self._wanted.get(topic, ()):
            handler(message)
