"""NautilusTrader 1.x (the Cython core) as the rest of the package sees it."""

from typing import Any

from nautilus_trader.common.actor import Actor
from nautilus_trader.common.component import Component
from nautilus_trader.common.config import ActorConfig
from nautilus_trader.core.data import Data
from nautilus_trader.indicators.averages import MovingAverageFactory, MovingAverageType
from nautilus_trader.indicators.base import Indicator
from nautilus_trader.model.custom import customdataclass as custom_data
from nautilus_trader.model.data import Bar, BarType, QuoteTick, TradeTick
from nautilus_trader.model.identifiers import ComponentId, InstrumentId
from nautilus_trader.trading.config import StrategyConfig
from nautilus_trader.trading.strategy import Strategy

__all__ = [
    "Actor",
    "ActorConfig",
    "Bar",
    "BarType",
    "Component",
    "ComponentId",
    "Data",
    "Indicator",
    "InstrumentId",
    "MovingAverageType",
    "QuoteTick",
    "Strategy",
    "StrategyConfig",
    "TradeTick",
    "custom_data",
    "moving_average",
]


def moving_average(period: int, ma_type: Any) -> Any:
    """Make the host's own moving average of `period` and `ma_type`, with its numbers and start-up."""
    return MovingAverageFactory.create(period, ma_type)
