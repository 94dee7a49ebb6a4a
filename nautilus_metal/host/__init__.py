"""The seam to NautilusTrader: the only room that imports it.

Everything that indicators, messages and actors need from the host library is a name of this package, so that
one source of them can serve several major versions of the host.
"""

from nautilus_metal.host.v1 import (
    Actor,
    ActorConfig,
    Bar,
    BarType,
    Component,
    ComponentId,
    Data,
    Indicator,
    InstrumentId,
    QuoteTick,
    TradeTick,
    custom_data,
    moving_average,
)

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
    "QuoteTick",
    "TradeTick",
    "custom_data",
    "moving_average",
]
