"""RSI, MACD and Bollinger bands as plain loops over each series, for a compiler: one pass, all outputs.

The recurrences are those of the streaming states (`RsiState`, `MacdState`, `WindowState`), so the figures are those
of the eager kernels to rounding. A loop is given C-contiguous float64 arrays of shape (series, bars): prices, and one
for each output, which it fills, and says whether every price is finite; if not, the outputs are of no use. It needs
no more than arithmetic and indexing; uncompiled it is right, and slow.
"""

from math import nan

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_STRETCH = 80  # bars between the passes over them: what passes hand on stays in the first cache, stores come evenly


def _finite(x: Array) -> bool:
    """Whether no value is NaN or infinite."""
    strange = 0
    for t in range(len(x)):
        strange += x[t] - x[t] != 0.0
    return strange == 0


def rsi_loop(prices: Array, index: Array, period: int) -> bool:
    """Fill `index` with what `kernels.rsi.rsi` gives."""
    series, bars = prices.shape
    share = 1.0 / period
    keep = 1.0 - share
    totals = np.empty(_STRETCH)
    fine = True
    for row in range(series):
        x, y = prices[row], index[row]
        gain = loss = 0.0
        for t in range(min(period, bars)):
            y[t] = nan
            move = x[t] - x[t - 1] if t else 0.0
            gain += share * max(move, 0.0)
            loss += share * max(-move, 0.0)
        last = x[min(period, bars) - 1]
        decay = 1.0
        for begin in range(period, bars, _STRETCH):
            x, y = prices[row, begin : begin + _STRETCH], index[row, begin : begin + _STRETCH]
            for t in range(len(x)):
                price = x[t]
                move = share * (price - last)
                last = price
                gain = decay * gain + max(move, 0.0)
                loss = decay * loss + max(-move, 0.0)
                decay = keep
                y[t] = gain
                totals[t] = gain + loss
            for t in range(len(x)):  # apart, as a compiler divides several at once
                y[t] = 100.0 * y[t] / (totals[t] if totals[t] > 0.0 else 1.0)
        fine = _finite(prices[row]) and fine
    return fine


def macd_loop(
    prices: Array, value: Array, smoothed: Array, histogram: Array, fast: int, slow: int, signal: int
) -> bool:
    """Fill value, signal and histogram with what `kernels.macd.macd` gives."""
    series, bars = prices.shape
    first = slow + signal - 2
    keep_fast, keep_slow = 1.0 - 2.0 / (fast + 1.0), 1.0 - 2.0 / (slow + 1.0)
    rate = 2.0 / (signal + 1.0)
    keep = 1.0 - rate
    fine = True
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
        fine = _finite(prices[row]) and fine
    return fine


def bollinger_loop(
    prices: Array, uppers: Array, middles: Array, lowers: Array, widths: Array, places: Array, period: int, k: float
) -> bool:
    """Fill the fields of `BollingerValues` with the bands of `bollinger_moments` and `bollinger_bands`."""
    series, bars = prices.shape
    if period > bars:  # no window is ever full
        uppers[:] = middles[:] = lowers[:] = widths[:] = places[:] = nan
        return _finite(prices.reshape(-1))
    blocks = max(1, _STRETCH // period)  # of one period, as `kernels.windows` has them
    stretch = blocks * period
    known = np.zeros((blocks + 1, period))  # the prices of a stretch, below the block before it
    anchor, total, square = np.empty((blocks, period)), np.empty((blocks, period)), np.empty((blocks, period))
    tail, tail_square = np.zeros((blocks, period)), np.zeros((blocks, period))  # of the block before each
    anchors, totals, squares = anchor.reshape(-1), total.reshape(-1), square.reshape(-1)
    tails, tail_squares, prices_known = tail.reshape(-1), tail_square.reshape(-1), known.reshape(-1)
    share = 1.0 / period
    fine = True
    for row in range(series):
        for begin in range(0, bars, stretch):
            end = min(begin + stretch, bars)
            x, fresh = prices[row, begin:end], prices_known[period:]
            for i in range(period):
                prices_known[i] = prices_known[stretch + i]
            for t in range(len(x)):
                fresh[t] = x[t]
            for b in range((end - begin + period - 1) // period):
                base = known[b + 1, 0]
                gap = gap_square = 0.0
                for i in range(period - 1, 0, -1):
                    shifted = known[b, i] - base
                    gap += shifted
                    gap_square += shifted * shifted
                    tail[b, i - 1] = gap
                    tail_square[b, i - 1] = gap_square
                gap = gap_square = 0.0
                for i in range(period):
                    shifted = known[b + 1, i] - base
                    gap += shifted
                    gap_square += shifted * shifted
                    total[b, i] = gap
                    square[b, i] = gap_square
                for i in range(period):
                    anchor[b, i] = base
            upper, middle, lower = uppers[row, begin:end], middles[row, begin:end], lowers[row, begin:end]
            width, place = widths[row, begin:end], places[row, begin:end]
            for t in range(len(x)):  # loops of few arrays each: those a compiler makes vectors of
                totals[t] = share * (totals[t] + tails[t])
                middle[t] = anchors[t] + totals[t]
            for t in range(len(x)):
                spread = share * (squares[t] + tail_squares[t]) - totals[t] * totals[t]
                squares[t] = k * np.sqrt(max(spread, 0.0))
            for t in range(len(x)):
                upper[t] = middle[t] + squares[t]
                lower[t] = middle[t] - squares[t]
            for t in range(len(x)):
                width[t] = 2.0 * squares[t] / (middle[t] if middle[t] != 0.0 else nan)
            for t in range(len(x)):
                place[t] = 0.5 + 0.5 * (x[t] - anchors[t] - totals[t]) / (squares[t] if squares[t] > 0.0 else nan)
        for t in range(period - 1):
            uppers[row, t] = middles[row, t] = lowers[row, t] = widths[row, t] = places[row, t] = nan
        fine = _finite(prices[row]) and fine
    return fine
