"""Sums of products over a tile of paths, in float64: what controls leave of a figure may be a millionth of it."""

import numpy as np
from numpy.typing import NDArray

from nautilus_metal.kernels.fused_numbers import Array, f32, f64, reordered

Sums = NDArray[np.float64]

SIDE = 3  # rows of the blocks that are multiplied at a time


def all_products(basis: Array, out: Sums) -> None:
    """Add the products of each two rows, whose number is a multiple of `SIDE`, in the lower triangle's blocks."""
    for i in range(0, len(basis), SIDE):
        for j in range(0, i + 1, SIDE):
            add_products(basis[i : i + SIDE], basis[j : j + SIDE], out[i : i + SIDE, j : j + SIDE])


@reordered
def add_products(x: Array, y: Array, out: Sums) -> None:
    """Add the products of two blocks of three rows."""
    a = b = c = d = e = f = g = h = k = 0.0
    for i in range(x.shape[1]):
        p, q, r = f64(x[0, i]), f64(x[1, i]), f64(x[2, i])
        s, t, u = f64(y[0, i]), f64(y[1, i]), f64(y[2, i])
        a += p * s
        b += p * t
        c += p * u
        d += q * s
        e += q * t
        f += q * u
        g += r * s
        h += r * t
        k += r * u
    for place, value in enumerate((a, b, c, d, e, f, g, h, k)):
        out[place // 3, place % 3] += value


@reordered
def paying_products(price: Array, w: Array, strike: np.float32, sign: np.float32, out: Sums) -> None:
    """Add the products of `fused_payoffs.ROWS[EUROPEAN]`, of which eleven differ: an indicator is its own square."""
    inside = paid = by_paid = level = by_level = f32(0.0)
    square = mixed = by_square = paid_square = paid_mixed = by_paid_square = f32(0.0)
    for i in range(len(w)):
        s, x = price[i], price[i] * w[i]
        pays = f32(1.0) if sign * (s - strike) > f32(0.0) else f32(0.0)
        p, q = pays * s, pays * x
        inside += pays
        paid += p
        by_paid += q
        level += s
        by_level += x
        square += s * s
        mixed += s * x
        by_square += x * x
        paid_square += p * s
        paid_mixed += p * x
        by_paid_square += q * x
    values = (
        f32(len(w)), paid, paid_square, by_paid, paid_mixed, by_paid_square, inside, paid, by_paid, inside,
        level, paid_square, paid_mixed, paid, square,
        by_level, paid_mixed, by_paid_square, by_paid, mixed, by_square,
    )  # fmt: skip
    place = 0
    for i in range(6):
        for j in range(i + 1):
            out[i, j] += f64(values[place])
            place += 1
