"""The GARCH log-likelihood as a plain loop over each series, for a compiler: what `garch_likelihood` computes."""

from math import log, log1p

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def garch_loop(
    returns: Array,
    parameters: Array,
    start: Array,
    constants: Array,
    free: NDArray[np.int64],
    student: bool,
    value: Array,
    score: Array,
    information: Array,
) -> None:
    """Fill `value`, `score` and `information`, of shape (B,), (B, 6) and (B, 6, 6), from float64 arrays.

    `constants`, shape (2, B), are those of `log_constants`; the rest is as for `kernels.garch.garch_likelihood`.
    """
    series, periods = returns.shape
    count = len(free)
    slope, each, scaled, total, inner = np.zeros(5), np.zeros(6), np.zeros(6), np.zeros(6), np.zeros((6, 6))
    for row in range(series):
        mu, omega, alpha = parameters[row, 0], parameters[row, 1], parameters[row, 2]
        gamma, beta, degrees = parameters[row, 3], parameters[row, 4], parameters[row, 5]
        constant, constant_slope = constants[0, row], constants[1, row]
        x = returns[row]
        slope[:], total[:], inner[:] = 0.0, 0.0, 0.0
        square = h = start[row]
        fall, weighted, summed = square / 2.0, 0.0, 0.0
        for t in range(periods):
            slope[0] = beta * slope[0] - 2.0 * weighted
            slope[1] = beta * slope[1] + 1.0
            slope[2] = beta * slope[2] + square
            slope[3] = beta * slope[3] + fall
            slope[4] = beta * slope[4] + h
            h = omega + alpha * square + gamma * fall + beta * h
            residual = x[t] - mu
            square = residual * residual
            fall = square if residual < 0.0 else 0.0
            weighted = (alpha + gamma) * residual if residual < 0.0 else alpha * residual
            inverse = 1.0 / h
            if student:
                ratio = square * inverse / (degrees - 2.0)
                share, logs = ratio / (1.0 + ratio), log1p(ratio)
                summed += constant - 0.5 * log(h) - 0.5 * (degrees + 1.0) * logs
                by_variance = (0.5 * (degrees + 1.0) * share - 0.5) * inverse
                by_mean = (degrees + 1.0) * residual * inverse / ((degrees - 2.0) * (1.0 + ratio))
                by_degrees = constant_slope - 0.5 * logs + 0.5 * (degrees + 1.0) * share / (degrees - 2.0)
            else:
                summed += constant - 0.5 * (log(h) + square * inverse)
                by_variance = 0.5 * (square * inverse - 1.0) * inverse
                by_mean, by_degrees = residual * inverse, 0.0
            for i in range(count):
                one = free[i]
                if one == 5:
                    each[i] = by_degrees
                else:
                    each[i] = by_variance * slope[one]
                    if one == 0:
                        each[i] += by_mean
                    scaled[i] = slope[one] * inverse
                total[i] += each[i]
            for i in range(count):
                for j in range(i + 1):
                    inner[i, j] += each[i] * each[j] if student else 0.5 * scaled[i] * scaled[j]
            if not student and free[0] == 0:
                inner[0, 0] += inverse
        value[row] = summed
        score[row] = 0.0
        information[row] = 0.0
        for i in range(count):
            score[row, free[i]] = total[i]
            for j in range(i + 1):
                information[row, free[i], free[j]] = inner[i, j]
                information[row, free[j], free[i]] = inner[i, j]
