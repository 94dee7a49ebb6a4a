"""What a tearsheet of ours asks of a backtest under NautilusTrader 2.x."""

from collections.abc import Callable
from typing import Any

from nautilus_trader.analysis.tearsheet import register_tearsheet_chart as register_chart

from nautilus_metal.host.v2_actor import Actor
from nautilus_metal.host.v2_messages import message_topic

__all__ = ["follow", "owner_of", "register_chart", "registrar"]

_OWNERS: dict[tuple[str, str], Any] = {}  # 2.x does not give a statistic back; one engine at a time


class _Ear(Actor):
    """Hears risk reports; prices are the cache's, as a bus of 2.x has no bars for plain handlers."""

    def __init__(self, on_report: Callable[[Any], None]) -> None:
        super().__init__()
        self._on_report = on_report

    def on_start(self) -> None:
        """Listen."""
        self.msgbus.subscribe(message_topic("RiskReport"), self._on_report)


def follow(engine: Any, _on_bar: Callable[[Any], None], on_report: Callable[[Any], None]) -> None:
    """Hear all risk reports of a run."""
    engine.add_actor(_Ear(on_report))


def registrar(engine: Any) -> Callable[[Any], None]:
    """Return what puts a number among the general statistics of a run, while it runs as well."""
    _OWNERS.clear()
    portfolio, instance = engine.portfolio, str(engine.instance_id)  # a running engine answers nothing

    def add(statistic: Any) -> None:
        portfolio.register_statistic(statistic)
        _OWNERS[instance, statistic.name] = statistic.owner

    return add


def owner_of(engine: Any, name: str) -> Any | None:
    """Return whose a statistic is; None where the engine has none of that name."""
    return _OWNERS.get((str(engine.instance_id), name))
