"""The RiskGate in real backtests: what strategies see of it, in CASH and MARGIN accounts, order by order."""

import re

import numpy as np
import pytest
from nautilus_trader.config import ImportableActorConfig
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide, TriggerType
from nautilus_trader.model.identifiers import InstrumentId, Venue
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.persistence.catalog import ParquetDataCatalog
from nautilus_trader.trading.config import StrategyConfig
from nautilus_trader.trading.strategy import Strategy

from nautilus_metal.actors import RiskActor, RiskActorConfig, RiskGate, RiskGateConfig
from nautilus_metal.actors.gate_messages import GATE_DECISION_TOPIC, GateDecision
from nautilus_metal.errors import InputError
from nautilus_metal.risk import Book, assess

CASH, MARGIN = "CASH", "MARGIN"
DAYS, LEVEL, LIMIT = 60, 0.95, 5_000.0
ACCOUNTS = pytest.mark.parametrize("account", [CASH, MARGIN])


class Desk(Strategy):
    """Does what a script says at bar number n of its first instrument, and writes down what comes of it."""

    def __init__(self, daily, names, script, tag="001"):
        super().__init__(StrategyConfig(strategy_id="Desk", order_id_tag=tag))
        self.kinds, self.script, self.count = [daily(name) for name in names], script, 0
        self.names, self.seen = [InstrumentId.from_str(name) for name in names], []

    def on_start(self):
        for kind in self.kinds:
            self.subscribe_bars(kind)

    def on_bar(self, bar):
        if bar.bar_type == self.kinds[0]:
            self.count += 1
            if self.count in self.script:
                self.script[self.count](self)

    def on_order_event(self, event):
        self.seen.append(event)

    def on_reset(self):
        self.count = 0
        self.seen.clear()

    def trade(self, quantity, which=0, **options):
        """Submit a market order, signed, and return it."""
        side = OrderSide.BUY if quantity > 0 else OrderSide.SELL
        order = self.order_factory.market(self.names[which], side, Quantity.from_int(abs(quantity)), **options)
        self.submit_order(order)
        return order

    def reasons(self, kind="OrderDenied"):
        return [event.reason for event in self.seen if type(event).__name__ == kind]

    def fills(self):
        return [float(event.last_qty) for event in self.seen if type(event).__name__ == "OrderFilled"]

    def held(self, which=0):
        return float(self.portfolio.net_position(self.names[which]))


@pytest.fixture
def bench(system, random_walk, daily):
    """Run a script on two stocks with a RiskActor and a gate, in an account of some type."""

    def run(account, script, gate=None, *, risk=None, closes=None, tag="001"):
        one = system()
        venue = f"X{account}"
        one.engine.add_venue(venue=Venue(venue), oms_type=OmsType.NETTING, account_type=AccountType[account],
                             base_currency=USD, starting_balances=[Money(50_000_000, USD)])  # fmt: skip
        names = [f"AAA.{venue}", f"BBB.{venue}"]
        one.closes = closes or [random_walk(1, DAYS), random_walk(2, DAYS)]
        for name, prices in zip(names, one.closes, strict=True):
            one.add(name, prices)
        settings = {"window": 40, "min_observations": 20, "levels": (LEVEL,), "model": "normal", "scenarios": 2_000}
        settings |= {"keep_scenarios": True, "var_limit": {LEVEL: LIMIT}, **(risk or {})}
        settings["bar_types"] = tuple(daily(name) for name in names)
        one.decisions, one.desk = [], Desk(daily, names, script, tag)
        one.engine.kernel.msgbus.subscribe(GATE_DECISION_TOPIC, one.decisions.append)
        one.gate = RiskGate(RiskGateConfig(**(gate or {})))
        one.run([RiskActor(RiskActorConfig(**settings)), one.gate], [one.desk])
        return one

    return run


def largest(reason):
    return int(re.search(r"at most ([\d,]+) of", reason)[1].replace(",", ""))


def var(one, day, quantities):
    """By hand: of quantities, at the close and on the history that the desk's order of bar `day` was judged on."""
    prices = [closes[day - 2] for closes in one.closes]
    history = np.diff(np.log(np.column_stack([closes[: day - 1] for closes in one.closes])), axis=0)[-40:]
    book = Book.linear(quantities=quantities, prices=prices)
    return assess(book, history, "normal", (LEVEL,), scenarios=2_000).var[LEVEL]


@ACCOUNTS
def test_an_order_over_the_limit_is_denied_with_the_figure_the_limit_and_what_would_pass(bench, account):
    one = bench(account, {30: lambda desk: desk.trade(1_000), 31: lambda desk: desk.trade(9_000)})
    (reason,) = one.desk.reasons()
    assert one.desk.fills() == [1_000.0]
    assert one.desk.held() == 1_000.0
    most, would = largest(reason), var(one, 31, [10_000, 0])
    assert reason == f"RISK_GATE: 95% VaR would be {would:,.0f} USD, limit 5,000; at most {most:,} of 9,000"
    assert var(one, 31, [1_000 + most, 0]) <= LIMIT < var(one, 31, [1_001 + most, 0])
    assert (one.gate.passed, one.gate.denied, one.gate.trimmed) == (1, 1, 0)
    (decision,) = one.decisions
    assert (decision.action, decision.quantity, decision.allowed) == ("deny", 9_000.0, float(most))
    assert (decision.reason, decision.strategy) == (reason, str(one.desk.id))
    assert (decision.measure, decision.level, decision.limit) == ("var", LEVEL, LIMIT)
    assert decision.value == pytest.approx(would, rel=1e-5)


def test_what_the_reason_names_passes_and_one_more_does_not(bench):
    def script(desk):
        desk.trade(100_000)
        most = largest(desk.reasons()[0])
        desk.trade(most + 1)
        desk.trade(most)
        desk.trade(1)

    one = bench(MARGIN, {40: script})
    reasons = one.desk.reasons()
    most = largest(reasons[0])
    assert [largest(reason) for reason in reasons] == [most, most, 0]
    assert one.desk.fills() == [float(most)]


def test_ten_orders_of_one_bar_do_not_pass_alone(bench):
    one = bench(MARGIN, {40: lambda desk: [desk.trade(600) for _ in range(10)]})
    fits = int(largest(one.desk.reasons()[0]) + 600 * len(one.desk.fills())) // 600
    assert 0 < len(one.desk.fills()) == fits < 10
    assert var(one, 40, [600 * fits, 0]) <= LIMIT < var(one, 40, [600 * (fits + 1), 0])


@ACCOUNTS
@pytest.mark.parametrize("kind", ["market", "limit"])
def test_a_trimmed_order_is_smaller_from_the_start_and_the_books_agree(bench, account, kind):
    """A limit order rests below the market, so that a cash account has to lock what it may cost."""
    orders = []

    def script(desk):
        price = round(0.5 * desk.cache.bar(desk.kinds[0]).close.as_double(), 2)
        if kind == "market":
            orders.append(desk.trade(100_000))
        else:
            orders.append(desk.order_factory.limit(desk.names[0], OrderSide.BUY, Quantity.from_int(100_000),
                                                   Price(price, 2)))  # fmt: skip
            desk.submit_order(orders[0])

    one = bench(account, {40: script}, {"trim": True})
    (order,), (decision,) = orders, one.decisions
    most = largest(decision.reason)
    assert var(one, 40, [most, 0]) <= LIMIT < var(one, 40, [most + 1, 0])
    assert (decision.action, decision.allowed, one.gate.trimmed, one.gate.denied) == ("trim", float(most), 1, 0)
    names = [type(event).__name__ for event in one.desk.seen]
    assert names[:3] == ["OrderInitialized", "OrderUpdated", "OrderSubmitted"]
    assert float(order.quantity) == float(one.engine.cache.order(order.client_order_id).quantity) == most
    money = one.engine.cache.account_for_venue(Venue(f"X{account}"))
    if kind == "market":
        assert (one.desk.fills(), one.desk.held(), order.is_closed) == ([float(most)], float(most), True)
        assert float(money.balance_locked(USD)) == 0.0
    else:
        assert float(order.leaves_qty) == most
        if account == CASH:
            assert float(money.balance_locked(USD)) == pytest.approx(most * float(order.price))


def test_nothing_to_trim_to_is_a_denial(bench):
    one = bench(MARGIN, {40: lambda desk: desk.trade(100_000), 41: lambda desk: desk.trade(5_000, 1)}, {"trim": True})
    quantities = [float(order.quantity) for order in one.engine.cache.orders_closed()]
    assert len(one.desk.fills()) == len(quantities) - one.gate.denied
    assert one.gate.trimmed >= 1
    one = bench(MARGIN, {40: lambda desk: desk.trade(9)}, {"trim": True, "var_limit": {LEVEL: 1.0}}, tag="002")
    assert one.desk.reasons()[0].endswith("at most 0 of 9")
    assert (one.gate.trimmed, one.gate.denied) == (0, 1)


@ACCOUNTS
def test_closing_passes_whatever_the_risk_and_turning_around_does_not(bench, account):
    """The position comes in with a hedge's tag; the limit is far below its risk."""
    gate = {"hedge_tags": ("open",), "var_limit": {LEVEL: 10.0}}
    script = {30: lambda desk: desk.trade(1_000, tags=["open"]), 31: lambda desk: desk.trade(-400),
              32: lambda desk: desk.trade(-1_700), 33: lambda desk: desk.trade(-600),
              34: lambda desk: desk.trade(50)}  # fmt: skip
    one = bench(account, script, gate)
    assert one.desk.fills() == [1_000.0, 400.0, 600.0]
    turning, opening = one.desk.reasons()
    assert 600 <= largest(turning) < 610
    assert largest(opening) < 10
    assert one.desk.held() == 0.0


def test_closes_of_one_bar_pass_only_up_to_the_position(bench):
    gate = {"hedge_tags": ("open",), "var_limit": {LEVEL: 10.0}}
    script = {30: lambda desk: desk.trade(1_000, tags=["open"]),
              31: lambda desk: [desk.trade(-400) for _ in range(4)]}  # fmt: skip
    one = bench(MARGIN, script, gate)
    assert one.desk.fills() == [1_000.0, 400.0, 400.0]
    assert [200 <= largest(reason) < 210 for reason in one.desk.reasons()] == [True, True]


def test_hedging_strategies_pass(bench):
    one = bench(MARGIN, {30: lambda desk: desk.trade(50_000)}, {"hedge_strategies": ("Desk-001",)})
    assert one.desk.fills() == [50_000.0]
    assert one.gate.passed == 1


def test_what_lowers_var_and_es_passes_over_a_broken_limit(bench, random_walk):
    """Two stocks that move together: short the other one hedges, more of it than that does not."""
    twin = random_walk(3, DAYS)
    other = np.round(twin * np.exp(np.random.default_rng(9).normal(scale=0.001, size=DAYS)), 2)
    gate = {"hedge_tags": ("open",), "var_limit": {LEVEL: 10.0}}
    script = {40: lambda desk: desk.trade(1_000, tags=["open"]), 41: lambda desk: desk.trade(300, 1),
              42: lambda desk: desk.trade(-900, 1), 43: lambda desk: desk.trade(-2_500, 1)}  # fmt: skip
    one = bench(MARGIN, script, gate, closes=[twin, other])
    assert one.desk.fills() == [1_000.0, 900.0]
    assert len(one.desk.reasons()) == 2


def test_a_bracket_counts_with_its_entry_and_is_denied_whole(bench):
    def bracket(desk, quantity):
        close = desk.cache.bar(desk.kinds[0]).close.as_double()
        orders = desk.order_factory.bracket(
            desk.names[0], OrderSide.BUY, Quantity.from_int(quantity), tp_price=Price(round(2.0 * close, 2), 2),
            sl_trigger_price=Price(round(0.5 * close, 2), 2))  # fmt: skip
        desk.submit_order_list(orders)

    script = {40: lambda desk: bracket(desk, 100_000), 41: lambda desk: bracket(desk, 500),
              43: lambda desk: desk.trade(100), 44: lambda desk: desk.trade(-600)}  # fmt: skip
    one = bench(MARGIN, script, {"trim": True})
    reasons = one.desk.reasons()
    assert len(reasons) == 3
    assert len(set(reasons)) == 1
    assert reasons[0].endswith("of 100,000")
    assert one.desk.fills() == [500.0, 100.0, 600.0]
    assert one.gate.trimmed == 0


def test_more_of_a_working_order_is_judged_and_less_is_not(bench):
    orders = []

    def rest(desk):
        orders.append(desk.order_factory.limit(desk.names[0], OrderSide.BUY, Quantity.from_int(100), Price(1.0, 2)))
        desk.submit_order(orders[0])

    script = {40: rest, 41: lambda desk: desk.modify_order(orders[0], Quantity.from_int(90_000)),
              42: lambda desk: desk.modify_order(orders[0], Quantity.from_int(200)),
              43: lambda desk: desk.modify_order(orders[0], Quantity.from_int(50))}  # fmt: skip
    one = bench(MARGIN, script)
    (reason,) = one.desk.reasons("OrderModifyRejected")
    assert reason.endswith("of 89,900")
    assert float(orders[0].quantity) == 50.0
    updates = [float(event.quantity) for event in one.desk.seen if type(event).__name__ == "OrderUpdated"]
    assert updates == [200.0, 50.0]
    assert orders[0].is_open


def test_working_orders_count_until_they_are_gone(bench):
    orders = []

    def rest(desk):
        orders.append(desk.order_factory.limit(desk.names[0], OrderSide.BUY, Quantity.from_int(1_500), Price(1.0, 2)))
        desk.submit_order(orders[-1])

    script = {40: rest, 41: lambda desk: desk.trade(1_800), 42: lambda desk: desk.cancel_order(orders[0]),
              43: lambda desk: desk.trade(1_800)}  # fmt: skip
    one = bench(MARGIN, script)
    assert var(one, 41, [1_800, 0]) < LIMIT < var(one, 41, [3_300, 0])
    assert len(one.desk.reasons()) == 1
    assert one.desk.fills() == [1_800.0]


def test_an_emulated_order_is_judged_when_it_is_given_to_the_emulator(bench):
    def stop(desk, quantity):
        close = desk.cache.bar(desk.kinds[0]).close.as_double()
        desk.submit_order(desk.order_factory.stop_market(
            desk.names[0], OrderSide.BUY, Quantity.from_int(quantity), Price(round(1.2 * close, 2), 2),
            trigger_type=TriggerType.LAST_PRICE, emulation_trigger=TriggerType.LAST_PRICE))  # fmt: skip

    script = {40: lambda desk: stop(desk, 100_000), 41: lambda desk: stop(desk, 2_000),
              42: lambda desk: stop(desk, 2_000)}
    one = bench(MARGIN, script)
    assert len(one.desk.reasons()) == 2
    emulated = one.engine.cache.orders_emulated()
    assert [float(order.quantity) for order in emulated] == [2_000.0]


def test_an_emulated_order_is_trimmed_before_the_emulator_has_it(bench):
    def rest(desk):
        close = desk.cache.bar(desk.kinds[0]).close.as_double()
        desk.submit_order(desk.order_factory.limit(
            desk.names[0], OrderSide.BUY, Quantity.from_int(100_000), Price(round(0.5 * close, 2), 2),
            emulation_trigger=TriggerType.LAST_PRICE))  # fmt: skip

    one = bench(MARGIN, {40: rest}, {"trim": True})
    most = one.decisions[0].allowed
    assert var(one, 40, [most, 0]) <= LIMIT < var(one, 40, [most + 1, 0])
    assert [float(order.quantity) for order in one.engine.cache.orders_emulated()] == [most]


def test_a_quantity_in_quote_currency_counts_in_shares_and_is_never_cut(bench):
    """Of a million dollars; a limit order at its own price, a market order at the last one."""
    orders = []

    def spend(desk, dollars, limit=None):
        options = {} if limit is None else {"price": Price(limit, 2)}
        make = desk.order_factory.market if limit is None else desk.order_factory.limit
        orders.append(make(desk.names[0], OrderSide.BUY, Quantity.from_int(dollars), quote_quantity=True, **options))
        desk.submit_order(orders[-1])

    script = {40: lambda desk: [spend(desk, 1_000_000), spend(desk, 1_000_000, 50.0)],
              41: lambda desk: spend(desk, 10_000)}  # fmt: skip
    one = bench(MARGIN, script, {"trim": True})
    market, limit = one.decisions
    assert market.quantity == pytest.approx(1_000_000 / one.closes[0][39])
    assert limit.quantity == 20_000.0
    assert [one.action for one in one.decisions] == ["deny", "deny"]
    assert len(one.desk.reasons()) == 2
    assert len(one.desk.fills()) == 1


def test_orders_of_a_list_are_weighed_together(bench, random_walk):
    """Long one stock, short its twin: either leg alone is too much, the pair is not."""
    twin = random_walk(3, DAYS)
    other = np.round(twin * np.exp(np.random.default_rng(9).normal(scale=0.001, size=DAYS)), 2)

    def pair(desk):
        make, size = desk.order_factory.market, Quantity.from_int(5_000)
        legs = [make(desk.names[0], OrderSide.BUY, size), make(desk.names[1], OrderSide.SELL, size)]
        desk.submit_order_list(desk.order_factory.create_list(legs))

    script = {40: lambda desk: [desk.trade(5_000), desk.trade(-5_000, 1)], 41: pair}
    one = bench(MARGIN, script, closes=[twin, other])
    assert len(one.desk.reasons()) == 2
    assert (one.desk.held(0), one.desk.held(1)) == (5_000.0, -5_000.0)


def test_the_price_of_an_order_counts_where_it_is_dearer(bench):
    def stop(desk, quantity, share):
        close = desk.cache.bar(desk.kinds[0]).close.as_double()
        desk.submit_order(desk.order_factory.stop_market(
            desk.names[0], OrderSide.BUY, Quantity.from_int(quantity),
            Price(round(share * close, 2), 2)))  # fmt: skip

    one = bench(MARGIN, {40: lambda desk: stop(desk, 2_000, 3.0)})
    assert var(one, 40, [2_000, 0]) < LIMIT
    most = largest(one.desk.reasons()[0])
    ratio = round(3.0 * one.closes[0][39], 2) / one.closes[0][38]
    assert var(one, 40, [most * ratio, 0]) <= LIMIT < var(one, 40, [(most + 1) * ratio, 0])


def test_risk_that_is_unknown_denies_or_allows_as_configured_and_closing_passes(bench):
    script = {5: lambda desk: desk.trade(10), 40: lambda desk: desk.trade(10)}
    closed = bench(MARGIN, script)
    assert closed.desk.fills() == [10.0]
    assert closed.desk.reasons()[0].startswith("RISK_GATE: risk is unknown, AAA.XMARGIN: ")
    assert closed.decisions[0].allowed is None
    opened = bench(MARGIN, script, {"on_stale": "allow"}, tag="002")
    assert opened.desk.fills() == [10.0, 10.0]


@pytest.mark.parametrize(
    ("gate", "risk", "why"),
    [
        ({"risk_actor": "Nobody"}, {}, "there is no RiskActor Nobody"),
        ({}, {"keep_scenarios": False}, "RiskActor has no scenarios (set `keep_scenarios`)"),
        ({"max_age_seconds": 3_600.0}, {}, "its last report is 86,400.0 s old, 3,600 s are allowed"),
    ],
)
def test_it_says_why_risk_is_unknown(bench, gate, risk, why):
    script = {40: lambda desk: desk.trade(100, tags=["open"]), 41: lambda desk: [desk.trade(10), desk.trade(-100)]}
    one = bench(MARGIN, script, {"hedge_tags": ("open",), **gate}, risk=risk)
    assert one.desk.reasons() == [f"RISK_GATE: risk is unknown, {why}"]
    assert one.desk.fills() == [100.0, 100.0]


def test_a_failing_check_denies_and_the_run_goes_on(bench, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("of the test")

    monkeypatch.setattr("nautilus_metal.actors.gate_weighing.cases", broken)
    one = bench(MARGIN, {40: lambda desk: desk.trade(100)})
    assert one.desk.reasons() == ["RISK_GATE: risk is unknown, the check failed: ZeroDivisionError: of the test"]
    assert one.desk.count == DAYS


def test_instruments_that_the_risk_actor_leaves_out_are_not_judged(bench):
    chosen = (InstrumentId.from_str("BBB.XMARGIN"),)
    script = {40: lambda desk: [desk.trade(100_000), desk.trade(100_000, 1)]}
    one = bench(MARGIN, script, risk={"instruments": chosen})
    assert one.desk.fills() == [100_000.0]
    assert one.desk.held(1) == 0.0
    assert len(one.desk.reasons()) == 1


def test_a_second_run_after_a_reset_decides_the_same(bench):
    one = bench(MARGIN, {40: lambda desk: [desk.trade(1_000), desk.trade(100_000)]})
    first = (one.desk.reasons(), one.desk.fills(), one.gate.denied, one.gate.passed)
    endpoints = sorted(one.engine.kernel.msgbus.endpoints())
    for _ in range(2):
        one.engine.reset()
        assert (one.gate.denied, one.gate.passed) == (0, 0)
        one.engine.run()
        assert (one.desk.reasons(), one.desk.fills(), one.gate.denied, one.gate.passed) == first
        assert sorted(one.engine.kernel.msgbus.endpoints()) == endpoints


def test_a_system_has_one_gate(system):
    one = system()
    one.engine.add_actor(RiskGate())
    with pytest.raises(InputError, match="must be the only one of its system, there is RiskGate"):
        one.engine.add_actor(RiskGate(RiskGateConfig(component_id="Other")))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on_stale": "maybe"}, "`on_stale` must be one of deny, allow"),
        ({"max_age_seconds": 0.0}, "`max_age_seconds` must be above 0"),
        ({"var_limit": {0.99: -1.0}}, "`var_limit` at 0.99 must be positive"),
        ({"es_limit": {0.99: float("nan")}}, "`es_limit` at 0.99 must be positive"),
    ],
)
def test_wrong_settings(options, message):
    with pytest.raises(InputError, match=message):
        RiskGate(RiskGateConfig(**options))


def test_a_limit_on_a_level_that_nobody_computes_is_refused_at_the_start(bench):
    with pytest.raises(InputError, match=r"`var_limit` must be on a level of \(0.95,\), was on 0.99"):
        bench(MARGIN, {}, {"var_limit": {0.99: 5.0}})


def test_it_comes_from_importable_configuration():
    config = ImportableActorConfig(
        actor_path="nautilus_metal.actors:RiskGate",
        config_path="nautilus_metal.actors:RiskGateConfig",
        config={"var_limit": {"0.99": 5.0}, "trim": True, "hedge_strategies": ["Hedger-000"]},
    )
    from nautilus_trader.common.config import ActorFactory

    gate = ActorFactory.create(config)
    assert gate.config == RiskGateConfig(var_limit={0.99: 5.0}, trim=True, hedge_strategies=("Hedger-000",))


def test_its_message_goes_through_a_catalog(tmp_path):
    names = "RiskGate", "Desk-001", "O-1", "AAA.XNYS"
    told = [GateDecision(1, 2, *names, "trim", "why", 500.0, 120.0, "var", 0.99, 5.0, 1 / 3),
            GateDecision(3, 4, *names, "deny", "why", -5.0, None, "", None, None, None)]  # fmt: skip
    assert [GateDecision.from_bytes(one.to_bytes()) for one in told] == told
    catalog = ParquetDataCatalog(str(tmp_path))
    catalog.write_data(told)
    found = [item.data for item in catalog.query(GateDecision)]
    assert [(one.reason, one.allowed, one.value) for one in found] == [("why", 120.0, 1 / 3), ("why", None, None)]
