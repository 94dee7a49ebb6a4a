"""Blocks of device memory: size classes, layouts and the figures that a pool reports."""

import math
from collections.abc import Collection, Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import torch

from nautilus_metal.engine.devices import KINDS
from nautilus_metal.errors import InputError

MIB = 2**20
GRAIN = 512
"""Smallest block in bytes, and what every size is a multiple of: the rounding of torch's CUDA allocator."""

Pressure = Literal["low", "medium", "high", "critical"]
# Under what a keyed tensor is kept: the caller's key, shape and type. The device is the pool's.
CacheKey = tuple[Hashable, tuple[int, ...], torch.dtype]

_PRESSURE: tuple[tuple[float, Pressure], ...] = ((0.9, "critical"), (0.75, "high"), (0.5, "medium"))


def size_class(nbytes: int) -> int:
    """Round a size up to its class: powers of two with quarter steps, in multiples of 512 bytes.

    A block is thus at most a fifth larger than what was asked for (apart from tensors below 2,560 bytes), and a
    pool that serves every size between 1 KiB and 1 GiB has some 80 classes.

    Examples
    --------
    >>> [size_class(n) for n in (0, 512, 513, 2048, 2049, 1_000_000)]
    [512, 512, 1024, 2048, 2560, 1048576]
    """
    if nbytes <= GRAIN:
        return GRAIN
    step = max(GRAIN, 1 << ((nbytes - 1).bit_length() - 3))
    return -(-nbytes // step) * step


@lru_cache(maxsize=4096)
def layout(shape: tuple[int, ...], dtype: torch.dtype, kind: str) -> tuple[int, int]:
    """Check a shape for a kind of device.

    Parameters
    ----------
    shape : tuple of int
        Lengths, each at least 0.
    dtype : torch.dtype
        Element type.
    kind : str
        A key of `devices.KINDS`.

    Returns
    -------
    tuple of int
        Bytes of the tensor, and of the block that it needs.

    Raises
    ------
    InputError
        If a length is negative, or the device has no such type or cannot hold so large a tensor.
    """
    if any(length < 0 for length in shape):
        raise InputError(f"`shape` must hold no negative length, was {shape}")
    row = KINDS[kind]
    if dtype in row.refused:
        raise InputError(f"`dtype` must be a type that {kind} has, was {dtype}: use {row.exact_dtype}")
    elements = math.prod(shape)
    nbytes = elements * dtype.itemsize
    too_long = row.max_tensor_elements is not None and elements > row.max_tensor_elements
    if too_long or (row.max_tensor_bytes is not None and nbytes > row.max_tensor_bytes):
        raise InputError(
            f"`shape` must stay below 2^31 elements and 4 GiB on {kind}, was {shape} of {dtype}: chunk the work"
        )
    if nbytes >= 2**62:
        raise InputError(f"`shape` must be addressable, was {shape}")
    return nbytes, size_class(nbytes)


class Block:
    """A piece of device memory and the tensor that was last laid over it.

    The pool alone holds `flat` and `master`; borrowers get a detached alias of `master`.
    """

    __slots__ = ("blank", "complete", "flat", "key", "master", "nbytes", "size", "storage", "stream")

    def __init__(self, flat: torch.Tensor) -> None:
        self.flat = flat
        self.storage = flat.untyped_storage()
        self.size = flat.numel()
        self.nbytes = 0
        self.master = self.blank = flat
        self.key: CacheKey | None = None
        self.complete = False
        self.stream: Any = None

    def lay(self, shape: tuple[int, ...], dtype: torch.dtype, nbytes: int) -> None:
        """Make `master` a tensor of this shape and type over the block's first bytes, `blank` one of no bytes."""
        if self.master.shape != shape or self.master.dtype != dtype:
            # A view made in inference mode could never be trained through outside it.
            with torch.inference_mode(False):
                self.master = self.flat[:nbytes].view(dtype).view(shape)
                self.blank = torch.empty(0, dtype=dtype, device=self.flat.device)
        self.nbytes = nbytes

    def follow(self, stream: Any) -> None:
        """Move to another CUDA stream: it waits for the last one, and torch keeps the memory until it is done."""
        if self.stream is not None and self.stream != stream:
            stream.wait_stream(self.stream)
            self.flat.record_stream(stream)
        self.stream = stream

    @property
    def intact(self) -> bool:
        """Whether the memory still has its size (a borrower may have called `resize_`)."""
        return self.storage.nbytes() == self.size


@dataclass(frozen=True)
class MemoryPoolStats:
    """What a pool holds at one moment. One MB is 2^20 bytes here.

    Attributes
    ----------
    total_allocated_mb : float
        All memory that the pool holds and has not given back: borrowed, cached and free blocks. Those that results
        left (`pool_arrays`) count from then on.
    total_cached_mb : float
        Idle blocks that keep the contents of a key.
    total_free_mb : float
        Idle blocks without a key.
    active_blocks : int
        Blocks that are borrowed now.
    cached_blocks : int
        Idle blocks that keep the contents of a key.
    allocation_count : int
        Blocks taken from torch since the pool was made; borrows that reused a block do not count.
    cache_hit_rate : float or None
        Borrows with a key that found their contents, over all borrows with a key, since the pool was made; None
        when there was no borrow with a key.
    fragmentation_ratio : float
        Bytes lost to the size classes in active and cached blocks, over the size of these blocks; 0 without any.
    peak_usage_mb : float
        The largest `total_allocated_mb` since the pool was made.
    average_block_size_mb : float
        `total_allocated_mb` over the number of all blocks; 0 without any.
    memory_pressure_level : {"low", "medium", "high", "critical"}
        From the borrowed bytes over what the pool may hold now: "medium" from 50%, "high" from 75%, "critical" from
        90%. Idle blocks do not count, since the pool evicts them when it needs the room. `governor.RESPONSES` says
        what each level does.
    """

    total_allocated_mb: float
    total_cached_mb: float
    total_free_mb: float
    active_blocks: int
    cached_blocks: int
    allocation_count: int
    cache_hit_rate: float | None
    fragmentation_ratio: float
    peak_usage_mb: float
    average_block_size_mb: float
    memory_pressure_level: Pressure


def pressure_level(borrowed: int, budget: int) -> Pressure:
    """Name the pressure of `borrowed` bytes on a budget (see `MemoryPoolStats`)."""
    return next((name for share, name in _PRESSURE if borrowed >= share * budget), "low")


def measure(
    active: Collection[Block],
    cached: Collection[Block],
    free: Collection[Block],
    reserved: int,
    peak: int,
    budget: int,
    allocations: int,
    hit_rate: float | None,
) -> MemoryPoolStats:
    """Work out a pool's figures from its blocks (see `MemoryPoolStats`); sizes in bytes."""
    active_bytes, cached_bytes, free_bytes = (sum(block.size for block in group) for group in (active, cached, free))
    filled = active_bytes + cached_bytes
    used = sum(block.nbytes for group in (active, cached) for block in group)
    blocks = len(active) + len(cached) + len(free)
    return MemoryPoolStats(
        total_allocated_mb=reserved / MIB,
        total_cached_mb=cached_bytes / MIB,
        total_free_mb=free_bytes / MIB,
        active_blocks=len(active),
        cached_blocks=len(cached),
        allocation_count=allocations,
        cache_hit_rate=hit_rate,
        fragmentation_ratio=1.0 - used / filled if filled else 0.0,
        peak_usage_mb=peak / MIB,
        average_block_size_mb=reserved / blocks / MIB if blocks else 0.0,
        memory_pressure_level=pressure_level(reserved - cached_bytes - free_bytes, budget),
    )
