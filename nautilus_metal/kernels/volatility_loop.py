"""Shocks in units of their filtered volatility as a plain loop over each series, for a compiler."""

from math import sqrt

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def shocks_loop(
    returns: Array, start: Array, constant: Array, least: Array, up: float, down: float, beta: float, shocks: Array,
    ahead: Array,
) -> None:  # fmt: skip
    """Fill `shocks`, of the shape of `returns`, and `ahead`, shape (assets,): what `filtered_shocks` returns.

    Of each asset `start` is the first variance, `constant` what every period adds and `least` the least variance;
    `up` and `down` weigh the square of a rise and of a fall, `beta` the last variance.
    """
    assets, periods = returns.shape
    for row in range(assets):
        x, made = returns[row], shocks[row]
        variance, add, least_one = start[row], constant[row], least[row]
        for t in range(periods):
            made[t] = variance
            weight = down if x[t] < 0.0 else up
            variance = beta * variance + (weight * x[t] * x[t] + add)
        ahead[row] = max(variance, least_one)
        if least_one > 0.0:
            for t in range(periods):
                made[t] = x[t] / sqrt(max(made[t], least_one))
        else:
            for t in range(periods):
                made[t] = 0.0
