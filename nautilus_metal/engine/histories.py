"""Whole histories of RSI, MACD and Bollinger bands: by a compiled loop where there is one, else by an eager kernel.

In float64 (CPU, CUDA) the figures are those of the streaming indicators to 1e-9 relative. On mps, which has float32
only, an RSI is within 5e-3 (of 100), a MACD and a band within 1e-3 of the scale of the moves, over 3,000 bars.

Every function takes the `dtype` to compute in, the engine's `exact_dtype` by default, and refuses a price that is not
finite with an `InputError`. Without an engine they run where `placement` puts so many values that come back.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nautilus_metal.engine.compute import ComputeEngine
from nautilus_metal.engine.fused_histories import fused_history, fused_once
from nautilus_metal.engine.fused_scans import fused_macd, fused_rsi
from nautilus_metal.engine.placement import placed
from nautilus_metal.engine.series import Kernel, evaluate, level
from nautilus_metal.engine.shared import shared_engine
from nautilus_metal.kernels.bollinger import BandMoments, BollingerValues, bollinger_bands, bollinger_moments
from nautilus_metal.kernels.macd import MacdValues
from nautilus_metal.kernels.parameters import finite

Array = NDArray[np.float64]


def rsi_history(
    history: Array,
    periods: int | Sequence[int],
    engine: ComputeEngine | None = None,
    dtype: torch.dtype | None = None,
) -> Array:
    """RSI of each series; with a sequence of periods, a leading axis of them."""
    settings: Any = (periods,) if isinstance(periods, int) else [(period,) for period in periods]
    engine = _placed(engine, history, 1, settings)
    fused = _fused("rsi", history, settings, _is_one(settings), engine, dtype)
    if fused is None:
        return evaluate(lambda x, some: (fused_rsi(x, some),), finite(history), periods, engine, dtype)[0]
    return fused[0]


def macd_history(
    history: Array,
    settings: Sequence[Any],
    engine: ComputeEngine | None = None,
    dtype: torch.dtype | None = None,
) -> MacdValues:
    """MACD of each series; with a sequence of (fast, slow, signal), a leading axis of them."""
    engine = _placed(engine, history, len(MacdValues._fields), settings)
    fused = _fused("macd", history, settings, _is_one(settings), engine, dtype)
    if fused is None:
        return MacdValues(*evaluate(fused_macd, finite(history), settings, engine, dtype))
    return MacdValues(*fused)


def bollinger_history(
    history: Array,
    settings: tuple[int, float] | Sequence[tuple[int, float]],
    engine: ComputeEngine | None = None,
    dtype: torch.dtype | None = None,
) -> BollingerValues:
    """Bollinger bands of each series; with a sequence of (period, k), a leading axis of them."""
    one = _is_one(settings)
    engine = _placed(engine, history, len(BollingerValues._fields), settings)
    fused = _fused("bollinger", history, settings, one, engine, dtype)
    if fused is None:
        finite(history)
        rows: Any = [settings] if one else settings
        bands = [bands_history(partial(_moments, period), history, k, engine, dtype) for period, k in rows]
        fused = bands[0] if one else tuple(map(np.stack, zip(*bands, strict=True)))
    return BollingerValues(*fused)


def bands_history(
    kernel: Kernel, history: Array, k: float, engine: ComputeEngine | None, dtype: torch.dtype | None = None
) -> BollingerValues:
    """Bands from a kernel that returns `BandMoments`; made on the device too where it has float64."""
    engine = engine or shared_engine()
    if engine.device.type != "cpu" and (dtype or engine.exact_dtype) == torch.float64:

        def bands(prices: Tensor, _: Any) -> BollingerValues:
            moments = BandMoments(*kernel(prices, None))
            return bollinger_bands(moments.middle, moments.sigma, moments.deviation, k)

        return BollingerValues(*evaluate(bands, history, None, engine))
    middle, sigma, deviation = evaluate(kernel, history, None, engine, dtype)
    return bollinger_bands(middle + level(history, dtype or engine.exact_dtype), sigma, deviation, k)


def _moments(period: int, prices: Tensor, _: Any) -> BandMoments:
    return bollinger_moments(prices, period)


def _placed(engine: ComputeEngine | None, history: Array, outputs: int, settings: Sequence[Any]) -> ComputeEngine:
    return placed(engine, "series", history.size * outputs * (1 if _is_one(settings) else len(settings)))


def _is_one(settings: Sequence[Any]) -> bool:
    """Whether these are the numbers of one setting, and not a sequence of settings."""
    return len(settings) > 0 and isinstance(settings[0], int)


def _fused(
    name: str, history: Array, settings: Any, one: bool, engine: ComputeEngine, dtype: torch.dtype | None
) -> tuple[Array, ...] | None:
    if dtype == torch.float32:
        return None
    return (fused_once if one else fused_history)(name, history, settings, engine)
