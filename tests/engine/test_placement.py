"""Placement: where work goes by what was measured, by what the conditions allow, and by what the user said."""

from dataclasses import replace

import numpy as np
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
    explain,
    measured_times,
    mode_for,
    placed,
    shared_placement,
    speedup,
)
from nautilus_metal.engine.placement_measure import SIZES, Calibration, measure
from nautilus_metal.engine.placement_work import WORK
from nautilus_metal.engine.threads import SMALL
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
USUAL = calibration([n * 2.5e-9 for n in SIZES], [2e-4, 2e-4, 2e-4, 1e-3, 1e-3, 1e-3])


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
        ([1.0] * 6, [2.0] * 6, None),
        ([2.0] * 6, [1.0] * 6, SIZES[0]),
        ([2.0, 2.0, 0.5, 2.0, 2.0, 2.0], [1.0] * 6, 741_455),  # behind once more in the middle: the last one counts
        ([2.0, 2.0, 2.0, 2.0, 2.0, 0.5], [1.0] * 6, None),
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


# Machines by what a piece of work takes: the CPU's start, its time for each element on one thread, the gain by all
# of its threads from 2^21 elements on; the device's start, and its time for each element.
MACHINES = {
    "two cores beside a large GPU": (2e-6, 1e-9, 2.0, 6e-5, 5e-12),
    "many cores beside a large GPU": (5e-6, 1e-9, 16.0, 1e-4, 2e-11),
    "a laptop's chip": (2e-6, 6e-10, 6.0, 3e-4, 4e-11),
    "a GPU that is hardly faster": (1e-6, 4e-10, 4.0, 1.5e-4, 2e-10),
    "a GPU that is slower": (1e-6, 2e-10, 8.0, 3e-4, 1e-9),
}


@pytest.mark.parametrize("name", MACHINES)
def test_the_choice_is_within_a_fifth_of_the_best_over_a_grid_of_sizes(pair, name):
    device, _ = pair
    start, each, gain, device_start, device_each = MACHINES[name]

    def on_cpu(size: int) -> float:
        return start + size * each / (gain if size >= SMALL else 1.0)

    def on_device(size: int) -> float:
        return device_start + size * device_each

    placed = Placement(device.pool, calibration(list(map(on_cpu, SIZES)), list(map(on_device, SIZES))))
    grid = [round(2 ** (step / 4)) for step in range(4 * 11, 4 * 21 + 1)] + [SMALL - 1, SMALL, 3 * SMALL, 2**25]
    for size in grid:
        taken = on_device(size) if placed.choose(device, "losses", size) is device else on_cpu(size)
        best = min(on_cpu(size), on_device(size))
        assert taken <= 1.2 * best, f"{size} elements: {taken} s, the best place takes {best}"


@pytest.mark.parametrize(
    ("kind", "elements", "options", "conditions", "says"),
    [
        ("losses", 10_000, {}, Conditions(), "the device is 0.13 times as fast as the CPU (0.025 ms on the CPU, 0.2"),
        ("losses", 200_000, {}, Conditions(), "the device is 2.50 times as fast as the CPU (0.5 ms on the CPU, 0.2"),
        ("losses", 200_000, {}, Conditions("serious"), "and the device gets what it does 4 times faster"),
        ("losses", 200_000, {}, Conditions("critical"), "all work goes to the CPU"),
        ("losses", 1, {"forced": True}, Conditions("critical"), "the device was named"),
        (None, 0, {}, Conditions(), "work of no stated kind"),
    ],
)
def test_every_choice_is_explained_and_is_the_one_that_is_made(pair, kind, elements, options, conditions, says):
    device, cpu = pair
    device.device, cpu.device = torch.device("mps"), torch.device("cpu")
    try:
        placed = Placement(device.pool, USUAL)
        placed.limit(conditions)
        found = placed.explain(device, kind, elements, **options)
        assert found.device == str(placed.choose(device, kind, elements, **options).device)
        assert says in str(found)
        measured = (None, None) if kind is None else measured_times(USUAL, kind, elements)
        assert (found.cpu_seconds, found.device_seconds) == measured
    finally:
        device.device = torch.device("cpu")


def test_without_a_measurement_the_explanation_says_so(pair, monkeypatch):
    device, _ = pair
    monkeypatch.setattr(placement, "_placements", {device.device: Placement(device.pool)})
    found = explain(device, "series", 4_096)
    assert str(found) == "series of 4,096 elements: cpu, because nothing was measured against it here"
    assert found.cpu_seconds is None


def test_without_a_measurement_nothing_is_assumed(pair):
    device, _ = pair
    assert Placement(device.pool).choose(device, "losses", 1) is device
    assert Placement(device.pool, replace(USUAL, times={})).choose(device, "losses", 1) is device
    assert Placement(device.pool, USUAL).choose(device, "american", 1) is device, "of another kind"
    assert Placement(device.pool, USUAL).explain(device, "american", 1).cpu_seconds is None


def test_a_function_goes_where_its_user_says_and_else_where_the_process_puts_it(pair, monkeypatch):
    device, cpu = pair
    monkeypatch.setattr(device, "device", torch.device("mps"))
    monkeypatch.setattr(placement, "shared_engine", lambda: device)
    monkeypatch.setattr(placement, "_placements", {device.device: Placement(device.pool, USUAL)})
    assert placed(device, "series", 10_000) is device, "it was named"
    assert placed(None, "series", 10_000) is cpu
    assert placed(None, "series", 200_000) is device
    monkeypatch.setattr(placement, "shared_engine", lambda: cpu)
    assert placed(None, "series", 200_000) is cpu, "there is nothing to choose"


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
    monkeypatch.setattr(placement, "calibrate", lambda engine, work: calls.append(work) or USUAL)
    with ComputeEngine("cpu") as engine:
        monkeypatch.setattr(engine, "device", torch.device(kind))
        assert shared_placement(engine).calibration is None
        assert len(calls) == 0
        for _ in range(2):
            assert shared_placement(engine, WORK).calibration is (USUAL if measured else None)
        assert len(calls) == measured


def test_the_policy_names_levels_and_modes_that_exist():
    levels = {"thermal": THERMAL, "memory": PRESSURE}
    assert all(rule.level in levels[rule.measures] and rule.mode in MODES for rule in POLICY)
    assert len({(rule.measures, rule.level) for rule in POLICY}) == len(POLICY)


@pytest.mark.slow
def test_a_measurement_of_this_machine(engine):
    found = measure(engine, WORK)
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
    rounding = 5e-3 if kind == "series" and engine.exact_dtype == torch.float32 else 2e-5  # as `histories` says
    np.testing.assert_allclose(on_device, on_cpu, rtol=rounding, atol=rounding)
