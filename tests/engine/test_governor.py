"""Pressure on memory: each level does what the table says, and work beyond the budget ends with the right answer."""

import contextlib
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from nautilus_metal.engine import ComputeEngine, governor
from nautilus_metal.engine.blocks import MIB
from nautilus_metal.engine.governor import RESPONSES, cpu_of, in_pieces, pressure, room
from nautilus_metal.errors import InputError, OutOfDeviceMemory

ASSETS = 8
BYTES = ASSETS * 4  # one scenario of float32 returns
COUNT = 2**18  # 8 MiB of them


def exposures() -> np.ndarray:
    return np.linspace(-3.0, 5.0, ASSETS)


def returns(first: int, last: int) -> np.ndarray:
    """Made anew for each piece from its place alone, shape (assets, scenarios)."""
    scenario = np.arange(first, last)
    return np.stack([np.sin(0.37 * (k + 1) * scenario + k) for k in range(ASSETS)])


def losses(engine: ComputeEngine, first: int, last: int) -> np.ndarray:
    """P&L of a piece; holds the piece's returns on the device, from the pool."""
    with engine.pool.borrow((ASSETS, last - first)) as block:
        block.copy_(engine.upload(returns(first, last), torch.float32))
        return engine.download(-(engine.upload(exposures(), torch.float32) @ block))


def check(parts: list[np.ndarray], count: int = COUNT) -> None:
    expected = -(exposures() @ returns(0, count))
    np.testing.assert_allclose(np.concatenate(parts), expected, rtol=0, atol=2e-5)


@pytest.fixture
def small(engine: ComputeEngine) -> ComputeEngine:
    """An engine whose pool may hold half of the job."""
    engine.pool.resize(COUNT * BYTES // 2)
    return engine


def test_a_job_that_fits_is_one_piece(engine):
    parts = in_pieces(engine, COUNT, BYTES, losses)
    assert len(parts) == 1
    check(parts)


def test_a_job_of_twice_the_budget_ends_with_the_right_answer(small):
    parts = in_pieces(small, COUNT, BYTES, losses)
    assert len(parts) >= 2
    check(parts)
    assert small.pool.stats().peak_usage_mb <= small.pool.budget_bytes / MIB


@contextlib.contextmanager
def device_and_cpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ComputeEngine, ComputeEngine]]:
    """An engine of the CPU that passes for a device's, and the CPU's."""
    with ComputeEngine("cpu") as device, ComputeEngine("cpu") as cpu:
        monkeypatch.setattr(governor, "cpu_of", lambda _: cpu)
        monkeypatch.setattr(device, "device", torch.device("meta"))
        monkeypatch.setitem(governor.KINDS, "meta", governor.KINDS["cpu"])
        yield device, cpu


@contextlib.contextmanager
def device_memory(limit: int) -> Iterator[None]:
    """Give the simulated device so much memory."""
    simulator = sys.modules["mps_sim"]
    simulator.install(memory_limit_bytes=limit)
    try:
        yield
    finally:
        simulator.install(memory_limit_bytes=None)


@pytest.mark.skipif("mps_sim" not in sys.modules, reason="needs the simulated device: `pytest --device mps`")
@pytest.mark.parametrize("known", [True, False], ids=["budget below", "budget above"])
def test_a_simulated_mac_with_half_the_memory_ends_with_the_right_answer(known):
    """Its limit counts every tensor, those outside the pool too; a budget above it is met by halving."""
    half = COUNT * BYTES // 2
    with device_memory(half), ComputeEngine("mps") as engine:
        assert engine.pool.budget_bytes == int(0.8 * half)
        if not known:
            engine.pool.resize(4 * half)
        devices = []

        def work(where: ComputeEngine, first: int, last: int) -> np.ndarray:
            found = losses(where, first, last)
            devices.append(where.device.type)
            return found

        check(in_pieces(engine, COUNT, 2 * BYTES, work))
        assert set(devices) == {"mps"}
        assert sys.modules["mps_sim"].peak_bytes() <= half


@pytest.mark.parametrize(
    ("loaned", "level", "evicted", "pieces", "where"),
    [
        (0, "low", False, 1, "own"),
        (16, "medium", False, 2, "own"),
        (24, "high", True, 4, "own"),
        (29, "critical", True, None, "cpu"),
    ],
)
def test_what_each_level_does(monkeypatch, loaned, level, evicted, pieces, where):
    """32 blocks of budget, some on loan to another; a job that needs just what is left."""
    block = 64 * 1024
    with device_and_cpu(monkeypatch) as (engine, other):
        engine.pool.resize(32 * block)
        with engine.pool.borrow(512, torch.uint8, key="idle"):
            pass
        with engine.pool.borrow(loaned * block, torch.uint8) if loaned else contextlib.nullcontext():
            assert pressure(engine) == level
            assert RESPONSES[level].evict == evicted
            sizes: list[tuple[ComputeEngine, int]] = []

            def work(at: ComputeEngine, first: int, last: int) -> None:
                assert (engine.pool.stats().cached_blocks == 0) == evicted
                sizes.append((at, last - first))

            count = (32 - loaned) * block // 16
            in_pieces(engine, count, 16, work)
            assert sum(size for _, size in sizes) == count
            assert {at for at, _ in sizes} == {engine if where == "own" else other}
            assert pieces is None or len(sizes) == pieces


def test_what_others_hold_on_the_device_leaves_less_of_it(monkeypatch, engine):
    row = governor.KINDS[engine.device.type]
    columns = {name: getattr(row, name) for name in row.__dataclass_fields__}
    engine.pool.resize(4 * MIB)

    def machine(total: int, others: int | None) -> tuple[int, str]:
        columns["total_memory"] = lambda _: total
        columns["allocated_memory"] = lambda _: None if others is None else engine.pool.reserved_bytes + others
        monkeypatch.setitem(governor.KINDS, engine.device.type, type(row)(**columns))
        return room(engine), pressure(engine)

    assert machine(100 * MIB, 3 * MIB) == (4 * MIB, "low")
    assert machine(100 * MIB, 99 * MIB) == (MIB, "high")
    assert machine(100 * MIB, 200 * MIB) == (0, "critical")
    assert machine(100 * MIB, None) == (4 * MIB, "low")
    with engine.pool.borrow(MIB, torch.uint8):
        assert machine(100 * MIB, 97 * MIB)[0] == 2 * MIB


def test_a_limit_on_the_pool_is_pressure(engine):
    engine.pool.resize(8 * MIB)
    with engine.pool.borrow(MIB, torch.uint8):
        before = pressure(engine)
        engine.pool.limit(0.125)
        assert (before, pressure(engine)) == ("low", "critical")


def test_work_that_meets_a_full_device_is_halved_and_then_goes_to_the_cpu(monkeypatch):
    """A device that has room for no item at all, whatever its pool believes."""
    with device_and_cpu(monkeypatch) as (device, cpu):
        tried = []

        def work(where: ComputeEngine, first: int, last: int) -> np.ndarray:
            tried.append((where is cpu, last - first))
            if where is not cpu:
                raise torch.OutOfMemoryError("MPS backend out of memory")
            return losses(where, first, last)

        check(in_pieces(device, 1000, BYTES, work), 1000)
        assert tried == [(False, n) for n in (1000, 500, 250, 125, 62, 31, 15, 7, 3, 1)] + [(True, 1000)]


def test_not_even_the_cpu_has_room_for_one():
    def work(*_: object) -> None:
        raise OutOfDeviceMemory("none")

    with ComputeEngine("cpu") as engine, pytest.raises(OutOfDeviceMemory, match="none"):
        in_pieces(engine, 5, 8, work)


def test_another_error_comes_out_at_once():
    calls = []

    def work(*_: object) -> None:
        calls.append(1)
        raise ZeroDivisionError

    with ComputeEngine("cpu") as engine, pytest.raises(ZeroDivisionError):
        in_pieces(engine, 5, 8, work)
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("count", "each", "message"),
    [(-1, 8, "`count` must be at least 0"), (5, 0, "`bytes_each` must be at least"), (5, -8, "`bytes_each` must be")],
)
def test_bad_sizes(count, each, message):
    with ComputeEngine("cpu") as engine, pytest.raises(InputError, match=message):
        in_pieces(engine, count, each, losses)


def test_no_items_are_no_work():
    with ComputeEngine("cpu") as engine:
        assert in_pieces(engine, 0, 8, losses) == []


def test_the_cpu_of_an_engine_keeps_precision_and_seed(engine):
    found = cpu_of(engine)
    assert (found.device.type, found.dtype, found.seed) == ("cpu", engine.dtype, engine.seed)
    assert (found is engine) == (engine.device.type == "cpu")
