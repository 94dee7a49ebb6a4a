"""Degrees of freedom of Student-t scenarios, by maximum likelihood."""

import math

import torch
from torch import Tensor

DEGREES_GRID = (2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 30.0, 100.0)


def fit_degrees(squares: Tensor) -> float:
    """Choose the degrees of freedom of a unit-variance Student-t by maximum likelihood over `DEGREES_GRID`.

    Parameters
    ----------
    squares : Tensor
        Of returns of unit variance, shape (assets, periods); all elements are pooled but those of an asset that
        never moves.
    """
    squares = squares[squares.any(dim=-1)].to(torch.float32)
    chosen, best = DEGREES_GRID[0], -math.inf
    for degrees in DEGREES_GRID:
        constant = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2) - 0.5 * math.log(math.pi * (degrees - 2))
        likelihood = constant - (degrees + 1) / 2 * float(torch.log1p(squares / (degrees - 2)).mean())
        if likelihood < best:
            break  # it has one peak
        chosen, best = degrees, likelihood
    return chosen
