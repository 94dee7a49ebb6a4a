"""Indicators of the host that run on our kernels: one by one, or thousands of series side by side."""

from nautilus_metal.indicators.bollinger import MetalBollingerBands
from nautilus_metal.indicators.macd import MetalMACD
from nautilus_metal.indicators.rsi import MetalRSI
from nautilus_metal.indicators.universe import IndicatorUniverse
from nautilus_metal.kernels.bollinger import BollingerValues
from nautilus_metal.kernels.macd import MacdValues

__all__ = [
    "BollingerValues",
    "IndicatorUniverse",
    "MacdValues",
    "MetalBollingerBands",
    "MetalMACD",
    "MetalRSI",
]
