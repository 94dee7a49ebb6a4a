"""The books of a memory pool: which blocks it has, where each of them stands, and when each was used."""

from collections import OrderedDict
from collections.abc import Hashable, Iterable

from nautilus_metal.engine.blocks import Block, CacheKey, MemoryPoolStats, measure

KEPT = 8
"""Memory that was given away is taken in while free blocks hold no more than one part in so many of the limit."""


class Ledger:
    """Blocks on loan, with contents, and free; every method is called under the pool's lock.

    Attributes
    ----------
    active : set of Block
        On loan.
    idle : OrderedDict
        Keyed and free blocks in one queue by their last use.
    cached : dict
        Idle blocks by the key of their contents.
    free : dict
        Idle blocks without a key by size class.
    reserved : int
        Bytes of all blocks, those that torch is being asked for included.
    """

    def __init__(self) -> None:
        self.active: set[Block] = set()
        self.idle: OrderedDict[Block, None] = OrderedDict()
        self.cached: dict[CacheKey, Block] = {}
        self.free: dict[int, dict[Block, None]] = {}
        self.reserved = self.peak = 0
        self._idle_bytes = self._allocations = self._hits = self._keyed = 0

    @property
    def free_bytes(self) -> int:
        """Bytes of idle blocks without a key."""
        return sum(size * len(group) for size, group in self.free.items())

    @property
    def on_loan(self) -> int:
        """Bytes of blocks that are borrowed, or being made for a borrow."""
        return self.reserved - self._idle_bytes

    def find(self, key: CacheKey | None, size: int) -> Block | None:
        """Lend the key's own block, else a free one of the size class; None where there is neither."""
        block = None
        if key is not None:
            self._keyed += 1
            block = self.cached.pop(key, None)
            self._hits += block is not None
        if block is None and self.free.get(size):
            block = self.free[size].popitem()[0]
        if block is not None:
            del self.idle[block]
            self._idle_bytes -= block.size
            block.key = key
            self.active.add(block)
        return block

    def reserve(self, size: int) -> None:
        """Count in a block that torch is asked for."""
        self.reserved += size
        self.peak = max(self.peak, self.reserved)

    def lend_new(self, block: Block, key: CacheKey | None) -> None:
        """Take in the block that `reserve` counted, on loan."""
        block.key = key
        self._allocations += 1
        self.active.add(block)

    def part_with(self, size: int) -> Block | None:
        """Give a free block of the size class away for good; None where there is none."""
        if not self.free.get(size):
            return None
        block = next(reversed(self.free[size]))
        self.drop(block)
        return block

    def take_back(self, block: Block, limit: int) -> None:
        """End a block's loan, or take in a block that was given away where there is room for it."""
        if block not in self.active:
            if max(self.reserved + block.size, KEPT * (self.free_bytes + block.size)) > limit:
                return
            self.reserve(block.size)
        self.active.discard(block)
        self.idle[block] = None
        self._idle_bytes += block.size
        key = block.key
        if key is not None and key not in self.cached:
            self.cached[key] = block
        else:
            block.key, block.complete = None, False
            self.free.setdefault(block.size, {})[block] = None
        if not block.intact:
            self.drop(block)

    def drop(self, block: Block) -> None:
        """Give an idle block back to torch."""
        del self.idle[block]
        if block.key is None:
            del self.free[block.size][block]
        else:
            del self.cached[block.key]
        self._idle_bytes -= block.size
        self.reserved -= block.size

    def shrink(self, limit: int) -> None:
        """Give idle blocks back, least recently used first, until all blocks fit under `limit` or none is idle."""
        while self.idle and self.reserved > limit:
            self.drop(next(iter(self.idle)))

    def drop_free(self) -> None:
        """Give all blocks without contents back."""
        for block in [block for group in self.free.values() for block in group]:
            self.drop(block)

    def forget(self, keys: Iterable[Hashable] | None) -> None:
        """Drop the idle contents of some keys, or of all; those on loan lose their key."""
        wanted = None if keys is None else set(keys)
        for block in [*self.cached.values(), *self.active]:
            if block.key is not None and (wanted is None or block.key[0] in wanted):
                if block in self.active:
                    block.key = None
                else:
                    self.drop(block)

    def stats(self, limit: int) -> MemoryPoolStats:
        """Work out the figures of the pool that may hold `limit` bytes."""
        return measure(
            active=self.active,
            cached=self.cached.values(),
            free=[block for group in self.free.values() for block in group],
            reserved=self.reserved,
            peak=self.peak,
            budget=limit,
            allocations=self._allocations,
            hit_rate=self._hits / self._keyed if self._keyed else None,
        )
