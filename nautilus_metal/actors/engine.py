"""The shared compute engine as a component of a running NautilusTrader system."""

from collections.abc import Callable
from typing import Any, TypeVar

from nautilus_metal.engine import ComputeEngine, shared_engine
from nautilus_metal.errors import InputError
from nautilus_metal.host import (
    Actor,
    ActorConfig,
    Component,
    ComponentId,
    Phase,
    degrade,
    find,
    follow_run,
    move,
    offer,
)

ENDPOINT = "MetalEngine.get"
T = TypeVar("T")


class MetalEngineConfig(ActorConfig, frozen=True, kw_only=True):
    """Settings of the engine that all actors, strategies and indicators of one system share.

    Parameters
    ----------
    device : str, default "auto"
        "auto" (mps, then cuda, then cpu), "mps", "cuda", "cuda:1" or "cpu".
    precision : str, default "auto"
        "auto", "float32" or "float64".
    memory_fraction : float, optional
        Share of the device's memory that the pool may hold.
    seed : int, default 0
        Default seed of the engine's users.
    """

    device: str = "auto"
    precision: str = "auto"
    memory_fraction: float | None = None
    seed: int = 0


class MetalEngine(Component):
    """One per running system, over the one physical engine and memory pool of the process.

    It follows the run (ready, running, stopped, reset, disposed) and is found through the message bus:
    ``MetalEngine.of(self)`` in any actor or strategy. A device error degrades it: the work is done again on the CPU,
    as is all work until the next reset.

    Parameters
    ----------
    config : MetalEngineConfig
        The settings.
    clock : Clock
        Of the system.
    msgbus : MessageBus
        Of the system.
    """

    def __init__(self, config: MetalEngineConfig, clock: Any, msgbus: Any) -> None:
        self._compute = _engine(config)  # first, so that a wrong device leaves no half-made component behind
        super().__init__(clock=clock, component_id=ComponentId("MetalEngine"), msgbus=msgbus, config=config)
        self.config = config
        self.failure: str | None = None
        offer(msgbus, ENDPOINT, self)
        follow_run(msgbus, self._on_phase)

    @classmethod
    def of(cls, owner: Any, config: MetalEngineConfig | None = None) -> "MetalEngine":
        """Return the engine of the system that `owner` (an actor or a strategy) is registered with.

        The first caller makes it, with default settings where it brings none.

        Parameters
        ----------
        owner : Actor or Strategy
            Registered with a trader.
        config : MetalEngineConfig, optional
            Settings to insist on.

        Raises
        ------
        InputError
            If the engine runs already with other settings.
        """
        engine = find(owner.msgbus, ENDPOINT)
        if engine is None:
            return cls(config or MetalEngineConfig(), owner.clock, owner.msgbus)
        if config is not None:
            engine.configure(config)
        return engine

    @property
    def compute(self) -> ComputeEngine:
        """The engine that works now: the configured one, or the CPU's while degraded."""
        return self._compute if self.failure is None else shared_engine("cpu")

    def configure(self, config: MetalEngineConfig) -> None:
        """Take other settings, as long as the system has not started."""
        if _settings(config) == _settings(self.config):
            return
        if self.is_running or self.is_degraded:
            running, asked = _settings(self.config), _settings(config)
            raise InputError(f"`config` of a running MetalEngine must stay {running}, was {asked}")
        self._compute, self.config = _engine(config), config

    def run(self, work: Callable[[ComputeEngine], T]) -> T:
        """Do a piece of work on the device; where the device fails, degrade and do it again on the CPU.

        Parameters
        ----------
        work : callable
            Takes the `ComputeEngine`; must be able to start over.
        """
        engine = self.compute
        try:
            return work(engine)
        except RuntimeError as error:
            if engine.device.type == "cpu":
                raise
            self.failure = f"{type(error).__name__}: {error}"
            self._log.error(f"{engine.device} failed, falling to the CPU: {self.failure}")
            degrade(self)
        return work(self.compute)

    def status(self) -> dict[str, Any]:
        """Facts of the working engine, with the failure that made it the CPU, if any."""
        return self.compute.status() | {"failure": self.failure, "state": self.state.name}

    def _on_phase(self, phase: Phase) -> None:
        move(self, phase)

    def _reset(self) -> None:
        self.failure = None


class MetalEngineActor(Actor):
    """Puts a `MetalEngine` with given settings into a system's configuration.

    Add it before other actors: ``ImportableActorConfig("nautilus_metal.actors:MetalEngineActor",
    "nautilus_metal.actors:MetalEngineConfig", {"device": "cuda"})``. Without it the first user of the engine makes
    one with default settings.
    """

    def __init__(self, config: MetalEngineConfig | None = None) -> None:
        super().__init__(config or MetalEngineConfig())

    def register_base(self, portfolio: Any, msgbus: Any, cache: Any, clock: Any) -> None:
        """Register with a trader, and make or configure the system's engine."""
        super().register_base(portfolio, msgbus, cache, clock)
        self.engine = MetalEngine.of(self, self.config)

    def on_start(self) -> None:
        """Start the engine where the system ran before this actor came."""
        move(self.engine, Phase.RUNNING)


def _engine(config: MetalEngineConfig) -> ComputeEngine:
    return shared_engine(*_settings(config))


def _settings(config: MetalEngineConfig) -> tuple[str, str, float | None, int]:
    return config.device, config.precision, config.memory_fraction, config.seed
