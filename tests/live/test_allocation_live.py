"""The AllocationActor in real nodes: targets by schedule and by timer, worked out beside the loop, once a period."""

import threading

import pytest

from nautilus_metal.actors import AllocationActor, AllocationActorConfig
from nautilus_metal.actors import allocation as allocation_module
from nautilus_metal.messages import ALLOCATION_TARGET_TOPIC
from strategies.rebalancer import Rebalancer, RebalancerConfig

SPEED = {"speed": 6.0}


@pytest.fixture
def node(live_run, market, monkeypatch):
    """Run an actor in a node, with a Rebalancer if asked; what came, and on which threads, is in the result."""

    def run(until, rebalancer=None, **settings):
        targets, heard_on, worked_on = [], set(), set()
        original = allocation_module.optimise

        def optimise(*arguments, **options):
            worked_on.add(threading.current_thread().name)
            return original(*arguments, **options)

        def hear(target):
            heard_on.add(threading.current_thread())
            targets.append(target)

        fields = {"window": 200, "min_observations": 100, "level": 0.9, "schedule": "daily"} | settings
        actor = AllocationActor(AllocationActorConfig(bar_types=tuple(market.bars), **fields))
        with monkeypatch.context() as patch:
            patch.setattr(allocation_module, "optimise", optimise)
            heard = live_run(
                [actor],
                [rebalancer] if rebalancer else [],
                replay=SPEED,
                prepare=lambda heard: heard.node.hear(ALLOCATION_TARGET_TOPIC, hear),
                until=until and (lambda heard: until(heard, targets)),
            )
        return heard, targets, heard_on, worked_on

    return run


def test_a_schedule_gives_one_target_that_is_traded_and_a_restart_no_second(node, market, tmp_path):
    kept = {"state_path": str(tmp_path / "state")}
    rebalancer = Rebalancer(RebalancerConfig(capital=1_000_000.0))
    heard, targets, heard_on, worked_on = node(None, rebalancer, **kept)
    assert heard.in_time
    assert [target.status for target in targets] == ["optimal"]
    assert sum(targets[0].weights.values()) == pytest.approx(1)
    assert set(targets[0].weights) == set(market.instruments)
    assert targets[0].scenarios == 200
    assert heard_on == {threading.main_thread()}
    assert worked_on == {"nautilus-metal"}
    assert rebalancer.executed == 1
    filled = {str(fill.instrument_id) for fill in heard.fills}
    assert filled == {name for name, weight in targets[0].weights.items() if weight > 1e-3}

    idle = Rebalancer(RebalancerConfig(capital=1_000_000.0))
    heard, targets, _, worked_on = node(None, idle, **kept)
    assert heard.in_time
    assert targets == []
    assert worked_on == set()
    assert heard.fills == []


def test_a_timer_asks_on_the_loop_for_targets_from_the_worker(node):
    heard, targets, heard_on, worked_on = node(
        lambda heard, targets: len(targets) > 4, schedule=None, timer_seconds=0.1, objective="minimum_variance"
    )
    assert heard.in_time
    assert {target.status for target in targets} == {"optimal"}
    assert heard_on == {threading.main_thread()}
    assert worked_on == {"nautilus-metal"}
    assert "nautilus-metal" not in [each.name for each in threading.enumerate()]


def test_a_target_that_fails_is_asked_for_again(node, monkeypatch):
    calls, original = [], allocation_module.allocate

    def sometimes(*arguments):
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("of the solver")
        return original(*arguments)

    monkeypatch.setattr(allocation_module, "allocate", sometimes)
    heard, targets, _, _ = node(None)
    assert heard.in_time
    assert len(calls) == 2
    assert [target.status for target in targets] == ["optimal"]


def test_a_target_waits_for_all_closes_or_for_so_long(node, market, monkeypatch):
    silent = market.instruments[2]
    on_bar, seen = AllocationActor.on_bar, []

    def deaf(actor, bar):  # one instrument has history and no bars
        seen.append(str(bar.bar_type.instrument_id))
        if seen[-1] != silent:
            on_bar(actor, bar)

    monkeypatch.setattr(AllocationActor, "on_bar", deaf)
    heard, targets, _, _ = node(None, settle_seconds=0.2)
    assert heard.in_time
    assert [target.status for target in targets] == ["optimal"]
    heard, targets, _, _ = node(None, settle_seconds=60.0)
    assert heard.in_time
    assert targets == []
