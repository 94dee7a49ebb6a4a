"""RSI and MACD of many series: the fused scan of the device's language where there is one, else the eager kernel."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nautilus_metal.engine import fused_cuda
from nautilus_metal.engine.fused import FusedKernels, fused_kernels
from nautilus_metal.kernels.macd import MacdValues, macd
from nautilus_metal.kernels.metal import calls
from nautilus_metal.kernels.parameters import macd_bars, whole_bars
from nautilus_metal.kernels.rsi import rsi

# A thread walks a whole series: with few of them most of the device would stand idle, and the blocked product is
# the better way.
LEAST_SERIES = 256

# Of the results' largest magnitude: what `engine.histories` states for float32 over 3,000 bars.
_RSI_TOLERANCE, _MACD_TOLERANCE = 5e-5, 1e-3
_EXACT_TOLERANCE = 1e-9  # the same in float64


class Scans(NamedTuple):
    """A device's scans: their language and source, how what is compiled is called, and the types that it takes."""

    language: str
    source: Any
    rsi: Any
    macd: Any
    types: tuple[torch.dtype, ...]


SCANS: dict[str, Scans] = {
    "mps": Scans("metal", "indicators", calls.rsi_scan, calls.macd_scan, (torch.float32,)),
    "cuda": Scans(
        "triton",
        fused_cuda.scans,
        lambda compiled, *arguments: compiled.rsi_scan(*arguments),
        lambda compiled, *arguments: compiled.macd_scan(*arguments),
        (torch.float32, torch.float64),
    ),
}


def fused_rsi(prices: Tensor, period: int | Sequence[int]) -> Tensor:
    """Compute the RSI; parameters, result and errors are those of `kernels.rsi.rsi`."""
    several = isinstance(period, Sequence)
    periods = list(period) if several else [period]  # type: ignore[arg-type]
    row, kernels = _kernels(prices, len(periods))
    if kernels is None:
        return rsi(prices, period)
    periods = [whole_bars("period", bars) for bars in periods]

    def fast(library: Any) -> tuple[Tensor]:
        found = row.rsi(library, prices, periods)
        return (found if several else found[0],)

    name, tolerance = _checked(prices, "rsi_scan", _RSI_TOLERANCE)
    return kernels.run(name, row.source, fast, lambda: (rsi(prices, period),), tolerance)[0]


def fused_macd(prices: Tensor, settings: tuple[int, int, int] | Sequence[tuple[int, int, int]]) -> MacdValues:
    """Compute the MACD; parameters, result and errors are those of `kernels.macd.macd`."""
    several = len(settings) == 0 or isinstance(settings[0], Sequence)
    rows: Any = settings if several else [settings]
    row, kernels = _kernels(prices, len(rows))
    if kernels is None:
        return macd(prices, settings)
    checked = [macd_bars(*one) for one in rows]

    def fast(library: Any) -> tuple[Tensor, ...]:
        line, signal, histogram = row.macd(library, prices, checked)
        return (line, signal, histogram) if several else (line[0], signal[0], histogram[0])

    name, tolerance = _checked(prices, "macd_scan", _MACD_TOLERANCE)
    return MacdValues(*kernels.run(name, row.source, fast, lambda: macd(prices, settings), tolerance))


def _checked(prices: Tensor, name: str, tolerance: float) -> tuple[str, float]:
    """The name under which a type's scan is trusted, and its tolerance."""
    return (f"{name}_float64", _EXACT_TOLERANCE) if prices.dtype == torch.float64 else (name, tolerance)


def _kernels(prices: Tensor, settings: int) -> tuple[Scans, FusedKernels | None]:
    row = SCANS.get(prices.device.type, SCANS["mps"])
    fits = prices.dim() == 2 and prices.dtype in row.types and prices.shape[-1] > 0
    enough = len(prices) * settings >= LEAST_SERIES
    return row, fused_kernels(prices.device, row.language) if fits and enough else None
