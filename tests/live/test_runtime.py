"""Risk beside the event loop of a real node: deadlines, failures, hangs, restarts and clean stops."""

import threading
import time

import numpy as np
import pytest

from nautilus_metal.actors import MetalEngine, risk_flow
from nautilus_metal.actors.risk_tick import Pace
from nautilus_metal.engine import shared_pools
from nautilus_metal.engine.cancel import checkpoint
from tests.actors.pretender import Pretender


@pytest.fixture
def ticks(monkeypatch):
    """Replace the work of a tick by ``ticks.work(original, inputs, config, scenarios, engine)``."""
    original = risk_flow.tick_figures

    class Ticks:
        work = None

    def tick(*arguments):
        return original(*arguments) if Ticks.work is None else Ticks.work(original, *arguments)

    monkeypatch.setattr(risk_flow, "tick_figures", tick)
    return Ticks


def engine_of(heard) -> MetalEngine:
    return heard.node.node.trader.actors()[0].engine


def metal_threads() -> list[str]:
    """The threads of a system's engine; that of the function API is the process' own."""
    names = ("nautilus-metal", "nautilus-metal-probe")
    return [thread.name for thread in threading.enumerate() if thread.name in names]


def test_a_late_tick_is_published_with_the_scenarios_done_by_then(live_run, make, ticks):
    def slow(original, inputs, config, scenarios, engine):
        time.sleep(scenarios * 1e-5)
        return original(inputs, config, scenarios, engine)

    ticks.work = slow
    heard = live_run(
        [make.risk_actor(model="normal", scenarios=40_000, deadline_ms=120.0)],
        [make.strategy()],
        replay={"speed": 1.0},
        until=lambda heard: len(heard.reports) > 12,
    )
    made = [report for report in heard.reports if report.positions]
    counts = [report.scenarios for report in made]
    assert counts
    assert set(counts) <= {1_000, 1_250, 2_500, 5_000, 10_000}  # 20,000 would sleep for 200 ms of the 120
    assert all(report.levels["0.99"]["var_se"] > 0 for report in made)


def test_a_tick_without_any_answer_in_time_is_announced_and_published_when_it_comes(live_run, make, ticks):
    def slow(original, *arguments):
        time.sleep(0.15)
        return original(*arguments)

    ticks.work = slow
    heard = live_run(
        [make.risk_actor(deadline_ms=50.0, scenarios=1_000)],
        [make.strategy()],
        replay={"speed": 1.0},
        until=lambda heard: len(heard.reports) > 2,
    )
    assert [(word.state, word.reason) for word in heard.stale[:2]] == [("stale", "deadline"), ("fresh", "report")]
    assert heard.in_time
    assert all(late.ts_event <= word.ts_init for late, word in zip(heard.stale[::2], heard.stale[1::2], strict=False))


def test_a_tick_that_fails_is_announced_and_the_next_one_is_made(live_run, make, ticks):
    calls = []

    def sometimes(original, *arguments):
        calls.append(1)
        if len(calls) == 3:
            raise ValueError("of the model")
        return original(*arguments)

    ticks.work = sometimes
    heard = live_run(
        [make.risk_actor()], [make.strategy()], replay={"speed": 1.0}, until=lambda heard: len(heard.reports) > 6
    )
    assert [(word.state, word.reason) for word in heard.stale] == [("stale", "error"), ("fresh", "report")]
    assert "of the model" in heard.stale[0].detail
    assert heard.in_time


def test_silence_is_announced(live_run, make):
    heard = live_run(
        [make.risk_actor(stale_after_seconds=0.3)],
        [make.strategy()],
        replay={"shut_down_after": None},
        until=lambda heard: bool(heard.stale),
    )
    last = heard.reports[-1]
    assert [(word.state, word.reason) for word in heard.stale] == [("stale", "silence")]
    assert heard.stale[0].ts_event == last.ts_snapshot
    assert heard.stale[0].ts_init - last.ts_init >= 0.3e9


def test_old_prices_are_announced(live_run, make):
    heard = live_run(
        [make.risk_actor(price_max_age_seconds=0.5, timer_seconds=0.1)],
        [make.strategy()],
        replay={"shut_down_after": None},
        until=lambda heard: bool(heard.stale),
    )
    assert (heard.stale[0].state, heard.stale[0].reason) == ("stale", "prices")
    ages = {report.ts_snapshot: report.age for report in heard.reports if report.positions}
    assert ages[heard.stale[0].ts_event] > 0.5


def test_requests_while_a_tick_runs_become_one_from_the_newest_snapshot(live_run, make, ticks):
    def slow(original, *arguments):
        time.sleep(0.25)
        return original(*arguments)

    ticks.work = slow
    heard = live_run(
        [make.risk_actor()], [make.strategy()], replay={"speed": 1.0}, until=lambda heard: len(heard.reports) > 4
    )
    skipped = [report.skipped for report in heard.reports[2:]]
    assert min(skipped) >= 2  # three instruments close every 100 ms
    taken = [report.ts_snapshot for report in heard.reports]
    assert taken == sorted(set(taken))
    assert all(report.age > 0.2 for report in heard.reports if report.positions)


def pretend(heard, trouble):
    engine_of(heard)._compute = Pretender(trouble)


def test_a_failing_device_is_left_and_taken_again(live_run, make):
    broken = [True]

    def trouble():
        if broken[0]:
            raise RuntimeError("MPS backend: command buffer execution failed")

    def until(heard):
        if heard.engine:
            broken[0] = False
        return len(heard.engine) > 1 and heard.reports[-1].device == "cuda:0"

    heard = live_run(
        [make.risk_actor()],
        [make.strategy()],
        replay={"speed": 1.0},
        until=until,
        prepare=lambda heard: pretend(heard, trouble),
    )
    assert heard.in_time
    assert [event.state for event in heard.engine] == ["degraded", "restored"]
    devices = [report.device for report in heard.reports if report.positions]
    assert {"cpu", "cuda:0"} == set(devices)
    assert heard.stale == []
    assert metal_threads() == []


def test_a_hanging_device_is_given_up_and_the_tick_is_done_on_the_cpu(live_run, make):
    let_go = threading.Event()

    def hang():
        let_go.wait(20.0)

    def prepare(heard):
        pretend(heard, hang)
        engine = engine_of(heard)
        engine.config = type(engine.config)(device="cpu", hang_seconds=0.3)

    try:
        heard = live_run(
            [make.risk_actor()],
            [make.strategy()],
            replay={"speed": 1.0},
            prepare=prepare,
            until=lambda heard: sum(bool(report.positions) for report in heard.reports) > 2,
        )
    finally:
        let_go.set()
    assert heard.in_time
    assert [event.reason for event in heard.engine] == ["no answer for 0.3 s"]
    assert {report.device for report in heard.reports if report.positions} == {"cpu"}
    deadline = time.monotonic() + 5.0
    while metal_threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert metal_threads() == []


def test_a_stop_with_work_in_flight_is_clean_and_quick(live_run, make, ticks):
    begun, stopped, loops = [], [], []

    def endless(original, inputs, config, scenarios, engine):
        begun.append(time.monotonic())
        with engine.pool.borrow((1000,)):
            while True:
                engine.upload(np.zeros(10))
                checkpoint()

    ticks.work = endless

    def until(_heard) -> bool:
        stopped.append(time.monotonic())
        return bool(begun)

    heard = live_run(
        [make.risk_actor(deadline_ms=1e6, stale_after_seconds=1e3, timer_seconds=0.05)],
        [make.strategy()],
        replay={"speed": 1.0},
        until=until,
        prepare=lambda heard: loops.append(heard.node.node.trader.actors()[0]),
    )
    assert time.monotonic() - stopped[-1] < 2.0
    assert heard.reports == []
    assert metal_threads() == []
    assert loops[0].clock.timer_names == []
    assert not loops[0].engine._watches
    handles = [str(handle) for handle in heard.node._loop._scheduled if not handle.cancelled()]
    assert [handle for handle in handles if "nautilus_metal" in handle] == []
    assert [pool.stats().active_blocks for pool in shared_pools()] == [0] * len(shared_pools())


def test_a_pace_finds_what_a_deadline_allows():
    pace = Pace(80_000, 1_000, 0.1)
    assert pace.stages() == (10_000, 80_000)  # nothing is known yet
    pace.took(0.3)
    assert pace.stages() == (5_000, 40_000)
    pace.took(0.08)
    assert pace.stages() == (5_000, 40_000)
    pace.took(0.04)
    assert pace.stages() == (40_000,)
    pace.took(0.02)
    assert pace.stages() == (10_000, 80_000)
    for _ in range(20):
        pace.took(1.0)
    assert pace.stages() == (1_000,)
    assert Pace(80_000, 1_000, None).stages() == (80_000,)
