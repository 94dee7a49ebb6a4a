"""Facts of the release candidate that the check of orders leans on: where one fails, v2 has changed.

Each message says what to look at.
"""

import pytest
from nautilus_trader.backtest import BacktestEngine
from nautilus_trader.common import DataActor
from nautilus_trader.core import UUID4
from nautilus_trader.live import LiveNode
from nautilus_trader.model import ExecAlgorithmId, OrderUpdated, Quantity
from nautilus_trader.trading import Controller, ExecutionAlgorithm, ExecutionAlgorithmConfig, Strategy

from nautilus_metal.host.v2_senders import _LED
from tests.small_system import walk
from tests.v2.test_gate import A, Desk


class Door(ExecutionAlgorithm):
    """An execution algorithm that is asked to deny."""

    def __new__(cls):
        return super().__new__(cls, ExecutionAlgorithmConfig(exec_algorithm_id=ExecAlgorithmId("DOOR")))

    def on_start(self):
        self.started = True


@pytest.fixture
def played(system):
    """Run a script without a gate; return the strategy."""

    def play(script, door=None, desk=None):
        one = system().add(A, walk(1, 10))
        if door is not None:
            one.engine.add_exec_algorithm(door)
        made = desk or Desk(script)
        one.run(strategies=[made])
        return made

    return play


def test_nothing_sets_the_trading_state():
    for cls in (BacktestEngine, LiveNode, Controller, Strategy):
        found = [name for name in dir(cls) if "trading_state" in name]
        assert found == [], f"{cls.__name__} has {found} now: host.v2_gate can use the host's own trading state"


def test_an_execution_algorithm_denies_an_order_that_nobody_has_sent(played):
    door = Door()
    desk = played({3: lambda desk: door.deny_order(desk.order(10), "why")}, door)
    assert desk.kinds() == ["OrderInitialized", "OrderDenied"], "host.v2_door denies orders in this way"
    assert desk.reasons() == ["why"]


def test_an_execution_algorithm_that_is_in_no_system_denies_nothing(played):
    said = []

    def deny(desk):
        try:
            Door().deny_order(desk.order(10), "why")
        except RuntimeError as error:
            said.append(str(error))

    desk = played({3: deny})
    assert desk.seen == [], "no door has to be added before a run any more: see host.v2_door"
    assert "not registered" in said[0]


def test_an_order_that_was_changed_before_it_is_sent_stays_changed(played):
    def send(desk):
        order, now = desk.order(10), desk.clock.timestamp_ns()
        names = order.trader_id, order.strategy_id, order.instrument_id, order.client_order_id
        order.apply(OrderUpdated(*names, Quantity.from_int(4), UUID4(), now, now, False))
        desk.send(order)
        desk.seen.append("sent")

    desk = played({3: send})
    hint = "host.v2_guard trims an order by an event that it applies itself"
    assert desk.fills() == [4.0], hint
    assert desk.seen[1] == "sent", "an order is submitted within the call now: a strategy hears late of a cut"


def test_the_host_sends_an_order_twice(played):
    def again(desk):
        desk.submit_order(desk.orders[0])

    desk = played({3: lambda desk: desk.send(desk.limit(10, 1.0)), 5: again})
    assert desk.kinds().count("OrderInitialized") == 2, "v2 refuses duplicates now: host.v2_senders need not do it"


def test_what_the_host_closes_passes_no_method_of_python(played):
    class Spy(Desk):
        asked = 0

        def submit_order(self, order):
            self.asked += 1
            super().submit_order(order)

    def close(desk):
        Strategy.close_all_positions.__wrapped__(desk, desk.order(1).instrument_id)

    desk = played({}, desk=Spy({3: lambda desk: desk.trade(10), 5: close}))
    assert desk.fills() == [10.0, 10.0]
    assert desk.asked == 1, "the host closes positions by `submit_order` now: host.v2_senders need not do it itself"


def test_strategies_start_and_stop_after_actors(system):
    order = []

    class Actor(DataActor):
        def on_start(self):
            order.append("actor starts")

        def on_stop(self):
            order.append("actor stops")

    class Last(Desk):
        def on_start(self):
            order.append("strategy starts")

        def on_stop(self):
            order.append("strategy stops")

    system().add(A, walk(1, 3)).run([Actor()], [Last({})])
    hint = "a gate stands there from the first order of a start to the last before a stop: see host.v2_gate"
    assert order == ["actor starts", "strategy starts", "actor stops", "strategy stops"], hint


def test_every_method_that_sends_orders_is_led_through_the_check():
    known = {owner: {one.__name__.removeprefix("_") for one in methods} for owner, methods in _LED.items()}
    harmless = {"cancel_order", "cancel_orders", "cancel_all_orders", "query_order", "on_order_list"}
    harmless |= {"modify_order_in_place", "deny_order", "order_factory"}
    for owner, methods in known.items():
        named = {name for name in dir(owner) for word in ("order", "position", "exit", "submit") if word in name}
        found = {name for name in named if not name.startswith(("on_", "_", "is_", "set_", "post_"))}
        assert found - methods <= harmless, f"{owner.__name__} has a new way to send orders?"
        for name in methods:
            assert hasattr(getattr(owner, name), "__wrapped__"), "the host's classes can no longer be changed"
