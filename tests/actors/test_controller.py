"""The RiskController: when it moves the trading state, and back, by reports made by hand and in real backtests."""

import pytest
from nautilus_trader.config import ImportableControllerConfig
from nautilus_trader.model.enums import TradingState

from nautilus_metal.actors import (
    RiskActor,
    RiskActorConfig,
    RiskController,
    RiskControllerConfig,
    RiskGate,
    RiskGateConfig,
)
from nautilus_metal.errors import InputError
from nautilus_metal.messages import RISK_REPORT_TOPIC, RiskReport

A, B, C = "AAA.XNYS", "BBB.XNYS", "CCC.XNYS"
DAYS, SECOND = 60, 10**9
ACTIVE, REDUCING, HALTED = "ACTIVE", "REDUCING", "HALTED"


def report(var, seconds, source="RiskActor", level="0.99"):
    levels = {} if var is None else {level: {"var": var, "es": 1.2 * var, "var_se": 0.0, "es_se": 0.0}}
    return RiskReport(0, seconds * SECOND, source, "normal", "sobol", "cpu", 0, 1_000, 1, "USD", 0.0, levels, {}, {},
                      0.0, None, 1.0, None, seconds * SECOND, None, 0)  # fmt: skip


@pytest.fixture
def controlled(system):
    """Make a running controller in a system without data, and a function that reports and tells the state."""
    made = []

    def make(**settings):
        one = system()
        controller = RiskController(one.engine.trader, RiskControllerConfig(**settings))
        one.engine.add_actor(controller)
        controller.start()
        made.append(controller)
        changes, bus = [], one.engine.kernel.msgbus
        bus.subscribe("events.risk", lambda event: changes.append(TradingState(event.state).name))

        def tell(var, seconds, **options):
            bus.publish("data.RiskReport", report(var, seconds, **options))
            return controller.trading_state

        return controller, tell, changes

    yield make
    for controller in made:
        controller.stop()


def test_reports_over_the_limit_reduce_then_halt_and_the_all_clear_has_a_margin(controlled):
    settings = {"reduce_after_reports": 2, "halt_after_reports": 4, "clear_after_reports": 2, "release": 0.8}
    _, tell, changes = controlled(var_limit={0.99: 100.0}, **settings)
    figures = [50, 101, 99, 120, 130, 140, 150, 160, 90, 79, 90, 79, 79, 99, 101]
    states = [tell(float(var), i) for i, var in enumerate(figures)]
    assert states == [ACTIVE] * 4 + [REDUCING] * 2 + [HALTED] * 6 + [ACTIVE] * 3
    assert changes == [REDUCING, HALTED, ACTIVE]


def test_seconds_count_from_the_first_report_over_the_limit(controlled):
    settings = {"reduce_after_reports": None, "reduce_after_seconds": 10.0, "clear_after_seconds": 5.0}
    _, tell, _ = controlled(es_limit={0.99: 120.0}, release=1.0, **settings)
    reports = ((0, 101.0), (9, 101.0), (10, 101.0), (11, 100.0), (15, 100.0), (16, 100.0))
    states = [tell(var, at) for at, var in reports]
    assert states == [ACTIVE, ACTIVE, REDUCING, REDUCING, REDUCING, ACTIVE]


def test_a_report_without_figures_changes_nothing_and_others_are_not_heard(controlled, system):
    _, tell, _ = controlled(var_limit={0.99: 100.0}, reduce_after_reports=2)
    assert [tell(150.0, 0), tell(None, 1), tell(150.0, 2), tell(None, 3)] == [ACTIVE, ACTIVE, REDUCING, REDUCING]
    one = system(trader_id="TESTER-002")
    one.engine.add_actor(RiskActor(RiskActorConfig(levels=(0.99,), var_limit={0.99: 100.0}, component_id="Mine")))
    second = RiskController(one.engine.trader)
    one.engine.add_actor(second)
    second.start()
    bus = one.engine.kernel.msgbus
    bus.publish("data.RiskReport", report(150.0, 0, source="Other"))
    assert second.trading_state == ACTIVE
    bus.publish("data.RiskReport", report(150.0, 0, source="Mine"))
    assert second.trading_state == REDUCING
    second.stop()


def test_what_somebody_else_has_set_is_made_stricter_never_looser(controlled):
    controller, tell, _ = controlled(var_limit={0.99: 100.0}, halt_after_reports=3)
    risk = controller._trader._risk_engine
    risk.set_trading_state(TradingState.HALTED)
    assert [tell(150.0, 0), tell(10.0, 1), tell(10.0, 2)] == [HALTED] * 3
    risk.set_trading_state(TradingState.ACTIVE)
    assert tell(150.0, 3) == REDUCING
    risk.set_trading_state(TradingState.HALTED)
    assert tell(10.0, 4) == HALTED
    assert tell(10.0, 5) == HALTED


def test_a_reset_restores_the_state_and_forgets(controlled):
    controller, tell, _ = controlled(var_limit={0.99: 100.0}, reduce_after_reports=2)
    tell(150.0, 0)
    assert tell(150.0, 1) == REDUCING
    controller.stop()
    assert tell(10.0, 2) == REDUCING
    controller.reset()
    assert controller.trading_state == ACTIVE
    controller.start()
    assert tell(150.0, 3) == ACTIVE
    assert tell(150.0, 4) == REDUCING


RISK = {"window": 40, "min_observations": 20, "levels": (0.95,), "model": "normal", "scenarios": 2_000,
        "var_limit": {0.95: 1_000.0}, "keep_scenarios": True}  # fmt: skip


@pytest.mark.parametrize("by_hand", [True, False])
def test_in_a_backtest_a_breach_reduces_and_every_run_begins_active(system, script, random_walk, daily, by_hand):
    """500 shares come in before their risk is known; adding is denied until half are sold."""
    path = "nautilus_metal.actors:RiskController"
    config = {} if by_hand else {"controller": ImportableControllerConfig(path, path + "Config", {"release": 0.9})}
    one = system(**config).add(A, random_walk(1, DAYS)).add(B, random_walk(2, DAYS))
    denied, states = [], []
    one.engine.kernel.msgbus.subscribe("events.order.*", lambda event: denied.append(getattr(event, "reason", None)))
    one.engine.kernel.msgbus.subscribe("events.risk", lambda event: states.append(TradingState(event.state).name))
    actors = [RiskActor(RiskActorConfig(bar_types=(daily(A), daily(B)), **RISK))]
    actors += [RiskController(one.engine.trader)] if by_hand else []
    plan = {A: {5: 1_000, 30: 10, 35: -700, 40: 10}, B: {32: 10}}
    one.run(actors, [script(plan)])
    reasons = [reason for reason in denied if reason]
    assert reasons == [f"BUY when TradingState.REDUCING and LONG {A}"]
    assert states == [REDUCING, ACTIVE]
    held = {str(position.instrument_id): position.signed_qty for position in one.engine.cache.positions_open()}
    assert held == {A: 310.0, B: 10.0}
    one.engine.reset()
    denied.clear()
    one.engine.run()
    assert [reason for reason in denied if reason] == reasons
    assert states == [REDUCING, ACTIVE] * 2


def test_a_run_that_ends_reduced_leaves_nothing_to_the_next(system, script, random_walk, daily):
    one = system().add(A, random_walk(1, DAYS))
    controller = RiskController(one.engine.trader)
    one.run([RiskActor(RiskActorConfig(bar_types=(daily(A),), **RISK)), controller], [script({A: {5: 1_000}})])
    assert controller.trading_state == REDUCING
    one.engine.reset()
    assert controller.trading_state == ACTIVE


@pytest.mark.parametrize("hedges_pass", [True, False, None])
def test_while_reducing_a_gate_lets_hedges_grow_and_nothing_begin(system, script, random_walk, daily, hedges_pass):
    """The host alone denies more of a short hedge, and lets a position in another stock begin."""
    one = system()
    for seed, name in enumerate((A, B, C)):
        one.add(name, random_walk(seed, DAYS))
    denied, held = [], {}
    one.engine.kernel.msgbus.subscribe("events.order.*", lambda event: denied.append(getattr(event, "reason", None)))
    hedger = script({B: {30: -100, 31: -100}}, "002")
    desk = script({A: {5: 1_000, 32: 10}, C: {33: 500}}, "001")
    kinds = tuple(daily(name) for name in (A, B, C))
    actors = [RiskActor(RiskActorConfig(bar_types=kinds, **RISK)), RiskController(one.engine.trader)]
    if hedges_pass is not None:
        actors.append(RiskGate(RiskGateConfig(var_limit={0.95: 1e6}, hedge_strategies=(str(hedger.id),),
                                              on_stale="allow", hedges_pass_reducing=hedges_pass)))  # fmt: skip
    one.run(actors, [desk, hedger])
    for position in one.engine.cache.positions_open():
        held[str(position.instrument_id)] = position.signed_qty
    reasons = [reason for reason in denied if reason]
    of_the_hedge = [] if hedges_pass else [f"SELL when TradingState.REDUCING and SHORT {B}"]
    assert held[B] == (-200.0 if hedges_pass else -100.0)
    assert reasons[: len(of_the_hedge)] == of_the_hedge
    rest = reasons[len(of_the_hedge) :]
    if hedges_pass is None:
        assert rest == [f"BUY when TradingState.REDUCING and LONG {A}"]
        assert held[C] == 500.0
    else:
        starts = "RISK_GATE: trading is reducing, and 95% VaR would rise from "
        assert [reason.startswith(starts) for reason in rest] == [True, True]
        assert C not in held


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"release": 0.0}, "`release` must be above 0"),
        ({"release": 1.5}, "`release` must be at most 1"),
        ({"halt_after_reports": 0}, "`halt_after_reports` must be at least 1"),
        ({"clear_after_seconds": -1.0}, "`clear_after_seconds` must be at least 0"),
        ({"var_limit": {0.99: 0.0}}, "`var_limit` at 0.99 must be positive"),
    ],
)
def test_wrong_settings(system, options, message):
    with pytest.raises(InputError, match=message):
        RiskController(system().engine.trader, RiskControllerConfig(**options))


def test_it_must_have_a_trader():
    with pytest.raises(InputError, match="`trader` must be that of the system"):
        RiskController(config=RiskControllerConfig())


def test_it_hears_the_topic_of_reports(controlled):
    controller, _, _ = controlled(var_limit={0.99: 100.0})
    assert controller.msgbus.is_subscribed(RISK_REPORT_TOPIC, controller._on_report)
