"""How orders are denied under NautilusTrader 2.x, and what could go past a check of them.

Python has no place before the risk engine, and cannot deny an order; an execution algorithm can. One of ours, which
executes nothing, is added to a system in which an actor of ours checks orders, when its run begins.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from nautilus_trader.backtest import BacktestEngine, BacktestNode
from nautilus_trader.live import LiveNode
from nautilus_trader.model import ExecAlgorithmId
from nautilus_trader.trading import ExecutionAlgorithm, ExecutionAlgorithmConfig

from nautilus_metal.host.v2_actor import Follower
from nautilus_metal.host.v2_failures import BEFORE
from nautilus_metal.host.v2_node import TOPIC, waiting

ENDPOINT = "OrderDoor.get"

_NAME = "METAL-DOOR"
_ALGORITHM = "add_native_exec_algorithm"
_ADDERS = {
    BacktestEngine: ("add_builtin_strategy", _ALGORITHM),
    BacktestNode: ("add_builtin_strategy",),
    LiveNode: ("add_builtin_strategy", "add_plugin"),
}
_NATIVE: dict[Any, list[str]] = {}  # what has been added that is not Python, by system
_RUNNING: list[Any] = []  # the system that runs, or ran last


class OrderDoor(Follower, ExecutionAlgorithm):
    """Denies orders in the name of a check: ``deny_order(order, reason)``; no order is executed by it."""

    def __new__(cls) -> "OrderDoor":
        name = ExecAlgorithmId(_NAME)
        return super().__new__(cls, ExecutionAlgorithmConfig(exec_algorithm_id=name))

    def __init__(self) -> None:
        self._set_up(None)

    @property
    def id(self) -> ExecAlgorithmId:
        """Its name."""
        return self.exec_algorithm_id

    def register_base(self, portfolio: Any, msgbus: Any, cache: Any, clock: Any) -> None:
        """Be found by the check, and let strategies find it, whoever else answers them."""
        msgbus.node.offers[ENDPOINT] = self
        msgbus.subscribe(TOPIC, msgbus.node.answer)


def native_strategies() -> list[str]:
    """Return what has been added to the running system that is written in Rust, and may send orders from there."""
    return [name for name in _native() if not name.startswith(_ALGORITHM)]


def native_algorithms() -> list[str]:
    """Return its execution algorithms that are written in Rust."""
    return [name for name in _native() if name.startswith(_ALGORITHM)]


def _native() -> list[str]:
    return [name for key in _RUNNING for name in _NATIVE.get(key, ())]


def _key(system: Any) -> Any:
    return str(system.instance_id) if hasattr(system, "instance_id") else id(system)


def _prepare(system: Any) -> None:
    """Add the door to a system that is about to run, where an actor checks orders."""
    _RUNNING[:] = [_key(system)]
    if not any(getattr(actor, "checks_orders", False) for actor in waiting()):
        return
    place = [config.id for config in system.configs] if isinstance(system, BacktestNode) else []  # 2.x takes one
    try:
        system.add_exec_algorithm(*place, OrderDoor())
    except RuntimeError as error:
        if "already registered" not in str(error):
            raise


def _noting(add: Callable[..., Any], name: str) -> Callable[..., Any]:
    @wraps(add)
    def call(system: Any, *arguments: Any, **settings: Any) -> Any:
        result = add(system, *arguments, **settings)
        given = [str(one) for one in (*arguments, *settings.values()) if isinstance(one, str)]
        _NATIVE.setdefault(_key(system), []).append(f"{name}({', '.join(given)})")
        return result

    return call


def _forgetting(build: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(build)
    def call(system: Any) -> Any:
        _NATIVE.pop(_key(system), None)  # of an earlier one at the same address
        return build(system)

    return call


def _watch() -> None:
    for owner, names in _ADDERS.items():
        for name in names:
            setattr(owner, name, _noting(getattr(owner, name), name))
    BacktestNode.build = _forgetting(BacktestNode.build)
    BEFORE.append(_prepare)


_watch()
