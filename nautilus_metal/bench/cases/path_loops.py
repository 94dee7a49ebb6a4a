"""Simulated option prices as one writes them by hand for numba: counter-based normals, Box and Muller, all cores."""

from collections.abc import Callable
from functools import cache
from math import cos, exp, log, pi, sin, sqrt
from typing import Any

import numpy as np

Market = tuple[float, float, float, float, float]  # spot, strike, years, rate, volatility


def european(paths: int, market: Market) -> tuple[float, ...]:
    """A call's price, standard error, delta, gamma, vega, theta and rho; needs numba."""
    sums = np.array(_compiled("european")(paths, *market)) / paths
    price, square, *greeks = (float(value) for value in sums)
    return price, sqrt((square - price * price) / paths), *greeks


def asian(paths: int, dates: int, market: Market) -> tuple[float, ...]:
    """An arithmetic Asian call's price, standard error and delta; needs numba."""
    price, square, delta = (value / paths for value in _compiled("asian")(paths, dates, *market))
    return price, sqrt((square - price * price) / paths), delta


def american(paths: int, dates: int, market: Market) -> tuple[float, ...]:
    """An American put's price by Longstaff and Schwartz on the paths of the regression, and its standard error."""
    price, square = (value / paths for value in _compiled("american")(paths, dates, *market))
    return price, sqrt((square - price * price) / paths)


@cache
def _compiled(name: str) -> Callable[..., Any]:
    """Compile a loop; the first call takes seconds, before anything is timed."""
    import numba

    pair = numba.njit(fastmath=True, inline="always")(_pair)
    moments = numba.njit(fastmath=True)(_moments)
    prange = numba.prange

    def european(paths, spot, strike, years, rate, volatility):  # type: ignore[no-untyped-def]
        root, discount = volatility * sqrt(years), exp(-rate * years)
        drift = (rate - 0.5 * volatility * volatility) * years
        value = square = delta = gamma = vega = theta = rho = 0.0
        for i in prange(paths // 2):
            for z in pair(i):
                price = spot * exp(drift + root * z)
                if price > strike:
                    paid, level = discount * (price - strike), discount * price
                    value += paid
                    square += paid * paid
                    delta += level / spot
                    gamma += level * (z / root - 1.0) / (spot * spot)
                    vega += level * (sqrt(years) * z - volatility * years)
                    theta += rate * paid - level * (drift / years + 0.5 * root / years * z)
                    rho += discount * strike * years
        return value, square, delta, gamma, vega, theta, rho

    def asian(paths, dates, spot, strike, years, rate, volatility):  # type: ignore[no-untyped-def]
        step, discount = years / dates, exp(-rate * years)
        drift, root = (rate - 0.5 * volatility * volatility) * step, volatility * sqrt(step)
        value = square = delta = 0.0
        for i in prange(paths // 2):
            first = second = np.float64(log(spot))
            total, other = 0.0, 0.0
            for t in range(dates):
                y, z = pair(i * dates + t)
                first += drift + root * y
                second += drift + root * z
                total += exp(first)
                other += exp(second)
            for mean in (total / dates, other / dates):
                if mean > strike:
                    paid = discount * (mean - strike)
                    value += paid
                    square += paid * paid
                    delta += discount * mean / spot
        return value, square, delta

    def american(paths, dates, spot, strike, years, rate, volatility):  # type: ignore[no-untyped-def]
        step = years / dates
        drift, root = (rate - 0.5 * volatility * volatility) * step, volatility * sqrt(step)
        discount = exp(-rate * step)
        prices = np.empty((dates, paths), np.float32)
        for i in prange(paths // 2):
            first = second = 0.0
            for t in range(dates):
                y, z = pair(i * dates + t)
                first += drift + root * y
                second += drift + root * z
                prices[t, 2 * i], prices[t, 2 * i + 1] = spot * exp(first), spot * exp(second)
        cash, parts = np.empty(paths), 16
        sums = np.empty((parts, 11))
        for i in range(paths):  # too little work to share, and much to compile
            cash[i] = max(strike - prices[dates - 1, i], 0.0)
        for t in range(dates - 2, -1, -1):
            for k in prange(parts):
                sums[k] = moments(prices[t], cash, strike, discount, k * paths // parts, (k + 1) * paths // parts)
            s = sums.sum(axis=0)
            if s[0] < 20.0:
                continue
            matrix = np.empty((4, 4))
            for j in range(4):
                matrix[j] = s[j : j + 4]
            fit = np.linalg.solve(matrix, s[7:])
            for i in prange(paths):
                if prices[t, i] < strike:
                    x = prices[t, i] / strike
                    if strike - prices[t, i] > fit[0] + x * (fit[1] + x * (fit[2] + x * fit[3])):
                        cash[i] = strike - prices[t, i]
        value = square = 0.0
        for i in range(paths):
            paid = discount * cash[i]
            value += paid
            square += paid * paid
        return value, square

    loops: dict[str, Any] = {"european": european, "asian": asian, "american": american}
    found: Callable[..., Any] = numba.njit(parallel=True, fastmath=True)(loops[name])
    return found


def _moments(prices, cash, strike, discount, first, stop):  # type: ignore[no-untyped-def]
    """Discount the cash of some paths, and sum up the powers of those in the money for a cubic regression."""
    found = np.zeros(11)
    for i in range(first, stop):
        cash[i] *= discount
        if prices[i] < strike:
            x, y, power = prices[i] / strike, cash[i], 1.0
            for j in range(7):
                found[j] += power
                if j < 4:
                    found[7 + j] += power * y
                power *= x
    return found


def _pair(counter):  # type: ignore[no-untyped-def]
    """Two normals of a counter; Steele, Lea and Flood's (2014) mixing function makes the word."""
    word = np.uint64(counter + 1) * np.uint64(0x9E3779B97F4A7C15)
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    word ^= word >> np.uint64(31)
    u = (np.float32(word >> np.uint64(40)) + np.float32(0.5)) * np.float32(2.0**-24)
    angle = np.float32(word & np.uint64(0xFFFFFF)) * np.float32(2.0 * pi * 2.0**-24)
    radius = np.float32(sqrt(np.float32(-2.0) * log(u)))
    return radius * cos(angle), radius * sin(angle)
