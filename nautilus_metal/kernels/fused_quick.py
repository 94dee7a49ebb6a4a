"""The quick normals of `kernels.counter_normals` in float32 as loops for a compiler.

The words are the same integers, bit for bit, and the normals the same to 1e-7 of their pair's radius.
Words stand in lanes of 64 bits, of which the upper half is left as it comes: the vector product of 32-bit words does
not look at it, so that a round is two products, two shifts and two sums for each lane.
"""

import numpy as np
from numpy.typing import NDArray

from nautilus_metal.kernels.fused_numbers import Array, f32, i32, logarithm_of_parts, u64

QuickWords = NDArray[np.uint32]

u32 = np.uint32

_LOW, _HALF = u64(0xFFFFFFFF), u64(32)
_FACTOR_A, _FACTOR_B = u64(0xD2511F53), u64(0xCD9E8D57)
_BUMP_A, _BUMP_B = u64(0x9E3779B9), u64(0xBB67AE85)
_UPPER = u32(0xC0000000)  # from this word on a uniform is told by its distance to 1
_CELL = f32(2.0**-32)
_RADIANS = f32(np.pi * 2.0**-31)


def quick_row(seed: int, row: int, first: int, words: QuickWords, out: Array) -> None:
    """Fill `out` with a row of normals from block `first` on: path 4b + i stands at i * blocks + b."""
    philox_short(u64(seed), u64(row), u64(first), words)
    blocks = words.shape[1]
    box_muller(words[0], words[1], out[:blocks], out[blocks : 2 * blocks])
    box_muller(words[2], words[3], out[2 * blocks : 3 * blocks], out[3 * blocks :])


def philox_short(seed: np.uint64, row: np.uint64, first: np.uint64, out: QuickWords) -> None:
    """Fill `out` (4, blocks) with blocks of Philox 4x32 of ten rounds, by seed, and by block and row as counter."""
    w, x, y, z = out[0], out[1], out[2], out[3]
    key_a, key_b, low, high = seed & _LOW, seed >> _HALF, row & _LOW, row >> _HALF
    for i in range(len(w)):
        block = first + u64(i)
        a, b, c, d = block, block >> _HALF, low, high
        a, b, c, d = short_rounds(a, b, c, d, key_a, key_b)
        a2, b2 = key_a + _BUMP_A + _BUMP_A, key_b + _BUMP_B + _BUMP_B
        a, b, c, d = short_rounds(a, b, c, d, a2, b2)
        a4, b4 = a2 + _BUMP_A + _BUMP_A, b2 + _BUMP_B + _BUMP_B
        a, b, c, d = short_rounds(a, b, c, d, a4, b4)
        a6, b6 = a4 + _BUMP_A + _BUMP_A, b4 + _BUMP_B + _BUMP_B
        a, b, c, d = short_rounds(a, b, c, d, a6, b6)
        a8, b8 = a6 + _BUMP_A + _BUMP_A, b6 + _BUMP_B + _BUMP_B
        a, b, c, d = short_rounds(a, b, c, d, a8, b8)
        w[i] = u32(a & _LOW)
        x[i] = u32(b & _LOW)
        y[i] = u32(c & _LOW)
        z[i] = u32(d & _LOW)


def short_rounds(a, b, c, d, key_a, key_b):  # type: ignore[no-untyped-def]
    """Two rounds, see `fused_numbers.rounds`."""
    first, second = (a & _LOW) * _FACTOR_A, (c & _LOW) * _FACTOR_B
    a, b, c, d = (second >> _HALF) ^ b ^ key_a, second, (first >> _HALF) ^ d ^ key_b, first
    first, second = (a & _LOW) * _FACTOR_A, (c & _LOW) * _FACTOR_B
    return (second >> _HALF) ^ b ^ (key_a + _BUMP_A), second, (first >> _HALF) ^ d ^ (key_b + _BUMP_B), first


def box_muller(even: QuickWords, odd: QuickWords, near: Array, far: Array) -> None:
    """Two normals of each pair of words: radius times cosine, and times sine."""
    for i in range(len(even)):
        radius = np.sqrt(f32(-2.0) * logarithm_of_share(even[i]))
        turn = i32(odd[i])
        quarter = i32(i32(turn + i32(0x20000000)) >> i32(30))
        x = f32(i32(turn - i32(quarter << i32(30)))) * _RADIANS
        s = x * x
        sine = ((f32(-1.9515295891e-4) * s + f32(8.3321608736e-3)) * s - f32(1.6666654611e-1)) * s * x + x
        cosine = (f32(2.443315711809948e-5) * s - f32(1.388731625493765e-3)) * s + f32(4.166664568298827e-2)
        cosine = cosine * s * s - f32(0.5) * s + f32(1.0)
        swapped = (quarter & i32(1)) != i32(0)
        level, height = sine if swapped else cosine, cosine if swapped else sine
        left, below = i32(i32(quarter + i32(1)) & i32(2)) << i32(30), i32(quarter & i32(2)) << i32(30)
        near[i] = radius * i32(f32(level).view(i32) ^ i32(left)).view(f32)
        far[i] = radius * i32(f32(height).view(i32) ^ i32(below)).view(f32)


def logarithm_of_share(word: np.uint32) -> np.float32:
    """The logarithm of (word + 1/2) / 2^32, with all its digits at 1 as well; see `fused_numbers.logarithm`."""
    bits = f32((f32(word) + f32(0.5)) * _CELL).view(i32)
    exponent = i32(i32(bits - i32(0x3F3504F3)) >> i32(23))
    upper = word > _UPPER
    m = i32(bits - i32(exponent << i32(23))).view(f32) - f32(1.0)
    m = -_CELL * (f32(u32(~word)) + f32(0.5)) if upper else m
    return logarithm_of_parts(m, f32(0.0) if upper else f32(exponent))
