"""Arrays over a pool's memory: theirs alone while any view of them lives, and the pool's again afterwards."""

import ctypes
import gc
import pickle
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, combinations
from math import prod

import numpy as np
import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from nautilus_metal.engine import ComputeEngine, MemoryPool, pool_arrays
from nautilus_metal.engine.blocks import MIB, size_class
from nautilus_metal.engine.pool_arrays import result_array
from nautilus_metal.engine.pool_ledger import KEPT
from nautilus_metal.indicators import IndicatorUniverse

CPU = torch.device("cpu")
SHAPE = (3, 5, 16_384)  # 1.9 MB


@pytest.fixture
def pool():
    return MemoryPool(CPU, 64 * MIB)


def address(array):
    return array.__array_interface__["data"][0]


def addresses(universe):
    """Of the outputs of a universe."""
    arrays = chain.from_iterable(values if isinstance(values, tuple) else [values] for values in universe.values())
    return {address(array) for array in arrays}


def free_mb(pool):
    stats = pool.stats()
    assert stats.active_blocks == 0
    assert stats.total_allocated_mb == stats.total_free_mb + stats.total_cached_mb
    return stats.total_free_mb


def test_an_array_is_as_numpy_makes_it(pool):
    for _ in range(2):  # of new memory, and of used memory
        made = result_array(pool, SHAPE)
        plain = np.empty(SHAPE)
        assert (made.shape, made.dtype, made.strides) == (plain.shape, plain.dtype, plain.strides)
        assert type(made) is np.ndarray
        assert made.flags.c_contiguous
        assert made.flags.writeable
        assert made.flags.aligned
        assert address(made) % 64 == 0
        made[...] = np.arange(made.size).reshape(SHAPE)
        assert made.sum() == made.size * (made.size - 1) / 2
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(made)), made)
        del made


def test_memory_serves_the_next_array_of_its_size_class(pool):
    made = result_array(pool, SHAPE)
    where = address(made)
    assert free_mb(pool) == 0.0
    del made
    assert free_mb(pool) == size_class(8 * prod(SHAPE)) / MIB
    assert address(result_array(pool, SHAPE[::-1])) == where
    with pool.borrow(SHAPE, torch.float64) as loan:
        assert loan.data_ptr() == where
        assert address(result_array(pool, SHAPE)) != where
    pool.trim()
    assert free_mb(pool) == 0.0


VIEWS = {
    "slice": lambda x: x[1, 2:4],
    "transposed": lambda x: x.T[5:],
    "reshaped": lambda x: x.reshape(-1)[7::3],
    "other type": lambda x: x.view(np.uint8),
    "subclass": lambda x: x[0].view(np.recarray),
    "strides": lambda x: np.lib.stride_tricks.as_strided(x, (4,), (8,)),
    "windows": lambda x: np.lib.stride_tricks.sliding_window_view(x[0, 0], 4),
    "tensor": lambda x: torch.from_numpy(x)[0],
    "memoryview": lambda x: memoryview(x[0, 0])[5:],
    "frombuffer": lambda x: np.frombuffer(x, np.int64),
    "dlpack": lambda x: torch.from_dlpack(x)[1],
    "interface": lambda x: np.asarray(x.base),
    "iterator": lambda x: iter(x),
    "flat": lambda x: x.flat,
    "ctypes": lambda x: x.ctypes.data_as(ctypes.c_void_p),
}


@pytest.mark.parametrize("view", VIEWS)
def test_any_view_keeps_the_memory(view, pool):
    made = result_array(pool, SHAPE)
    where, held = address(made), VIEWS[view](made)
    del made
    gc.collect()
    others = [result_array(pool, SHAPE) for _ in range(3)]
    assert where not in map(address, others)
    assert free_mb(pool) == 0.0
    del held
    gc.collect()
    assert free_mb(pool) > 0.0
    assert address(result_array(pool, SHAPE)) == where


def test_a_cycle_is_collected_even_inside_the_pool(pool):
    holder = [result_array(pool, SHAPE)]
    holder.append(holder)
    del holder
    with pool._lock:  # as if the collector ran in a thread that is inside the pool
        gc.collect()
    assert free_mb(pool) > 0.0


def test_arrays_are_the_callers_and_no_loans(pool):
    held = [result_array(pool, (8 * MIB,)) for _ in range(3)]  # three times the budget
    assert pool.stats().total_allocated_mb == 0.0
    assert pool.stats().memory_pressure_level == "low"
    for i, array in enumerate(held):
        array[:] = i
    assert [array.mean() for array in held] == [0, 1, 2]
    del held, array
    assert free_mb(pool) == 0.0  # too large to be kept


def test_what_is_kept_is_bounded(pool):
    held = [result_array(pool, (MIB // 8,)) for _ in range(40)]
    del held
    assert free_mb(pool) == 64 / KEPT
    with pool.borrow(60 * MIB, torch.uint8):
        held = result_array(pool, (MIB // 4,))
        del held  # a loan has needed the room
        assert pool.stats().total_free_mb <= 4


def test_a_closed_pool_keeps_nothing(pool):
    made = result_array(pool, SHAPE)
    pool.close()
    made[...] = 1.0
    del made
    assert free_mb(pool) == 0.0
    assert result_array(pool, SHAPE).shape == SHAPE


@pytest.mark.parametrize("shape", [(0,), (3, 0), (10,), (MIB // 8 - 1,)])
def test_small_arrays_are_plain_ones(shape, pool):
    made = result_array(pool, shape)
    assert made.base is None
    del made
    assert free_mb(pool) == 0.0


def test_the_memory_of_another_device_is_left_alone(pool, monkeypatch):
    monkeypatch.setattr(pool, "device", torch.device("cuda"))
    assert result_array(pool, SHAPE).base is None


def test_made_in_inference_mode_it_serves_loans_outside(pool):
    with torch.inference_mode():
        made = result_array(pool, SHAPE)
    del made
    with pool.borrow(SHAPE, torch.float64) as loan:
        loan.fill_(1.0)
        assert not loan.is_inference()


def test_threads_never_share_an_array(pool, monkeypatch):
    monkeypatch.setattr(pool_arrays, "LEAST", 1)

    def work(mark):
        for i in range(300):
            made = result_array(pool, (64 * (1 + i % 3),))
            made[:] = mark
            view = made[::7]
            del made
            if not (view == mark).all():
                return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(work, range(8)))
    assert free_mb(pool) <= 64 / KEPT


class ArraysMachine(RuleBasedStateMachine):
    """Arrays, views of them and loans come and go in any order; whatever is held keeps its mark."""

    def __init__(self):
        super().__init__()
        self.pool = MemoryPool(CPU, 64 * 1024)
        self.least, pool_arrays.LEAST = pool_arrays.LEAST, 1
        self.held: list[tuple[np.ndarray, int]] = []
        self.loans: list[tuple[object, torch.Tensor, int]] = []
        self.mark = 0

    def teardown(self):
        pool_arrays.LEAST = self.least

    @rule(elements=st.sampled_from([0, 1, 60, 64, 128, 200]))
    def make(self, elements):
        self.mark += 1
        made = result_array(self.pool, (elements,))
        made[:] = self.mark
        self.held.append((made, self.mark))

    @rule(elements=st.sampled_from([60, 64, 128]))
    def borrow(self, elements):
        self.mark += 1
        loan = self.pool.borrow((elements,), torch.float64)
        self.loans.append((loan, loan.__enter__().fill_(self.mark), self.mark))

    @rule()
    def give_back(self):
        if self.loans:
            self.loans.pop(0)[0].__exit__(None, None, None)

    @rule(at=st.integers(0, 20), start=st.integers(0, 30), step=st.sampled_from([1, 3, -1]))
    def view(self, at, start, step):
        if self.held:
            array, mark = self.held[at % len(self.held)]
            self.held.append((array[start::step], mark))

    @rule(at=st.integers(0, 20))
    def drop(self, at):
        if self.held:
            del self.held[at % len(self.held)]

    @rule()
    def trim(self):
        self.pool.trim()

    @invariant()
    def nobody_writes_over_what_is_held(self):
        assert all((array == mark).all() for array, mark in self.held)
        assert all(bool((tensor == mark).all()) for _, tensor, mark in self.loans)

    @invariant()
    def different_ones_share_nothing(self):
        every = [*self.held, *((tensor.numpy(), mark) for _, tensor, mark in self.loans)]
        for (one, mark), (other, another) in combinations(every, 2):
            assert mark == another or not np.may_share_memory(one, other)


TestArrays = ArraysMachine.TestCase
TestArrays.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_a_universe_computes_into_memory_that_came_back():
    prices = 100.0 + np.random.default_rng(0).normal(size=(70, 2_520)).cumsum(axis=1)
    with ComputeEngine("cpu") as cpu:
        universe = IndicatorUniverse([f"S{row}" for row in range(70)], ("rsi(14)", "macd", "bollinger"), cpu)
        first = universe.compute(prices)
        kept = {name: np.stack(values) for name, values in first.items()}
        bands = first["bollinger(20,2)"].upper
        came_back = addresses(first) - {address(bands)}
        del first
        second, third = universe.compute(prices), universe.compute(prices[:, ::-1])
        assert came_back < addresses(second)
        np.testing.assert_array_equal(bands, kept["bollinger(20,2)"][0])
        for name, values in second.items():
            np.testing.assert_array_equal(np.stack(values), kept[name])
            assert not np.array_equal(np.stack(third[name]), kept[name], equal_nan=True)
