"""What an order has to pass under NautilusTrader 2.x before the host has it: a judge, and the trading state."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from nautilus_trader.core import UUID4
from nautilus_trader.model import OrderModifyRejected, OrderUpdated, TradingState
from nautilus_trader.trading import Strategy

from nautilus_metal.errors import HostError
from nautilus_metal.host.orders import Ruling
from nautilus_metal.host.v2_door import ENDPOINT as DOOR
from nautilus_metal.host.v2_door import native_strategies
from nautilus_metal.host.v2_failures import guarded
from nautilus_metal.host.v2_node import Node, node_of
from nautilus_metal.host.words import OrderSide
from nautilus_metal.host.working_orders import WorkingOrders

Send = Callable[[], Any]

_ENDPOINT = "OrderGuard.get"
_TOPIC = "events.risk"
_EXIT = "MARKET_EXIT"  # the tag of orders by which the host itself ends a strategy's positions


@dataclass(frozen=True, slots=True)
class TradingStateChanged:
    """What the bus hears at ``events.risk``, as in 1.x."""

    state: TradingState
    ts_event: int


class Guard:
    """One per system: who judges orders, and the trading state.

    Parameters
    ----------
    owner : Actor
        The first one that asks for it.

    Raises
    ------
    HostError
        If orders of the system could go past it.
    """

    def __init__(self, owner: Any) -> None:
        refuse(native_strategies(), owner)
        self._owner = owner
        self.state = "ACTIVE"
        self.judge: WorkingOrders | None = None
        self._known: set[str] = set(map(str, owner.cache.strategy_ids()))
        self._strategies: dict[str, Any] = {}

    def ready(self) -> None:
        """Raise a `HostError` where no order could be denied."""
        if self._door is None:
            raise HostError(f"{self._owner.id} must be added to a system before it runs, was added to a running one")

    @property
    def _door(self) -> Any:
        return self._owner.msgbus.node.offers.get(DOOR)

    def move(self, state: str) -> None:
        """Enter a trading state, and say so on the bus."""
        if state != self.state:
            self.state = state
            changed = TradingStateChanged(TradingState.from_str(state), self._owner.clock.timestamp_ns())
            self._owner.msgbus.publish(_TOPIC, changed)

    def note(self, strategy: Any) -> None:
        """Note that the orders of a strategy come through here."""
        self._strategies[str(strategy.strategy_id)] = strategy
        guarded(self.refuse_strangers, "the check of an order", self._owner)()

    def refuse_strangers(self) -> None:
        """Raise a `HostError` where a strategy has sent an order that did not come through here."""
        for strategy_id in self._owner.cache.strategy_ids():
            name = str(strategy_id)
            if name in self._known or name in self._strategies:
                continue
            for order in self._owner.cache.orders(strategy_id=strategy_id):
                if not (order.init_event.reconciliation or _EXIT in (order.tags or ())):
                    raise HostError(f"{order.client_order_id} of {name} went past {self._owner.id}, unchecked")

    def submit(self, sender: Any, orders: Sequence[Any], send: Send) -> None:
        """Send orders, trim the only one, or deny them."""
        ruling, updated = self._asked(WorkingOrders.judge, orders), None
        refusal = ruling.reason if ruling.trim_to is None else None
        refusal = refusal or self._stopped(orders, ruling.always)
        if refusal is not None:
            deny = guarded(self._door.deny_order, "the denial of an order", self._owner)
            for order in orders:
                deny(order, refusal)
            return
        if ruling.trim_to is not None:
            updated = self._cut(orders[0], ruling.trim_to)
        if self.judge is not None:
            self.judge.let_through(orders)
        send()
        if updated is not None:
            _tell(sender, "on_order_updated", updated)

    def modify(self, order: Any, quantity: Any, send: Send) -> None:
        """Send a modification, or reject it."""
        if order is None or order.is_closed:
            send()
            return
        more = quantity is not None and quantity > order.quantity
        refusal = self._asked(WorkingOrders.judge_more, order, quantity).reason if more else None
        if refusal is None and self.state == "HALTED":
            refusal = "TradingState is HALTED"
        if refusal is None and more and self.state == "REDUCING" and self._adds(order):
            refusal = "TradingState is REDUCING and update will increase exposure"
        if refusal is None:
            send()
        else:
            strategy = self._strategies.get(str(order.strategy_id))
            _tell(strategy, "on_order_modify_rejected", self._rejected(order, refusal))

    def _asked(self, how: Callable[..., Ruling], *arguments: Any) -> Ruling:
        if self.judge is None:
            return Ruling()
        ruling: Ruling = guarded(how, "the check of an order", self._owner)(self.judge, *arguments)
        return ruling

    def _stopped(self, orders: Sequence[Any], always: bool) -> str | None:
        """Say what the trading state has against orders, in the words of 1.x's risk engine."""
        if self.state == "HALTED":
            return "TradingState.HALTED"
        adding = [order for order in orders if self.state == "REDUCING" and self._adds(order)]
        several = len(orders) > 1
        if not adding or (always and not several):
            return None
        side, held = ("BUY", "LONG") if adding[0].side == OrderSide.BUY else ("SELL", "SHORT")
        what = f"{side} when TradingState.REDUCING and {held} {adding[0].instrument_id}"
        return f"OrderList contains {what}" if several else what

    def _adds(self, order: Any) -> bool:
        positions = self._owner.cache.positions_open(instrument_id=order.instrument_id)
        held = sum(position.signed_qty for position in positions)
        return bool(held > 0 if order.side == OrderSide.BUY else held < 0)

    def _cut(self, order: Any, size: float) -> OrderUpdated:
        """Change an order in place, as 1.x's route does; return the event that says so."""
        quantity = self._owner.cache.instrument(order.instrument_id).make_qty(size)
        updated = OrderUpdated(*_names(order), quantity, *self._stamp())
        order.apply(updated)
        return updated

    def _rejected(self, order: Any, reason: str) -> OrderModifyRejected:
        identity = {"venue_order_id": order.venue_order_id, "account_id": order.account_id}
        return OrderModifyRejected(*_names(order), reason, *self._stamp(), **identity)

    def _stamp(self) -> tuple[UUID4, int, int, bool]:
        now = self._owner.clock.timestamp_ns()
        return UUID4(), now, now, False


def refuse(parts: Sequence[str], owner: Any) -> None:
    """Raise a `HostError` where a system has parts whose orders an actor cannot check."""
    if parts:
        raise HostError(
            f"orders cannot be checked in a system with {', '.join(parts)}: what is written in Rust sends them past "
            f"Python; leave it out, or {owner.id}"
        )


def guard_at(owner: Any) -> Guard:
    """Return the guard of an actor's system; the first call sets it up."""
    offers = owner.msgbus.node.offers
    if _ENDPOINT not in offers:
        offers[_ENDPOINT] = Guard(owner)
    guard: Guard = offers[_ENDPOINT]
    return guard


def guard_in(node: Node | None) -> Guard | None:
    """Return the guard of a system; None where nobody has asked for one."""
    return None if node is None else node.offers.get(_ENDPOINT)


def guard_of(sender: Any) -> Guard | None:
    """Return the guard of the system that a strategy or an execution algorithm of whatever class is in."""
    return guard_in(node_of(sender))


def _names(order: Any) -> tuple[Any, Any, Any, Any]:
    return order.trader_id, order.strategy_id, order.instrument_id, order.client_order_id


def _tell(strategy: Any, callback: str, event: Any) -> None:
    """Do what the host does with an event of an order that it makes itself."""
    if isinstance(strategy, Strategy):
        getattr(strategy, callback)(event)
        strategy.on_order_event(event)
