"""Standing before the orders of a NautilusTrader 2.x system, and its trading state."""

from typing import Any

from nautilus_trader.trading import Controller as HostController

from nautilus_metal.errors import HostError
from nautilus_metal.host.orders import Judge
from nautilus_metal.host.v2_actor import Actor
from nautilus_metal.host.v2_config import ActorConfig
from nautilus_metal.host.v2_door import native_algorithms
from nautilus_metal.host.v2_guard import guard_at, guard_in, refuse
from nautilus_metal.host.v2_senders import lead_orders
from nautilus_metal.host.working_orders import WorkingOrders

lead_orders()


class OrderRoute:
    """Stands before all orders that strategies and execution algorithms send, as 1.x's class of this name does.

    Parameters
    ----------
    owner : Actor
        Added to a system.
    judge : callable
        As for `WorkingOrders`.

    Raises
    ------
    HostError
        If orders of the system could go past it.
    """

    def __init__(self, owner: Any, judge: Judge) -> None:
        self._orders = WorkingOrders(owner, judge)
        self._guard = guard_at(owner)

    def take(self) -> None:
        """Stand there.

        Raises
        ------
        HostError
            If no order can be denied, as the owner was added to a running system.
        """
        self._guard.ready()
        self._guard.judge = self._orders

    def give_back(self) -> None:
        """Stand there no longer.

        Raises
        ------
        HostError
            If an order has gone past it.
        """
        self._guard.judge = None
        self._orders.clear()
        self._guard.refuse_strangers()

    @property
    def reducing(self) -> bool:
        """Whether the trading state is REDUCING."""
        return self._guard.state == "REDUCING"


class Controller(Actor, HostController):
    """What 1.x's class of this name does, as far as this package uses it: it can set the trading state.

    Parameters
    ----------
    trader : object, optional
        1.x's; 2.x has none.
    config : ActorConfig, optional
        The settings; `component_id` names the controller, else its class does.
    """

    checks_orders = True

    def __init__(self, trader: Any = None, config: ActorConfig | None = None) -> None:
        super().__init__(config)
        self._trader: Any = None

    def register_base(self, portfolio: Any, msgbus: Any, cache: Any, clock: Any) -> None:
        """Hear that it was added to a system."""
        super().register_base(portfolio, msgbus, cache, clock)
        guard_at(self)
        refuse(native_algorithms(), self)  # which go on with what they have when trading is halted
        self._trader = msgbus.node

    def on_start(self) -> None:
        """See that orders can be denied."""
        guard_at(self).ready()


def trading_state(node: Any) -> str:
    """Return "ACTIVE", "REDUCING" or "HALTED"."""
    guard = guard_in(node)
    return "ACTIVE" if guard is None else guard.state


def set_trading_state(node: Any, name: str) -> None:
    """Set it; 2.x has a risk engine with such a state, and no way to it from Python."""
    guard = guard_in(node)
    if guard is None:
        raise HostError("a trading state can be set in a system that has begun to run, this one has not")
    guard.move(name)
