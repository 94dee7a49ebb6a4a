"""Orders as a pre-trade judge sees them: new ones, beside all others that may fill."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from nautilus_metal.host.orders import Judge, OrderIntent, Ruling, Sizes
from nautilus_metal.host.reading import last_price
from nautilus_metal.host.words import ContingencyType, OrderSide, OrderStatus

_ONE_CANCELS = (ContingencyType.OCO, ContingencyType.OUO)
_BEFORE_SUBMISSION = (OrderStatus.INITIALIZED, OrderStatus.RELEASED)


class WorkingOrders:
    """Puts orders of the host before a judge.

    Parameters
    ----------
    owner : Actor
        Registered with a system.
    judge : callable
        ``judge(intents, working, sizes)`` returns a `Ruling` on what would be submitted, orders of one list together,
        given the other orders that may fill and the `Sizes` of the first.
    """

    def __init__(self, owner: Any, judge: Judge) -> None:
        self._owner, self._judge = owner, judge
        self._passed: set[Any] = set()

    def judge(self, orders: Sequence[Any]) -> Ruling:
        """Ask about an order, or about those of a list together."""
        intents = [self._intent(order, order.quantity, orders) for order in orders]
        # the cache counts an order for the emulator as emulated before it is there
        new = {intent.order_id for intent in intents}
        others = [one for one in self._working() if one.order_id not in new]
        return self._judge(intents, others, self._sizes(orders))

    def judge_more(self, order: Any, quantity: Any) -> Ruling:
        """Ask about a modification to a larger quantity."""
        more = self._intent(order, quantity - order.quantity, ())
        return self._judge([more], self._working(), self._sizes([order]))

    def let_through(self, orders: Iterable[Any]) -> None:
        """Count orders as working from now on."""
        self._passed.update(order.client_order_id for order in orders)

    def clear(self) -> None:
        """Forget which orders were let through."""
        self._passed.clear()

    def _sizes(self, orders: Sequence[Any]) -> Sizes:
        order, instrument = orders[0], self._owner.cache.instrument(orders[0].instrument_id)
        if instrument is None:
            return Sizes(0.0, 0.0, cuttable=False)
        # what an execution algorithm spawns is part of a larger order, which counts on its size
        whole = order.exec_spawn_id is None and not order.is_quote_quantity
        fresh = whole and order.status in _BEFORE_SUBMISSION
        least = float(instrument.min_quantity or 0)
        return Sizes(float(instrument.size_increment), least, cuttable=fresh and len(orders) == 1)

    def _working(self) -> list[OrderIntent]:
        """Orders that may fill: at the venue, on the way there, emulated, or let through and not yet sent."""
        cache = self._owner.cache
        passed = [order for order in map(cache.order, self._passed) if order is not None]
        passed = [order for order in passed if order.status in _BEFORE_SUBMISSION]
        self._passed = {order.client_order_id for order in passed}
        found = [*cache.orders_open(), *cache.orders_inflight(), *cache.orders_emulated(), *passed]
        distinct = {order.client_order_id: order for order in found if not order.is_closed}
        return [self._intent(order, order.leaves_qty, distinct.values()) for order in distinct.values()]

    def _intent(self, order: Any, size: Any, others: Iterable[Any]) -> OrderIntent:
        sign = 1.0 if order.side == OrderSide.BUY else -1.0
        price = getattr(order, "price", None)
        if price is None:
            price = getattr(order, "trigger_price", None)
        own = None if price is None else float(price)
        return OrderIntent(
            order_id=order.client_order_id.value,
            instrument=str(order.instrument_id),
            strategy=order.strategy_id.value,
            tags=tuple(order.tags or ()),
            quantity=sign * self._in_base(order, float(size), own),
            price=own,
            reduce_only=order.is_reduce_only,
            closes=self._closes(order, others),
            group=_group(order),
        )

    def _in_base(self, order: Any, size: float, price: float | None) -> float:
        if not order.is_quote_quantity:
            return size
        instrument = self._owner.cache.instrument(order.instrument_id)
        known = price or last_price(self._owner.cache, str(order.instrument_id))
        return math.nan if instrument is None or not known else size / (known * float(instrument.multiplier))

    def _closes(self, order: Any, others: Iterable[Any]) -> bool:
        if order.parent_order_id is None:
            return False
        listed = (other for other in others if other.client_order_id == order.parent_order_id)
        parent = next(listed, None) or self._owner.cache.order(order.parent_order_id)
        return (
            parent is not None
            and parent.instrument_id == order.instrument_id
            and parent.side != order.side
            and order.quantity <= parent.quantity
        )


def _group(order: Any) -> tuple[str, ...]:
    if order.contingency_type not in _ONE_CANCELS or not order.linked_order_ids:
        return ()
    return tuple(sorted({order.client_order_id.value, *(linked.value for linked in order.linked_order_ids)}))
