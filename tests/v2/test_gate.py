"""The RiskGate in backtests of v2, before strategies of the host's own class; parity compares its decisions."""

import re

import numpy as np
import pytest
from nautilus_trader.common import ImportableActorConfig
from nautilus_trader.model import (
    AccountType,
    ExecAlgorithmId,
    InstrumentId,
    OrderSide,
    OrderStatus,
    Price,
    Quantity,
    StrategyId,
    TriggerType,
)
from nautilus_trader.trading import (
    Controller,
    EmaCrossConfig,
    ExecutionAlgorithm,
    ExecutionAlgorithmConfig,
    ImportableControllerConfig,
    Strategy,
    StrategyConfig,
)

from nautilus_metal.actors import RiskActor, RiskActorConfig, RiskGate, RiskGateConfig
from nautilus_metal.actors.gate_messages import GATE_DECISION_TOPIC
from nautilus_metal.errors import HostError, InputError
from nautilus_metal.host import Actor
from nautilus_metal.risk import Book, assess
from tests.small_system import bar_type, walk

A, B = NAMES = ("AAA.XNYS", "BBB.XNYS")
DAYS, LEVEL, LIMIT = 60, 0.95, 5_000.0
ACCOUNTS = pytest.mark.parametrize("account", [AccountType.CASH, AccountType.MARGIN])


class Desk(Strategy):
    """Of the host's own class: does what a script says at bar number n, and writes down what comes of it."""

    def __new__(cls, script, tag="001"):
        return super().__new__(cls, StrategyConfig(strategy_id=StrategyId(f"Desk-{tag}"), order_id_tag=tag))

    def __init__(self, script, tag="001"):
        self.script, self.count, self.seen, self.orders = script, 0, [], []

    def on_start(self):
        self.count = 0
        self.seen.clear()
        self.subscribe_bars(bar_type(A))
        if 0 in self.script:
            self.script[0](self)

    def on_bar(self, bar):
        self.count += 1
        if self.count in self.script:
            self.script[self.count](self)

    def on_order_event(self, event):
        self.seen.append(event)

    def order(self, quantity, name=A, **options):
        side = OrderSide.BUY if quantity > 0 else OrderSide.SELL
        size = Quantity.from_int(abs(quantity))
        return self.order_factory.market(InstrumentId.from_str(name), side, size, **options)

    def limit(self, quantity, price, **options):
        side = OrderSide.BUY if quantity > 0 else OrderSide.SELL
        size = Quantity.from_int(abs(quantity))
        return self.order_factory.limit(InstrumentId.from_str(A), side, size, Price(price, 2), **options)

    def trade(self, quantity, name=A, **options):
        self.orders.append(self.order(quantity, name, **options))
        self.submit_order(self.orders[-1])

    def send(self, order):
        self.orders.append(order)
        self.submit_order(order)

    def reasons(self, kind="OrderDenied"):
        return [event.reason for event in self.seen if type(event).__name__ == kind]

    def fills(self):
        return [float(event.last_qty) for event in self.seen if type(event).__name__ == "OrderFilled"]

    def kinds(self):
        return [type(event).__name__ for event in self.seen]


class Ear(Actor):
    """Hears what the gate says."""

    def __init__(self):
        super().__init__()
        self.decisions = []

    def register_base(self, portfolio, msgbus, cache, clock):
        super().register_base(portfolio, msgbus, cache, clock)
        msgbus.subscribe(GATE_DECISION_TOPIC, self.decisions.append)


def closes():
    return [walk(1, DAYS), walk(2, DAYS)]


def risk(**settings):
    given = {"window": 40, "min_observations": 20, "levels": (LEVEL,), "model": "normal", "scenarios": 2_000}
    given |= {"keep_scenarios": True, "var_limit": {LEVEL: LIMIT}, "bar_types": tuple(map(bar_type, NAMES))}
    return RiskActor(RiskActorConfig(**given | settings))


@pytest.fixture
def bench(system):
    """Run a script on two stocks with a RiskActor and a gate; `before` may change the engine."""

    def run(script, gate=None, *, account=AccountType.MARGIN, before=None, **settings):
        one = system(account=account)
        for name, prices in zip(NAMES, closes(), strict=True):
            one.add(name, prices)
        one.desk, one.gate, one.ear = Desk(script), RiskGate(RiskGateConfig(**gate or {})), Ear()
        if before is not None:
            before(one)
        return one.run([risk(**settings), one.gate, one.ear], [one.desk])

    return run


def largest(reason):
    return int(re.search(r"at most ([\d,]+) of", reason)[1].replace(",", ""))


def var(day, quantity):
    """By hand: of a quantity of the first stock, on the history that an order of bar `day` was judged on."""
    history = np.diff(np.log(np.column_stack([one[: day - 1] for one in closes()])), axis=0)[-40:]
    book = Book.linear(quantities=[quantity, 0], prices=[one[day - 2] for one in closes()])
    return assess(book, history, "normal", (LEVEL,), scenarios=2_000).var[LEVEL]


@ACCOUNTS
def test_an_order_over_the_limit_is_denied_with_the_figure_the_limit_and_what_would_pass(bench, account):
    one = bench({30: lambda desk: desk.trade(1_000), 31: lambda desk: desk.trade(9_000)}, account=account)
    (reason,), (decision,) = one.desk.reasons(), one.ear.decisions
    most, would = largest(reason), var(31, 10_000)
    assert one.desk.fills() == [1_000.0]
    assert reason == f"RISK_GATE: 95% VaR would be {would:,.0f} USD, limit 5,000; at most {most:,} of 9,000"
    assert var(31, 1_000 + most) <= LIMIT < var(31, 1_001 + most)
    assert (one.gate.passed, one.gate.denied, one.gate.trimmed) == (1, 1, 0)
    assert (decision.action, decision.reason, decision.allowed) == ("deny", reason, float(most))
    denied = one.engine.cache.order(one.desk.orders[1].client_order_id)
    assert denied.status == OrderStatus.DENIED
    assert one.desk.kinds()[-2:] == ["OrderInitialized", "OrderDenied"]


@ACCOUNTS
@pytest.mark.parametrize("resting", [False, True])
def test_a_trimmed_order_is_smaller_from_the_start_and_the_books_agree(bench, account, resting):
    """A limit order rests below the market, so that a cash account has to lock what it may cost."""
    make = (lambda desk: desk.limit(100_000, 50.0)) if resting else (lambda desk: desk.order(90_000))
    one = bench({40: lambda desk: desk.send(make(desk))}, {"trim": True}, account=account)
    (order,), (decision,) = one.desk.orders, one.ear.decisions
    most = decision.allowed
    assert var(40, most) <= LIMIT < var(40, most + 1)
    assert (decision.action, one.gate.trimmed, one.gate.denied) == ("trim", 1, 0)
    assert one.desk.kinds()[:3] == ["OrderInitialized", "OrderUpdated", "OrderSubmitted"]
    kept = one.engine.cache.order(order.client_order_id)
    assert float(order.quantity) == float(kept.quantity) == most
    assert [type(event).__name__ for event in kept.events()] == one.desk.kinds()
    assert one.desk.fills() == ([] if resting else [most])


def test_closing_passes_whatever_the_risk_and_turning_around_does_not(bench):
    """The position comes in with a hedge's tag; the limit is far below its risk."""
    gate = {"hedge_tags": ("open",), "var_limit": {LEVEL: 10.0}}
    script = {30: lambda desk: desk.trade(1_000, tags=["open"]), 31: lambda desk: desk.trade(-400),
              32: lambda desk: desk.trade(-1_700), 33: lambda desk: desk.trade(-600),
              34: lambda desk: desk.trade(50)}  # fmt: skip
    one = bench(script, gate)
    assert one.desk.fills() == [1_000.0, 400.0, 600.0]
    turning, opening = one.desk.reasons()
    assert 600 <= largest(turning) < 610
    assert largest(opening) < 10


def test_a_list_is_denied_whole_and_weighed_together(bench):
    def bracket(desk, quantity):
        size, name = Quantity.from_int(quantity), InstrumentId.from_str(A)
        prices = {"tp_price": Price(300.0, 2), "sl_trigger_price": Price(30.0, 2)}
        desk.submit_order_list(desk.order_factory.bracket(name, OrderSide.BUY, size, **prices))

    def legs(desk):
        desk.submit_order_list([desk.order(1_000), desk.order(60_000, B)])

    script = {40: lambda desk: bracket(desk, 100_000), 41: lambda desk: bracket(desk, 500), 42: legs}
    one = bench(script, {"trim": True})
    reasons = one.desk.reasons()
    assert [len(reasons), len(set(reasons[:3])), len(set(reasons[3:])), one.gate.trimmed] == [5, 1, 1, 0]
    assert one.desk.fills() == [500.0]


def test_more_of_a_working_order_is_judged_one_by_one_or_in_a_batch(bench):
    def change(desk, *quantities):
        name = desk.orders[0].client_order_id
        if len(quantities) == 1:
            desk.modify_order(name, Quantity.from_int(quantities[0]))
        else:
            desk.modify_orders([(name, Quantity.from_int(one), None, None) for one in quantities])

    script = {40: lambda desk: desk.send(desk.limit(100, 1.0)), 41: lambda desk: change(desk, 90_000),
              42: lambda desk: change(desk, 200), 43: lambda desk: change(desk, 80_000, 300),
              44: lambda desk: change(desk, 50)}  # fmt: skip
    one = bench(script)
    first, second = one.desk.reasons("OrderModifyRejected")
    assert first.endswith("of 89,900")
    assert second.endswith("of 79,800")
    updates = [float(event.quantity) for event in one.desk.seen if type(event).__name__ == "OrderUpdated"]
    assert updates == [200.0, 300.0, 50.0]


def test_an_emulated_order_is_judged_when_it_is_given_to_the_emulator(bench):
    def rest(desk, quantity):
        desk.send(desk.limit(quantity, 50.0, emulation_trigger=TriggerType.LAST_PRICE))

    one = bench({40: lambda desk: rest(desk, 100_000), 41: lambda desk: rest(desk, 2_000)})
    assert len(one.desk.reasons()) == 1
    assert [float(order.quantity) for order in one.engine.cache.orders_emulated()] == [2_000.0]


@pytest.mark.parametrize("reduce_only", [None, False])
def test_what_a_strategy_closes_by_name_is_judged_as_its_own_order(bench, reduce_only):
    """Two closes of one bar: the second would open a position the other way."""

    def close(desk):
        for _ in range(2):
            for position in desk.cache.positions_open():
                desk.close_position(position, reduce_only=reduce_only)

    gate = {"hedge_tags": ("open",), "var_limit": {LEVEL: 10.0}}
    one = bench({30: lambda desk: desk.trade(1_000, tags=["open"]), 31: close}, gate)
    assert one.desk.fills() == [1_000.0, 1_000.0]
    assert len(one.desk.reasons()) == (0 if reduce_only is None else 1)


class Halves(ExecutionAlgorithm):
    """Sends an order on in two pieces."""

    def __new__(cls):
        return super().__new__(cls, ExecutionAlgorithmConfig(exec_algorithm_id=ExecAlgorithmId("HALVES")))

    def on_order(self, order):
        half = Quantity.from_int(int(order.quantity) // 2)
        for _ in range(2):
            self.submit_order(self.spawn_market(order, half, reduce_primary=False))


def test_pieces_that_an_execution_algorithm_sends_are_judged(bench):
    script = {40: lambda desk: desk.trade(4_000, exec_algorithm_id=ExecAlgorithmId("HALVES"))}
    one = bench(script, {"trim": True}, before=lambda one: one.engine.add_exec_algorithm(Halves()))
    assert one.desk.fills() == [2_000.0]
    assert var(40, 2_000) <= LIMIT < var(40, 4_000)
    (reason,) = one.desk.reasons()
    assert reason.endswith("of 2,000")
    assert one.gate.trimmed == 0


def test_an_order_for_an_execution_algorithm_in_rust_is_judged_whole(bench):
    def twap(desk, quantity):
        params = {"horizon_secs": "20", "interval_secs": "10"}
        desk.trade(quantity, exec_algorithm_id=ExecAlgorithmId("TWAP"), exec_algorithm_params=params)

    script = {40: lambda desk: twap(desk, 9_000), 41: lambda desk: twap(desk, 1_000)}
    config = ExecutionAlgorithmConfig(exec_algorithm_id=ExecAlgorithmId("TWAP"))
    one = bench(script, before=lambda one: one.engine.add_native_exec_algorithm("TwapAlgorithm", config))
    assert len(one.desk.reasons()) == 1
    assert one.gate.passed == 1


def test_an_order_is_not_sent_twice(bench):
    """As in 1.x; 2.x alone would send it again."""

    def again(desk):
        desk.submit_order(desk.orders[0])
        desk.submit_order_list([desk.orders[0], desk.order(1)])

    one = bench({40: lambda desk: desk.send(desk.limit(10, 1.0)), 41: again})
    assert one.desk.kinds() == ["OrderInitialized", "OrderSubmitted", "OrderAccepted"]
    assert [order.status for order in one.engine.cache.orders()] == [OrderStatus.ACCEPTED]
    assert (one.gate.passed, one.gate.denied) == (1, 0)


def test_an_order_of_a_strategys_start_is_judged(bench):
    one = bench({0: lambda desk: desk.trade(10)})
    (decision,), (order,) = one.ear.decisions, one.engine.cache.orders()
    assert decision.reason == "RISK_GATE: risk is unknown, RiskActor has no scenarios"
    assert order.status == OrderStatus.DENIED


def test_what_strategies_send_when_they_stop_passes(bench):
    class Leaver(Desk):
        def on_stop(self):
            self.trade(-9_000)

    leaver = Leaver({}, "002")
    one = bench({30: lambda desk: desk.trade(1_000)}, before=lambda one: one.engine.add_strategy(leaver))
    sent = one.engine.cache.order(leaver.orders[0].client_order_id)
    assert (sent.status != OrderStatus.DENIED, one.gate.denied, one.gate.passed) == (True, 0, 1)


def test_a_second_run_after_a_reset_decides_the_same(bench):
    one = bench({40: lambda desk: [desk.trade(1_000), desk.trade(100_000)]})
    first = (one.desk.reasons(), one.desk.fills(), one.gate.denied, one.gate.passed)
    for _ in range(2):
        one.engine.reset()
        one.engine.run()
        assert (one.desk.reasons(), one.desk.fills(), one.gate.denied, one.gate.passed) == first


def test_a_run_without_a_gate_is_as_it_was(bench, system):
    bench({40: lambda desk: desk.trade(100_000)})
    one, desk = system().add(A, closes()[0]), Desk({40: lambda desk: desk.trade(100_000)})
    one.run([risk(bar_types=(bar_type(A),))], [desk])
    assert desk.fills() == [100_000.0]


def test_a_failing_check_denies_and_the_run_goes_on(bench, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("of the test")

    monkeypatch.setattr("nautilus_metal.actors.gate_weighing.cases", broken)
    one = bench({40: lambda desk: desk.trade(100)})
    assert one.desk.reasons() == ["RISK_GATE: risk is unknown, the check failed: ZeroDivisionError: of the test"]
    assert one.desk.count == DAYS


def test_a_failure_before_the_check_sends_nothing_and_makes_the_run_fail(bench, monkeypatch):
    made = []

    def broken(*_):
        raise ZeroDivisionError("of the test")

    monkeypatch.setattr("nautilus_metal.host.working_orders.WorkingOrders._intent", broken)
    with pytest.raises(ZeroDivisionError, match="of the test"):
        bench({40: lambda desk: desk.trade(100)}, before=made.append)
    assert made[0].engine.cache.orders() == []


EMA = EmaCrossConfig(
    InstrumentId.from_str(A), Quantity.from_int(10), strategy_id=StrategyId("EMA-009"), order_id_tag="009"
)


def test_a_strategy_in_rust_is_refused_by_name(bench):
    """Its orders go past Python."""
    message = r"in a system with add_builtin_strategy\(EmaCross\).*leave it out, or RiskGate"
    with pytest.raises(HostError, match=message):
        bench({}, before=lambda one: one.engine.add_builtin_strategy("EmaCross", EMA))


def test_a_strategy_that_sends_orders_past_the_gate_makes_the_run_fail(bench):
    """As one would that took the host's method before it was changed."""

    class Sly(Desk):
        def submit_order(self, order):
            Strategy.submit_order.__wrapped__(self, order)

    sly = Sly({40: lambda desk: desk.trade(100)}, "002")
    with pytest.raises(HostError, match="of Desk-002 went past RiskGate, unchecked"):
        bench({}, before=lambda one: one.engine.add_strategy(sly))


class Adder(Controller):
    """Of the host's own class: adds a gate while the system runs."""

    def on_start(self):
        path = "nautilus_metal.actors:RiskGate"
        self.create_actor_from_config(ImportableActorConfig(path, f"{path}Config", {}))


def test_a_gate_that_comes_too_late_is_refused(system):
    config = {"controller": ImportableControllerConfig("tests.v2.test_gate:Adder", "builtins:dict", {})}
    with pytest.raises(HostError, match="RiskGate must be added to a system before it runs"):
        system(**config).add(A, closes()[0]).run([], [Desk({})])


def test_a_system_has_one_gate(bench):
    other = RiskGate(RiskGateConfig(component_id="Other"))
    with pytest.raises(InputError, match="must be the only one of its system, there is "):
        bench({}, before=lambda one: one.engine.add_actor(other))


def test_a_limit_on_a_level_that_nobody_computes_is_refused_at_the_start(bench):
    with pytest.raises(InputError, match=r"`var_limit` must be on a level of \(0.95,\), was on 0.99"):
        bench({}, {"var_limit": {0.99: 5.0}})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on_stale": "maybe"}, "`on_stale` must be one of deny, allow"),
        ({"max_age_seconds": 0.0}, "`max_age_seconds` must be above 0"),
        ({"var_limit": {0.99: -1.0}}, "`var_limit` at 0.99 must be positive"),
        ({"trim": "sometimes"}, "`trim` of RiskGateConfig must be bool"),
        ({"hedge_tag": ("open",)}, "`hedge_tag` must be one of .*hedge_tags"),
    ],
)
def test_wrong_settings(options, message):
    with pytest.raises(InputError, match=message):
        RiskGate(RiskGateConfig(**options))


def test_it_comes_from_importable_configuration(system):
    settings = {"var_limit": {"0.95": 5.0}, "trim": True, "hedge_strategies": ["Hedger-000"]}
    one, desk = system().add(A, closes()[0]), Desk({40: lambda desk: desk.trade(1_000)})
    path = "nautilus_metal.actors:RiskGate"
    one.engine.add_actor_from_config(ImportableActorConfig(path, f"{path}Config", settings))
    one.run([risk(bar_types=(bar_type(A),))], [desk])
    assert 0 < sum(desk.fills()) < 10
