"""The memory pool of a device: borrowed tensors over torch's allocator, within a budget."""

import operator
import threading
from collections import OrderedDict, deque
from collections.abc import Hashable, Iterable

import torch

from nautilus_metal.engine.blocks import MIB, Block, CacheKey, MemoryPoolStats, measure
from nautilus_metal.engine.borrow import Borrow, Fill
from nautilus_metal.engine.devices import KINDS, is_out_of_memory
from nautilus_metal.errors import DeviceError, InputError, OutOfDeviceMemory

Shape = int | Iterable[int]

class MemoryPool:
    """Tensors on loan from a budget of one device's memory.

    ``with pool.borrow(shape) as tensor`` hands out a tensor that nobody else holds until the block ends. Blocks go
    back to the pool, not to torch, and serve later borrows of the same size class whatever their shape and type.
    A borrow with a `key` finds the contents that the last borrower of the same (key, shape, dtype) left.

    All idle blocks, keyed or not, stand in one queue by their last use; when a new block would go over the budget
    the least recently used ones are given back to torch. The memory in blocks never exceeds the budget.

    Every method may be called from any thread. `fill` and torch's allocation run outside the pool's lock.

    Parameters
    ----------
    device : torch.device
        Where the memory is; see `devices.resolve`.
    budget_bytes : int
        Most bytes that the pool may hold.
    dtype : torch.dtype
        Element type of a borrow that names none.

    Notes
    -----
    The tensor handed out is emptied (shape ``(0,)``) when its loan ends, so using it later is a shape error and not
    a silent write into another's memory. Views that the body made of it are beyond the pool's reach: copy what
    must outlive the loan. On CUDA a block that changes streams waits for the stream that used it last.

    A keyed block whose contents were never completed (its `fill` raised, or it had no `fill` and the first body
    raised) is not kept under its key.
    """

    def __init__(self, device: torch.device, budget_bytes: int, dtype: torch.dtype = torch.float32) -> None:
        self.device = device
        self.dtype = dtype
        self._kind = KINDS[device.type]
        self._stream = self._kind.stream
        self._index = device.index or 0
        self._lock = threading.Lock()
        # Returns go through this queue, so that giving a block back never waits for the lock: a loan may end in a
        # finalizer that the garbage collector runs in a thread which is inside the pool.
        self._returned: deque[Block] = deque()
        self._active: set[Block] = set()
        self._idle: OrderedDict[Block, None] = OrderedDict()
        self._cached: dict[CacheKey, Block] = {}
        self._free: dict[int, dict[Block, None]] = {}
        self._reserved = self._idle_bytes = self._peak = 0
        self._allocations = self._hits = self._keyed = 0
        self._closed = False
        self._budget = _checked_budget(budget_bytes)

    def __repr__(self) -> str:
        return f"MemoryPool({self.device}, {self._reserved / MIB:.1f} of {self._budget / MIB:.1f} MB)"

    @property
    def budget_bytes(self) -> int:
        """Most bytes that the pool may hold."""
        return self._budget

    @property
    def reserved_bytes(self) -> int:
        """Bytes that the pool holds now: borrowed, cached and free blocks."""
        return self._reserved

    def borrow(
        self,
        shape: Shape,
        dtype: torch.dtype | None = None,
        key: Hashable | None = None,
        fill: Fill | None = None,
    ) -> Borrow:
        """Borrow a tensor for the length of a ``with`` block.

        Parameters
        ----------
        shape : int or iterable of int
            Shape of the tensor; lengths of zero are fine.
        dtype : torch.dtype, optional
            Element type, the pool's own by default.
        key : hashable, optional
            Name of contents worth keeping. Without one the contents are undefined.
        fill : callable, optional
            ``fill(tensor)`` is called when the contents are not in the pool. A second holder of a key at the same
            time, nested or in another thread, gets a block of its own, filled too.

        Returns
        -------
        Borrow
            A context manager that gives the tensor, contiguous.

        Raises
        ------
        InputError
            If a length is negative, the device has no such type, or the key is not hashable.
        OutOfDeviceMemory
            On entering, if the budget or the device has no room after all idle blocks were given back.
        DeviceError
            On entering, if the pool is closed.
        """
        try:
            lengths = (shape,) if isinstance(shape, int) else tuple(map(operator.index, shape))
        except TypeError:
            raise InputError(f"`shape` must be an integer or integers, was {shape!r}") from None
        if key is not None:
            try:
                hash(key)
            except TypeError:
                raise InputError(f"`key` must be hashable, was {key!r}") from None
        return Borrow(self, lengths, self.dtype if dtype is None else dtype, key, fill)

    def stats(self) -> MemoryPoolStats:
        """Report what the pool holds now."""
        with self._lock:
            self._drain()
            return measure(
                active=self._active,
                cached=self._cached.values(),
                free=[block for group in self._free.values() for block in group],
                reserved=self._reserved,
                peak=self._peak,
                budget=self._budget,
                allocations=self._allocations,
                hit_rate=self._hits / self._keyed if self._keyed else None,
            )

    def clear(self, keys: Iterable[Hashable] | None = None) -> None:
        """Forget keyed contents and give their idle blocks back to torch.

        Blocks of these keys that are borrowed now lose their key, and become free blocks when they come back.

        Parameters
        ----------
        keys : iterable of hashable, optional
            The keys to forget, in every shape and type; all by default.
        """
        wanted = None if keys is None else set(keys)
        with self._lock:
            self._drain()
            for block in [*self._cached.values(), *self._active]:
                if block.key is not None and (wanted is None or block.key[0] in wanted):
                    if block in self._active:
                        block.key = None
                    else:
                        self._drop(block)

    def trim(self) -> None:
        """Give the free blocks back to torch, and torch's own cached memory back to the system.

        Keyed contents stay; `clear` forgets them.
        """
        with self._lock:
            self._drain()
            for block in [block for group in self._free.values() for block in group]:
                self._drop(block)
        self._kind.empty_cache()

    def resize(self, budget_bytes: int) -> None:
        """Change the budget; idle blocks beyond a smaller one are given back, least recently used first.

        Raises
        ------
        OutOfDeviceMemory
            If more than the new budget is borrowed now; the budget then stays as it was.
        """
        budget = _checked_budget(budget_bytes)
        with self._lock:
            self._drain()
            if self._reserved - self._idle_bytes > budget:
                held = (self._reserved - self._idle_bytes) / MIB
                raise OutOfDeviceMemory(f"`budget_bytes` must cover the {held:.1f} MB on loan, was {budget}")
            while self._reserved > budget:
                self._drop(next(iter(self._idle)))
            self._budget = budget

    def close(self) -> None:
        """Give everything idle back and refuse new borrows; blocks on loan go back to torch when they return."""
        with self._lock:
            self._closed = True
            self._drain()
            while self._idle:
                self._drop(next(iter(self._idle)))
        self._kind.empty_cache()

    def _take(self, key: CacheKey | None, size: int) -> Block:
        """Find a block for a loan: the key's own, a free one of the size class, or a new one."""
        with self._lock:
            if self._closed:
                raise DeviceError(f"the memory pool of {self.device} is closed")
            if self._returned:
                self._drain()
            block = None
            if key is not None:
                self._keyed += 1
                block = self._cached.pop(key, None)
            if block is not None:
                self._hits += 1
            elif self._free.get(size):
                block = self._free[size].popitem()[0]
            if block is not None:
                del self._idle[block]
                self._idle_bytes -= block.size
                block.key = key
                self._active.add(block)
                return block
            self._reserve(size)
        return self._allocate(key, size)

    def _reserve(self, size: int) -> None:
        """Count a new block in, evicting for it; called under the lock."""
        self._drain()
        held = self._reserved - self._idle_bytes
        if held + size > self._budget:
            raise OutOfDeviceMemory(
                f"{size / MIB:.1f} MB requested on {self.device}, but {held / MIB:.1f} MB of the pool's budget of "
                f"{self._budget / MIB:.1f} MB are on loan"
            )
        while self._reserved + size > self._budget:
            self._drop(next(iter(self._idle)))
        self._reserved += size
        self._peak = max(self._peak, self._reserved)

    def _allocate(self, key: CacheKey | None, size: int) -> Block:
        """Take a reserved block from torch; once more after giving all idle blocks back if the device is full."""
        try:
            try:
                block = Block(self._from_torch(size))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self._release_idle()
                block = Block(self._from_torch(size))
        except BaseException as error:
            with self._lock:
                self._reserved -= size
                held = self._reserved
            if is_out_of_memory(error):
                raise OutOfDeviceMemory(
                    f"{size / MIB:.1f} MB requested, which {self.device} itself refused; the pool holds "
                    f"{held / MIB:.1f} MB of its budget of {self._budget / MIB:.1f} MB"
                ) from error
            if isinstance(error, RuntimeError):
                raise DeviceError(f"{self.device} failed to give {size / MIB:.1f} MB: {error}") from error
            raise
        block.key = key
        with self._lock:
            self._allocations += 1
            self._active.add(block)
        return block

    def _from_torch(self, size: int) -> torch.Tensor:
        # A block made in inference mode could never be written outside it.
        with torch.inference_mode(False):
            return torch.empty(size, dtype=torch.uint8, device=self.device)

    def _release_idle(self) -> None:
        with self._lock:
            self._drain()
            while self._idle:
                self._drop(next(iter(self._idle)))
        self._kind.empty_cache()

    def _return(self, block: Block) -> None:
        self._returned.append(block)
        if self._lock.acquire(False):
            try:
                self._drain()
            finally:
                self._lock.release()

    def _drain(self) -> None:
        """Take returned blocks in; called under the lock."""
        while self._returned:
            block = self._returned.popleft()
            self._active.discard(block)
            self._idle[block] = None
            self._idle_bytes += block.size
            key = block.key
            if key is not None and key not in self._cached:
                self._cached[key] = block
            else:
                block.key, block.complete = None, False
                self._free.setdefault(block.size, {})[block] = None
            if self._closed or not block.intact:
                self._drop(block)

    def _drop(self, block: Block) -> None:
        """Give an idle block back to torch; called under the lock."""
        del self._idle[block]
        if block.key is None:
            del self._free[block.size][block]
        else:
            del self._cached[block.key]
        self._idle_bytes -= block.size
        self._reserved -= block.size


def _checked_budget(budget_bytes: int) -> int:
    try:
        budget = operator.index(budget_bytes)
    except TypeError:
        budget = 0
    if budget < 1:
        raise InputError(f"`budget_bytes` must be at least 1 byte, was {budget_bytes!r}")
    return budget
