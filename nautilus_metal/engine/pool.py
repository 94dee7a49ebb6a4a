"""The memory pool of a device: borrowed tensors over torch's allocator, within a budget."""

import operator
import threading
from collections import deque
from collections.abc import Hashable, Iterable

import torch

from nautilus_metal.engine.blocks import MIB, Block, CacheKey, MemoryPoolStats
from nautilus_metal.engine.borrow import Borrow, Fill
from nautilus_metal.engine.devices import KINDS, is_out_of_memory
from nautilus_metal.engine.pool_ledger import Ledger
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
        self._books = Ledger()
        self._closed = False
        self._budget = _checked_budget(budget_bytes)
        self._share = 1.0

    def __repr__(self) -> str:
        return f"MemoryPool({self.device}, {self.reserved_bytes / MIB:.1f} of {self._budget / MIB:.1f} MB)"

    @property
    def budget_bytes(self) -> int:
        """Most bytes that the pool may hold."""
        return self._budget

    @property
    def limit_bytes(self) -> int:
        """Most bytes that the pool may hold now: its budget, or the share of it that `limit` allows."""
        return max(1, int(self._budget * self._share))

    @property
    def reserved_bytes(self) -> int:
        """Bytes that the pool holds now: borrowed, cached and free blocks."""
        return self._books.reserved

    @property
    def room_bytes(self) -> int:
        """Bytes that can still be borrowed, idle blocks evicted for it."""
        with self._lock:
            self._drain()
            return max(0, self.limit_bytes - self._books.on_loan)

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
            return self._books.stats(self.limit_bytes)

    def clear(self, keys: Iterable[Hashable] | None = None) -> None:
        """Forget keyed contents and give their idle blocks back to torch.

        Blocks of these keys that are borrowed now lose their key, and become free blocks when they come back.

        Parameters
        ----------
        keys : iterable of hashable, optional
            The keys to forget, in every shape and type; all by default.
        """
        with self._lock:
            self._drain()
            self._books.forget(keys)

    def trim(self) -> None:
        """Give the free blocks back to torch, and torch's own cached memory back to the system.

        Keyed contents stay; `clear` forgets them.
        """
        with self._lock:
            self._drain()
            self._books.drop_free()
        self._kind.empty_cache()

    def evict(self) -> None:
        """Give everything idle back to torch, contents included, and torch's own cached memory to the system."""
        with self._lock:
            self._drain()
            self._books.shrink(0)
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
            if self._books.on_loan > budget:
                held = self._books.on_loan / MIB
                raise OutOfDeviceMemory(f"`budget_bytes` must cover the {held:.1f} MB on loan, was {budget}")
            self._budget = budget
            self._books.shrink(self.limit_bytes)

    def limit(self, share: float) -> None:
        """Let the pool hold only a share of its budget until further notice.

        Idle blocks beyond it are given back, least recently used first. Loans go on; while they exceed the share,
        no new block is lent.

        Parameters
        ----------
        share : float
            In (0, 1]; 1 lifts the limit.
        """
        if not isinstance(share, int | float) or isinstance(share, bool) or not 0.0 < share <= 1.0:
            raise InputError(f"`share` must be above 0 and at most 1, was {share!r}")
        with self._lock:
            self._drain()
            self._share = float(share)
            self._books.shrink(self.limit_bytes)

    def close(self) -> None:
        """Give everything idle back and refuse new borrows; blocks on loan go back to torch when they return."""
        self._closed = True
        self.evict()

    def _take(self, key: CacheKey | None, size: int) -> Block:
        """Find a block for a loan: the key's own, a free one of the size class, or a new one."""
        with self._lock:
            if self._closed:
                raise DeviceError(f"the memory pool of {self.device} is closed")
            if self._returned:
                self._drain()
            block = self._books.find(key, size)
            if block is not None:
                return block
            self._reserve(size)
        return self._allocate(key, size)

    def _part_with(self, size: int) -> Block | None:
        """Give a free block of a size class away, for `result_array`; it may come back by `_return`."""
        with self._lock:
            self._drain()
            return self._books.part_with(size)

    def _reserve(self, size: int) -> None:
        """Count a new block in, evicting for it; called under the lock."""
        self._drain()
        held, limit = self._books.on_loan, self.limit_bytes
        if held + size > limit:
            raise OutOfDeviceMemory(
                f"{size / MIB:.1f} MB requested on {self.device}, but {held / MIB:.1f} MB of the pool's "
                f"{'budget' if self._share == 1.0 else 'limit under pressure'} of {limit / MIB:.1f} MB are on loan"
            )
        self._books.shrink(limit - size)
        self._books.reserve(size)

    def _allocate(self, key: CacheKey | None, size: int) -> Block:
        """Take a reserved block from torch; once more after giving all idle blocks back if the device is full."""
        try:
            try:
                block = Block(self._from_torch(size))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self.evict()
                block = Block(self._from_torch(size))
        except BaseException as error:
            with self._lock:
                self._books.reserved -= size
                held = self._books.reserved
            if is_out_of_memory(error):
                raise OutOfDeviceMemory(
                    f"{size / MIB:.1f} MB requested, which {self.device} itself refused; the pool holds "
                    f"{held / MIB:.1f} MB of its budget of {self._budget / MIB:.1f} MB"
                ) from error
            if isinstance(error, RuntimeError):
                raise DeviceError(f"{self.device} failed to give {size / MIB:.1f} MB: {error}") from error
            raise
        with self._lock:
            self._books.lend_new(block, key)
        return block

    def _from_torch(self, size: int) -> torch.Tensor:
        # A block made in inference mode could never be written outside it.
        with torch.inference_mode(False):
            return torch.empty(size, dtype=torch.uint8, device=self.device)

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
            self._books.take_back(self._returned.popleft(), self.limit_bytes)
        if self._closed:
            self._books.shrink(0)


def _checked_budget(budget_bytes: int) -> int:
    try:
        budget = operator.index(budget_bytes)
    except TypeError:
        budget = 0
    if budget < 1:
        raise InputError(f"`budget_bytes` must be at least 1 byte, was {budget_bytes!r}")
    return budget
