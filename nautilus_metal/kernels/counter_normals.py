"""Quick pseudo-random normals: 32-bit words by a counter, and two normals of two words.

They are other numbers than those of `normals`, with the same promises: position i of row j of a seed depends on
nothing else, and the integers under it are the same on every machine and device. A GPU, and the vectors of
a CPU, make them three times as fast, since they multiply 32-bit words. Their resolution is 2**-32: no normal is
beyond 6.8.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Words = NDArray[np.uint64]

_WORDS = 4  # of a block of Philox
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_FACTORS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_BUMPS = 0x9E3779B9, 0xBB67AE85
_ROUNDS = 10
_CELL = 2.0**-32


def counter_normals(rows: int, count: int, seed: int = 0, start: int = 0, first_row: int = 0) -> Tensor:
    """Make a matrix of standard normals on the host.

    Parameters
    ----------
    rows, count : int
        Independent variables, and positions of each.
    seed : int, default 0
        Selects the streams, 0 to 2**63 - 1.
    start, first_row : int, default 0
        The corner of the endless matrix that is wanted.

    Returns
    -------
    Tensor
        Shape (rows, count), float64.

    References
    ----------
    Salmon et al. (2011), "Parallel random numbers: as easy as 1, 2, 3": Philox 4x32 of ten rounds.
    Box and Muller (1958), "A note on the generation of random normal deviates".

    Examples
    --------
    >>> whole = counter_normals(2, 8, seed=7)
    >>> bool((counter_normals(1, 3, seed=7, start=5) == whole[:1, 5:]).all())
    True
    """
    skip = start % _WORDS
    even, odd = _words(rows, skip + count, seed, start - skip, first_row).reshape(rows, -1, 2).transpose(2, 0, 1)
    radius = np.sqrt(-2.0 * np.log((even + 0.5) * _CELL))
    angle = odd.astype(np.uint32).view(np.int32) * (np.pi * 2.0**-31)
    made = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1).reshape(rows, -1)
    return torch.from_numpy(np.ascontiguousarray(made[:, skip : skip + count]))


def counter_uniforms(rows: int, count: int, seed: int = 0, start: int = 0, first_row: int = 0) -> Tensor:
    """Make a matrix of uniforms strictly inside (0, 1), of the same words; parameters as of `counter_normals`."""
    skip = start % _WORDS
    words = _words(rows, skip + count, seed, start - skip, first_row)
    return torch.from_numpy((words[:, skip : skip + count] + 0.5) * _CELL)


def _words(rows: int, count: int, seed: int, start: int, first_row: int) -> Words:
    """Words of whole blocks from `start`, a block's first, on; shape (rows, at least count)."""
    block = np.arange(-(-count // _WORDS), dtype=np.uint64) + np.uint64(start // _WORDS)
    row = (np.arange(rows, dtype=np.uint64) + np.uint64(first_row))[:, None]
    a, b, c, d = np.broadcast_arrays(block & _LOW, block >> _HALF, row & _LOW, row >> _HALF)
    key_a, key_b = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(_ROUNDS):
        first, second = a * _FACTORS[0], c * _FACTORS[1]
        a, b = (second >> _HALF) ^ b ^ np.uint64(key_a), second & _LOW
        c, d = (first >> _HALF) ^ d ^ np.uint64(key_b), first & _LOW
        key_a, key_b = (key_a + _BUMPS[0]) & 0xFFFFFFFF, (key_b + _BUMPS[1]) & 0xFFFFFFFF
    return np.stack([a, b, c, d], -1).reshape(rows, _WORDS * len(block))
