"""Standing between strategies and the risk engine of a NautilusTrader 1.x system: orders judged, trimmed, denied."""

from collections.abc import Callable
from typing import Any

from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.messages import ModifyOrder, SubmitOrder, SubmitOrderList
from nautilus_trader.model.enums import OrderSide, TradingState
from nautilus_trader.model.events import OrderUpdated
from nautilus_trader.risk.engine import RiskEngine
from nautilus_trader.trading.controller import Controller as HostController

from nautilus_metal.errors import InputError
from nautilus_metal.host.orders import Judge, OrderIntent, Ruling, Sizes
from nautilus_metal.host.working_orders import WorkingOrders

__all__ = ["Controller", "OrderIntent", "OrderRoute", "Ruling", "Sizes", "set_trading_state", "trading_state"]

_ENDPOINTS = ("RiskEngine.execute", "OrderEmulator.execute")  # what the emulator releases passes no risk engine


class OrderRoute:
    """Takes the place of the risk engine's endpoint, and of the emulator's, and forwards what a judge lets through.

    Parameters
    ----------
    owner : Actor
        Registered with a trader.
    judge : callable
        ``judge(intents, working, sizes)`` returns a `Ruling` on what would be submitted, orders of one list together,
        given the other orders that may fill and the `Sizes` of the first.
    """

    def __init__(self, owner: Any, judge: Judge) -> None:
        self._owner, self._orders = owner, WorkingOrders(owner, judge)
        self._risk = _risk_engine(owner.msgbus)
        self._originals: dict[str, tuple[Callable[[Any], None], Callable[[Any], None]]] = {}

    def take(self) -> None:
        """Take the endpoints over, where that has not happened."""
        bus = self._owner.msgbus
        for endpoint in _ENDPOINTS:
            if endpoint not in self._originals and endpoint in bus.endpoints():
                original = _withdrawn(bus, endpoint)

                def route(command: Any, forward: Callable[[Any], None] = original) -> None:
                    self._route(command, forward)

                bus.register(endpoint, route)
                self._originals[endpoint] = (original, route)

    def give_back(self) -> None:
        """Give the endpoints back; one that somebody else took in the meantime stays theirs."""
        bus = self._owner.msgbus
        for endpoint, (original, own) in self._originals.items():
            if endpoint not in bus.endpoints():
                continue
            current = _withdrawn(bus, endpoint)
            bus.register(endpoint, original if current is own else current)
        self._originals.clear()
        self._orders.clear()

    @property
    def reducing(self) -> bool:
        """Whether the trading state is REDUCING."""
        return bool(self._risk.trading_state == TradingState.REDUCING)

    def _route(self, command: Any, forward: Callable[[Any], None]) -> None:
        if isinstance(command, SubmitOrder):
            self._submit(command, [command.order], forward)
        elif isinstance(command, SubmitOrderList):
            self._submit(command, command.order_list.orders, forward)
        elif isinstance(command, ModifyOrder):
            self._modify(command, forward)
        else:
            forward(command)

    def _submit(self, command: Any, orders: list[Any], forward: Callable[[Any], None]) -> None:
        first = orders[0]
        ruling = self._orders.judge(orders)
        if ruling.reason is not None and ruling.trim_to is None:
            self._risk._deny_command(command, ruling.reason)
            return
        if ruling.trim_to is not None:
            self._cut(first, ruling.trim_to)
        self._orders.let_through(orders)
        if ruling.always and len(orders) == 1 and self._adds_while_reducing(first):
            self._send(command, first)
        else:
            forward(command)

    def _cut(self, order: Any, size: float) -> None:
        """Change an order in place as the host's execution algorithms change theirs, and tell its strategy."""
        quantity = self._owner.cache.instrument(order.instrument_id).make_qty(size)
        now, cache = self._owner.clock.timestamp_ns(), self._owner.cache
        updated = OrderUpdated(
            trader_id=order.trader_id,
            strategy_id=order.strategy_id,
            instrument_id=order.instrument_id,
            client_order_id=order.client_order_id,
            venue_order_id=order.venue_order_id,
            account_id=order.account_id,
            quantity=quantity,
            price=None,
            trigger_price=None,
            event_id=UUID4(),
            ts_event=now,
            ts_init=now,
        )
        order.apply(updated)
        cache.update_order(order)
        self._owner.msgbus.publish(f"events.order.{order.strategy_id}", updated)

    def _modify(self, command: Any, forward: Callable[[Any], None]) -> None:
        order = self._owner.cache.order(command.client_order_id)
        if order is None or order.is_closed or command.quantity is None or command.quantity <= order.quantity:
            forward(command)
            return
        ruling = self._orders.judge_more(order, command.quantity)
        if ruling.reason is None:
            forward(command)
        else:
            self._risk._reject_modify_order(order, ruling.reason)

    def _adds_while_reducing(self, order: Any) -> bool:
        """Whether the host would deny it for its side alone."""
        portfolio = self._owner.portfolio
        same_side = portfolio.is_net_long if order.side == OrderSide.BUY else portfolio.is_net_short
        known = self._owner.cache.instrument(order.instrument_id) is not None
        return self.reducing and known and bool(same_side(order.instrument_id))

    def _send(self, command: Any, order: Any) -> None:
        """Do what the risk engine does with an order, but for its look at the trading state."""
        risk, instrument = self._risk, self._owner.cache.instrument(order.instrument_id)
        checks = (risk._check_order, order), (risk._check_orders_risk, [order])
        if risk.is_bypassed or all(check(instrument, checked) for check, checked in checks):
            risk._order_submit_throttler.send(command)


class Controller(HostController):
    """The host's, which would find out at its first look that it has no trader.

    Parameters
    ----------
    trader : Trader
        Of the system.
    config : ActorConfig, optional
        The settings.

    Raises
    ------
    InputError
        If there is no trader.
    """

    def __init__(self, trader: Any, config: Any = None) -> None:
        if trader is None:
            raise InputError("`trader` must be that of the system, as `engine.trader`, was None")
        super().__init__(trader, config)


def trading_state(trader: Any) -> str:
    """Return "ACTIVE", "REDUCING" or "HALTED"."""
    return str(TradingState(trader._risk_engine.trading_state).name)


def set_trading_state(trader: Any, name: str) -> None:
    """Set it; the host has no message for that, only its own method."""
    state = TradingState[name]
    if trader._risk_engine.trading_state != state:
        trader._risk_engine.set_trading_state(state)


def _risk_engine(msgbus: Any) -> Any:
    """The host's own, by what it subscribes to: an actor is given no reference to it."""
    for subscription in msgbus.subscriptions("events.order.*"):
        owner = getattr(subscription.handler, "__self__", None)
        if isinstance(owner, RiskEngine):
            return owner
    raise LookupError("this system has no risk engine on its message bus")


class _Finder:
    """Equal to any handler: the bus hands a handler back only to who can show it."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self) -> None:
        self.found: Any = None

    def __eq__(self, other: object) -> bool:
        self.found = other
        return True

    def __call__(self, message: Any) -> None:
        """Take no message: the bus wants something callable."""


def _withdrawn(msgbus: Any, endpoint: str) -> Callable[[Any], None]:
    """Deregister an endpoint, whoever has it, and return its handler."""
    finder = _Finder()
    msgbus.deregister(endpoint, finder)
    handler: Callable[[Any], None] = finder.found
    return handler
