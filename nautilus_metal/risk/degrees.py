"""Degrees of freedom of Student-t scenarios, by maximum likelihood."""

import math
from functools import cache

from torch import Tensor
from torch.nn.functional import pad

from nautilus_metal.engine.fused_degrees import fused_log_sum

DEGREES_GRID = (2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 30.0, 100.0)
_FACTORS = 32  # of a product, one logarithm: squares up to a thousand million leave it inside float64


def fit_degrees(squares: Tensor) -> float:
    """Choose the degrees of freedom of a unit-variance Student-t by maximum likelihood over `DEGREES_GRID`.

    Parameters
    ----------
    squares : Tensor
        Of returns of unit variance, float64, shape (assets, periods); all elements are pooled but those of an asset
        that never moves. Where none moves, the answer is the degrees nearest to the normal law.
    """
    moving = squares.amax(dim=-1) > 0  # several times faster than `any`
    squares = (squares if bool(moving.all()) else squares[moving]).flatten()
    count = len(squares)
    if not count:
        return DEGREES_GRID[-1]
    added = -count % _FACTORS
    squares = pad(squares, (0, added)) if added else squares
    log_sum = fused_log_sum(squares.view(_FACTORS, -1))

    @cache
    def likelihood(row: int) -> float:
        degrees = DEGREES_GRID[row]
        constant = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2) - 0.5 * math.log(math.pi * (degrees - 2))
        logs = log_sum(degrees - 2) - len(squares) * math.log(degrees - 2)
        return constant - (degrees + 1) / 2 * logs / count

    low, high = 0, len(DEGREES_GRID) - 1
    while low < high:  # it has one peak
        middle = (low + high) // 2
        if likelihood(middle + 1) < likelihood(middle):
            high = middle
        else:
            low = middle + 1
    return DEGREES_GRID[low]
