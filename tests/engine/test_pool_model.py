"""The pool against a model of a few lines, over any sequence of operations."""

from itertools import pairwise

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from nautilus_metal.engine import MemoryPool
from nautilus_metal.engine.blocks import MIB, size_class
from nautilus_metal.errors import OutOfDeviceMemory

BUDGET = 12_288
keys = st.sampled_from([None, None, "a", "b", "c"])
sizes = st.sampled_from([0, 1, 512, 700, 1000, 2048, 3000, 4096, 6000])
dtypes = st.sampled_from([torch.uint8, torch.float32, torch.float64])


class PoolMachine(RuleBasedStateMachine):
    """Idle blocks are (size, identity or None, mark), least recently used first; loans are in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = MemoryPool(torch.device("cpu"), BUDGET)
        self.idle: list[tuple[int, object, int]] = []
        self.loans: list[tuple[object, torch.Tensor, int, object, int]] = []
        self.mark = self.hits = self.keyed = self.taken = 0

    def _held(self) -> int:
        return sum(loan[2] for loan in self.loans) + sum(block[0] for block in self.idle)

    def _expect(self, size: int, identity: object, mark: int) -> int | None:
        """Move the model by one borrow; the mark that the contents must carry, or None if it must be refused."""
        self.keyed += identity is not None
        for at, block in enumerate(self.idle):
            if identity is not None and block[1] == identity:
                self.hits += 1
                return self.idle.pop(at)[2]
        for at in reversed(range(len(self.idle))):
            if self.idle[at][:2] == (size, None):
                self.idle.pop(at)
                return mark
        if sum(loan[2] for loan in self.loans) + size > BUDGET:
            return None
        while self._held() + size > BUDGET:
            self.idle.pop(0)
        self.taken += 1
        return mark

    @rule(nbytes=sizes, dtype=dtypes, key=keys, fails=st.booleans())
    def borrow(self, nbytes: int, dtype: torch.dtype, key: str | None, fails: bool) -> None:
        self.mark = self.mark % 100 + 1
        shape = (nbytes // dtype.itemsize,)
        size = size_class(shape[0] * dtype.itemsize)
        identity = None if key is None else (key, shape, dtype)
        mark = self.mark
        expected = self._expect(size, identity, mark)
        new = expected == mark

        def fill(tensor: torch.Tensor) -> None:
            if fails:
                raise ZeroDivisionError
            tensor.fill_(mark)

        loan = self.pool.borrow(shape, dtype, key=key, fill=fill)
        if expected is None:
            with pytest.raises(OutOfDeviceMemory):
                loan.__enter__()
        elif fails and new:
            with pytest.raises(ZeroDivisionError):
                loan.__enter__()
            self.idle.append((size, None, 0))
        else:
            self.loans.append((loan, loan.__enter__(), size, identity, expected))

    @rule(data=st.data(), body_fails=st.booleans())
    def give_back(self, data: st.DataObject, body_fails: bool) -> None:
        if not self.loans:
            return
        at = data.draw(st.integers(0, len(self.loans) - 1))
        loan, _, size, identity, mark = self.loans.pop(at)
        assert not loan.__exit__(*((ValueError, ValueError(), None) if body_fails else (None, None, None)))
        taken = identity is None or any(block[1] == identity for block in self.idle)
        self.idle.append((size, None, 0) if taken else (size, identity, mark))

    @rule(wanted=st.sets(st.sampled_from(["a", "b", "c"])))
    def clear(self, wanted: set[str]) -> None:
        self.pool.clear(wanted)
        self.idle = [b for b in self.idle if b[1] is None or b[1][0] not in wanted]
        self.loans = [(*x[:3], None if x[3] is not None and x[3][0] in wanted else x[3], x[4]) for x in self.loans]

    @rule()
    def trim(self) -> None:
        self.pool.trim()
        self.idle = [block for block in self.idle if block[1] is not None]

    @invariant()
    def figures_agree(self) -> None:
        stats = self.pool.stats()
        cached = [block for block in self.idle if block[1] is not None]
        assert stats.total_allocated_mb * MIB == self._held() <= BUDGET
        assert stats.total_cached_mb * MIB == sum(block[0] for block in cached)
        assert stats.cached_blocks == len(cached)
        assert stats.active_blocks == len(self.loans)
        assert stats.total_free_mb * MIB == sum(block[0] for block in self.idle if block[1] is None)
        assert stats.allocation_count == self.taken
        assert stats.cache_hit_rate == (self.hits / self.keyed if self.keyed else None)

    @invariant()
    def loans_keep_their_contents_to_themselves(self) -> None:
        ranges = sorted(
            (tensor.data_ptr(), tensor.data_ptr() + tensor.nbytes) for _, tensor, *_ in self.loans if tensor.numel()
        )
        assert all(end <= start for (_, end), (start, _) in pairwise(ranges))
        for _, tensor, _, _, mark in self.loans:
            assert bool((tensor == mark).all())


TestPool = PoolMachine.TestCase
TestPool.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
