"""The quick normals of `kernels.counter_normals` in float32 as loops for a compiler.

The words are the same integers, bit for bit, and the normals the same to 3e-7 of their pair's radius.
Words stand in lanes of 64 bits, of which the upper half is left as it comes: the vector product of 32-bit words does
not look at it, so that a round is two products, two shifts and two sums for each lane.
"""

import numpy as np
from numpy.typing import NDArray

from nautilus_metal.kernels.fused_numbers import Array, Words, f32, i32, u64

u32 = np.uint32

_LOW, _HALF = u64(0xFFFFFFFF), u64(32)
_FACTOR_A, _FACTOR_B = u64(0xD2511F53), u64(0xCD9E8D57)
_BUMP_A, _BUMP_B = u64(0x9E3779B9), u64(0xBB67AE85)
_CELL, _HALF_CELL, _HALF_TURN = f32(2.0**-32), f32(2.0**-33), f32(2.0**-31)
_SIGN, _EXPONENT, _ROOT_HALF = i32(-(1 << 31)), i32(-(1 << 23)), i32(0x3F3504F3)
_TWO_LOGS = f32(-2.0 * np.log(2.0) * 2.0**-23)  # for a power of 2 as it stands in a float


def quick_row(seed: int, row: int, first: int, words: Words, out: Array) -> None:
    """Fill `out` with a row of normals from block `first` on: path 2k of them at k, and 2k + 1 half of `out` later.

    `words` (2, blocks) is scratch.
    """
    half = 2 * words.shape[1]
    philox_short(u64(seed), u64(row), u64(first), words)
    box_muller(words[0].view(u32), words[1].view(u32), out[:half], out[half:])


def philox_short(seed: np.uint64, row: np.uint64, first: np.uint64, out: Words) -> None:
    """Fill `out` (2, blocks) with blocks of Philox 4x32 of ten rounds, by seed, and by block and row as counter.

    Words 1 and 3 of a block are one below, words 2 and 4 the other, each two in the halves of 64 bits.
    """
    evens, odds = out[0], out[1]
    key_a, key_b, low, high = seed & _LOW, seed >> _HALF, row & _LOW, row >> _HALF
    for i in range(len(evens)):
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
        evens[i] = (a & _LOW) | (c << _HALF)
        odds[i] = (b & _LOW) | (d << _HALF)


def short_rounds(a, b, c, d, key_a, key_b):  # type: ignore[no-untyped-def]
    """Two rounds, see `fused_numbers.rounds`."""
    first, second = (a & _LOW) * _FACTOR_A, (c & _LOW) * _FACTOR_B
    a, b, c, d = (second >> _HALF) ^ b ^ key_a, second, (first >> _HALF) ^ d ^ key_b, first
    first, second = (a & _LOW) * _FACTOR_A, (c & _LOW) * _FACTOR_B
    return (second >> _HALF) ^ b ^ (key_a + _BUMP_A), second, (first >> _HALF) ^ d ^ (key_b + _BUMP_B), first


def box_muller(even: NDArray[np.uint32], odd: NDArray[np.uint32], near: Array, far: Array) -> None:
    """Two normals of each pair of words: radius times cosine, and times sine.

    The angle is brought within a quarter of a turn of 0, or of a half turn, where both functions change their sign.
    Their polynomials of its share of a quarter turn are least maximum fits, to 2e-10 and 3e-9.
    """
    for i in range(len(even)):
        turn = i32(odd[i])
        beyond = i32(turn << i32(1))
        x = f32(beyond) * _HALF_TURN
        s = x * x
        sine = f32(1.5082056e-4) * s - f32(4.6722279e-3)
        sine = (((sine * s + f32(7.9688480e-2)) * s - f32(6.4596336e-1)) * s + f32(1.5707963)) * x
        cosine = f32(-2.3848340e-5) * s + f32(9.1778877e-4)
        cosine = (cosine * s - f32(2.0862752e-2)) * s + f32(2.5366935e-1)
        cosine = (cosine * s - f32(1.2337005)) * s + f32(1.0)
        radius = np.sqrt(minus_two_logarithms(even[i]))
        turned = i32(f32(radius).view(i32) ^ i32(i32(turn ^ beyond) & _SIGN)).view(f32)
        near[i] = turned * cosine
        far[i] = turned * sine


def minus_two_logarithms(word: np.uint32) -> np.float32:
    """-2 log(u) of u = (word + 1/2) / 2^32, with all its digits at 1 as well, where u - 1 has them.

    See `fused_numbers.logarithm`; the polynomial is a fit of least maximum error, 3e-8 relative.
    """
    part = f32(i32(word)) * _CELL + _HALF_CELL
    bits = f32(part + f32(1.0) if part < f32(0.0) else part).view(i32)
    power = i32(i32(bits - _ROOT_HALF) & _EXPONENT)
    m = i32(bits - power).view(f32) - f32(1.0)
    m = part if power == i32(0) else m
    p = f32(-1.7469709e-1)
    p = p * m + f32(2.8615080e-1)
    p = p * m - f32(2.9835954e-1)
    p = p * m + f32(3.3141013e-1)
    p = p * m - f32(3.9924145e-1)
    p = p * m + f32(5.0003510e-1)
    p = p * m - f32(6.6667901e-1)
    p = p * m + f32(9.9999982e-1)
    p = p * m - f32(2.0)
    return f32(power) * _TWO_LOGS + p * m
