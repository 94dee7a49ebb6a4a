"""Degrees of freedom of Student-t scenarios, by maximum likelihood."""

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import pad

DEGREES_GRID = (2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 30.0, 100.0)
_FACTORS = 4  # of a product: squares up to a thousand million leave it inside float32


def fit_degrees(squares: Tensor) -> float:
    """Choose the degrees of freedom of a unit-variance Student-t by maximum likelihood over `DEGREES_GRID`.

    Parameters
    ----------
    squares : Tensor
        Of returns of unit variance, shape (assets, periods); all elements are pooled but those of an asset that
        never moves. Where none moves, the answer is the degrees nearest to the normal law.
    """
    moving = squares.amax(dim=-1) > 0  # several times faster than `any`
    squares = (squares if bool(moving.all()) else squares[moving]).to(torch.float32).flatten()
    count = len(squares)
    if not count:
        return DEGREES_GRID[-1]
    squares = pad(squares, (0, -count % _FACTORS)).view(_FACTORS, -1)

    @cache
    def likelihood(row: int) -> float:
        degrees = DEGREES_GRID[row]
        constant = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2) - 0.5 * math.log(math.pi * (degrees - 2))
        grown = squares.mul(1 / (degrees - 2)).add_(1.0).prod(dim=0)  # a logarithm takes longer than three products
        return constant - (degrees + 1) / 2 * float(grown.log_().sum(dtype=torch.float64)) / count

    low, high = 0, len(DEGREES_GRID) - 1
    while low < high:  # it has one peak
        middle = (low + high) // 2
        if likelihood(middle + 1) < likelihood(middle):
            high = middle
        else:
            low = middle + 1
    return DEGREES_GRID[low]
