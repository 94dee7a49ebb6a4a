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
    eights,
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
    lines: int,
) -> bool:  # fmt: skip
    """Fill the fields of `BollingerValues` with the bands of `bollinger_moments` and `bollinger_bands`."""
    series, bars = prices.shape
    block = min(period, bars)
    unit = block * LANES // gcd(block, LANES)  # bars of whole blocks that are whole lanes
    room = unit * max(1, _STRETCH // unit)
    known, tails = np.empty((block + room) * LANES), np.zeros(2 * block * LANES)
    sums, seen = np.empty(3 * (LANES + room) * LANES), np.zeros(LANES)
    plan = side_by_side(series, bars, block, unit, lines)
    for i in range(len(plan)):
        fill_bands(
            prices.reshape(-1), upper.reshape(-1), middle.reshape(-1), lower.reshape(-1), width.reshape(-1),
            place.reshape(-1), plan[i], block, room, k, known, tails, sums, seen,
        )  # fmt: skip
    for row in range(series):
        for t in range(min(period - 1, bars)):
            upper[row, t] = middle[row, t] = lower[row, t] = width[row, t] = place[row, t] = nan
    streamed()
    return float(seen.sum()) == 0.0


def side_by_side(series: int, bars: int, block: int, unit: int, lines: int) -> Plan:
    """What is computed at a time: eight series; eight parts of one, which may overlap; at last less than a block.

    Shape (times, 18): where each of the eight starts, how many bars that is into its series, how many follow, and
    which of them is the first at the start of a cache line, -1 for through the caches.
    """
    groups, ones = eights(series, bars, lines), series % LANES
    whole = len(groups)
    part = min(bars, unit * -(-bars // (LANES * unit)))
    last = (bars - part) // block * block
    rest = bars - last - part
    plan = np.zeros((whole + ones * (2 if rest else 1), 2 * LANES + 2), np.int64)
    for i in range(whole):
        for j in range(LANES):
            plan[i, j] = (groups[i, 0] + j * groups[i, 1]) * bars
        plan[i, 2 * LANES], plan[i, 2 * LANES + 1] = bars, groups[i, 2]
    for i in range(whole, len(plan)):
        row, end = whole * LANES + (i - whole) % ones, i >= whole + ones
        for j in range(LANES):
            plan[i, LANES + j] = bars - rest if end else min(j * part, last)
            plan[i, j] = row * bars + plan[i, LANES + j]
        plan[i, 2 * LANES], plan[i, 2 * LANES + 1] = rest if end else part, -1
    return plan


def fill_bands(
    x: Array, upper: Array, middle: Array, lower: Array, width: Array, place: Array, plan: Plan,
    period: int, room: int, k: float, known: Array, tails: Array, sums: Array, seen: Array,
) -> None:  # fmt: skip
    """Fill what a row of a plan says, by stretches of `room` bars.

    `known` has room for a block and a stretch, as lanes; `tails` for two sums over the block before; `sums` for
    means, variances and what prices are above the means, of eight bars and a stretch. `seen` turns NaN where a price
    is not finite.
    """
    ahead, count, phase = period * LANES, plan[2 * LANES], plan[2 * LANES + 1]
    direct, part = phase >= 0, len(sums) // 3
    pa, pb, pc, pd, pe, pf, pg, ph = plan[0], plan[1], plan[2], plan[3], plan[4], plan[5], plan[6], plan[7]
    for i in range(LANES):
        for t in range(period):
            known[t * LANES + i] = x[plan[i] - period + t] if plan[LANES + i] else 0.0
    left = 0  # bars of the stretch before, in front of those of this one
    for begin in range(0, count, room):
        length = min(room, count - begin)
        take_bars(x, plan, begin, length, known, ahead)
        for start in range(0, length, period):
            sum_tails(known, start * LANES, period, tails)
            sum_windows(known, start * LANES, min(period, length - start), period, tails, sums, seen)
        first, end, at = LANES - left, LANES + length, begin - LANES
        if begin == 0 and phase > 0:
            first = min(LANES + phase, end)
            put_singly(upper, middle, lower, width, place, plan, at, LANES, first, sums, k)
        left = (end - first) % LANES
        for t in range(first, end - left, LANES):
            ma, mb, mc, md, me, mf, mg, mh = columns(sums, t * LANES, LANES)
            sa, sb, sc, sd, se, sf, sg, sh = columns(sums, part + t * LANES, LANES)
            sa = put_bands(upper, middle, lower, width, pa + at + t, ma, sa, k, direct)
            sb = put_bands(upper, middle, lower, width, pb + at + t, mb, sb, k, direct)
            sc = put_bands(upper, middle, lower, width, pc + at + t, mc, sc, k, direct)
            sd = put_bands(upper, middle, lower, width, pd + at + t, md, sd, k, direct)
            se = put_bands(upper, middle, lower, width, pe + at + t, me, se, k, direct)
            sf = put_bands(upper, middle, lower, width, pf + at + t, mf, sf, k, direct)
            sg = put_bands(upper, middle, lower, width, pg + at + t, mg, sg, k, direct)
            sh = put_bands(upper, middle, lower, width, ph + at + t, mh, sh, k, direct)
            ga, gb, gc, gd, ge, gf, gg, gh = columns(sums, 2 * part + t * LANES, LANES)
            put(place, pa + at + t, placed(ga, sa), direct)
            put(place, pb + at + t, placed(gb, sb), direct)
            put(place, pc + at + t, placed(gc, sc), direct)
            put(place, pd + at + t, placed(gd, sd), direct)
            put(place, pe + at + t, placed(ge, se), direct)
            put(place, pf + at + t, placed(gf, sf), direct)
            put(place, pg + at + t, placed(gg, sg), direct)
            put(place, ph + at + t, placed(gh, sh), direct)
        if begin + length == count:
            put_singly(upper, middle, lower, width, place, plan, at, end - left, end, sums, k)
        for j in range(left * LANES):
            for i in range(0, len(sums), part):
                sums[i + (LANES - left) * LANES + j] = sums[i + (end - left) * LANES + j]
        for j in range(ahead):
            known[j] = known[room * LANES + j]


def put_singly(
    upper: Array, middle: Array, lower: Array, width: Array, place: Array, plan: Plan,
    at: int, begin: int, end: int, sums: Array, k: float,
) -> None:  # fmt: skip
    """Store bands of bars that fill no lanes."""
    part = len(sums) // 3
    for j in range(begin * LANES, end * LANES):
        bar = plan[j % LANES] + at + j // LANES
        mean, deviation = sums[j], deviated(sums[part + j], k)
        upper[bar], middle[bar], lower[bar] = mean + deviation, mean, mean - deviation
        width[bar] = widened(mean, deviation)
        place[bar] = placed(sums[2 * part + j], deviation)


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
    known: Array, at: int, size: int, period: int, tails: Array, sums: Array, seen: Array
) -> None:
    """Means and variances of the windows that end in a block, and what its prices are above the means."""
    share, ahead, part, to = 1.0 / period, period * LANES, len(sums) // 3, LANES * LANES + at
    base = load(known, at + ahead)
    gap = square = base - base
    for j in range(0, size * LANES, LANES):
        shifted = load(known, at + ahead + j) - base
        gap = gap + shifted
        square = square + shifted * shifted
        mean = share * (gap + load(tails, j))
        store(sums, to + j, base + mean)
        store(sums, part + to + j, share * (square + load(tails, ahead + j)) - mean * mean)
        store(sums, 2 * part + to + j, shifted - mean)
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
