"""The portable normals of `kernels.normals` in float32, and elementary functions, as loops for a compiler.

The numbers are the same integers, bit for bit, and their quantiles to 1e-6. Elementary functions are polynomials,
because a compiler makes vectors of sums and products but not of calls. Uncompiled it is right, and very slow.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Words = NDArray[np.uint64]
Keys = NDArray[np.int64]  # of a dimension or of several: scrambled direction numbers, and last the shift

SOBOL_BITS = 30

f32, f64, i32, i64, u64 = np.float32, np.float64, np.int32, np.int64, np.uint64

_LOW, _HALF = u64(0xFFFFFFFF), u64(32)
_FACTOR_A, _FACTOR_B = u64(0xD2E7470EE14C6C93), u64(0xCA5A826395121157)
_BUMP_A, _BUMP_B = u64(0x9E3779B97F4A7C15), u64(0xBB67AE8584CAA73B)
_DROPPED = u64(12)
_CELLS = i64(1 << 52)
_CELL, _HALF_CELL = f32(2.0**-52), f32(2.0**-53)
_WHOLES = f32(1.5 * 2.0**23 + 127.0)

DENSITY_AT_ZERO = f32(0.3989422804014327)


def reordered(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a compiler take the sums of a function in any order, without which it makes no vectors of them."""
    function.__dict__["reordered"] = True
    return function


def multiplied(factor: np.uint64, x: np.uint64) -> tuple[np.uint64, np.uint64]:
    """High and low word of a product of 64-bit words, by halves, for which there are vector instructions."""
    f0, f1, x0, x1 = factor & _LOW, factor >> _HALF, x & _LOW, x >> _HALF
    low = f0 * x0
    middle = f1 * x0 + (low >> _HALF)
    other = f0 * x1 + (middle & _LOW)
    return f1 * x1 + (middle >> _HALF) + (other >> _HALF), (other << _HALF) | (low & _LOW)


def philox(seed: np.uint64, row: np.uint64, first: np.uint64, out: Words) -> None:
    """Fill `out` (4, blocks) with blocks of Philox 4x64 of ten rounds, as numpy counts: the first one is 1."""
    w, x, y, z = out[0], out[1], out[2], out[3]
    for i in range(len(w)):
        a, b, c, d = first + u64(i) + u64(1), u64(0), u64(0), u64(0)
        a, b, c, d = rounds(a, b, c, d, seed, row)
        seed2, row2 = seed + _BUMP_A + _BUMP_A, row + _BUMP_B + _BUMP_B
        a, b, c, d = rounds(a, b, c, d, seed2, row2)
        seed4, row4 = seed2 + _BUMP_A + _BUMP_A, row2 + _BUMP_B + _BUMP_B
        a, b, c, d = rounds(a, b, c, d, seed4, row4)
        seed6, row6 = seed4 + _BUMP_A + _BUMP_A, row4 + _BUMP_B + _BUMP_B
        a, b, c, d = rounds(a, b, c, d, seed6, row6)
        seed8, row8 = seed6 + _BUMP_A + _BUMP_A, row6 + _BUMP_B + _BUMP_B
        a, b, c, d = rounds(a, b, c, d, seed8, row8)
        w[i] = a
        x[i] = b
        y[i] = c
        z[i] = d


def rounds(a, b, c, d, seed, row):  # type: ignore[no-untyped-def]
    """Two rounds; ten written out are what a compiler makes vectors of."""
    high_a, low_a = multiplied(_FACTOR_A, a)
    high_c, low_c = multiplied(_FACTOR_B, c)
    a, b, c, d = high_c ^ b ^ seed, low_c, high_a ^ d ^ row, low_a
    high_a, low_a = multiplied(_FACTOR_A, a)
    high_c, low_c = multiplied(_FACTOR_B, c)
    return high_c ^ b ^ (seed + _BUMP_A), low_c, high_a ^ d ^ (row + _BUMP_B), low_a


def logarithm(x: np.float32) -> np.float32:
    """Moshier, Cephes `logf`: 2e-7 relative, for normal positive numbers."""
    bits = f32(x).view(i32)
    exponent = i32(i32(bits - i32(0x3F3504F3)) >> i32(23))
    m = i32(bits - i32(exponent << i32(23))).view(f32) - f32(1.0)
    z, e = m * m, f32(exponent)
    p = f32(7.0376836292e-2)
    p = p * m - f32(1.1514610310e-1)
    p = p * m + f32(1.1676998740e-1)
    p = p * m - f32(1.2420140846e-1)
    p = p * m + f32(1.4249322787e-1)
    p = p * m - f32(1.6668057665e-1)
    p = p * m + f32(2.0000714765e-1)
    p = p * m - f32(2.4999993993e-1)
    p = p * m + f32(3.3333331174e-1)
    return m + (p * m * z + e * f32(-2.12194440e-4) - f32(0.5) * z) + e * f32(0.693359375)


def exponential(x: np.float32) -> np.float32:
    """1e-7 relative; 0 below -87.4 and infinite above 88.4, as the power of 2 then is.

    The reduction is that of Moshier, Cephes `expf`, the polynomial a fit of least maximum error, 3e-9. Adding to a
    float whose last digit is worth 1 rounds, and leaves the whole number in the last bits.
    """
    y = min(max(x, f32(-88.0)), f32(89.0))
    shifted = f32(1.44269504088896341) * y + _WHOLES
    whole = shifted - _WHOLES
    y = y - whole * f32(0.693359375)
    y = y - whole * f32(-2.12194440e-4)
    p = f32(1.3814599e-3)
    p = p * y + f32(8.3687169e-3)
    p = p * y + f32(4.1668388e-2)
    p = p * y + f32(1.6666521e-1)
    p = p * y + f32(4.9999993e-1)
    p = p * y + f32(1.0)
    return (p * y + f32(1.0)) * i32(f32(shifted).view(i32) << i32(23)).view(f32)


def quantile(centred: np.float32, end: np.float32) -> np.float32:
    """Normal quantile of u from 2u - 1 and the smaller of u and 1 - u, either with all its digits.

    The form of Giles (2012), "Approximating the erfinv function": a polynomial of -log(4u(1-u)) in the middle, of its
    root in the tails. The coefficients are a fit at Chebyshev nodes down to u = 2^-54: 1e-7 in the middle, 1e-6 in
    the tails.
    """
    w = -logarithm(f32(4.0) * end * (f32(1.0) - end))
    x = w - f32(2.5)
    middle = f32(3.958320979018468e-08)
    middle = middle * x + f32(4.851791012795494e-07)
    middle = middle * x + f32(-4.981194607326561e-06)
    middle = middle * x + f32(-6.2078803398587705e-06)
    middle = middle * x + f32(0.0003091150937163621)
    middle = middle * x + f32(-0.0017730417438562812)
    middle = middle * x + f32(-0.005908129905325179)
    middle = middle * x + f32(0.34880268456515046)
    middle = middle * x + f32(2.123313559582029)
    x = np.sqrt(max(w, f32(5.0))) - f32(4.122197765909855)
    tail = f32(2.6980883324389486e-05)
    tail = tail * x + f32(-8.571893188580479e-05)
    tail = tail * x + f32(3.2441597010067715e-05)
    tail = tail * x + f32(1.5608429443039604e-05)
    tail = tail * x + f32(0.00037926308792541057)
    tail = tail * x + f32(-0.001147494243622016)
    tail = tail * x + f32(0.0013625282178459468)
    tail = tail * x + f32(1.4280506372016322)
    tail = tail * x + f32(5.6047539698106155)
    return centred * (middle if w < f32(5.0) else tail)


def all_quantiles(centred: Array, ends: Array, out: Array) -> None:
    """Fill `out` with the quantiles."""
    for i in range(len(out)):
        out[i] = quantile(centred[i], ends[i])


def pseudo_row(seed: int, row: int, first: int, words: Words, centred: Array, ends: Array, out: Array) -> None:
    """Fill `out` with a row of pseudo-random normals from block `first` on: path 4b + i stands at i * blocks + b."""
    philox(u64(seed), u64(row), u64(first), words)
    blocks = words.shape[1]
    for i in range(4):
        x, p, w = centred[i * blocks : (i + 1) * blocks], ends[i * blocks : (i + 1) * blocks], words[i]
        for j in range(blocks):
            place = i64(2) * i64(w[j] >> _DROPPED) + i64(1) - _CELLS
            x[j] = f32(place) * _CELL
            p[j] = f32(_CELLS - abs(place)) * _HALF_CELL
    all_quantiles(centred, ends, out)


def sobol_row(keys: Keys, first: int, points: NDArray[np.int32], centred: Array, ends: Array, out: Array) -> None:
    """Fill `out` with a dimension's normals from point `first` on, a multiple of the length, a power of two."""
    point, gray = keys[SOBOL_BITS], first ^ (first >> 1)
    for bit in range(SOBOL_BITS):
        if (gray >> bit) & 1:
            point ^= keys[bit]
    points[0] = point
    size, bit = 1, 0
    while size < len(points):
        for i in range(size):
            points[size + i] = points[size - 1 - i] ^ i32(keys[bit])
        size *= 2
        bit += 1
    for i in range(len(points)):
        place = i32(i32(2) * points[i] + i32(1) - i32(1 << SOBOL_BITS))
        centred[i] = f32(place) * f32(2.0**-SOBOL_BITS)
        ends[i] = f32(i32(1 << SOBOL_BITS) - abs(place)) * f32(0.5**(SOBOL_BITS + 1))
    all_quantiles(centred, ends, out)


def scramble(seed: int, row: int, directions: Keys, words: Words, keys: Keys) -> None:
    """Fill the keys of a dimension as `kernels.normals` scrambles them; `words` (4, 8) is scratch."""
    philox(u64(seed), u64(row), u64(0), words)
    below = i64((1 << SOBOL_BITS) - 1)
    for k in range(SOBOL_BITS):
        keys[k] = 0
    for k in range(SOBOL_BITS):  # the mask of bit SOBOL_BITS - 1 - k: itself, and more significant ones at random
        place = i64(1) << i64(SOBOL_BITS - 1 - k)
        mask = (i64(words[k % 4, k // 4]) & below & (i64(-2) * place)) | place
        for j in range(SOBOL_BITS):
            bits = directions[j] & mask
            bits ^= bits >> 16
            bits ^= bits >> 8
            bits ^= bits >> 4
            bits ^= bits >> 2
            bits ^= bits >> 1
            keys[j] |= (bits & 1) * place
    keys[SOBOL_BITS] = i64(words[SOBOL_BITS % 4, SOBOL_BITS // 4]) & below


def lower_tail(x: np.float32) -> np.float32:
    """The normal distribution function; Press et al. (1992), "Numerical recipes", section 6.2, `erfcc`: 2e-7."""
    z = abs(x) * f32(0.7071067811865476)
    t = f32(1.0) / (f32(1.0) + f32(0.5) * z)
    p = f32(0.17087277)
    p = p * t - f32(0.82215223)
    p = p * t + f32(1.48851587)
    p = p * t - f32(1.13520398)
    p = p * t + f32(0.27886807)
    p = p * t - f32(0.18628806)
    p = p * t + f32(0.09678418)
    p = p * t + f32(0.37409196)
    p = p * t + f32(1.00002368)
    p = p * t - f32(1.26551223)
    tail = f32(0.5) * t * exponential(p - z * z)
    return tail if x < f32(0.0) else f32(1.0) - tail


def tail_share(x: np.float32) -> np.float32:
    """A normal tail by its density, but for rounding to 8e-8 of 1; Abramowitz and Stegun (1964), formula 26.2.17."""
    t = f32(1.0) / (f32(1.0) + f32(0.2316419) * x)
    p = f32(1.330274429) * t - f32(1.821255978)
    p = (p * t + f32(1.781477937)) * t - f32(0.356563782)
    return (p * t + f32(0.319381530)) * t
