"""RSI and MACD of many series: the fused scan of `kernels.metal` where there is one, else the eager kernel."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from nautilus_metal.engine.fused import fused_kernels
from nautilus_metal.kernels.macd import MacdValues, macd
from nautilus_metal.kernels.metal import calls
from nautilus_metal.kernels.parameters import macd_bars, whole_bars
from nautilus_metal.kernels.rsi import rsi

# A thread walks a whole series: with few of them most of the device would stand idle, and the blocked product is
# the better way.
LEAST_SERIES = 256

# Of the results' largest magnitude: what `engine.histories` states for float32 over 3,000 bars.
_RSI_TOLERANCE, _MACD_TOLERANCE = 5e-5, 1e-3


def fused_rsi(prices: Tensor, period: int | Sequence[int]) -> Tensor:
    """Compute the RSI; parameters, result and errors are those of `kernels.rsi.rsi`."""
    several = isinstance(period, Sequence)
    periods = list(period) if several else [period]  # type: ignore[arg-type]
    kernels = _kernels(prices, len(periods))
    if kernels is None:
        return rsi(prices, period)
    periods = [whole_bars("period", bars) for bars in periods]

    def fast(library: Any) -> tuple[Tensor]:
        found = calls.rsi_scan(library, prices, periods)
        return (found if several else found[0],)

    return kernels.run("rsi_scan", "indicators", fast, lambda: (rsi(prices, period),), _RSI_TOLERANCE)[0]


def fused_macd(prices: Tensor, settings: tuple[int, int, int] | Sequence[tuple[int, int, int]]) -> MacdValues:
    """Compute the MACD; parameters, result and errors are those of `kernels.macd.macd`."""
    several = len(settings) == 0 or isinstance(settings[0], Sequence)
    rows: Any = settings if several else [settings]
    kernels = _kernels(prices, len(rows))
    if kernels is None:
        return macd(prices, settings)
    checked = [macd_bars(*one) for one in rows]

    def fast(library: Any) -> tuple[Tensor, ...]:
        line, signal, histogram = calls.macd_scan(library, prices, checked)
        return (line, signal, histogram) if several else (line[0], signal[0], histogram[0])

    return MacdValues(*kernels.run("macd_scan", "indicators", fast, lambda: macd(prices, settings), _MACD_TOLERANCE))


def _kernels(prices: Tensor, settings: int) -> Any:
    fits = prices.dim() == 2 and prices.dtype == torch.float32 and prices.shape[-1] > 0
    return fused_kernels(prices.device) if fits and len(prices) * settings >= LEAST_SERIES else None
