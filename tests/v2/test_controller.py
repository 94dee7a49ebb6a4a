"""The RiskController under v2: when it moves the trading state, what that lets through, how it comes in."""

import pytest
from nautilus_trader.model import ExecAlgorithmId, InstrumentId, OrderStatus, Quantity, TradingState
from nautilus_trader.trading import ExecutionAlgorithmConfig, ImportableControllerConfig

from nautilus_metal.actors import RiskActor, RiskActorConfig, RiskController, RiskControllerConfig, RiskGate
from nautilus_metal.errors import HostError, InputError
from nautilus_metal.host import Actor, publish
from nautilus_metal.messages import RiskReport
from tests.small_system import DAY, bar_type, walk
from tests.v2.test_gate import EMA, Desk, closes, risk

A = "AAA.XNYS"
NAME = InstrumentId.from_str(A)
ACTIVE, REDUCING, HALTED = "ACTIVE", "REDUCING", "HALTED"
PATH = "nautilus_metal.actors:RiskController"


def report(var, ts, source="RiskActor"):
    levels = {} if var is None else {"0.99": {"var": var, "es": 1.2 * var, "var_se": 0.0, "es_se": 0.0}}
    return RiskReport(ts, ts, source, "normal", "sobol", "cpu", 0, 1_000, 1, "USD", 0.0, levels, {}, {},
                      0.0, None, 1.0, None, ts, None, 0)  # fmt: skip


class Teller(Actor):
    """Publishes a figure a day, as a RiskActor would, and notes the trading state before and after it."""

    def __init__(self, figures, controller, source="RiskActor"):
        super().__init__()
        self.figures, self.controller, self.source = figures, controller, source
        self.states, self.changes, self.days = [], [], 0

    def register_base(self, portfolio, msgbus, cache, clock):
        super().register_base(portfolio, msgbus, cache, clock)
        msgbus.subscribe("events.risk", self.changes.append)

    def on_start(self):
        self.days = 0
        self.states.clear()
        self.changes.clear()
        self.subscribe_bars(bar_type(A))

    def on_bar(self, bar):
        if self.days < len(self.figures):
            publish(self, report(self.figures[self.days], bar.ts_event, self.source))
            self.states.append(self.controller.trading_state)
        self.days += 1


@pytest.fixture
def told(system):
    """Run a controller on figures, a day apart, with a strategy; return the system, the teller and the controller."""

    def run(figures, script=(), source="RiskActor", days=None, before=None, actors=(), **settings):
        one = system().add(A, walk(1, days or len(figures) + 1))
        controller = RiskController(None, RiskControllerConfig(**settings))
        teller = Teller(figures, controller, source)
        one.desk = Desk(dict(script))
        if before is not None:
            before(one)
        one.run([controller, teller, *actors], [one.desk])
        return one, teller, controller

    return run


def test_reports_over_the_limit_reduce_then_halt_and_the_all_clear_has_a_margin(told):
    settings = {"reduce_after_reports": 2, "halt_after_reports": 4, "clear_after_reports": 2, "release": 0.8}
    figures = [50, 101, 99, 120, 130, 140, 150, 160, 90, 79, 90, 79, 79, 99, 101]
    _, teller, _ = told(list(map(float, figures)), var_limit={0.99: 100.0}, **settings)
    assert teller.states == [ACTIVE] * 4 + [REDUCING] * 2 + [HALTED] * 6 + [ACTIVE] * 3
    assert [change.state for change in teller.changes] == [
        TradingState.REDUCING, TradingState.HALTED, TradingState.ACTIVE]  # fmt: skip


def test_seconds_count_from_the_first_report_over_the_limit(told):
    day = DAY / 1e9
    settings = {"reduce_after_reports": None, "reduce_after_seconds": 2 * day, "clear_after_seconds": day}
    figures = [101.0, 101.0, 101.0, 100.0, 100.0, 100.0]
    _, teller, _ = told(figures, es_limit={0.99: 120.0}, release=1.0, **settings)
    assert teller.states == [ACTIVE, ACTIVE, REDUCING, REDUCING, ACTIVE, ACTIVE]


def test_a_report_without_figures_changes_nothing_and_others_are_not_heard(told):
    figures = [150.0, None, 150.0, None]
    _, teller, _ = told(figures, var_limit={0.99: 100.0}, reduce_after_reports=2)
    assert teller.states == [ACTIVE, ACTIVE, REDUCING, REDUCING]
    mine = RiskActor(RiskActorConfig(levels=(0.99,), var_limit={0.99: 100.0}, component_id="Mine"))
    _, teller, _ = told([150.0], source="Other", actors=[mine])
    assert teller.states == [ACTIVE]
    mine = RiskActor(RiskActorConfig(levels=(0.99,), var_limit={0.99: 100.0}, component_id="Mine"))
    _, teller, _ = told([150.0], source="Mine", actors=[mine])
    assert teller.states == [REDUCING]


def test_a_reset_restores_the_state_and_forgets(told):
    one, teller, controller = told([150.0, 150.0], var_limit={0.99: 100.0}, reduce_after_reports=2)
    assert (teller.states, controller.trading_state) == ([ACTIVE, REDUCING], REDUCING)
    one.engine.reset()
    assert controller.trading_state == ACTIVE
    one.engine.run()
    assert teller.states == [ACTIVE, REDUCING]


OVER = [50.0] * 3 + [150.0] * 10


def outcomes(desk):
    return [("denied", desk.reasons()), ("filled", desk.fills())]


def test_while_reducing_what_adds_is_denied_and_what_turns_around_passes(told):
    """As 1.x's risk engine has it, which looks at sides alone; a RiskGate is stricter."""
    script = {2: lambda desk: desk.trade(100), 6: lambda desk: desk.trade(10), 7: lambda desk: desk.trade(-150),
              8: lambda desk: desk.trade(-10), 9: lambda desk: desk.trade(20),
              10: lambda desk: desk.submit_order_list([desk.order(5), desk.order(-5)])}  # fmt: skip
    one, _, _ = told(OVER, script, var_limit={0.99: 100.0})
    long, short = f"BUY when TradingState.REDUCING and LONG {A}", f"SELL when TradingState.REDUCING and SHORT {A}"
    assert one.desk.reasons() == [long, short, *[f"OrderList contains {short}"] * 2]
    assert one.desk.fills() == [100.0, 150.0, 20.0]


def halted(desk):
    """Everything that a strategy can send."""
    (position,) = desk.cache.positions_open()
    desk.trade(-10, reduce_only=True)
    desk.close_position(position)
    desk.close_all_positions(NAME)
    desk.submit_order_list([desk.order(5), desk.order(-5)])
    desk.modify_order(desk.orders[0].client_order_id, Quantity.from_int(5))


def test_halted_nothing_is_sent_but_cancels(told):
    script = {2: lambda desk: [desk.send(desk.limit(50, 1.0)), desk.trade(100)], 6: halted,
              7: lambda desk: desk.cancel_order(desk.orders[0].client_order_id)}  # fmt: skip
    one, _, _ = told(OVER, script, var_limit={0.99: 100.0}, halt_after_reports=1)
    assert one.desk.reasons() == ["TradingState.HALTED"] * 5
    assert one.desk.reasons("OrderModifyRejected") == ["TradingState is HALTED"]
    assert one.desk.fills() == [100.0]
    assert [order.status for order in one.engine.cache.orders_closed()].count(OrderStatus.CANCELED) == 1


def test_halted_a_strategy_that_ends_its_positions_cancels_and_is_denied(told):
    """The host's own orders for that would pass no check."""
    script = {2: lambda desk: [desk.send(desk.limit(50, 1.0)), desk.trade(100)], 6: lambda desk: desk.market_exit()}
    one, _, _ = told(OVER, script, var_limit={0.99: 100.0}, halt_after_reports=1)
    assert one.desk.reasons() == ["TradingState.HALTED"]
    assert one.engine.cache.orders_open() == []
    one, _, _ = told(OVER, script, var_limit={0.99: 100.0}, halt_after_reports=None)
    assert one.desk.fills() == [100.0, 100.0]


@pytest.mark.parametrize("by_hand", [True, False])
def test_in_a_backtest_a_breach_reduces_and_every_run_begins_active(system, by_hand):
    """1,000 shares come in before their risk is known; adding is denied until most are sold."""
    script = {5: lambda desk: desk.trade(1_000), 30: lambda desk: desk.trade(10),
              35: lambda desk: desk.trade(-700), 40: lambda desk: desk.trade(10)}  # fmt: skip
    config = {} if by_hand else {"controller": ImportableControllerConfig(PATH, f"{PATH}Config", {"release": 0.9})}
    one, desk = system(**config).add(A, closes()[0]), Desk(script)
    actors = [risk(bar_types=(bar_type(A),), var_limit={0.95: 1_000.0})]
    actors += [RiskController(config=RiskControllerConfig())] if by_hand else []
    one.run(actors, [desk])
    for _ in range(2):
        assert outcomes(desk) == [("denied", [f"BUY when TradingState.REDUCING and LONG {A}"]),
                                  ("filled", [1_000.0, 700.0, 10.0])]  # fmt: skip
        one.engine.reset()
        one.engine.run()


def test_a_strategy_in_rust_is_refused(told):
    with pytest.raises(HostError, match=r"with add_builtin_strategy\(EmaCross\).*leave it out, or RiskController"):
        told([50.0], before=lambda one: one.engine.add_builtin_strategy("EmaCross", EMA))


def test_an_execution_algorithm_in_rust_is_refused(told):
    """It would go on with what it has when trading is halted."""
    config = ExecutionAlgorithmConfig(exec_algorithm_id=ExecAlgorithmId("TWAP"))
    with pytest.raises(HostError, match=r"with add_native_exec_algorithm\(TwapAlgorithm\).*or RiskController"):
        told([50.0], before=lambda one: one.engine.add_native_exec_algorithm("TwapAlgorithm", config))


def test_a_gate_and_a_controller_are_one_check(told):
    """Without scenarios the gate denies what it cannot judge, and the state the rest."""
    script = {2: lambda desk: desk.trade(100), 6: lambda desk: desk.trade(-10, reduce_only=True)}
    one, _, _ = told(OVER, script, var_limit={0.99: 100.0}, halt_after_reports=1, actors=[RiskGate()])
    assert one.desk.reasons() == ["RISK_GATE: risk is unknown, there is no RiskActor", "TradingState.HALTED"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"release": 0.0}, "`release` must be above 0"),
        ({"release": 1.5}, "`release` must be at most 1"),
        ({"halt_after_reports": 0}, "`halt_after_reports` must be at least 1"),
        ({"clear_after_seconds": -1.0}, "`clear_after_seconds` must be at least 0"),
        ({"var_limit": {0.99: 0.0}}, "`var_limit` at 0.99 must be positive"),
        ({"halt_after": 3}, "`halt_after` must be one of .*halt_after_reports"),
    ],
)
def test_wrong_settings(options, message):
    with pytest.raises(InputError, match=message):
        RiskController(None, RiskControllerConfig(**options))
