"""Bollinger bands as a loop over histories, for a compiler: one pass, all outputs; see `fused_loops`.

The sums are those of `kernels.windows` and of the streaming state: over blocks of one period, relative to the first
price of each. A window reaches no further back than one block, so eight parts of one series go side by side as eight
series do. Arrays are handed on one by one, not in tuples: a compiler counts who holds what it takes out of a tuple.
"""

from math import gcd, nan

import numpy as np
from numpy.typing import NDArray

from nautilus_metal.kernels.lanes import (
    LANES,
    Lanes,
    Value,
    columns,
    larger,
    load,
    nonzero_or,
    positive_or,
    put,
    root,
    store,
    streamed,
    turned,
)

Array = NDArray[np.float64]
Plan = NDArray[np.int64]

_STRETCH = 80  # bars between the passes over them, which hand on what stays in the first cache


def bollinger_loop(
    prices: Array, upper: Array, middle: Array, lower: Array, width: Array, place: Array, period: int, k: float,
    direct: bool,
) -> bool:  # fmt: skip
    """Fill the fields of `BollingerValues` with the bands of `bollinger_moments` and `bollinger_bands`."""
    series, bars = prices.shape
    block = min(period, bars)
    unit = block * LANES // gcd(block, LANES)  # bars of whole blocks that are whole lanes
    room = unit * max(1, _STRETCH // unit)
    known, tails, sums = np.empty((block + room) * LANES), np.zeros(2 * block * LANES), np.empty(3 * room * LANES)
    seen = np.zeros(LANES)
    plan = side_by_side(series, bars, block, unit)
    for i in range(len(plan)):
        fill_bands(
            prices.reshape(-1), upper.reshape(-1), middle.reshape(-1), lower.reshape(-1), width.reshape(-1),
            place.reshape(-1), plan[i], block, room, k, direct, known, tails, sums, seen,
        )  # fmt: skip
    for row in range(series):
        for t in range(min(period - 1, bars)):
            upper[row, t] = middle[row, t] = lower[row, t] = width[row, t] = place[row, t] = nan
    streamed()
    return float(seen.sum()) == 0.0


def side_by_side(series: int, bars: int, block: int, unit: int) -> Plan:
    """What is computed at a time: eight series; eight parts of one, which may overlap; at last less than a block.

    Shape (times, 17): where each of the eight starts, how many bars that is into its series, and how many follow.
    """
    part = min(bars, unit * -(-bars // (LANES * unit)))
    last = (bars - part) // block * block
    rest = bars - last - part
    eights, ones = series // LANES, series % LANES
    plan = np.zeros((eights + ones * (2 if rest else 1), 2 * LANES + 1), np.int64)
    for i in range(len(plan)):
        whole, row = i < eights, eights * LANES + (i - eights) % max(ones, 1)
        end = i >= eights + ones
        for j in range(LANES):
            into = 0 if whole else (bars - rest if end else min(j * part, last))
            plan[i, j] = (i * LANES + j if whole else row) * bars + into
            plan[i, LANES + j] = into
        plan[i, 2 * LANES] = bars if whole else (rest if end else part)
    return plan


def fill_bands(
    x: Array, upper: Array, middle: Array, lower: Array, width: Array, place: Array, plan: Plan,
    period: int, room: int, k: float, direct: bool, known: Array, tails: Array, sums: Array, seen: Array,
) -> None:  # fmt: skip
    """Fill what a row of a plan says, by stretches of `room` bars.

    `known` has room for a block and a stretch, as lanes; `tails` for two sums over the block before; `sums` for
    means, variances and what prices are above the means. `seen` turns NaN where a price is not finite.
    """
    ahead = period * LANES
    direct = direct and plan[2 * LANES - 1] == 0
    pa, pb, pc, pd, pe, pf, pg, ph = plan[0], plan[1], plan[2], plan[3], plan[4], plan[5], plan[6], plan[7]
    for i in range(LANES):
        for t in range(period):
            known[t * LANES + i] = x[plan[i] - period + t] if plan[LANES + i] else 0.0
    for begin in range(0, plan[2 * LANES], room):
        length = min(room, plan[2 * LANES] - begin)
        take_bars(x, plan, begin, length, known, ahead)
        for start in range(0, length, period):
            sum_tails(known, start * LANES, period, tails)
            sum_windows(known, start * LANES, min(period, length - start), period, room, tails, sums, seen)
        for t in range(0, length - LANES + 1, LANES):
            at = begin + t
            ma, mb, mc, md, me, mf, mg, mh = columns(sums, t * LANES, LANES)
            sa, sb, sc, sd, se, sf, sg, sh = columns(sums, (room + t) * LANES, LANES)
            sa = put_bands(upper, middle, lower, width, pa + at, ma, sa, k, direct)
            sb = put_bands(upper, middle, lower, width, pb + at, mb, sb, k, direct)
            sc = put_bands(upper, middle, lower, width, pc + at, mc, sc, k, direct)
            sd = put_bands(upper, middle, lower, width, pd + at, md, sd, k, direct)
            se = put_bands(upper, middle, lower, width, pe + at, me, se, k, direct)
            sf = put_bands(upper, middle, lower, width, pf + at, mf, sf, k, direct)
            sg = put_bands(upper, middle, lower, width, pg + at, mg, sg, k, direct)
            sh = put_bands(upper, middle, lower, width, ph + at, mh, sh, k, direct)
            ga, gb, gc, gd, ge, gf, gg, gh = columns(sums, (2 * room + t) * LANES, LANES)
            put(place, pa + at, placed(ga, sa), direct)
            put(place, pb + at, placed(gb, sb), direct)
            put(place, pc + at, placed(gc, sc), direct)
            put(place, pd + at, placed(gd, sd), direct)
            put(place, pe + at, placed(ge, se), direct)
            put(place, pf + at, placed(gf, sf), direct)
            put(place, pg + at, placed(gg, sg), direct)
            put(place, ph + at, placed(gh, sh), direct)
        for j in range((length - length % LANES) * LANES, length * LANES):
            at = plan[j % LANES] + begin + j // LANES
            mean, deviation = sums[j], deviated(sums[room * LANES + j], k)
            upper[at], middle[at], lower[at] = mean + deviation, mean, mean - deviation
            width[at] = widened(mean, deviation)
            place[at] = placed(sums[2 * room * LANES + j], deviation)
        for j in range(ahead):
            known[j] = known[room * LANES + j]


def take_bars(x: Array, plan: Plan, begin: int, length: int, known: Array, ahead: int) -> None:
    """Copy bars of eight series side by side, behind the block before."""
    for t in range(0, length - LANES + 1, LANES):
        at = begin + t
        a, b, c, d, e, f, g, h = turned(
            load(x, plan[0] + at), load(x, plan[1] + at), load(x, plan[2] + at), load(x, plan[3] + at),
            load(x, plan[4] + at), load(x, plan[5] + at), load(x, plan[6] + at), load(x, plan[7] + at),
        )  # fmt: skip
        here = ahead + t * LANES
        store(known, here, a)
        store(known, here + LANES, b)
        store(known, here + 2 * LANES, c)
        store(known, here + 3 * LANES, d)
        store(known, here + 4 * LANES, e)
        store(known, here + 5 * LANES, f)
        store(known, here + 6 * LANES, g)
        store(known, here + 7 * LANES, h)
    for j in range((length - length % LANES) * LANES, length * LANES):
        known[ahead + j] = x[plan[j % LANES] + begin + j // LANES]


def sum_tails(known: Array, at: int, period: int, tails: Array) -> None:
    """Sums over the tails of a block, of prices and of squares, relative to the first price of the next one."""
    base = load(known, at + period * LANES)
    gap = square = base - base
    for i in range(period - 1, 0, -1):
        shifted = load(known, at + i * LANES) - base
        gap = gap + shifted
        square = square + shifted * shifted
        store(tails, (i - 1) * LANES, gap)
        store(tails, (period + i - 1) * LANES, square)


def sum_windows(
    known: Array, at: int, size: int, period: int, room: int, tails: Array, sums: Array, seen: Array
) -> None:
    """Means and variances of the windows that end in a block, and what its prices are above the means."""
    share, ahead = 1.0 / period, period * LANES
    base = load(known, at + ahead)
    gap = square = base - base
    for j in range(0, size * LANES, LANES):
        shifted = load(known, at + ahead + j) - base
        gap = gap + shifted
        square = square + shifted * shifted
        mean = share * (gap + load(tails, j))
        store(sums, at + j, base + mean)
        store(sums, room * LANES + at + j, share * (square + load(tails, ahead + j)) - mean * mean)
        store(sums, 2 * room * LANES + at + j, shifted - mean)
    store(seen, 0, load(seen, 0) + (square - square))


def put_bands(
    upper: Array, middle: Array, lower: Array, width: Array, at: int, mean: Lanes, spread: Lanes,
    k: float, direct: bool,
) -> Lanes:  # fmt: skip
    """Store bands of eight bars of a series; what they are apart from the middle."""
    deviation = deviated(spread, k)
    put(upper, at, mean + deviation, direct)
    put(middle, at, mean, direct)
    put(lower, at, mean - deviation, direct)
    put(width, at, widened(mean, deviation), direct)
    return deviation


def deviated(spread: Value, k: float) -> Value:
    """`k` standard deviations by a variance."""
    return k * root(larger(spread, 0.0))


def widened(mean: Value, deviation: Value) -> Value:
    """The width of bands in units of the middle."""
    return 2.0 * deviation / nonzero_or(mean, nan)


def placed(gap: Value, deviation: Value) -> Value:
    """Where between the bands a price is, from what it is above the middle."""
    return 0.5 + 0.5 * gap / positive_or(deviation, nan)
