"""Orders of the plays in the words of NautilusTrader v1, where they differ."""

from typing import Any

from nautilus_trader.model.enums import TriggerType

__all__ = ["TriggerType", "cancel", "change", "send_list"]


def send_list(strategy: Any, orders: list[Any]) -> None:
    strategy.submit_order_list(strategy.order_factory.create_list(orders))


def change(strategy: Any, order: Any, quantity: Any) -> None:
    strategy.modify_order(order, quantity)


def cancel(strategy: Any, order: Any) -> None:
    strategy.cancel_order(order)
