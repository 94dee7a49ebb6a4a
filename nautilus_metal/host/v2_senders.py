"""The methods by which strategies and execution algorithms of NautilusTrader 2.x send orders, led through a guard.

All that are written in Python have them from the host's classes, which are changed here: nobody has to take part, and
none can be forgotten. In a system without a guard the methods do what they did.
"""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from nautilus_trader.model import OrderSide
from nautilus_trader.trading import ExecutionAlgorithm, Strategy

from nautilus_metal.host.v2_door import native_algorithms
from nautilus_metal.host.v2_guard import Guard, Send, guard_of

Method = Callable[..., Any]


def _led(guarded: Method) -> Callable[[Method], Method]:
    """Make a method ask ``guarded(guard, real, self, ...)`` where there is a guard."""

    def lead(real: Method) -> Method:
        @wraps(real)
        def method(self: Any, *arguments: Any, **settings: Any) -> Any:
            guard = guard_of(self)
            if guard is None:
                return real(self, *arguments, **settings)
            if isinstance(self, Strategy):
                guard.note(self)
            return guarded(guard, real, self, *arguments, **settings)

        return method

    return lead


def _submit_order(guard: Guard, real: Method, self: Any, order: Any, *more: Any, **settings: Any) -> Any:
    return _submit(guard, self, [order], partial(real, self, order, *more, **settings))


def _submit_order_list(guard: Guard, real: Method, self: Any, order_list: Any, *more: Any, **settings: Any) -> Any:
    return _submit(guard, self, list(order_list), partial(real, self, order_list, *more, **settings))


def _submit(guard: Guard, self: Any, orders: list[Any], send: Send) -> Any:
    if isinstance(self, Strategy):
        for order in orders:  # 2.x would send it again, and lose what has become of it
            if self.cache.order_exists(order.client_order_id):
                self.log.error(f"Cannot submit order: duplicate {order.client_order_id!r}")
                return None
        executed = all(order.exec_algorithm_id and not order.emulation_trigger for order in orders)
        if executed and not native_algorithms():  # one in Python sends the orders on in pieces, which are checked
            return send()
    return guard.submit(self, orders, send)


def _modify_order(guard: Guard, real: Method, self: Any, *arguments: Any, **settings: Any) -> Any:
    named = dict(zip(("client_order_id", "quantity"), arguments, strict=False)) | settings
    key = named.get("client_order_id", named.get("order"))
    order = self.cache.order(getattr(key, "client_order_id", key))
    return guard.modify(order, named.get("quantity"), partial(real, self, *arguments, **settings))


def _modify_orders(guard: Guard, real: Method, self: Any, updates: Any = (), *more: Any, **settings: Any) -> Any:
    kept: list[Any] = []
    for update in updates:
        guard.modify(self.cache.order(update[0]), update[1], partial(kept.append, update))
    return real(self, kept, *more, **settings) if kept else None


def _close_position(
    _guard: Guard,
    _real: Method,
    self: Any,
    position: Any,
    client_id: Any = None,
    tags: Any = None,
    time_in_force: Any = None,
    reduce_only: Any = None,
    quote_quantity: Any = None,
    params: Any = None,
) -> None:
    """As the host does it, whose own order would pass no guard."""
    if position.is_closed:
        self.log.warning(f"Cannot close position (the position is already closed), {position}")
        return
    side = OrderSide.SELL if position.signed_qty > 0 else OrderSide.BUY
    options = {"time_in_force": time_in_force, "quote_quantity": quote_quantity, "tags": tags}
    options["reduce_only"] = True if reduce_only is None else reduce_only
    order = self.order_factory.market(position.instrument_id, side, position.quantity, **options)
    Strategy.submit_order(self, order, position.id, client_id, params)


def _close_all_positions(
    _guard: Guard, _real: Method, self: Any, instrument_id: Any, position_side: Any = None, *more: Any, **options: Any
) -> None:
    found = self.cache.positions_open(instrument_id=instrument_id, strategy_id=self.strategy_id, side=position_side)
    for position in found:
        Strategy.close_position(self, position, *more, **options)


def _market_exit(guard: Guard, real: Method, self: Any) -> Any:
    """As the host does it, but halted, when its orders would have to be denied."""
    if guard.state != "HALTED":
        return real(self)
    cache, mine = self.cache, {"strategy_id": self.strategy_id}
    orders = [*cache.orders_open(**mine), *cache.orders_inflight(**mine), *cache.orders_emulated(**mine)]
    for instrument_id in dict.fromkeys(order.instrument_id for order in orders):
        Strategy.cancel_all_orders(self, instrument_id)
    for position in cache.positions_open(**mine):
        Strategy.close_position(self, position)
    return None


_LED: dict[type, tuple[Method, ...]] = {
    ExecutionAlgorithm: (_submit_order, _modify_order),
    Strategy: (
        *(_submit_order, _submit_order_list, _modify_order, _modify_orders),
        *(_close_position, _close_all_positions, _market_exit),
    ),
}


def lead_orders() -> None:
    """Change the host's classes, once."""
    if hasattr(Strategy.submit_order, "__wrapped__"):
        return
    for owner, methods in _LED.items():
        for guarded in methods:
            name = guarded.__name__.removeprefix("_")
            setattr(owner, name, _led(guarded)(getattr(owner, name)))
