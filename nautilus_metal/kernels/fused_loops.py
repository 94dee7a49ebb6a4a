"""RSI, MACD and Bollinger bands as plain loops over each series, for a compiler: one pass, all outputs.

The recurrences are those of the streaming states (`RsiState`, `MacdState`, `WindowState`), so the figures are those
of the eager kernels to rounding. A loop is given C-contiguous float64 arrays of shape (series, bars): prices, and one
for each output, which it fills. It needs no more than arithmetic and indexing; uncompiled it is right, and slow.
"""

from math import nan

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_STRETCH = 128  # bars between the passes over them, so that what passes hand on stays in the first cache


def rsi_loop(prices: Array, index: Array, period: int) -> None:
    """Fill `index` with what `kernels.rsi.rsi` gives."""
    series, bars = prices.shape
    share = 1.0 / period
    keep = 1.0 - share
    for row in range(series):
        x, y = prices[row], index[row]
        gain = loss = 0.0
        for t in range(min(period, bars)):
            y[t] = nan
            move = x[t] - x[t - 1] if t else 0.0
            gain += share * max(move, 0.0)
            loss += share * max(-move, 0.0)
        x, y = x[period - 1 :], y[period - 1 :]  # from here on no index can be negative, which a compiler then knows
        last = x[0] if len(x) else 0.0
        decay = 1.0
        for t in range(1, len(x)):
            price = x[t]
            move = share * (price - last)
            last = price
            gain = decay * gain + max(move, 0.0)
            loss = decay * loss + max(-move, 0.0)
            decay = keep
            total = gain + loss
            y[t] = 100.0 * gain / (total if total > 0.0 else 1.0)


def macd_loop(
    prices: Array, value: Array, smoothed: Array, histogram: Array, fast: int, slow: int, signal: int
) -> None:
    """Fill value, signal and histogram with what `kernels.macd.macd` gives."""
    series, bars = prices.shape
    first = slow + signal - 2
    keep_fast, keep_slow = 1.0 - 2.0 / (fast + 1.0), 1.0 - 2.0 / (slow + 1.0)
    rate = 2.0 / (signal + 1.0)
    keep = 1.0 - rate
    for row in range(series):
        x, line, smooth, rest = prices[row], value[row], smoothed[row], histogram[row]
        gap_fast = gap_slow = level = 0.0
        for t in range(min(first + 1, bars)):  # the seeds, plain means, gather
            move = x[t] - x[t - 1] if t else 0.0
            count, late, lines = t + 1, t + 1 - slow + fast, t + 2 - slow
            kept = keep_fast if late > fast else ((late - 1.0) / late if late > 0 else 0.0)
            gap_fast = kept * (gap_fast - move)
            kept = keep_slow if count > slow else (count - 1.0) / count
            gap_slow = kept * (gap_slow - move)
            if lines > 0:
                level += (gap_fast - gap_slow - level) / min(lines, signal)
            line[t] = smooth[t] = rest[t] = nan
        if bars > first:
            line[first], smooth[first], rest[first] = gap_fast - gap_slow, level, gap_fast - gap_slow - level
        x, line, smooth, rest = x[first:], line[first:], smooth[first:], rest[first:]
        last = x[0] if len(x) else 0.0
        for t in range(1, len(x)):
            price = x[t]
            move = last - price
            last = price
            gap_fast = keep_fast * gap_fast + keep_fast * move
            gap_slow = keep_slow * gap_slow + keep_slow * move
            gap = gap_fast - gap_slow
            level = keep * level + rate * gap
            line[t] = gap
            smooth[t] = level
            rest[t] = gap - level


def bollinger_loop(
    prices: Array, uppers: Array, middles: Array, lowers: Array, widths: Array, places: Array, period: int, k: float
) -> None:
    """Fill the fields of `BollingerValues` with the bands of `bollinger_moments` and `bollinger_bands`."""
    series, bars = prices.shape
    stretch = period * max(1, _STRETCH // period)
    tail, tail_square = np.zeros(period), np.zeros(period)  # of the block before, by the number of its bars
    offset, reach, gap = np.empty(stretch), np.empty(stretch), np.empty(stretch)
    share = 1.0 / period
    for row in range(series):
        for begin in range(0, bars, stretch):
            end = min(begin + stretch, bars)
            x = prices[row]
            for start in range(begin, end, period):  # blocks of one period, as `kernels.windows` has them
                block, before = x[start : start + period], x[max(0, start - period) : start][::-1]
                anchor = block[0]
                total = square = 0.0
                for i in range(len(before) - 1):
                    shifted = before[i] - anchor
                    total += shifted
                    square += shifted * shifted
                    tail[period - 2 - i] = total
                    tail_square[period - 2 - i] = square
                totals, squares, gaps = offset[start - begin :], reach[start - begin :], gap[start - begin :]
                total = square = 0.0
                for i in range(len(block)):
                    shifted = block[i] - anchor
                    total += shifted
                    square += shifted * shifted
                    gaps[i] = shifted
                    totals[i] = total + tail[i]
                    squares[i] = square + tail_square[i]
            x, upper, middle = prices[row, begin:end], uppers[row, begin:end], middles[row, begin:end]
            lower, width, place = lowers[row, begin:end], widths[row, begin:end], places[row, begin:end]
            for t in range(len(x)):  # loops of few arrays each: those a compiler makes vectors of
                total = offset[t]
                offset[t] = total * share
                reach[t] = k * np.sqrt(max(share * (reach[t] - total * offset[t]), 0.0))
            for t in range(len(x)):
                middle[t] = x[t] - gap[t] + offset[t]
                gap[t] -= offset[t]
            for t in range(len(x)):
                upper[t] = middle[t] + reach[t]
                lower[t] = middle[t] - reach[t]
            for t in range(len(x)):
                width[t] = 2.0 * reach[t] / (middle[t] if middle[t] != 0.0 else nan)
            for t in range(len(x)):
                place[t] = 0.5 + 0.5 * gap[t] / (reach[t] if reach[t] > 0.0 else nan)
        for t in range(min(period - 1, bars)):
            uppers[row, t] = middles[row, t] = lowers[row, t] = widths[row, t] = places[row, t] = nan
