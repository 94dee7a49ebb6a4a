"""RSI and MACD as loops over histories, for a compiler: one pass, all outputs.

The recurrences are those of the streaming states (`RsiState`, `MacdState`), so the figures are those of the eager
kernels to rounding. A loop is given C-contiguous float64 arrays of shape (series, bars): prices, and one for each
output, which it fills, and says whether every price is finite; if not, the outputs are of no use. Eight series go
side by side, as `lanes`, with the bits that each has alone. Outputs pass the caches by where `lines` is not -1: then
it is how many numbers past the start of a cache line they all start. Uncompiled the loops are right, and slow.
"""

from math import nan

import numpy as np
from numpy.typing import NDArray

from nautilus_metal.kernels.lanes import (
    LANES,
    Value,
    columns,
    eights,
    larger,
    load,
    positive_or,
    put_columns,
    store,
    streamed,
    times_plus,
)

Array = NDArray[np.float64]
Rates = tuple[float, float, float]

_STRETCH = 80  # bars of one series between the passes over them, which hand on what stays in the first cache


def rsi_loop(prices: Array, index: Array, period: int, lines: int) -> bool:
    """Fill `index` with what `kernels.rsi.rsi` gives."""
    series, bars = prices.shape
    flat, filled = prices.reshape(-1), index.reshape(-1)
    share = 1.0 / period
    keep = 1.0 - share
    gains, losses, lasts, totals = np.empty(LANES), np.empty(LANES), np.empty(LANES), np.empty(_STRETCH)
    fine = True
    groups = eights(series, bars, lines)
    for group in range(len(groups)):
        first, apart, phase = groups[group]
        begin, end = whole_lanes(period + 1, bars, phase)
        for i in range(LANES):
            x, y = prices[first + i * apart], index[first + i * apart]
            gain, loss = seed_wilder(x, y, period, share)
            gains[i], losses[i] = wilder_bars(x, y, period + 1, begin, gain, loss, share, keep, totals)
            lasts[i] = x[begin - 1]
        gain, loss, last = load(gains, 0), load(losses, 0), load(lasts, 0)
        for at in range(first * bars + begin, first * bars + end, LANES):
            a, b, c, d, e, f, g, h = columns(flat, at, apart * bars)
            gain, loss, ra = wilder(a, last, gain, loss, share, keep)
            gain, loss, rb = wilder(b, a, gain, loss, share, keep)
            gain, loss, rc = wilder(c, b, gain, loss, share, keep)
            gain, loss, rd = wilder(d, c, gain, loss, share, keep)
            gain, loss, re = wilder(e, d, gain, loss, share, keep)
            gain, loss, rf = wilder(f, e, gain, loss, share, keep)
            gain, loss, rg = wilder(g, f, gain, loss, share, keep)
            gain, loss, rh = wilder(h, g, gain, loss, share, keep)
            last = h
            put_columns(filled, at, apart * bars, (ra, rb, rc, rd, re, rf, rg, rh), phase >= 0)
        store(gains, 0, gain)
        store(losses, 0, loss)
        for i in range(LANES):
            x, y = prices[first + i * apart], index[first + i * apart]
            gain, loss = wilder_bars(x, y, end, bars, gains[i], losses[i], share, keep, totals)
            fine = is_finite(gain + loss + x[0]) and fine
    for row in range(LANES * len(groups), series):
        x, y = prices[row], index[row]
        gain, loss = seed_wilder(x, y, period, share)
        gain, loss = wilder_bars(x, y, period + 1, bars, gain, loss, share, keep, totals)
        fine = is_finite(gain + loss + x[0]) and fine
    streamed()
    return fine


def whole_lanes(begin: int, bars: int, phase: int) -> tuple[int, int]:
    """The bars from `begin` on that fill lanes, from one on that stands at the start of a cache line, if any does."""
    begin = min(begin + ((phase - begin) % LANES if phase >= 0 else 0), bars)
    return begin, bars - (bars - begin) % LANES


def is_finite(x: float) -> bool:
    """Whether a number is not infinite, nor NaN."""
    return x - x == 0.0


def wilder(
    price: Value, last: Value, gain: Value, loss: Value, share: float, keep: float
) -> tuple[Value, Value, Value]:
    """Take one bar into Wilder's averages: the averages and the index."""
    gain, loss = smoothed_moves(price, last, gain, loss, share, keep)
    return gain, loss, 100.0 * gain / positive_or(gain + loss, 1.0)


def smoothed_moves(
    price: Value, last: Value, gain: Value, loss: Value, share: float, keep: float
) -> tuple[Value, Value]:
    """Wilder's averages after one more bar."""
    move = share * (price - last)
    return times_plus(keep, gain, larger(move, 0.0)), times_plus(keep, loss, larger(0.0 - move, 0.0))


def seed_wilder(x: Array, y: Array, period: int, share: float) -> tuple[float, float]:
    """Wilder's averages at the first bar that has an index, plain means of the moves, and that index."""
    gain = loss = 0.0
    for t in range(min(period, len(x))):
        y[t] = nan
    for t in range(1, min(period + 1, len(x))):
        move = share * (x[t] - x[t - 1])
        gain += larger(move, 0.0)
        loss += larger(-move, 0.0)
    if len(x) > period:
        y[period] = 100.0 * gain / positive_or(gain + loss, 1.0)
    return gain, loss


def wilder_bars(
    x: Array, y: Array, begin: int, end: int, gain: float, loss: float, share: float, keep: float, totals: Array
) -> tuple[float, float]:
    """`wilder` of the bars of one series from `begin` to before `end`; the averages after them."""
    last = x[begin - 1] if begin < end else 0.0
    for start in range(begin, end, _STRETCH):
        part, out = x[start : min(start + _STRETCH, end)], y[start : min(start + _STRETCH, end)]
        for t in range(len(part)):
            gain, loss = smoothed_moves(part[t], last, gain, loss, share, keep)
            last = part[t]
            out[t] = gain
            totals[t] = gain + loss
        for t in range(len(part)):  # apart, as a compiler divides several at once
            out[t] = 100.0 * out[t] / positive_or(totals[t], 1.0)
    return gain, loss


def macd_loop(
    prices: Array, value: Array, smoothed: Array, histogram: Array, fast: int, slow: int, signal: int, lines: int
) -> bool:
    """Fill value, signal and histogram with what `kernels.macd.macd` gives."""
    series, bars = prices.shape
    flat, gaps, smooths, rests = prices.reshape(-1), value.reshape(-1), smoothed.reshape(-1), histogram.reshape(-1)
    rates = 2.0 / (fast + 1.0), 2.0 / (slow + 1.0), 2.0 / (signal + 1.0)
    second = slow + signal - 1  # bar with a signal
    lows, highs, levels, lasts = np.empty(LANES), np.empty(LANES), np.empty(LANES), np.empty(LANES)
    fine = True
    groups = eights(series, bars, lines)
    for group in range(len(groups)):
        first, apart, phase = groups[group]
        begin, end = whole_lanes(second, bars, phase)
        for i in range(LANES):
            row = first + i * apart
            x, line, smooth, rest = prices[row], value[row], smoothed[row], histogram[row]
            low, high, level = seed_averages(x, line, smooth, rest, fast, slow, signal)
            lows[i], highs[i], levels[i] = averaged_bars(
                x, line, smooth, rest, second, begin, low, high, level, rates
            )
            lasts[i] = x[begin - 1]
        low, high, lh, last = load(lows, 0), load(highs, 0), load(levels, 0), load(lasts, 0)
        for at in range(first * bars + begin, first * bars + end, LANES):
            a, b, c, d, e, f, g, h = columns(flat, at, apart * bars)
            low, high, la, ga = averaged(a, last, low, high, lh, rates)
            low, high, lb, gb = averaged(b, a, low, high, la, rates)
            low, high, lc, gc = averaged(c, b, low, high, lb, rates)
            low, high, ld, gd = averaged(d, c, low, high, lc, rates)
            low, high, le, ge = averaged(e, d, low, high, ld, rates)
            low, high, lf, gf = averaged(f, e, low, high, le, rates)
            low, high, lg, gg = averaged(g, f, low, high, lf, rates)
            low, high, lh, gh = averaged(h, g, low, high, lg, rates)
            last = h
            put_columns(gaps, at, apart * bars, (ga, gb, gc, gd, ge, gf, gg, gh), phase >= 0)
            put_columns(smooths, at, apart * bars, (la, lb, lc, ld, le, lf, lg, lh), phase >= 0)
            over = (ga - la, gb - lb, gc - lc, gd - ld, ge - le, gf - lf, gg - lg, gh - lh)
            put_columns(rests, at, apart * bars, over, phase >= 0)
        store(lows, 0, low)
        store(highs, 0, high)
        store(levels, 0, lh)
        for i in range(LANES):
            row = first + i * apart
            x, line, smooth, rest = prices[row], value[row], smoothed[row], histogram[row]
            low, high, level = averaged_bars(
                x, line, smooth, rest, end, bars, lows[i], highs[i], levels[i], rates
            )
            fine = is_finite(low + level + x[0]) and fine
    for row in range(LANES * len(groups), series):
        x, line, smooth, rest = prices[row], value[row], smoothed[row], histogram[row]
        low, high, level = seed_averages(x, line, smooth, rest, fast, slow, signal)
        low, high, level = averaged_bars(x, line, smooth, rest, second, bars, low, high, level, rates)
        fine = is_finite(low + level + x[0]) and fine
    streamed()
    return fine


def averaged(
    price: Value, last: Value, low: Value, high: Value, level: Value, rates: Rates
) -> tuple[Value, Value, Value, Value]:
    """Take one bar into the averages: the fast and the slow one less the price, the signal, and the line."""
    move = last - price
    low = times_plus(1.0 - rates[0], low, (1.0 - rates[0]) * move)
    high = times_plus(1.0 - rates[1], high, (1.0 - rates[1]) * move)
    gap = low - high
    return low, high, times_plus(1.0 - rates[2], level, rates[2] * gap), gap


def seed_averages(
    x: Array, line: Array, smooth: Array, rest: Array, fast: int, slow: int, signal: int
) -> tuple[float, float, float]:
    """The state at the first bar with a signal, where plain means have gathered, and that bar's outputs."""
    first = slow + signal - 2
    keep_fast, keep_slow = 1.0 - 2.0 / (fast + 1.0), 1.0 - 2.0 / (slow + 1.0)
    low = high = level = 0.0
    for t in range(min(first + 1, len(x))):
        move = x[t] - x[t - 1] if t else 0.0
        count, late, lines = t + 1, t + 1 - slow + fast, t + 2 - slow
        kept = keep_fast if late > fast else ((late - 1.0) / late if late > 0 else 0.0)
        low = kept * (low - move)
        kept = keep_slow if count > slow else (count - 1.0) / count
        high = kept * (high - move)
        if lines > 0:
            level += (low - high - level) / min(lines, signal)
        line[t] = smooth[t] = rest[t] = nan
    if len(x) > first:
        line[first], smooth[first], rest[first] = low - high, level, low - high - level
    return low, high, level


def averaged_bars(
    x: Array, line: Array, smooth: Array, rest: Array, begin: int, end: int,
    low: float, high: float, level: float, rates: Rates,
) -> tuple[float, float, float]:  # fmt: skip
    """`averaged` of the bars of one series from `begin` to before `end`; the state after them."""
    last = x[begin - 1] if begin < end else 0.0
    for t in range(begin, end):
        low, high, level, gap = averaged(x[t], last, low, high, level, rates)
        last = x[t]
        line[t] = gap
        smooth[t] = level
        rest[t] = gap - level
    return low, high, level
