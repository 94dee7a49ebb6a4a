"""Sums of logarithms as a plain loop, for a compiler: what a Student-t's likelihood takes most of its time for."""

from math import log

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def log_sum_loop(rows: Array, above: float, product: Array) -> float:
    """Sum ``log(x + above)`` over all x of `rows`, shape (a multiple of 4, columns), by the columns' products.

    `product`, shape (columns,), is written over. A column's product must stay inside float64.
    """
    factors, columns = rows.shape
    product[:] = 1.0
    for first in range(0, factors, 4):
        a, b, c, d = rows[first], rows[first + 1], rows[first + 2], rows[first + 3]
        for j in range(columns):
            product[j] *= ((a[j] + above) * (b[j] + above)) * ((c[j] + above) * (d[j] + above))
    total = 0.0
    for j in range(columns):
        total += log(product[j])
    return total
