"""How much memory a piece of work takes on a device, as measured, and the batch size that fits."""

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.engine.devices import is_out_of_memory
from nautilus_metal.engine.governor import room
from nautilus_metal.engine.graphs import FIRST, graphs
from nautilus_metal.errors import InputError


class LiveTensors(TorchDispatchMode):
    """Counts the bytes of the tensors that operators make, as long as they live; not their scratch.

    Attributes
    ----------
    now, peak : int
        Bytes alive, and the most there were.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known or size == 0:
            return
        self._known.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def peak_bytes(engine: ComputeEngine, work: Callable[[], Any]) -> int:
    """Do a piece of work and return the most memory that it took at once, its result included.

    On CUDA that is what torch's allocator counts, scratch included; on MPS the larger of what the driver took more,
    and of the tensors alive; on the CPU, where torch counts nothing, the tensors alive.

    Parameters
    ----------
    engine : ComputeEngine
        Where the work runs.
    work : callable
        The work.
    """
    kind, index = engine.device.type, engine.device.index or 0
    engine.synchronize()
    if kind == "cuda":
        torch.cuda.reset_peak_memory_stats(index)
        before = torch.cuda.memory_allocated(index)
        work()
        engine.synchronize()
        return int(torch.cuda.max_memory_allocated(index)) - before
    if kind == "mps":
        torch.mps.empty_cache()
    before = int(torch.mps.driver_allocated_memory()) if kind == "mps" else 0
    with LiveTensors() as live:
        work()
        engine.synchronize()
    return max(live.peak, int(torch.mps.driver_allocated_memory()) - before) if kind == "mps" else live.peak


@dataclass(frozen=True)
class BatchSize:
    """A batch size that fits, as tried.

    Attributes
    ----------
    chosen : int
        The largest size that fits, at most what was asked for.
    budget_bytes : int
        Bytes that were free for it.
    tried : dict of int to (int or None)
        By size: bytes that it took; None where the device refused. Twice the chosen size is among them.
    """

    chosen: int
    budget_bytes: int
    tried: dict[int, int | None]


def largest_batch(engine: ComputeEngine, work: Callable[[int], Any], most: int) -> BatchSize:
    """Double a batch size until it does not fit, by measured memory.

    Parameters
    ----------
    engine : ComputeEngine
        Where the work runs: the memory that is free there is the budget.
    work : callable
        Does the work for a batch size.
    most : int
        Largest size that is of use; twice that is tried where it fits, so that there is room.

    Raises
    ------
    InputError
        If `most` is below 1, or not even one sample fits.
    """
    if not isinstance(most, int) or isinstance(most, bool) or most < 1:
        raise InputError(f"`most` must be an integer of at least 1, was {most!r}")
    engine.pool.evict()
    budget, tried, size = room(engine), dict[int, int | None](), 1
    while True:
        tried[size] = _measured(engine, work, size)
        taken = tried[size]
        if taken is None or taken > budget or size >= 2 * most:
            break
        size = 2 * size if size >= most or 2 * size <= most else most
    fitting = [size for size, taken in tried.items() if taken is not None and taken <= budget and size <= most]
    if not fitting:
        free = f"{budget} bytes free on {engine.device}"
        raise InputError(f"`model` must fit with one sample in {free}, took {tried[1]}")
    return BatchSize(max(fitting), budget, tried)


def _measured(engine: ComputeEngine, work: Callable[[int], Any], size: int) -> int | None:
    repeats = 1
    if engine.device.type == "cuda":  # recording a graph takes the most
        repeats = FIRST
        graphs().clear()  # no other size's buffers are part of this one's

    def calls() -> None:
        for _ in range(repeats):
            work(size)

    try:
        return peak_bytes(engine, calls)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        engine.pool.evict()
        return None
