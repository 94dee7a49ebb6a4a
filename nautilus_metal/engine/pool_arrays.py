"""Arrays for results over memory that earlier results left: a system clears every page that it hands out anew.

For a universe of 1,000 series that takes as long as the computing. An array is its holder's, like any other, and does
not count as a loan. Once it is gone, with every view of it, the pool keeps its memory as a free block: it counts
there, serves the next result or loan of its size class, and leaves by `MemoryPool.trim`, or when the room is needed.
"""

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from nautilus_metal.engine.blocks import MIB, Block, size_class

if TYPE_CHECKING:
    from nautilus_metal.engine.pool import MemoryPool

LEAST = MIB  # bytes of an array from which on its memory is kept: for less, the system's library has some at hand
LINE = 64  # bytes of a cache line


class _Memory:
    """What every array over a block refers to; with the last of them it goes, and the block to the pool."""

    __slots__ = ("__array_interface__", "_block", "_pool")

    def __init__(self, pool: "MemoryPool", block: Block, shape: tuple[int, ...]) -> None:
        typestr = np.dtype(np.float64).str
        self.__array_interface__ = {
            "version": 3, "shape": shape, "typestr": typestr, "data": (block.flat.data_ptr(), False)
        }  # fmt: skip
        self._pool, self._block = pool, block

    def __del__(self) -> None:
        self._pool._return(self._block)


def result_array(pool: "MemoryPool", shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Make an array of float64 on the host, not yet filled, as `numpy.empty` does.

    Parameters
    ----------
    pool : MemoryPool
        Where the memory comes from and goes to; that of another device than the CPU is left alone.
    shape : tuple of int
        Lengths, each at least 0.

    Returns
    -------
    numpy.ndarray
        C-contiguous. It shares its memory with no other array that lives.
    """
    nbytes = 8 * math.prod(shape)
    if nbytes < LEAST or pool.device.type != "cpu":
        return np.empty(shape)
    size = size_class(nbytes)
    return np.asarray(_Memory(pool, pool._part_with(size) or _new_block(size), shape))


def line_array(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """As `numpy.empty`, from the start of a cache line on."""
    return _line_bytes(8 * math.prod(shape)).view(np.float64).reshape(shape)


def _new_block(size: int) -> Block:
    """Take memory from numpy, which asks the system for large pages."""
    with torch.inference_mode(False):  # as for a block of torch's
        return Block(torch.from_numpy(_line_bytes(size)))


def _line_bytes(size: int) -> NDArray[np.uint8]:
    raw = np.empty(size + LINE, np.uint8)
    start = -raw.ctypes.data % LINE
    return raw[start : start + size]
