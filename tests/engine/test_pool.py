import dataclasses
import gc
import random

import pytest
import torch

from nautilus_metal.engine import MemoryPool
from nautilus_metal.engine.blocks import MIB, size_class
from nautilus_metal.errors import DeviceError, InputError, OutOfDeviceMemory

CPU = torch.device("cpu")
KIB = 1024


@pytest.fixture
def pool() -> MemoryPool:
    return MemoryPool(CPU, 64 * KIB)


def _touch(pool: MemoryPool, nbytes: int, key: str | None = None) -> None:
    with pool.borrow(nbytes, torch.uint8, key=key):
        pass


def _has(pool: MemoryPool, nbytes: int, key: str) -> bool:
    """Whether the key's contents are in the pool, without moving anything in the queue."""
    return (key, (nbytes,), torch.uint8) in pool._books.cached


def _storages(pool: MemoryPool) -> int:
    """Bytes of all storages that the pool refers to, counted from the blocks themselves."""
    blocks = [*pool._books.active, *pool._books.idle]
    return sum(block.flat.untyped_storage().nbytes() for block in blocks)


@pytest.mark.parametrize(
    ("nbytes", "expected"),
    [(0, 512), (1, 512), (512, 512), (513, 1024), (2048, 2048), (2049, 2560), (4097, 5120), (7169, 8192)],
)
def test_size_classes(nbytes, expected):
    assert size_class(nbytes) == expected


def test_size_classes_waste_at_most_a_fifth_and_are_few():
    sizes = [*range(1, 20_000, 7), *(int(1.013**i) for i in range(800, 1700))]
    for nbytes in sizes:
        size = size_class(nbytes)
        assert size >= nbytes
        assert size % 512 == 0
        assert size_class(size) == size
        assert nbytes <= 2560 or size - nbytes < size / 5
    assert len({size_class(n) for n in sizes if 2**10 <= n <= 2**30}) <= 85


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((3, 4), torch.float32),
        ((2, 0, 5), torch.float32),
        ((), torch.float32),
        (0, torch.int64),
        ([7], torch.bool),
        (torch.Size([5, 5]), torch.int16),
        ((1, 1, 1, 1), torch.complex64),
        (range(1, 4), torch.float16),
    ],
    ids=str,
)
def test_a_borrowed_tensor_is_what_was_asked_for(engine, shape, dtype):
    expected = (shape,) if isinstance(shape, int) else tuple(shape)
    with engine.pool.borrow(shape, dtype=dtype) as tensor:
        assert tuple(tensor.shape) == expected
        assert tensor.dtype is dtype
        assert tensor.device.type == engine.device.type
        assert tensor.is_contiguous()
        tensor.fill_(1)
        assert float(tensor.sum().real) == tensor.numel()


def test_the_default_type_is_float32(pool):
    with pool.borrow((2, 2)) as tensor:
        assert tensor.dtype is torch.float32


@pytest.mark.parametrize("shape", [(-1,), (3, -2), -5, "ab", (1.5,), None, 2.0, (2**40, 2**40)])
def test_bad_shapes(pool, shape):
    with pytest.raises(InputError, match="`shape` must"):
        pool.borrow(shape)
    assert pool.reserved_bytes == 0


@pytest.mark.parametrize("dtype", ["float32", float, 3, []], ids=str)
def test_bad_types(pool, dtype):
    with pytest.raises(InputError, match=r"`dtype` must be a torch\.dtype"):
        pool.borrow(3, dtype=dtype)


def test_a_key_must_be_hashable(pool):
    with pytest.raises(InputError, match="`key` must be hashable"), pool.borrow(3, key=[1]):
        pass
    assert pool.stats().active_blocks == 0


@pytest.mark.parametrize("budget", [0, -1, 1.5, None, "1"])
def test_bad_budgets(pool, budget):
    with pytest.raises(InputError, match="`budget_bytes` must be"):
        MemoryPool(CPU, budget)
    with pytest.raises(InputError, match="`budget_bytes` must be"):
        pool.resize(budget)


def test_float64_does_not_exist_on_mps():
    pool = MemoryPool(torch.device("mps"), MIB)
    for dtype in (torch.float64, torch.complex128):
        with pytest.raises(InputError, match="`dtype` must be a type that mps has"):
            pool.borrow(3, dtype=dtype)


@pytest.mark.parametrize(("shape", "dtype"), [(2**30, torch.float32), (2**31, torch.int8)])
def test_tensors_too_large_for_metal_are_refused(shape, dtype):
    with pytest.raises(InputError, match="chunk the work"):
        MemoryPool(torch.device("mps"), 2**40).borrow(shape, dtype=dtype)


def test_freed_blocks_serve_other_shapes_and_types_of_their_class(engine):
    pool = engine.pool
    sames = [((10, 100), torch.float32), (4000, torch.uint8), ((2, 250), torch.int64), (1000, torch.int32)]
    for shape, dtype in sames:
        with pool.borrow(shape, dtype) as tensor:
            tensor.fill_(1)
    stats = pool.stats()
    assert stats.allocation_count == 1
    assert pool.reserved_bytes == 4096


def test_contents_of_a_key_are_filled_once(engine):
    fills = []

    def fill(tensor: torch.Tensor) -> None:
        fills.append(tensor.shape)
        tensor.fill_(len(fills))

    for _ in range(3):
        with engine.pool.borrow((5, 5), key=("normals", 1), fill=fill) as tensor:
            assert float(tensor.mean()) == 1
    with engine.pool.borrow((5, 4), key=("normals", 1), fill=fill) as tensor:
        assert float(tensor.mean()) == 2
    with engine.pool.borrow((5, 5), torch.int32, key=("normals", 1), fill=fill) as tensor:
        assert float(tensor.float().mean()) == 3
    assert engine.pool.stats().cache_hit_rate == pytest.approx(2 / 5)


def test_without_a_key_fill_runs_every_time(pool):
    fills = []
    for _ in range(2):
        with pool.borrow(3, fill=lambda t: fills.append(t.zero_())):
            pass
    assert len(fills) == 2
    assert pool.stats().cache_hit_rate is None


def test_the_body_may_make_the_contents(pool):
    with pool.borrow(3, key="k") as tensor:
        tensor.fill_(7)
    with pool.borrow(3, key="k") as tensor:
        assert tensor.tolist() == [7, 7, 7]


def test_a_second_holder_of_a_key_gets_its_own_block(pool):
    def borrow():
        return pool.borrow(4, key="k", fill=lambda t: t.fill_(3))

    with borrow() as first:
        with borrow() as second:
            assert first.data_ptr() != second.data_ptr()
            second.fill_(9)
        assert first.tolist() == [3] * 4
        assert pool.stats().cached_blocks == 1
    # The second came back first and was cached as the body left it; the first is then plainly free.
    stats = pool.stats()
    assert stats.cached_blocks == 1
    assert stats.total_free_mb == 512 / MIB
    assert stats.cache_hit_rate == 0
    with borrow() as again:
        assert again.tolist() == [9] * 4


def test_the_bodys_exception_comes_out_unchanged(pool):
    error = KeyError("mine")
    with pytest.raises(KeyError) as caught, pool.borrow(4, key="k", fill=lambda t: t.zero_()), pool.borrow(5):
        raise error
    assert caught.value is error
    assert error.__cause__ is None
    assert error.__context__ is None
    stats = pool.stats()
    assert stats.active_blocks == 0
    assert stats.cached_blocks == 1


def test_contents_that_a_failing_body_was_making_are_forgotten(pool):
    with pytest.raises(RuntimeError), pool.borrow(4, key="k") as tensor:
        raise RuntimeError(tensor.fill_(1))
    assert pool.stats().cached_blocks == 0
    assert pool.stats().total_free_mb == 512 / MIB


def test_a_failing_fill_returns_the_block_without_its_key(pool):
    error = ZeroDivisionError()

    def fail(_: torch.Tensor) -> None:
        raise error

    with pytest.raises(ZeroDivisionError) as caught, pool.borrow(4, key="k", fill=fail):
        pytest.fail("the body must not run")
    assert caught.value is error
    stats = pool.stats()
    assert (stats.active_blocks, stats.cached_blocks) == (0, 0)
    assert pool.reserved_bytes == 512
    with pool.borrow(4, key="k", fill=lambda t: t.fill_(2)) as tensor:
        assert tensor.tolist() == [2] * 4
    assert pool.stats().allocation_count == 1


def test_fill_may_borrow_itself(pool):
    def fill(tensor: torch.Tensor) -> None:
        with pool.borrow(4, key="inner", fill=lambda t: t.fill_(5)) as inner:
            tensor.copy_(inner)

    with pool.borrow(4, key="outer", fill=fill) as tensor:
        assert tensor.tolist() == [5] * 4


def test_keyed_and_free_blocks_leave_in_order_of_last_use():
    pool = MemoryPool(CPU, 8 * KIB)
    _touch(pool, 2 * KIB, "a")
    _touch(pool, 1 * KIB)
    _touch(pool, 2 * KIB, "b")
    _touch(pool, 2 * KIB, "a")
    _touch(pool, 1 * KIB, "d")
    assert pool.stats().allocation_count == 3, "the free kilobyte became d's"
    _touch(pool, 3 * KIB, "c")
    assert pool.reserved_bytes == 8 * KIB
    _touch(pool, 1536)
    assert not _has(pool, 2 * KIB, "b")
    assert _has(pool, 2 * KIB, "a")
    _touch(pool, 4 * KIB)
    assert not _has(pool, 2 * KIB, "a")
    assert not _has(pool, 1 * KIB, "d")
    assert not _has(pool, 3 * KIB, "c")
    assert pool.reserved_bytes == (1536 + 4096)


def test_the_budget_holds_and_names_itself():
    pool = MemoryPool(CPU, 8 * KIB)
    _touch(pool, 2 * KIB, "idle")
    with pool.borrow(6 * KIB, torch.uint8):
        with pytest.raises(OutOfDeviceMemory, match=r"0\.0 MB requested on cpu.*budget of 0\.0 MB"), pool.borrow(
            3 * KIB, torch.uint8
        ):
            pass
        assert _has(pool, 2 * KIB, "idle"), "nothing is evicted for what cannot fit"
        with pool.borrow(1 * KIB, torch.uint8):
            assert pool.reserved_bytes == 7 * KIB
    with pytest.raises(OutOfDeviceMemory), pool.borrow(2**40):
        pass
    assert pool.stats().peak_usage_mb == 8 * KIB / MIB
    assert pool.stats().active_blocks == 0


def _injected(pool: MemoryPool, monkeypatch: pytest.MonkeyPatch, errors: list[BaseException]) -> list[int]:
    held = []
    real = pool._from_torch

    def fail(size: int) -> torch.Tensor:
        held.append(pool.reserved_bytes)
        if errors:
            raise errors.pop(0)
        return real(size)

    monkeypatch.setattr(pool, "_from_torch", fail)
    return held


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("MPS backend out of memory"), MemoryError()]
)
def test_a_full_device_gets_the_idle_blocks_back_and_one_more_try(pool, monkeypatch, error):
    _touch(pool, 8 * KIB, "a")
    _touch(pool, 4 * KIB)
    held = _injected(pool, monkeypatch, [error])
    with pool.borrow(KIB, torch.uint8):
        assert held == [13 * KIB, KIB]
    _injected(pool, monkeypatch, [error, error])
    with pytest.raises(OutOfDeviceMemory, match="cpu itself refused") as caught, pool.borrow(2 * KIB, torch.uint8):
        pass
    assert caught.value.__cause__ is error
    assert pool.reserved_bytes == 0
    assert _storages(pool) == 0


def test_another_failure_of_the_device_is_a_device_error(pool, monkeypatch):
    _touch(pool, 8 * KIB, "a")
    _injected(pool, monkeypatch, [RuntimeError("CUDA error: an illegal memory access was encountered")])
    with pytest.raises(DeviceError, match="illegal memory access") as caught, pool.borrow(3):
        pass
    assert not isinstance(caught.value, OutOfDeviceMemory)
    assert pool.reserved_bytes == 8 * KIB


def test_more_than_the_machine_has_is_out_of_device_memory():
    pool = MemoryPool(CPU, 2**61)
    with pytest.raises(OutOfDeviceMemory, match="cpu itself refused"), pool.borrow(2**55, torch.uint8):
        pass
    assert pool.reserved_bytes == 0


def test_a_tensor_is_emptied_when_its_loan_ends(engine):
    with engine.pool.borrow((3, 3), key="k", fill=lambda t: t.fill_(1)) as tensor:
        pass
    assert tensor.numel() == 0
    with engine.pool.borrow((3, 3), key="k") as again:
        tensor.fill_(9)
        assert float(again.sum()) == 9


def test_gradients_and_inference_mode_leave_the_block_usable(pool):
    with torch.inference_mode(), pool.borrow(4, key="k", fill=lambda t: t.fill_(2)) as tensor:
        assert float(tensor.sum()) == 8
    with pool.borrow(4, key="k") as tensor:
        tensor.requires_grad_()
        (tensor * tensor).sum().backward()
        assert tensor.grad.tolist() == [4] * 4
    with pool.borrow(4, key="k") as tensor:
        assert not tensor.requires_grad
        assert tensor.grad is None
        tensor += 1


def test_a_block_whose_memory_the_body_resized_leaves_the_pool(pool):
    with pool.borrow(4, key="k") as tensor:
        tensor.resize_(10_000)
    stats = pool.stats()
    assert (stats.total_allocated_mb, stats.cached_blocks) == (0, 0)
    assert _storages(pool) == 0


def test_a_body_may_put_other_data_into_its_tensor(pool):
    with pool.borrow(4, key="k", fill=lambda t: t.fill_(1)) as tensor:
        tensor.data = torch.zeros(3, dtype=torch.float64)
    with pool.borrow(4, key="k") as tensor:
        assert tensor.tolist() == [1] * 4


def test_one_borrow_can_be_entered_again_but_not_twice_at_once(pool):
    loan = pool.borrow(4)
    with loan, pytest.raises(InputError, match="entered once at a time"), loan:
        pass
    with loan as tensor:
        assert tensor.shape == (4,)
    assert pool.stats().active_blocks == 0


def test_a_loan_may_end_in_the_garbage_collector(pool):
    def generator():
        with pool.borrow(4):
            yield

    running = generator()
    next(running)
    with pool._lock:
        # As when a collection starts inside the pool: this must not wait for the lock.
        del running
        gc.collect()
    assert pool.stats().active_blocks == 0
    assert pool.stats().total_free_mb == 512 / MIB


def test_clear_forgets_some_or_all_keys(pool):
    for key in "abc":
        _touch(pool, KIB, key)
    _touch(pool, 2 * KIB, "a")
    _touch(pool, 4 * KIB)
    pool.clear(keys=["a", "unknown"])
    assert pool.stats().cached_blocks == 2
    assert pool.reserved_bytes == 6 * KIB
    with pool.borrow(KIB, torch.uint8, key="b", fill=lambda t: t.fill_(1)):
        pool.clear()
        assert pool.reserved_bytes == 5 * KIB
    assert pool.stats().cached_blocks == 0, "a key that was cleared while on loan does not come back"


def test_trim_gives_free_blocks_back_and_keeps_contents(pool):
    _touch(pool, KIB, "a")
    _touch(pool, 4 * KIB)
    with pool.borrow(8 * KIB, torch.uint8):
        pool.trim()
        assert pool.reserved_bytes == _storages(pool) == 9 * KIB
    assert _has(pool, KIB, "a")


def test_resize_evicts_down_to_the_new_budget(pool):
    for key, size in [("a", 4), ("b", 8), ("c", 16)]:
        _touch(pool, size * KIB, key)
    with pool.borrow(4 * KIB, torch.uint8, key="a"):
        pool.resize(20 * KIB)
        assert pool.reserved_bytes == 20 * KIB
        assert not _has(pool, 8 * KIB, "b")
        with pytest.raises(OutOfDeviceMemory, match="`budget_bytes` must cover"):
            pool.resize(3 * KIB)
        assert pool.budget_bytes == 20 * KIB


def test_a_limit_keeps_the_budget_but_lends_less_of_it():
    pool = MemoryPool(CPU, 16 * KIB)
    for key, size in [("a", 4), ("b", 4), ("c", 4)]:
        _touch(pool, size * KIB, key)
    with pool.borrow(4 * KIB, torch.uint8, key="a"):
        pool.limit(0.5)
        assert (pool.budget_bytes, pool.limit_bytes, pool.room_bytes) == (16 * KIB, 8 * KIB, 4 * KIB)
        assert pool.reserved_bytes == 8 * KIB
        assert _has(pool, 4 * KIB, "c"), "the least recently used one went"
        pool.limit(0.125)
        assert pool.reserved_bytes == 4 * KIB, "a loan goes on, whatever the limit"
        assert pool.room_bytes == 0
        assert pool.stats().memory_pressure_level == "critical"
        with pytest.raises(OutOfDeviceMemory, match="limit under pressure"), pool.borrow(1):
            pass
    pool.limit(1)
    assert pool.room_bytes == 16 * KIB
    with pool.borrow(16 * KIB, torch.uint8):
        assert pool.room_bytes == 0


def test_a_new_budget_keeps_the_share():
    pool = MemoryPool(CPU, 16 * KIB)
    pool.limit(0.25)
    pool.resize(32 * KIB)
    assert pool.limit_bytes == 8 * KIB


@pytest.mark.parametrize("share", [0, -0.5, 1.01, float("nan"), None, "1", True])
def test_bad_shares(pool, share):
    with pytest.raises(InputError, match="`share` must be above 0"):
        pool.limit(share)
    assert pool.limit_bytes == pool.budget_bytes


def test_evict_gives_everything_idle_back(pool):
    _touch(pool, KIB, "a")
    _touch(pool, 2 * KIB)
    with pool.borrow(4 * KIB, torch.uint8, key="b"):
        pool.evict()
        assert pool.reserved_bytes == _storages(pool) == 4 * KIB
    assert _has(pool, 4 * KIB, "b")


def test_close_releases_what_is_on_loan_when_it_returns(pool):
    with pool.borrow(KIB, torch.uint8, key="a") as tensor:
        pool.close()
        assert tensor.shape == (KIB,)
        assert pool.reserved_bytes == KIB
    assert pool.reserved_bytes == 0
    with pytest.raises(DeviceError, match="closed"), pool.borrow(1):
        pass


def test_statistics_say_what_is_held():
    pool = MemoryPool(CPU, 16 * KIB)
    empty = pool.stats()
    assert empty == type(empty)(0.0, 0.0, 0.0, 0, 0, 0, None, 0.0, 0.0, 0.0, "low")
    with pytest.raises(dataclasses.FrozenInstanceError):
        empty.active_blocks = 1
    _touch(pool, 4000, "a")
    _touch(pool, 2000, "b")
    with pool.borrow(2000, torch.uint8, key="b"), pool.borrow(1000, torch.uint8):
        pass
    with pool.borrow(3000, torch.uint8, key="c"):
        stats = pool.stats()
        held = [4096, 2048, 1024, 3072]
        assert stats.total_allocated_mb == sum(held) / MIB == _storages(pool) / MIB
        assert stats.total_cached_mb == (4096 + 2048) / MIB
        assert stats.total_free_mb == 1024 / MIB
        assert (stats.active_blocks, stats.cached_blocks, stats.allocation_count) == (1, 2, 4)
        assert stats.cache_hit_rate == 1 / 4
        assert stats.fragmentation_ratio == pytest.approx(1 - 9000 / (4096 + 2048 + 3072))
        assert stats.peak_usage_mb == sum(held) / MIB
        assert stats.average_block_size_mb == sum(held) / 4 / MIB
        assert stats.memory_pressure_level == "low"
    pool.clear()
    pool.trim()
    assert pool.stats().total_allocated_mb == 0
    assert pool.stats().peak_usage_mb == sum(held) / MIB


@pytest.mark.parametrize(
    ("blocks", "level"),
    [(0, "low"), (9, "low"), (10, "medium"), (14, "medium"), (15, "high"), (17, "high"), (18, "critical")],
)
def test_pressure_is_what_is_on_loan(blocks, level):
    pool = MemoryPool(CPU, 20 * 512)
    loans = [pool.borrow(1) for _ in range(blocks)]
    for loan in loans:
        loan.__enter__()
    assert pool.stats().memory_pressure_level == level
    for loan in loans:
        loan.__exit__(None, None, None)
    assert pool.stats().memory_pressure_level == "low"


@pytest.mark.slow
def test_churn_of_100_000_mixed_borrows_stays_bounded_and_right():
    rng = random.Random(5)
    pool = MemoryPool(CPU, 256 * KIB)
    dtypes = [torch.float32, torch.float64, torch.int32, torch.uint8, torch.int64]
    worst = 0
    for step in range(100_000):
        shape = (rng.randrange(1, 40), rng.randrange(0, 60))
        dtype = rng.choice(dtypes)
        key = rng.choice([None, "a", "b", ("c", step % 5)])
        mark = 1 + hash((shape, dtype.itemsize, key)) % 100
        with pool.borrow(shape, dtype, key=key, fill=lambda t, mark=mark: t.fill_(mark)) as tensor:
            if step % 50 == 0 and tensor.numel():
                assert int(tensor.min()) == int(tensor.max()) == mark
        worst = max(worst, pool.reserved_bytes)
    assert worst <= 256 * KIB
    assert pool.reserved_bytes == _storages(pool)
    assert pool.stats().active_blocks == 0
    pool.clear()
    pool.trim()
    assert pool.reserved_bytes == _storages(pool) == 0
    assert not pool._books.idle
    assert not any(pool._books.free.values())
