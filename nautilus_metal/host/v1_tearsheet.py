"""What a tearsheet of ours asks of a backtest under NautilusTrader 1.x."""

from collections.abc import Callable
from typing import Any

from nautilus_trader.analysis.tearsheet import _register_tearsheet_chart as register_chart

__all__ = ["follow", "owner_of", "register_chart", "registrar"]


def follow(engine: Any, on_bar: Callable[[Any], None], on_report: Callable[[Any], None]) -> None:
    """Hear all bars and risk reports of a run."""
    engine.kernel.msgbus.subscribe(topic="data.bars.*", handler=on_bar)
    engine.kernel.msgbus.subscribe(topic="data.RiskReport*", handler=on_report)


def registrar(engine: Any) -> Callable[[Any], None]:
    """Return what puts a number among the general statistics of a run."""
    add: Callable[[Any], None] = engine.portfolio.analyzer.register_statistic
    return add


def owner_of(engine: Any, name: str) -> Any | None:
    """Return whose a statistic is; None where the engine has none of that name."""
    found = engine.portfolio.analyzer.statistic(name)
    return None if found is None else found.owner
