"""NautilusTrader 2.x (the Rust core) as the rest of the package sees it."""

from typing import Any

from nautilus_trader.common import ImportableActorConfig
from nautilus_trader.model import Bar, BarType, ComponentId, InstrumentId, PriceType, QuoteTick, TradeTick
from nautilus_trader.trading import ImportableControllerConfig

from nautilus_metal.host.v2_actor import Actor, Strategy
from nautilus_metal.host.v2_averages import (
    MovingAverageConvergenceDivergence,
    MovingAverageType,
    RelativeStrengthIndex,
    moving_average,
)
from nautilus_metal.host.v2_component import Component
from nautilus_metal.host.v2_config import ActorConfig, StrategyConfig, settings_of
from nautilus_metal.host.v2_config_check import NodeSettings
from nautilus_metal.host.v2_failures import guarded
from nautilus_metal.host.v2_gate import Controller, OrderRoute, set_trading_state, trading_state
from nautilus_metal.host.v2_indicators import Indicator, log_warning, moving_average_type, price_type_of
from nautilus_metal.host.v2_live import LiveNode
from nautilus_metal.host.v2_messages import Data, custom_data, message_topic
from nautilus_metal.host.v2_replay import ReplayDataClient, ReplayDataClientFactory
from nautilus_metal.host.v2_runtime import (
    after_time_stamp,
    broadcast,
    equity,
    event_loop,
    every,
    find,
    follow_fills,
    follow_option_greeks,
    follow_run,
    later,
    offer,
    offers,
    post,
    publish,
    request_history,
    subscribe_option,
)

__all__ = [
    "Actor",
    "ActorConfig",
    "Bar",
    "BarType",
    "Component",
    "ComponentId",
    "Controller",
    "Data",
    "Indicator",
    "InstrumentId",
    "LiveNode",
    "MovingAverageConvergenceDivergence",
    "MovingAverageType",
    "NodeSettings",
    "OrderRoute",
    "PriceType",
    "QuoteTick",
    "RelativeStrengthIndex",
    "ReplayDataClient",
    "ReplayDataClientFactory",
    "Strategy",
    "StrategyConfig",
    "TradeTick",
    "after_time_stamp",
    "broadcast",
    "custom_data",
    "equity",
    "event_loop",
    "every",
    "find",
    "follow_fills",
    "follow_option_greeks",
    "follow_run",
    "guarded",
    "importable_actor",
    "importable_controller",
    "later",
    "log_warning",
    "message_topic",
    "moving_average",
    "moving_average_type",
    "offer",
    "offers",
    "post",
    "price_type_of",
    "publish",
    "request_history",
    "set_trading_state",
    "settings_of",
    "subscribe_option",
    "trading_state",
]


def importable_actor(actor: str, config: str, settings: dict[str, Any]) -> ImportableActorConfig:
    """Return the importable config of an actor."""
    return ImportableActorConfig(actor, config, settings)


def importable_controller(controller: str, config: str, settings: dict[str, Any]) -> ImportableControllerConfig:
    """Return the importable config of a controller."""
    return ImportableControllerConfig(controller, config, settings)
