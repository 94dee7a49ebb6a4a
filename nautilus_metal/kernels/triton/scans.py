"""RSI and MACD of many series: a program walks one series in blocks of bars, with an associative scan in each.

A recurrence ``y = a y + b`` is the scan of the pairs (a, b); what a block ends with is carried to the next.
Prices are float32 or float64, and so are the results.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from nautilus_metal.kernels.triton.language import jit, tl

_RSI_BLOCK, _RSI_WARPS = 1024, 1
_MACD_BLOCK, _MACD_WARPS = 512, 1


@jit()
def _both(a, x, y, b, u, v):
    return a * b, b * x + u, b * y + v


@jit()
def _one(a, x, b, u):
    return a * b, b * x + u


@jit()
def _rsi_scan(result, prices, settings, series, bars, BLOCK: tl.constexpr):
    setting = (tl.program_id(0) // series).to(tl.int64)
    source = prices + (tl.program_id(0) % series).to(tl.int64) * bars
    target = result + tl.program_id(0).to(tl.int64) * bars
    period = tl.load(settings + 3 * setting)
    weight = tl.load(settings + 3 * setting + 1)
    keep = tl.load(settings + 3 * setting + 2)
    lanes = tl.arange(0, BLOCK)
    gain = 0.0 * weight  # of the type of the prices
    loss = gain
    for start in range(0, bars, BLOCK):
        time = start + lanes
        inside = time < bars
        price = tl.load(source + time, mask=inside, other=0.0)
        before = tl.load(source + time - 1, mask=inside & (time > 0), other=0.0)
        move = tl.where(time > 0, price - before, 0.0) * weight
        age = time.to(price.dtype)
        factor = tl.where(age > period, keep, 1.0)
        up = tl.maximum(move, 0.0) + tl.where(lanes == 0, factor * gain, 0.0)
        down = tl.maximum(-move, 0.0) + tl.where(lanes == 0, factor * loss, 0.0)
        _, gains, losses = tl.associative_scan((factor, up, down), 0, _both)
        total = gains + losses
        index = tl.where(total > 0.0, 100.0 * gains / tl.where(total > 0.0, total, 1.0), 0.0)
        tl.store(target + time, tl.where(age < period, float("nan"), index), mask=inside)
        gain = tl.sum(tl.where(lanes == BLOCK - 1, gains, 0.0))
        loss = tl.sum(tl.where(lanes == BLOCK - 1, losses, 0.0))


@jit()
def _gap_terms(move, number, period, keep):
    """Factor and term of the gap of an average to the newest price, see `kernels.macd`."""
    share = tl.where(number <= period, (number - 1.0) / tl.maximum(number, 1.0), keep)
    share = tl.where(number <= 1.0, 0.0, share)
    return share, -share * move


@jit("number")
def _macd_scan(result, prices, settings, number, series, bars, BLOCK: tl.constexpr):
    row = settings + 7 * (tl.program_id(0) // series)
    source = prices + (tl.program_id(0) % series).to(tl.int64) * bars
    target = result + tl.program_id(0).to(tl.int64) * bars
    step = number.to(tl.int64) * series * bars
    brief = tl.load(row)
    slow = tl.load(row + 1)
    signal = tl.load(row + 2)
    keep_brief = tl.load(row + 3)
    keep_slow = tl.load(row + 4)
    keep_signal = tl.load(row + 5)
    rate = tl.load(row + 6)
    first = slow + signal - 2.0
    lanes = tl.arange(0, BLOCK)
    gap_brief = 0.0 * rate  # of the type of the prices
    gap_slow = gap_brief
    smooth = gap_brief
    for start in range(0, bars, BLOCK):
        time = start + lanes
        inside = time < bars
        price = tl.load(source + time, mask=inside, other=0.0)
        before = tl.load(source + time - 1, mask=inside & (time > 0), other=0.0)
        move = tl.where(time > 0, price - before, 0.0)
        age = time.to(price.dtype)
        a, x = _gap_terms(move, age + 1.0 - (slow - brief), brief, keep_brief)
        b, y = _gap_terms(move, age + 1.0, slow, keep_slow)
        x += tl.where(lanes == 0, a * gap_brief, 0.0)
        y += tl.where(lanes == 0, b * gap_slow, 0.0)
        _, briefs = tl.associative_scan((a, x), 0, _one)
        _, slows = tl.associative_scan((b, y), 0, _one)
        line = briefs - slows
        c = tl.where(age > first, keep_signal, 1.0)
        z = tl.where(age > first, rate * line, tl.where(age >= slow - 1.0, line / signal, 0.0))
        z += tl.where(lanes == 0, c * smooth, 0.0)
        _, smooths = tl.associative_scan((c, z), 0, _one)
        early = age < first
        tl.store(target + time, tl.where(early, float("nan"), line), mask=inside)
        tl.store(target + step + time, tl.where(early, float("nan"), smooths), mask=inside)
        tl.store(target + 2 * step + time, tl.where(early, float("nan"), line - smooths), mask=inside)
        last = lanes == BLOCK - 1
        gap_brief = tl.sum(tl.where(last, briefs, 0.0))
        gap_slow = tl.sum(tl.where(last, slows, 0.0))
        smooth = tl.sum(tl.where(last, smooths, 0.0))


def rsi_scan(prices: Tensor, periods: Sequence[int]) -> Tensor:
    """RSI as `kernels.rsi.rsi` has it; prices (series, bars), result (periods, series, bars)."""
    series, bars = prices.shape
    settings = _settings(tuple((n, 1.0 / n, 1.0 - 1.0 / n) for n in periods), prices.dtype, prices.device)
    result = torch.empty(len(periods), series, bars, dtype=prices.dtype, device=prices.device)
    grid = (len(periods) * series,)
    _rsi_scan[grid](result, prices.contiguous(), settings, series, bars, BLOCK=_RSI_BLOCK, num_warps=_RSI_WARPS)
    return result


def macd_scan(prices: Tensor, periods: Sequence[tuple[int, int, int]]) -> Tensor:
    """MACD as `kernels.macd.macd` has it; prices (series, bars), result (3, settings, series, bars)."""
    series, bars = prices.shape
    rows = tuple((*each, *(1.0 - 2.0 / (n + 1.0) for n in each), 2.0 / (each[2] + 1.0)) for each in periods)
    settings = _settings(rows, prices.dtype, prices.device)
    result = torch.empty(3, len(rows), series, bars, dtype=prices.dtype, device=prices.device)
    _macd_scan[(len(rows) * series,)](
        result, prices.contiguous(), settings, len(rows), series, bars, BLOCK=_MACD_BLOCK, num_warps=_MACD_WARPS
    )
    return result


@lru_cache(maxsize=64)
def _settings(rows: tuple[tuple[float, ...], ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Kept on the device: bringing them there would take longer than a small scan."""
    return torch.tensor(rows, dtype=dtype).to(device)
