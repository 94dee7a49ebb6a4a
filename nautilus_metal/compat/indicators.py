"""Technical indicators over whole histories, with signals: RSI, MACD, Bollinger bands."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from nautilus_metal.compat.background import in_background
from nautilus_metal.compat.manager import metal_device_manager
from nautilus_metal.compat.performance import Operation
from nautilus_metal.compat.results import Array, TechnicalIndicatorResult, made_by
from nautilus_metal.engine import ComputeEngine
from nautilus_metal.engine.devices import KINDS
from nautilus_metal.engine.histories import bollinger_history, macd_history, rsi_history
from nautilus_metal.errors import InputError
from nautilus_metal.kernels.parameters import band_width, macd_bars, price_history, whole_bars

_WORKLOAD = "technical_indicators"
_PART = 1 << 14  # elements converted at a time: between two parts the loop can have the interpreter's lock
_NAMES = np.array(["hold", "buy", "sell"])
_HOLD, _BUY, _SELL = range(3)


async def calculate_rsi_metal(
    prices: ArrayLike, period: int = 14, *, overbought_threshold: float = 70.0, oversold_threshold: float = 30.0
) -> TechnicalIndicatorResult:
    """Compute Wilder's relative strength index, 0 to 100, beside the running event loop.

    Parameters
    ----------
    prices : array_like
        Shape (bars,), oldest first, finite.
    period : int
        Bars of smoothing.
    overbought_threshold, oversold_threshold : float
        Above the first is a "sell", below the second a "buy".

    Returns
    -------
    TechnicalIndicatorResult
        NaN for the first `period` bars. The convention is TA-Lib's (see `kernels.rsi.rsi`).

    Raises
    ------
    InputError
        If an argument is not as above.
    """
    low, high = _thresholds(oversold_threshold, overbought_threshold)
    bars = whole_bars("period", period)

    def work(history: Array) -> TechnicalIndicatorResult:
        values, facts = _computed("rsi", rsi_history, 1, history, bars)
        codes = np.where(values < low, _BUY, np.where(values > high, _SELL, _HOLD))
        last = _last(values)
        return TechnicalIndicatorResult(
            indicator_name="RSI",
            values=values,
            signals=_named(codes),
            signal_rule=f"buy below {low:g}, sell above {high:g}, else hold",
            confidence=None if last is None else abs(last - 50.0) / 50.0,
            confidence_definition="distance of the last RSI from 50, over 50",
            lookback_period=bars,
            **facts,
        )

    return await in_background(lambda: work(_history(prices)))


async def calculate_macd_metal(
    prices: ArrayLike, fast_period: int = 12, slow_period: int = 26, signal_period: int = 9
) -> TechnicalIndicatorResult:
    """Compute the moving average convergence divergence, beside the running event loop.

    Parameters
    ----------
    prices : array_like
        Shape (bars,), oldest first, finite.
    fast_period, slow_period, signal_period : int
        Bars; the fast one below the slow one.

    Returns
    -------
    TechnicalIndicatorResult
        In the units of the price, NaN for the first ``slow + signal - 2`` bars. The convention is TA-Lib's.

    Raises
    ------
    InputError
        If an argument is not as above.
    """
    bars = macd_bars(fast_period, slow_period, signal_period)

    def work(history: Array) -> TechnicalIndicatorResult:
        (line, signal, histogram), facts = _computed("macd", macd_history, 3, history, bars)
        before = _shifted(histogram)
        up, down = (histogram > 0) & (before <= 0), (histogram < 0) & (before >= 0)
        last = _last(histogram)
        largest = float(np.nanmax(np.abs(histogram))) if last is not None else 0.0
        return TechnicalIndicatorResult(
            indicator_name="MACD",
            values=line,
            signals=_named(np.where(up, _BUY, np.where(down, _SELL, _HOLD))),
            signal_rule="buy where the line crosses above its signal, sell where it crosses below, else hold",
            confidence=abs(last) / largest if last is not None and largest > 0 else None,
            confidence_definition="size of the last histogram bar, over the largest one of the history",
            lookback_period=bars[1],
            signal_line=signal,
            histogram=histogram,
            **facts,
        )

    return await in_background(lambda: work(_history(prices)))


async def calculate_bollinger_bands_metal(
    prices: ArrayLike, period: int = 20, std_dev_multiplier: float = 2.0
) -> TechnicalIndicatorResult:
    """Compute Bollinger's bands, beside the running event loop.

    Parameters
    ----------
    prices : array_like
        Shape (bars,), oldest first, finite.
    period : int
        Bars of the moving window.
    std_dev_multiplier : float
        Population standard deviations from the middle to a band.

    Returns
    -------
    TechnicalIndicatorResult
        In the units of the price, NaN for the first ``period - 1`` bars.

    Raises
    ------
    InputError
        If an argument is not as above.
    """
    bars, width = whole_bars("period", period), band_width(std_dev_multiplier)

    def work(history: Array) -> TechnicalIndicatorResult:
        bands, facts = _computed("bollinger_bands", bollinger_history, 5, history, (bars, width))
        codes = np.where(history < bands.lower, _BUY, np.where(history > bands.upper, _SELL, _HOLD))
        last = _last(bands.percent_b)
        return TechnicalIndicatorResult(
            indicator_name="Bollinger_Bands",
            values=bands.middle,
            signals=_named(codes),
            signal_rule="buy below the lower band, sell above the upper one, else hold",
            confidence=None if last is None else min(1.0, abs(2.0 * last - 1.0)),
            confidence_definition="distance of the last price from the middle, over that of a band, at most 1",
            lookback_period=bars,
            upper_band=bands.upper,
            middle_band=bands.middle,
            lower_band=bands.lower,
            **facts,
        )

    return await in_background(lambda: work(_history(prices)))


def _computed(
    name: str, compute: Callable[..., Any], outputs: int, history: Array, settings: Any
) -> tuple[Any, dict[str, Any]]:
    """What a function of `engine.histories` makes of a history, so many values for each price, and what made it."""
    chosen = metal_device_manager.place(_WORKLOAD, "series", outputs * history.size)
    asked = metal_device_manager.config.workload(_WORKLOAD).precision

    def work(engine: ComputeEngine) -> tuple[Any, torch.dtype]:
        dtype = torch.float32 if asked == "float32" else KINDS[engine.device.type].exact_dtype
        return compute(history, settings, engine, dtype), dtype

    done: Operation
    (values, dtype), done = metal_device_manager.run(name, chosen, work)
    return values, made_by(done, str(dtype).removeprefix("torch."))


def _history(prices: ArrayLike) -> Array:
    """Prices as finite float64 of shape (bars,)."""
    if isinstance(prices, Sequence) and not isinstance(prices, str) and len(prices) > _PART:
        parts = (price_history(prices[i : i + _PART]) for i in range(0, len(prices), _PART))
        history = np.concatenate(list(parts))
    else:
        history = price_history(prices)
    if history.ndim != 1:
        raise InputError(f"`prices` must be of shape (bars,), was {history.shape}")
    return history


def _thresholds(low: Any, high: Any) -> tuple[float, float]:
    try:
        found = float(low), float(high)
    except (TypeError, ValueError):
        found = 1.0, 0.0
    if not 0.0 <= found[0] < found[1] <= 100.0:
        raise InputError(
            "`oversold_threshold` must be below `overbought_threshold`, both from 0 to 100, were "
            f"{low!r} and {high!r}"
        )
    return found


def _last(values: Array) -> float | None:
    return float(values[-1]) if values.size and np.isfinite(values[-1]) else None


def _shifted(values: Array) -> Array:
    """Each value's predecessor; NaN for the first."""
    return np.concatenate([np.full(min(1, values.size), np.nan), values[:-1]])


def _named(codes: NDArray[np.integer]) -> NDArray[np.str_]:
    parts = [_NAMES[codes[i : i + _PART]] for i in range(0, max(1, len(codes)), _PART)]
    return np.concatenate(parts)
