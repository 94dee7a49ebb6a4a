"""The memory pool under the names of the function API, and advice from its state."""

from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from nautilus_metal.compat.manager import metal_device_manager
from nautilus_metal.engine import MemoryPool, MemoryPoolStats, shared_pools
from nautilus_metal.engine.blocks import MIB
from nautilus_metal.engine.governor import RESPONSES, pressure
from nautilus_metal.engine.hardware import Conditions, read_conditions
from nautilus_metal.errors import InputError


@contextmanager
def allocate_gpu_tensor(
    shape: int | Iterable[int],
    dtype: torch.dtype = torch.float32,
    *,
    cache_key: Hashable | None = None,
    device: str | torch.device | None = None,
) -> Iterator[torch.Tensor]:
    """Borrow a tensor from the device's memory pool for the length of a ``with`` block.

    Parameters
    ----------
    shape : int or iterable of int
        Of the tensor.
    dtype : torch.dtype
        Element type.
    cache_key : hashable, optional
        Name of contents worth keeping: the next block with the same key, shape and type finds what this one leaves.
    device : str or torch.device, optional
        Another one than the best.

    Yields
    ------
    torch.Tensor
        Zeros, or what was left under the key. It is emptied when the block ends: copy what must outlive it.

    Raises
    ------
    InputError
        If an argument is not as above.
    OutOfDeviceMemory
        If the tensor does not fit into the memory fraction that the pool may hold.
    """
    pool = metal_device_manager.engine(device=device).pool
    with pool.borrow(shape, dtype, key=cache_key, fill=torch.Tensor.zero_) as tensor:
        yield tensor


def get_memory_pool_stats() -> MemoryPoolStats:
    """What the pool of the device holds now; its hit rate is None before anything was asked for by key."""
    return metal_device_manager.engine().pool.stats()


def clear_gpu_memory_cache(pool_name: str | None = None) -> float:
    """Forget cached contents and give their memory back.

    Parameters
    ----------
    pool_name : str, optional
        A device that has a pool, such as "mps" or "cpu"; all of them if not given.

    Returns
    -------
    float
        MiB given back to torch.

    Raises
    ------
    InputError
        If there is no such pool.
    """
    pools = {str(pool.device): pool for pool in (metal_device_manager.engine().pool, *shared_pools())}
    if pool_name is not None and pool_name not in pools:
        raise InputError(f"`pool_name` must be one of {', '.join(pools)}, was {pool_name!r}")
    chosen = pools.values() if pool_name is None else [pools[pool_name]]
    return sum(_given_back(pool, pool.clear) for pool in chosen)


def optimize_gpu_memory_layout() -> dict[str, float]:
    """Give free blocks back to torch, and what torch caches back to the system; cached contents stay.

    Returns
    -------
    dict
        reserved_mb_before, reserved_mb_after (of the pool) and freed_mb.
    """
    pool = metal_device_manager.engine().pool
    before = pool.stats().total_allocated_mb
    freed = _given_back(pool, pool.trim)
    return {"reserved_mb_before": before, "reserved_mb_after": before - freed, "freed_mb": freed}


def _given_back(pool: MemoryPool, action: Callable[[], None]) -> float:
    before = pool.stats().total_allocated_mb
    action()
    return before - pool.reserved_bytes / MIB


@dataclass(frozen=True)
class _State:
    """What advice is given from."""

    stats: MemoryPoolStats
    pressure: str
    limit_mb: float
    budget_mb: float
    conditions: Conditions


@dataclass(frozen=True, slots=True)
class _Advice:
    """A row of `_ADVICE`: when it applies, and what it says."""

    applies: Callable[[_State], bool]
    text: Callable[[_State], str]


def _blocks(state: _State) -> int:
    return state.stats.active_blocks + state.stats.cached_blocks


_ADVICE: tuple[_Advice, ...] = (
    _Advice(
        lambda s: s.pressure in ("high", "critical"),
        lambda s: f"memory pressure is {s.pressure} on a limit of {s.limit_mb:,.1f} MB: lower `batch_size`, or end "
        f"loans earlier{'' if RESPONSES[s.pressure].device else '; work goes to the CPU now'}",  # type: ignore[index]
    ),
    _Advice(
        lambda s: s.stats.total_free_mb > 0.5 * s.stats.total_allocated_mb > 0,
        lambda s: f"{s.stats.total_free_mb:,.1f} of {s.stats.total_allocated_mb:,.1f} MB are free blocks: "
        "optimize_gpu_memory_layout() gives them back",
    ),
    _Advice(
        lambda s: s.stats.total_cached_mb > 0.5 * s.limit_mb,
        lambda s: f"cached contents take {s.stats.total_cached_mb:,.1f} of {s.limit_mb:,.1f} MB: "
        "clear_gpu_memory_cache() forgets them",
    ),
    _Advice(
        lambda s: s.stats.cache_hit_rate is not None and s.stats.cache_hit_rate < 0.5,
        lambda s: f"only {s.stats.cache_hit_rate:.0%} of the tensors asked for by key were there: keep keys, "
        "shapes and types the same from call to call",
    ),
    _Advice(
        lambda s: _blocks(s) > 0 and s.stats.fragmentation_ratio > 0.15,
        lambda s: f"{s.stats.fragmentation_ratio:.0%} of the memory in use is lost to rounding up sizes: "
        "ask for larger tensors",
    ),
    _Advice(
        lambda s: s.limit_mb < s.budget_mb,
        lambda s: f"conditions ({s.conditions}) hold the pool to {s.limit_mb:,.1f} of its {s.budget_mb:,.1f} MB",
    ),
    _Advice(
        lambda s: s.conditions.memory in ("warning", "critical"),
        lambda s: f"memory pressure of the whole system is {s.conditions.memory}: lower `memory_fraction`, or close "
        "other programs",
    ),
)


def get_memory_optimization_recommendations() -> list[str]:
    """Say what could be better, from the state of pool and system at this moment; nothing where all is well."""
    engine = metal_device_manager.engine()
    pool = engine.pool
    state = _State(
        stats=pool.stats(),
        pressure=pressure(engine),
        limit_mb=pool.limit_bytes / MIB,
        budget_mb=pool.budget_bytes / MIB,
        conditions=read_conditions(engine.device),
    )
    return [row.text(state) for row in _ADVICE if row.applies(state)]
