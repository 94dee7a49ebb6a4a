"""The AllocationActor in a real engine: when it publishes, what from, and what it says where it cannot."""

from itertools import pairwise

import numpy as np
import pytest

from nautilus_metal.actors import AllocationActor, AllocationActorConfig, MetalEngineActor, MetalEngineConfig
from nautilus_metal.errors import InputError
from nautilus_metal.messages import ALLOCATION_TARGET_TOPIC
from nautilus_metal.risk.allocation import Constraints, optimise
from strategies.rebalancer import Rebalancer, RebalancerConfig

NAMES = ("AAA.XNYS", "BBB.XNYS", "CCC.XNYS")
DAYS = 150


@pytest.fixture
def closes(random_walk):
    return {name: random_walk(seed, DAYS, sigma=0.005 * (seed + 1)) for seed, name in enumerate(NAMES)}


@pytest.fixture
def targets(system, closes, daily, device):
    """Run an actor over the walks and return its targets, and the system."""

    def run(late=0, strategies=(), **settings):
        made = system()
        for name, path in closes.items():
            made.add(name, path if name != NAMES[2] else path[late:], first_day=1 if name != NAMES[2] else 1 + late)
        heard: list = []
        made.engine.kernel.msgbus.subscribe(ALLOCATION_TARGET_TOPIC, heard.append)
        fields = {"window": 100, "min_observations": 40, "objective": "minimum_variance", "level": 0.9}
        config = AllocationActorConfig(bar_types=tuple(map(daily, NAMES)), **(fields | settings))
        made.run([MetalEngineActor(MetalEngineConfig(device=device)), AllocationActor(config)], strategies)
        return heard, made

    return run


@pytest.mark.parametrize("objective", ["minimum_variance", "minimum_cvar", "risk_parity", "hrp", "equal_weight"])
def test_targets_are_the_optimum_of_the_returns_until_then(targets, closes, objective):
    heard, _ = targets(objective=objective)
    months = {(day.astype("datetime64[D]").astype("datetime64[M]")) for day in np.arange(41, DAYS + 1)}
    assert len(heard) == len(months)
    for target in heard:
        day = target.ts_event // (86_400 * 10**9)
        prices = np.column_stack([closes[name][:day] for name in NAMES])
        returns = np.expm1(np.diff(np.log(prices), axis=0))[-100:]
        assert target.scenarios == len(returns)
        assert target.status == "optimal"
        if objective == "equal_weight":
            assert target.weights == dict.fromkeys(NAMES, 1 / 3)
        else:
            alone = optimise(returns, objective, assets=NAMES, level=0.9, device="cpu")
            assert target.value == pytest.approx(alone.value, rel=1e-4)
            assert list(target.weights.values()) == pytest.approx(alone.weights.tolist(), abs=2e-2)


@pytest.mark.parametrize(("schedule", "count"), [("daily", 110), ("weekly", 16), ("quarterly", 2)])
def test_schedules(targets, schedule, count):
    heard, _ = targets(schedule=schedule)
    assert len(heard) == pytest.approx(count, abs=1)


def test_an_instrument_without_history_is_uncovered(targets):
    heard, _ = targets(late=120)
    assert heard[0].uncovered == {NAMES[2]: "no price history"}
    assert sum(heard[0].weights.values()) == pytest.approx(1)


def test_conflicts_are_named_and_not_traded(targets):
    rebalancer = Rebalancer(RebalancerConfig())
    heard, made = targets(upper=0.2, strategies=[rebalancer])
    assert {target.status for target in heard} == {"infeasible"}
    assert "the budget (1) conflicts with the upper bounds of AAA.XNYS" in heard[0].reason
    assert heard[0].weights == {}
    assert not made.engine.cache.orders()
    assert rebalancer.refused["infeasible"] == len(heard)


def test_a_strategy_holds_the_targets(targets, closes):
    heard, made = targets(strategies=[Rebalancer(RebalancerConfig(reserve=0.0, capital=1_000_000.0))])
    for name, weight in heard[-1].weights.items():
        held = sum(p.signed_qty for p in made.engine.cache.positions_open() if str(p.instrument_id) == name)
        day = heard[-1].ts_event // (86_400 * 10**9)
        assert held == pytest.approx(weight * 1_000_000 / closes[name][day - 1], abs=1.001)


def test_turnover_is_counted_from_the_last_target_as_prices_moved_it(targets, closes):
    heard, _ = targets(schedule="weekly", turnover=1.0, costs=1e-3)
    one, two = heard[0], heard[1]
    days = [target.ts_event // (86_400 * 10**9) for target in (one, two)]
    moved = np.array([one.weights[name] * closes[name][days[1] - 1] / closes[name][days[0] - 1] for name in NAMES])
    moved /= 1 - sum(one.weights.values()) + moved.sum()
    prices = np.column_stack([closes[name][: days[1]] for name in NAMES])
    returns = np.expm1(np.diff(np.log(prices), axis=0))[-100:]
    alone = optimise(
        returns, assets=NAMES, device="cpu", constraints=Constraints(previous=moved, turnover=1.0, costs=1e-3)
    )
    assert list(two.weights.values()) == pytest.approx(alone.weights.tolist(), abs=1e-4)


CUT = 100  # a day in the middle of a month


@pytest.fixture
def part(system, closes, daily, device):
    """Run an actor over some of the days; return its targets."""

    def run(actor, days=slice(None)):
        made, heard = system(), []
        for name, path in closes.items():
            made.add(name, path[days], first_day=1 + (days.start or 0))
        made.engine.kernel.msgbus.subscribe(ALLOCATION_TARGET_TOPIC, heard.append)
        made.run([MetalEngineActor(MetalEngineConfig(device=device)), actor])
        return heard

    def make(**settings):
        fields = {"window": 90, "min_observations": 40, "objective": "minimum_cvar", "level": 0.9, "turnover": 0.5}
        return AllocationActor(AllocationActorConfig(bar_types=tuple(map(daily, NAMES)), **(fields | settings)))

    run.actor = make
    return run


@pytest.mark.parametrize("route", ["host", "file"])
def test_a_restart_in_mid_month_makes_no_second_target_and_the_same_ones_later(part, tmp_path, route):
    kept = {"state_path": str(tmp_path / "kept" / "state")} if route == "file" else {}
    whole = part(part.actor())
    before, after = part.actor(**kept), part.actor(**kept)
    early = part(before, slice(0, CUT))
    if route == "host":
        after.on_load(before.on_save())
    late = part(after, slice(CUT, DAYS))
    assert late
    assert [target.ts_event for target in early + late] == [target.ts_event for target in whole]
    for target, expected in zip(early + late, whole, strict=True):
        assert target.weights == pytest.approx(expected.weights, abs=1e-6)
        assert target.scenarios == expected.scenarios


def test_a_target_is_kept_when_it_is_published(part, tmp_path):
    path = tmp_path / "state"
    actor = part.actor(state_path=str(path))
    actor.on_stop = lambda: None  # the process dies
    assert part(actor, slice(0, CUT))
    survivor = part.actor(state_path=str(path))
    assert part(survivor, slice(CUT, 119)) == []  # the month's last days


def test_another_schedule_begins_anew_from_the_saved_history(part):
    before, after = part.actor(), part.actor(schedule="weekly")
    part(before, slice(0, CUT))
    after.on_load(before.on_save())
    heard = part(after, slice(CUT, DAYS))
    assert heard[0].ts_event == (CUT + 1) * 86_400 * 10**9
    assert heard[0].scenarios == 90


@pytest.mark.parametrize(
    "spoil",
    [lambda data: data[:-1] + bytes([data[-1] ^ 1]), lambda data: b"NMRA" + data[4:], lambda data: b"", None],
    ids=["damaged", "another actor's", "empty", "other bars"],
)
def test_a_state_that_does_not_fit_is_refused(part, daily, spoil):
    before, after = part.actor(), part.actor()
    part(before, slice(0, CUT))
    data = before.on_save()[AllocationActor.state_key]
    if spoil is None:
        hourly = tuple(type(daily(name)).from_str(f"{name}-1-HOUR-LAST-EXTERNAL") for name in NAMES)
        after = AllocationActor(AllocationActorConfig(bar_types=hourly))
    after.on_load({AllocationActor.state_key: spoil(data) if spoil else data})
    after.on_load({})
    assert after.on_save() == (part.actor() if spoil else AllocationActor(after.config)).on_save()


def test_a_timer_asks_as_well(targets):
    heard, _ = targets(schedule=None, timer_seconds=10 * 86_400.0)
    days = [target.ts_event // (86_400 * 10**9) for target in heard]
    answered = [target for target in heard if target.status == "optimal"]
    assert len(answered) >= 10
    assert {second - first for first, second in pairwise(days)} == {10}
    assert heard[0].reason == "no instrument has enough history"
    assert heard[0].weights == {}


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"settle_seconds": -1.0}, "`settle_seconds` must be at least 0"),
        ({"objective": "best"}, "`objective` must be one of"),
        ({"schedule": "hourly"}, "`schedule` must be one of"),
        ({"schedule": None}, "`timer_seconds` must be given"),
        ({"timer_seconds": 0.0}, "`timer_seconds` must be above 0"),
        ({"min_observations": 1}, "`min_observations` must be from 2"),
        ({"level": 0.3}, "`level` must be between"),
        ({"lower": 0.5, "upper": 0.4}, "`lower` must not be above `upper`"),
        ({"groups": {"g": {"assets": ["X.XNYS"]}}}, "`groups`: g must name instruments"),
        ({"groups": {"g": {"members": ["AAA.XNYS"]}}}, "`groups`: g must have `assets`"),
        ({"costs": -1.0}, "`costs` must be at least 0"),
    ],
)
def test_bad_settings_are_refused(daily, settings, text):
    with pytest.raises(InputError, match=text):
        AllocationActor(AllocationActorConfig(bar_types=tuple(map(daily, NAMES)), **settings))
