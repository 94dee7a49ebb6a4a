"""Indicators under NautilusTrader 2.x, which takes any object with their methods, and what they need beyond that."""

import logging
from typing import Any

from nautilus_trader.common import Logger
from nautilus_trader.model import PriceType

from nautilus_metal.host.v2_averages import MovingAverageType
from nautilus_metal.host.v2_failures import guarded

_HANDLERS = ("handle_bar", "handle_quote_tick", "handle_trade_tick")


class Indicator:
    """What 1.x's base class of this name does.

    Where a handler raises, 2.x leaves out the `on_bar` of that bar and goes on: here the run fails.

    Parameters
    ----------
    params : list
        What is shown in the `repr`.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name in _HANDLERS:
            if callable(handler := cls.__dict__.get(name)):  # and not a slot, whose owner guards what it holds
                setattr(cls, name, guarded(handler, f"{cls.__name__}.{name}"))

    def __init__(self, params: list[Any]) -> None:
        self._params = list(params)
        self.name = type(self).__name__
        self.has_inputs = False
        self.initialized = False

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(map(str, self._params))})"

    def handle_bar(self, bar: Any) -> None:
        """Take a bar."""
        raise NotImplementedError(f"{self.name} takes no bars, such as {bar!r}")

    def handle_quote_tick(self, tick: Any) -> None:
        """Take a quote."""
        raise NotImplementedError(f"{self.name} takes no quotes, such as {tick!r}")

    def handle_trade_tick(self, tick: Any) -> None:
        """Take a trade."""
        raise NotImplementedError(f"{self.name} takes no trades, such as {tick!r}")

    def reset(self) -> None:
        """Start again."""
        self._reset()
        self.has_inputs = False
        self.initialized = False

    def _reset(self) -> None:
        raise NotImplementedError(f"{self.name} has no `_reset`")

    def _set_has_inputs(self, value: bool) -> None:
        self.has_inputs = value

    def _set_initialized(self, value: bool) -> None:
        self.initialized = value


def moving_average_type(value: Any) -> Any:
    """Return 1.x's `MovingAverageType` that is `value`, a member or a member's name, or None."""
    name = value.name if isinstance(value, MovingAverageType) else str(value).upper()
    return MovingAverageType.__members__.get(name)


def price_type_of(value: Any) -> Any:
    """Return the host's `PriceType` that is `value`, a member or a member's name, or None."""
    for name in ("BID", "ASK", "MID", "LAST", "MARK"):  # 2.x's enums cannot be iterated
        member = getattr(PriceType, name)
        if value == member or (isinstance(value, str) and value.upper() == name):
            return member
    return None


def log_warning(source: str, message: str) -> None:
    """Log a warning where the host logs, and by Python's `logging`, as nothing tells whether the host does."""
    Logger(source).warning(message)
    logging.getLogger(f"nautilus_metal.{source}").warning(message)
