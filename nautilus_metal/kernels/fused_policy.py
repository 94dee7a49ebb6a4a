"""Longstaff and Schwartz's regression as `longstaff_schwartz.train_policy` makes it, date by date, for a compiler."""

import numpy as np
from numpy.typing import NDArray

from nautilus_metal.kernels.fused_numbers import (
    DENSITY_AT_ZERO,
    Array,
    exponential,
    f32,
    i32,
    logarithm,
    pseudo_row,
    reordered,
    tail_share,
)
from nautilus_metal.kernels.fused_paths import QUICK, path_at
from nautilus_metal.kernels.fused_quick import quick_row
from nautilus_metal.kernels.longstaff_schwartz import BINS, DEGREE, DEPTH, POINTS_A_TERM, RIDGE

Sums = NDArray[np.float64]

_LEAST = f32(1e-30)  # in the money
_BLOCK = 1024  # paths, so that what a date's loops hand on stays in the first cache
_SPARE = 256  # bins of the paths out of the money, several so that none waits for the one before
POWERS = 2 * DEGREE + 1  # of the regressor, from 0 on


def walk_values(
    source: int, seed: int, first: int, tile: int, count: int, width: int, stride: int, market: Array, out: Array,
    powers: Sums,
) -> None:  # fmt: skip
    """Fill columns of `out` with what exercise pays at each date on simulated paths.

    Parameters
    ----------
    source, seed, first, tile, count, width, stride : int
        The stream, `fused_paths.PSEUDO` or `QUICK`, the paths, how many of them there are, the rest being out of the
        money for good, their order (see `fused_paths.path_at`), and steps of a path between dates.
    market : ndarray
        Drift and deviation of the logarithm between dates, strike in units of today's price, sign, rate and dividend
        yield times the years between dates, deviation of the logarithm at expiry.
    out : ndarray
        Shape (3, dates, paths): how far in the money, in deviations at expiry; what exercising pays, negative out of
        the money; and what it pays above the European option, at expiry 0.
    powers : ndarray
        Shape (dates, POWERS), added to: sums over the paths in the money of the powers of how far they are.
    """
    dates, root = out.shape[1], f32(1.0 / np.sqrt(float(stride)))
    words, quick = np.empty((4, tile // 4), np.uint64), np.empty((2, tile // 4), np.uint64)
    centred, ends = np.empty(tile, np.float32), np.empty(tile, np.float32)
    z, total = np.empty(tile, np.float32), np.zeros(tile, np.float32)
    for step in range(dates * stride):
        if source == QUICK:
            quick_row(seed, step, first // 4, quick, z)
        else:
            pseudo_row(seed, step, first // 4, words, centred, ends, z)
        for i in range(tile):
            total[i] += root * z[i]
        if (step + 1) % stride == 0:
            date = step // stride
            depth, paid = out[0, date, first : first + tile], out[1, date, first : first + tile]
            excess = out[2, date, first : first + tile]
            at_date(total, market, f32(date + 1), depth, paid)
            if date + 1 < dates:
                heights(total, market, f32(date + 1), f32(dates - 1 - date), z, excess)
                above_european(z, paid, market, f32(dates - 1 - date), excess)
            else:
                excess[:] = f32(0.0)
            for i in range(tile if first + tile > count else 0):
                if first + path_at(i, tile, width) >= count:
                    depth[i], paid[i], excess[i] = f32(-DEPTH), f32(-np.inf), f32(-np.inf)
            depth_powers(depth, powers[date])


def policy_loop(values: Array, powers: Sums, count: int, rate: float, depths: Sums) -> float:
    """Fit the boundary on paths, whose cash is held in today's worth.

    Parameters
    ----------
    values : ndarray
        Shape (3, dates, paths), see `walk_values`.
    powers : ndarray
        Shape (dates, POWERS), of all paths.
    count : int
        Paths that there are.
    rate : float
        Times the years between dates.
    depths : ndarray
        Filled: how far in the money, in deviations at expiry, an option is exercised; infinite for never.

    Returns
    -------
    float
        Value of not exercising today, in units of today's price.
    """
    _, dates, paths = values.shape
    cash, premium = np.empty(paths, np.float32), np.zeros(paths, np.float32)
    mixed, bins, fit = np.empty(DEGREE + 1), np.empty(BINS + _SPARE), np.empty(DEGREE + 1, np.float32)
    gain, places = np.empty(_BLOCK, np.float32), np.empty(_BLOCK, np.int32)
    paid, share = values[1, dates - 1], f32(np.exp(-rate * dates))
    for i in range(paths):
        cash[i] = share * max(paid[i], f32(0.0))
    depths[:] = 0.0
    for date in range(dates - 1, 0, -1):
        depth, paid, excess = values[0, date - 1], values[1, date - 1], values[2, date - 1]
        mixed[:] = 0.0
        for start in range(0, paths, _BLOCK):
            mixed_powers(depth[start : start + _BLOCK], premium[start : start + _BLOCK], mixed)
        mixed *= np.exp(rate * date)
        depths[date - 1] = np.inf
        if not regression(powers[date - 1], mixed, fit):
            continue
        bins[:] = 0.0
        for start in range(0, paths, _BLOCK):
            binned(depth[start : start + _BLOCK], excess[start : start + _BLOCK], fit, gain, places, bins)
        best, total, deepest = 0.0, 0.0, BINS - 1
        while deepest > 0 and bins[deepest] == 0.0:
            deepest -= 1
        for k in range(deepest, -1, -1):
            total += bins[k]
            if total > best:
                best = total
                depths[date - 1] = k * (DEPTH / BINS)
        edge, share = max(f32(depths[date - 1]), _LEAST), f32(np.exp(-rate * date))
        for start in range(0, paths, _BLOCK):
            part = depth[start : start + _BLOCK]
            exercised(part, edge, paid[start : start + _BLOCK], share, cash[start : start + _BLOCK])
            exercised(part, edge, excess[start : start + _BLOCK], share, premium[start : start + _BLOCK])
    worth = 0.0
    for i in range(paths):
        worth += cash[i]
    return worth / count


def at_date(w: Array, market: Array, date: np.float32, depth: Array, paid: Array) -> None:
    """How far in the money the paths are, and what exercising pays, which is negative out of the money."""
    drift, deviation, strike, sign, spread = market[0], market[1], market[2], market[3], market[6]
    level, scale = logarithm(strike) - drift * date, sign / spread
    for i in range(len(w)):
        depth[i] = min(max(scale * (deviation * w[i] - level), f32(-DEPTH)), f32(DEPTH))
        paid[i] = sign * (exponential(drift * date + deviation * w[i]) - strike)


def heights(w: Array, market: Array, date: np.float32, left: np.float32, nearer: Array, out: Array) -> None:
    """Black and Scholes's second argument, signed, and the normal density there times the strike discounted."""
    drift, deviation, strike, sign, rate, dividend = market[0], market[1], market[2], market[3], market[4], market[5]
    root = deviation * np.sqrt(left)
    slope, scale = sign * deviation / root, DENSITY_AT_ZERO * strike * exponential(-rate * left)
    shift = sign * ((drift * date - logarithm(strike) + (rate - dividend) * left) / root - f32(0.5) * root)
    for i in range(len(w)):
        x = slope * w[i] + shift
        nearer[i] = x
        out[i] = scale * exponential(f32(-0.5) * x * x)


def above_european(nearer: Array, paid: Array, market: Array, left: np.float32, out: Array) -> None:
    """What exercise pays above Black and Scholes's price so many dates before expiry; `out` has the heights.

    Spot times the density at the first argument, both discounted, is the strike times that at the second one, so that
    one exponential makes both tails.
    """
    deviation, strike, sign, rate, dividend = market[1], market[2], market[3], market[4], market[5]
    further = sign * deviation * np.sqrt(left)
    kept, owed = exponential(-dividend * left), strike * exponential(-rate * left)
    for i in range(len(nearer)):
        x, height, gain = nearer[i], out[i], paid[i]
        y, held = x + further, kept * (strike + sign * gain)
        low, high = height * tail_share(abs(x)), height * tail_share(abs(y))
        low = low if x < f32(0.0) else owed - low
        high = high if y < f32(0.0) else held - high
        out[i] = gain - sign * (high - low)


def exercised(depth: Array, edge: np.float32, value: Array, share: np.float32, out: Array) -> None:
    """Set what the paths have that are in the money beyond an edge."""
    for i in range(len(out)):
        out[i] = share * value[i] if depth[i] >= edge else out[i]


def binned(
    depth: Array, excess: Array, fit: Array, gain: Array, places: NDArray[np.int32], bins: Sums
) -> None:
    """Add to the bins of their depths what paths in the money gain by not waiting, as the regression says."""
    a, b, c, d, e = fit[0], fit[1], fit[2], fit[3], fit[4]
    for i in range(len(depth)):
        x = depth[i]
        gain[i] = excess[i] - (a + x * (b + x * (c + x * (d + x * e))))
    for i in range(len(depth)):
        place = min(i32(depth[i] * f32(BINS / DEPTH)), i32(BINS - 1))
        places[i] = place if depth[i] > f32(0.0) else i32(BINS + i % _SPARE)
    for i in range(len(depth)):
        bins[places[i]] += gain[i]


@reordered
def depth_powers(depth: Array, out: Sums) -> None:
    """Add sums over the paths in the money of the powers of x."""
    n = a = b = c = d = e = f = g = h = 0.0
    for i in range(len(depth)):
        x = float(max(depth[i], f32(0.0)))
        xx = x * x
        n += 1.0 if depth[i] > f32(0.0) else 0.0
        a += x
        b += xx
        c += xx * x
        d += xx * xx
        e += xx * xx * x
        f += xx * xx * xx
        g += xx * xx * xx * x
        h += xx * xx * xx * xx
    for k, value in enumerate((n, a, b, c, d, e, f, g, h)):
        out[k] += value


@reordered
def mixed_powers(depth: Array, premium: Array, out: Sums) -> None:
    """Add sums over the paths in the money of the powers of x times the premium."""
    p = q = r = s = t = 0.0
    for i in range(len(depth)):
        x = float(max(depth[i], f32(0.0)))
        y, xx = float(premium[i]) if depth[i] > f32(0.0) else 0.0, x * x
        p += y
        q += y * x
        r += y * xx
        s += y * xx * x
        t += y * xx * xx
    for k, value in enumerate((p, q, r, s, t)):
        out[k] += value


def regression(powers: Sums, mixed: Sums, fit: Array) -> bool:
    """Solve the normal equations; few points give a lower degree, and too few none."""
    count = powers[0]
    size = min(DEGREE, int(count) // POINTS_A_TERM) + 1
    if size < 2:
        return False
    matrix, roots = np.empty((size, size + 1)), np.empty(size)
    for j in range(size):
        roots[j] = max(np.sqrt(powers[2 * j] / count), 1e-12)
    for j in range(size):
        for k in range(size):
            matrix[j, k] = powers[j + k] / (roots[j] * roots[k])
        matrix[j, j] += RIDGE * count
        matrix[j, size] = mixed[j] / roots[j]
    for j in range(size):
        for row in range(size):
            if row != j:
                factor = matrix[row, j] / matrix[j, j]
                for k in range(j, size + 1):
                    matrix[row, k] -= factor * matrix[j, k]
    fit[:] = f32(0.0)
    for j in range(size):
        fit[j] = f32(matrix[j, size] / matrix[j, j] / roots[j])
    return True
