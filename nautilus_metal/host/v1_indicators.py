"""NautilusTrader 1.x: what indicators need of it beyond the base class and the data types."""

import logging
from collections.abc import Callable
from typing import Any

from nautilus_trader.common.component import Logger, is_logging_initialized
from nautilus_trader.indicators.averages import MovingAverageType
from nautilus_trader.indicators.momentum import RelativeStrengthIndex
from nautilus_trader.indicators.trend import MovingAverageConvergenceDivergence
from nautilus_trader.model.enums import PriceType

__all__ = [
    "MovingAverageConvergenceDivergence",
    "MovingAverageType",
    "PriceType",
    "RelativeStrengthIndex",
    "guarded",
    "log_warning",
    "moving_average_type",
    "price_type_of",
]


def guarded(handler: Callable[..., Any], _: str) -> Callable[..., Any]:
    """Return `handler`: what an indicator raises ends a run of 1.x without help."""
    return handler


def moving_average_type(value: Any) -> Any:
    """Return the host's `MovingAverageType` that is `value`, a member or a member's name, or None."""
    return _member(MovingAverageType, value)


def price_type_of(value: Any) -> Any:
    """Return the host's `PriceType` that is `value`, a member or a member's name, or None."""
    return _member(PriceType, value)


def log_warning(source: str, message: str) -> None:
    """Log a warning where the host logs, or by Python's `logging` while no kernel has started that."""
    if is_logging_initialized():
        Logger(source).warning(message)
    else:
        logging.getLogger(f"nautilus_metal.{source}").warning(message)


def _member(enum: Any, value: Any) -> Any:
    for member in enum:
        if value is member or (isinstance(value, str) and value.upper() == member.name):
            return member
    return None
