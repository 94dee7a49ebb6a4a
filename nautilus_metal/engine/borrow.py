"""One loan of a tensor from a memory pool."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from types import TracebackType
from typing import TYPE_CHECKING, Any

import torch

from nautilus_metal.engine.blocks import Block, layout
from nautilus_metal.errors import InputError

if TYPE_CHECKING:
    from nautilus_metal.engine.pool import MemoryPool

Fill = Callable[[torch.Tensor], Any]


class Borrow:
    """One loan of a tensor: what `MemoryPool.borrow` returns, to be used in a ``with`` statement."""

    __slots__ = ("_block", "_dtype", "_fill", "_key", "_nbytes", "_pool", "_shape", "_size", "_tensor")

    def __init__(
        self, pool: MemoryPool, shape: tuple[int, ...], dtype: torch.dtype, key: Hashable, fill: Fill | None
    ) -> None:
        if not isinstance(dtype, torch.dtype):
            raise InputError(f"`dtype` must be a torch.dtype, was {dtype!r}")
        self._nbytes, self._size = layout(shape, dtype, pool.device.type)
        self._pool = pool
        self._shape = shape
        self._dtype = dtype
        self._key = None if key is None else (key, shape, dtype)
        self._fill = fill
        self._block: Block | None = None
        self._tensor: torch.Tensor | None = None

    def __enter__(self) -> torch.Tensor:
        if self._block is not None:
            raise InputError("a borrow must be entered once at a time, was entered again: call `borrow` again")
        pool = self._pool
        block = self._block = pool._take(self._key, self._size)
        try:
            if pool._stream is not None:
                block.follow(pool._stream(pool._index))
            if block.complete:
                tensor = self._tensor = block.master.detach()
                return tensor
            block.lay(self._shape, self._dtype, self._nbytes)
            tensor = self._tensor = block.master.detach()
            if self._fill is not None:
                self._fill(tensor)
                block.complete = True
        except BaseException:
            block.key = None
            self._give_back(block)
            raise
        return tensor

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        block = self._block
        if block is None:
            return
        # Contents that the body itself was to make are worth keeping only if it came to its end.
        if kind is None:
            block.complete = True
        elif not block.complete:
            block.key = None
        self._give_back(block)

    def _give_back(self, block: Block) -> None:
        tensor, self._tensor, self._block = self._tensor, None, None
        pool = self._pool
        try:
            if tensor is not None:
                tensor.data = block.blank
        finally:
            if pool._stream is not None:
                block.follow(pool._stream(pool._index))
            pool._return(block)
