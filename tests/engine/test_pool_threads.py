import random
import threading

import pytest
import torch

from nautilus_metal.engine import MemoryPool
from nautilus_metal.errors import OutOfDeviceMemory

KIB = 1024


def _run(count: int, work) -> None:
    """Run work(i) in threads and raise the first error of any."""
    errors: list[BaseException] = []
    barrier = threading.Barrier(count)

    def guarded(i: int) -> None:
        try:
            barrier.wait()
            work(i)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_no_two_threads_hold_the_same_memory(engine):
    pool = engine.pool

    def work(i: int) -> None:
        rng = random.Random(i)
        for step in range(150):
            shape = (rng.choice([10, 100, 101, 400]),)
            key = rng.choice([None, "a", "b"])
            mark = i * 1000 + step
            with pool.borrow(shape, key=key) as first, pool.borrow(shape, key=key) as second:
                first.fill_(mark)
                second.fill_(-mark)
                assert bool((first == mark).all())
                assert bool((second == -mark).all())

    _run(8, work)
    stats = pool.stats()
    assert stats.active_blocks == 0
    # At most what all threads held at once, in each of three size classes, keyed twice over or not.
    assert stats.allocation_count <= 8 * 2 * 3 * 3


def test_the_budget_holds_under_contention():
    pool = MemoryPool(torch.device("cpu"), 24 * KIB)
    refused = []
    seen = []

    def work(i: int) -> None:
        rng = random.Random(i)
        for _ in range(300):
            size, key = rng.choice([1, 2, 4, 6]) * KIB, rng.choice([None, "a", "b"])
            try:
                with pool.borrow(size, torch.uint8, key=key) as tensor:
                    tensor.fill_(i)
                    seen.append(pool.reserved_bytes)
                    assert int(tensor.min()) == int(tensor.max()) == i
            except OutOfDeviceMemory:
                refused.append(i)

    _run(8, work)
    assert max(seen) <= 24 * KIB
    assert pool.stats().active_blocks == 0
    assert pool.reserved_bytes == sum(block.flat.numel() for block in pool._books.idle)


def test_a_slow_fill_does_not_hold_up_the_others():
    pool = MemoryPool(torch.device("cpu"), 64 * KIB)
    filling, other_done = threading.Event(), threading.Event()

    def slow(tensor: torch.Tensor) -> None:
        filling.set()
        assert other_done.wait(10), "another thread was locked out while this one filled"

    def work(i: int) -> None:
        if i == 0:
            with pool.borrow(10, key="slow", fill=slow):
                pass
        else:
            assert filling.wait(10)
            with pool.borrow(10, key="slow", fill=lambda t: t.zero_()):
                pass
            other_done.set()

    _run(2, work)
    assert pool.stats().cache_hit_rate == 0
    assert pool.stats().cached_blocks == 1


@pytest.mark.parametrize("operation", ["stats", "clear", "trim"])
def test_housekeeping_runs_beside_borrows(operation):
    pool = MemoryPool(torch.device("cpu"), 64 * KIB)

    def work(i: int) -> None:
        for _ in range(200):
            if i == 0:
                getattr(pool, operation)()
            else:
                with pool.borrow(i * 100, key="k", fill=lambda t: t.fill_(i)) as tensor:
                    assert bool((tensor == i).all())

    _run(4, work)
    pool.clear()
    pool.trim()
    assert pool.reserved_bytes == 0
