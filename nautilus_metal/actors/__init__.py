"""The engine component and the actors: what a user puts into a system's configuration."""

from nautilus_metal.actors.allocation import AllocationActor
from nautilus_metal.actors.allocation_config import AllocationActorConfig
from nautilus_metal.actors.conditions import ConditionsActor, ConditionsActorConfig
from nautilus_metal.actors.controller import RiskController, RiskControllerConfig
from nautilus_metal.actors.engine import MetalEngine, MetalEngineActor, MetalEngineConfig
from nautilus_metal.actors.forecast import ForecastActor, ForecastActorConfig
from nautilus_metal.actors.gate import RiskGate, RiskGateConfig
from nautilus_metal.actors.hedge import HedgeActor
from nautilus_metal.actors.hedge_config import HedgeActorConfig
from nautilus_metal.actors.risk import RiskActor, RiskActorConfig
from nautilus_metal.actors.validation import ValidationActor, ValidationActorConfig

__all__ = [
    "AllocationActor",
    "AllocationActorConfig",
    "ConditionsActor",
    "ConditionsActorConfig",
    "ForecastActor",
    "ForecastActorConfig",
    "HedgeActor",
    "HedgeActorConfig",
    "MetalEngine",
    "MetalEngineActor",
    "MetalEngineConfig",
    "RiskActor",
    "RiskActorConfig",
    "RiskController",
    "RiskControllerConfig",
    "RiskGate",
    "RiskGateConfig",
    "ValidationActor",
    "ValidationActorConfig",
]
