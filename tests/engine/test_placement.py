"""Placement: where work goes by what was measured, by what the conditions allow, and by what the user said."""

from dataclasses import replace

import pytest
import torch

from nautilus_metal.engine import ComputeEngine, governor, placement, shared_engine
from nautilus_metal.engine.hardware import Conditions
from nautilus_metal.engine.hardware.conditions import PRESSURE, THERMAL
from nautilus_metal.engine.placement import (
    MODES,
    POLICY,
    Placement,
    crossover,
    mode_for,
    shared_placement,
    speedup,
)
from nautilus_metal.engine.placement_measure import SIZES, WORK, Calibration, measure
from nautilus_metal.errors import InputError


def calibration(cpu: list[float], device: list[float]) -> Calibration:
    """Measured times that are the same for every kind of work."""
    return Calibration(
        device="mps", device_name="Apple M4 Max GPU (Metal)", cpu_name="Apple M4 Max", torch=torch.__version__,
        measured="2026-11-22T12:00:00+00:00", copy_to_device=50.0, copy_from_device=40.0, copy_within=400.0,
        matmul=13_000.0, launch=8.0, round_trip=150.0,
        times={kind: {"cpu": cpu, "device": device} for kind in WORK},
    )


# A device that takes 200 us for anything up to 2^18 elements, and a CPU that takes 2.5 ns an element.
USUAL = calibration([n * 2.5e-9 for n in SIZES], [2e-4, 2e-4, 2e-4, 1e-3])


@pytest.fixture
def pair(monkeypatch):
    """An engine that stands for a device, and one that stands for the CPU's."""
    with ComputeEngine("cpu") as device, ComputeEngine("cpu") as cpu:
        monkeypatch.setattr(placement, "cpu_of", lambda _: cpu)
        yield device, cpu


def test_the_speedup_is_the_measured_one_and_lies_between_elsewhere():
    for size, cpu, device in zip(SIZES, USUAL.times["losses"]["cpu"], USUAL.times["losses"]["device"], strict=True):
        assert speedup(USUAL, "losses", size) == pytest.approx(cpu / device)
    assert speedup(USUAL, "losses", 1) == speedup(USUAL, "losses", SIZES[0])
    assert speedup(USUAL, "losses", 2**40) == speedup(USUAL, "losses", SIZES[-1])
    between = speedup(USUAL, "losses", 2**16)
    assert speedup(USUAL, "losses", 2**15) < between < speedup(USUAL, "losses", 2**18)
    assert between == pytest.approx(2**16 * 2.5e-9 / 2e-4), "both times are powers of the size here"


@pytest.mark.parametrize(
    ("cpu", "device", "expected"),
    [
        (USUAL.times["series"]["cpu"], USUAL.times["series"]["device"], 80_000),
        ([1.0] * 4, [2.0] * 4, None),
        ([2.0] * 4, [1.0] * 4, SIZES[0]),
        ([2.0, 2.0, 0.5, 2.0], [1.0] * 4, 2**19.5),  # behind once more in the middle: only the last crossing counts
        ([2.0, 2.0, 2.0, 0.5], [1.0] * 4, None),
    ],
)
def test_the_crossover_is_where_the_device_gets_ahead_for_good(cpu, device, expected):
    found = crossover(calibration(cpu, device), "series")
    if expected is None:
        assert found is None
    else:
        assert expected <= found <= expected * 2**0.126, "the next eighth of a power of two"


def test_an_unknown_kind_of_work():
    kinds = "'losses', 'revaluation', 'series', 'recurrent'"
    with pytest.raises(InputError, match=f"`kind` must be one of {kinds}, was 'lossess'"):
        speedup(USUAL, "lossess", 1)


def test_small_work_stays_on_the_cpu_and_large_work_goes_to_the_device(pair):
    device, cpu = pair
    chosen = Placement(device.pool, USUAL)
    assert chosen.choose(device, "losses", 10_000) is cpu
    assert chosen.choose(device, "losses", 200_000) is device
    assert chosen.choose(device) is device, "of no stated size"


def test_without_a_measurement_nothing_is_assumed(pair):
    device, _ = pair
    assert Placement(device.pool).choose(device, "losses", 1) is device
    assert Placement(device.pool, replace(USUAL, times={})).choose(device, "losses", 1) is device


@pytest.mark.parametrize("conditions", [Conditions(), Conditions("critical", "critical", ())])
def test_a_device_asked_for_by_name_gets_all_work(pair, conditions):
    device, _ = pair
    chosen = Placement(device.pool, USUAL)
    chosen.limit(conditions)
    assert chosen.choose(device, "losses", 1, forced=True) is device
    assert chosen.choose(device, forced=True) is device


@pytest.mark.parametrize(
    ("conditions", "mode"),
    [
        (Conditions(None, None), "normal"),
        (Conditions("nominal", "normal"), "normal"),
        (Conditions("fair", None), "normal"),
        (Conditions("serious", "normal"), "shrink"),
        (Conditions(None, "warning"), "shrink"),
        (Conditions("critical", "normal"), "off"),
        (Conditions("nominal", "critical"), "off"),
        (Conditions("serious", "critical"), "off"),
        (Conditions("critical", "warning"), "off"),
    ],
)
def test_what_the_conditions_ask_for(pair, conditions, mode):
    device, cpu = pair
    device.pool.resize(1 << 20)
    chosen = Placement(device.pool, USUAL)
    assert chosen.limit(conditions) == (mode != "normal")
    assert chosen.mode is mode_for(conditions) is MODES[mode]
    # 200,000 elements are 2.5 times as fast on the device, 2^21 are 5.2 times as fast.
    assert chosen.choose(device, "losses", 200_000) is {"normal": device, "shrink": cpu, "off": cpu}[mode]
    assert chosen.choose(device, "losses", 2**21) is {"normal": device, "shrink": device, "off": cpu}[mode]
    assert chosen.choose(device) is {"normal": device, "shrink": device, "off": cpu}[mode]
    assert device.pool.limit_bytes == {"normal": 1 << 20, "shrink": 1 << 19, "off": 1 << 18}[mode]


def test_the_mode_goes_back_and_only_changes_count(pair):
    device, _ = pair
    chosen = Placement(device.pool)
    hot = Conditions("serious", "normal", ("pmset",))
    assert [chosen.limit(c) for c in (hot, hot, Conditions("serious", "warning"), Conditions("fair", "normal"))] == [
        True, False, False, True,
    ]
    assert device.pool.limit_bytes == device.pool.budget_bytes
    assert chosen.conditions == Conditions("fair", "normal")


def test_a_device_has_one_placement_with_what_was_stored_for_it(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(placement, "_placements", {})
    monkeypatch.setattr(placement, "load", lambda _: USUAL)
    one, other = shared_engine("cpu", seed=1), shared_engine("cpu", "float64")
    assert shared_placement(one) is shared_placement(other)
    assert shared_placement(one).calibration is USUAL
    try:
        shared_placement(one).limit(Conditions(memory="critical"))
        assert other.pool.limit_bytes == int(0.25 * other.pool.budget_bytes)
    finally:
        shared_placement(one).limit(Conditions())


@pytest.mark.parametrize(("kind", "measured"), [("mps", 1), ("cpu", 0)])
def test_a_device_is_measured_where_nothing_is_stored_and_only_on_demand(monkeypatch, kind, measured):
    monkeypatch.setattr(placement, "_placements", {})
    calls = []
    monkeypatch.setattr(placement, "load", lambda _: None)
    monkeypatch.setattr(placement, "calibrate", lambda engine: calls.append(engine) or USUAL)
    with ComputeEngine("cpu") as engine:
        monkeypatch.setattr(engine, "device", torch.device(kind))
        assert shared_placement(engine).calibration is None
        assert len(calls) == 0
        for _ in range(2):
            assert shared_placement(engine, measure=True).calibration is (USUAL if measured else None)
        assert len(calls) == measured


def test_the_policy_names_levels_and_modes_that_exist():
    levels = {"thermal": THERMAL, "memory": PRESSURE}
    assert all(rule.level in levels[rule.measures] and rule.mode in MODES for rule in POLICY)
    assert len({(rule.measures, rule.level) for rule in POLICY}) == len(POLICY)


@pytest.mark.slow
def test_a_measurement_of_this_machine(engine):
    found = measure(engine)
    figures = [found.copy_within, found.matmul, found.launch, found.round_trip]
    assert all(figure > 0 for figure in figures)
    if engine.device.type == "cpu":
        assert (found.copy_to_device, found.copy_from_device, found.times) == (None, None, {})
    else:
        assert found.copy_to_device > 0
        assert found.copy_from_device > 0
        assert set(found.times) == set(WORK)
        assert all(len(row[where]) == len(SIZES) for row in found.times.values() for where in ("cpu", "device"))


def test_measuring_leaves_the_users_random_numbers_alone(engine):
    before = torch.random.get_rng_state()
    for work in WORK.values():
        work.prepare(engine, SIZES[0])()
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("kind", list(WORK))
def test_each_kind_of_work_is_the_same_on_device_and_cpu(engine, kind):
    on_device = WORK[kind].prepare(engine, SIZES[0])()
    on_cpu = WORK[kind].prepare(governor.cpu_of(engine), SIZES[0])()
    torch.testing.assert_close(torch.tensor(on_device), torch.tensor(on_cpu), rtol=2e-5, atol=2e-5)
