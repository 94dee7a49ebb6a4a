"""A device that fails at any kernel call of a tick, comes back, and fails again: no report is lost or differs."""

import pytest

from nautilus_metal.actors import MetalEngineActor, MetalEngineConfig, RiskActor, RiskActorConfig, risk_flow
from nautilus_metal.actors.runtime import BackOff
from nautilus_metal.messages import ENGINE_EVENT_TOPIC
from tests.actors.pretender import FaultAt, Pretender

A, B = "AAA.XNYS", "BBB.XNYS"
DAYS, FIRST = 330, 30  # the day from which on faults are injected: the first at the first call, and so on
SECOND = 10**9


def run_with(system, script, random_walk, daily, model, inject=None):
    options = {"window": 40, "min_observations": 20, "bar_types": (daily(A), daily(B)), "scenarios": 500}
    risk = RiskActor(RiskActorConfig(model=model, levels=(0.95,), **options))
    chosen, events = MetalEngineActor(MetalEngineConfig(device="cpu")), []
    run = system().add(A, random_walk(1, DAYS)).add(B, random_walk(2, DAYS))
    for actor in (chosen, risk):
        run.engine.add_actor(actor)
    if inject:
        inject(chosen.engine)
    run.engine.kernel.msgbus.subscribe(ENGINE_EVENT_TOPIC, events.append)
    run.engine.add_strategy(script({A: {2: 10}, B: {3: -5}}))
    run.engine.run()
    return run.reports, events


@pytest.mark.parametrize("model", ["normal", "student_t", "filtered_historical"])
def test_a_fault_at_every_kernel_call_of_a_tick_loses_nothing(
    system, script, random_walk, daily, monkeypatch, model
):
    undisturbed, _ = run_with(system, script, random_walk, daily, model)
    ticks, faults, original = [], [], risk_flow.tick_figures

    def tick(inputs, config, scenarios, engine):
        if not isinstance(engine, Pretender):
            return original(inputs, config, scenarios, engine)
        ticks.append(inputs)
        if len(ticks) < FIRST:
            return original(inputs, config, scenarios, engine)
        with FaultAt(len(ticks) - FIRST) as fault:
            try:
                return original(inputs, config, scenarios, engine)
            finally:
                faults.append(fault.fired)

    monkeypatch.setattr(risk_flow, "tick_figures", tick)
    disturbed, events = run_with(
        system, script, random_walk, daily, model, lambda engine: setattr(engine, "_compute", Pretender())
    )
    calls = sum(faults)
    last = max(number for number, fired in enumerate(faults) if fired)
    assert calls > 0.8 * (last + 1) > 20  # ticks differ in length where something is made once, or found by iteration
    assert last < len(faults) - 20  # no call was left at the end
    assert [report.levels for report in disturbed] == [report.levels for report in undisturbed]
    assert [report.positions for report in disturbed] == [report.positions for report in undisturbed]
    assert [event.state for event in events] == ["degraded", "restored"] * calls
    assert {event.works_on for event in events} == {"cpu", "cuda:0"}


def test_a_device_that_stays_broken_is_tried_less_and_less_often(system, script, random_walk, daily, monkeypatch):
    tries = []

    def broken():
        raise RuntimeError("CUDA error: unspecified launch failure")

    def inject(engine):
        engine._compute = Pretender(broken)
        engine._compute.probe = lambda: (tries.append(engine._time.timestamp_ns()), broken())

    reports, events = run_with(system, script, random_walk, daily, "normal", inject)
    assert [event.state for event in events] == ["degraded"]
    assert len(reports) == DAYS
    assert len(tries) > 10  # a day is longer than the longest wait


def test_the_waits_double_up_to_a_limit_and_start_again_after_a_recovery():
    back_off, now, waits = BackOff(first=1.0, most=8.0), 0, []
    for _ in range(6):
        back_off.failed(now)
        wait = next(seconds for seconds in range(1, 100) if back_off.due(now + seconds * SECOND))
        assert not back_off.due(now + wait * SECOND - 1)
        waits.append(wait)
        now += wait * SECOND
    assert waits == [1, 2, 4, 8, 8, 8]
    back_off.recovered()
    back_off.failed(now)
    assert back_off.due(now + SECOND)
