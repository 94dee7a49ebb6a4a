"""Actors and strategies under NautilusTrader 2.x: base classes with the callbacks and attributes that 1.x has."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from nautilus_trader.common import DataActor, DataActorConfig
from nautilus_trader.model import ActorId, ComponentId, StrategyId
from nautilus_trader.trading import Strategy as HostStrategy
from nautilus_trader.trading import StrategyConfig as HostStrategyConfig

from nautilus_metal.host.facts import Phase
from nautilus_metal.host.v2_config import ActorConfig, StrategyConfig
from nautilus_metal.host.v2_failures import make_runs_fail, record
from nautilus_metal.host.v2_node import Bus, join, wait

make_runs_fail()

_NAMES = ("strategy_id", "order_id_tag")
_PASSED = tuple(name for name in StrategyConfig.__annotations__ if name not in _NAMES)


class Follower:
    """What actors and strategies of ours share: callbacks that are followed, a message bus, and 1.x's spellings."""

    checks_orders = False  # whether its system must be made ready for that before it runs

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name, member in list(cls.__dict__.items()):
            if name.startswith("on_") and callable(member):
                setattr(cls, name, _followed(name, member, cls.__name__))

    def _set_up(self, config: Any) -> None:
        self._config = config
        self.msgbus = Bus(self)
        wait(self)

    @property
    def config(self) -> Any:
        """The settings."""
        return self._config

    @property
    def is_running(self) -> bool:
        """Whether it has started and not stopped."""
        return bool(super().is_running())  # type: ignore[misc]

    def register_base(self, portfolio: Any, msgbus: Any, cache: Any, clock: Any) -> None:
        """Hear that it was added to a system; `portfolio` is None, as 2.x gives an actor none."""

    def subscribe_quote_ticks(self, instrument_id: Any) -> None:
        """Subscribe quotes, which come to `on_quote_tick`."""
        self.subscribe_quotes(instrument_id)

    def on_start(self) -> None:
        """Start."""

    def on_stop(self) -> None:
        """Stop."""

    def on_reset(self) -> None:
        """Start again from nothing."""

    def on_dispose(self) -> None:
        """End for good."""

    def on_quote(self, quote: Any) -> None:
        """Hand a quote on."""
        self.on_quote_tick(quote)

    def on_quote_tick(self, tick: Any) -> None:
        """Take a quote."""

    def on_historical_bars(self, bars: Any) -> None:
        """Hand the bars of a requested history on, one by one."""
        for bar in bars:
            self.on_historical_data(bar)

    def on_historical_data(self, data: Any) -> None:
        """Take a piece of a requested history."""


class Actor(Follower, DataActor):
    """What 1.x's class of this name does, as far as this package uses it.

    2.x tells an actor neither that it was added to a system nor of the fills of strategies, logs what a callback
    raises and goes on, and drops the bus's subscriptions at a reset. Here `register_base` is called before the first
    actor of a system starts, an exception ends the run and is raised by it, and subscriptions last.

    Parameters
    ----------
    config : ActorConfig, optional
        The settings; `component_id` names the actor, else its class does.
    """

    portfolio = None  # 2.x gives an actor none

    def __new__(cls, *arguments: Any, **settings: Any) -> "Actor":
        config = _config_among(ActorConfig, arguments, settings)
        own = DataActorConfig(ActorId(config.component_id or cls.__name__), config.log_events, config.log_commands)
        return super().__new__(cls, own)

    def __init__(self, config: ActorConfig | None = None) -> None:
        self._set_up(config or ActorConfig())

    @property
    def id(self) -> ComponentId:
        """The actor's name."""
        return ComponentId(str(self.actor_id))


class Strategy(Follower, HostStrategy):
    """What 1.x's class of this name does, as far as the strategies of this project use it; as `Actor` in the rest.

    Parameters
    ----------
    config : StrategyConfig, optional
        The settings; `strategy_id` and `order_id_tag` name it, else its class does.
    """

    def __new__(cls, *arguments: Any, **settings: Any) -> "Strategy":
        config = _config_among(StrategyConfig, arguments, settings)
        name = config.strategy_id or f"{cls.__name__}-{config.order_id_tag or '000'}"
        passed = {name: getattr(config, name) for name in _PASSED}
        tag = name.rpartition("-")[2]
        own = HostStrategyConfig(strategy_id=StrategyId(name), order_id_tag=tag, **passed)
        return super().__new__(cls, own)

    def __init__(self, config: StrategyConfig | None = None) -> None:
        self._set_up(config or StrategyConfig())

    @property
    def id(self) -> StrategyId:
        """The strategy's name."""
        return self.strategy_id


def _config_among(kind: Any, arguments: tuple[Any, ...], settings: dict[str, Any]) -> Any:
    given = (*arguments, *settings.values())
    return next((one for one in given if isinstance(one, kind)), None) or kind()


def _followed(name: str, callback: Callable[..., Any], owner: str) -> Callable[..., Any]:
    """Add to a callback what the system's node must know of it."""
    leaves = {"on_stop": Phase.STOPPED, "on_reset": Phase.READY, "on_dispose": Phase.DISPOSED}.get(name)

    @wraps(callback)
    def follow(self: Any, *arguments: Any) -> Any:
        try:
            if name == "on_start":
                join(self)
            result = callback(self, *arguments)
            node = self.msgbus.node
            if node is not None and leaves is not None:
                node.left(self, leaves)
            elif node is not None and name in ("on_bar", "on_quote"):
                node.look_for_fills(self.cache)
        except Exception as error:
            record(error, f"{owner}.{name}", self)
            raise
        return result

    return follow


for _name in ("on_start", "on_stop", "on_reset", "on_dispose", "on_quote", "on_historical_bars"):
    setattr(Follower, _name, _followed(_name, Follower.__dict__[_name], "Follower"))
