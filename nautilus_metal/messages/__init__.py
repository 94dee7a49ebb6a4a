"""What this package publishes on the message bus: custom data with Arrow schemas.

Each message goes through bytes, a dictionary, an Arrow table and a data catalog without losing a digit. Losses are
positive, money is in `base_currency`, levels are confidence levels (0.99) written as strings in dictionaries.
"""

from typing import Any

from nautilus_metal.messages.allocation import ALLOCATION_TARGET_TOPIC, AllocationTarget
from nautilus_metal.messages.engine import DEVICE_CONDITIONS_TOPIC, ENGINE_EVENT_TOPIC, DeviceConditions, EngineEvent
from nautilus_metal.messages.forecast import FORECAST_TOPIC, Forecast
from nautilus_metal.messages.options import (
    GREEKS_REPORT_TOPIC,
    HEDGE_REQUEST_TOPIC,
    STRESS_REPORT_TOPIC,
    GreeksReport,
    HedgeRequest,
    StressReport,
)
from nautilus_metal.messages.risk import (
    RISK_BREACH_TOPIC,
    RISK_REPORT_TOPIC,
    RISK_STALE_TOPIC,
    RiskBreach,
    RiskReport,
    RiskStale,
    level_key,
)
from nautilus_metal.messages.validation import MODEL_SWITCH_TOPIC, MODEL_VERDICT_TOPIC, ModelSwitch, ModelVerdict

MESSAGES: tuple[Any, ...] = (
    RiskReport,
    RiskBreach,
    RiskStale,
    EngineEvent,
    DeviceConditions,
    GreeksReport,
    StressReport,
    HedgeRequest,
    AllocationTarget,
    Forecast,
    ModelVerdict,
    ModelSwitch,
)

__all__ = [
    "ALLOCATION_TARGET_TOPIC",
    "DEVICE_CONDITIONS_TOPIC",
    "ENGINE_EVENT_TOPIC",
    "FORECAST_TOPIC",
    "GREEKS_REPORT_TOPIC",
    "HEDGE_REQUEST_TOPIC",
    "MESSAGES",
    "MODEL_SWITCH_TOPIC",
    "MODEL_VERDICT_TOPIC",
    "RISK_BREACH_TOPIC",
    "RISK_REPORT_TOPIC",
    "RISK_STALE_TOPIC",
    "STRESS_REPORT_TOPIC",
    "AllocationTarget",
    "DeviceConditions",
    "EngineEvent",
    "Forecast",
    "GreeksReport",
    "HedgeRequest",
    "ModelSwitch",
    "ModelVerdict",
    "RiskBreach",
    "RiskReport",
    "RiskStale",
    "StressReport",
    "level_key",
]
