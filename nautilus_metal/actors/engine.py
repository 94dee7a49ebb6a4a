"""The shared compute engine as a component of a running NautilusTrader system."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from nautilus_metal.actors.device_health import DeviceHealth
from nautilus_metal.actors.runtime import Outcome, attempt
from nautilus_metal.engine import ComputeEngine, shared_engine
from nautilus_metal.engine.cancel import CancelToken
from nautilus_metal.engine.governor import cpu_of
from nautilus_metal.engine.placement import shared_placement
from nautilus_metal.engine.placement_work import WORK
from nautilus_metal.engine.worker import Job, Worker
from nautilus_metal.errors import InputError
from nautilus_metal.host import (
    Actor,
    ActorConfig,
    Component,
    ComponentId,
    Phase,
    event_loop,
    find,
    follow_run,
    move,
    offer,
    post,
)
from nautilus_metal.risk.checks import above

ENDPOINT = "MetalEngine.get"
STOP_SECONDS = 1.0  # for work in flight to come to a kernel boundary
T = TypeVar("T")


class MetalEngineConfig(ActorConfig, frozen=True, kw_only=True):
    """Settings of the engine that all actors, strategies and indicators of one system share.

    Parameters
    ----------
    device : str, default "auto"
        "auto" (mps, then cuda, then cpu), "mps", "cuda", "cuda:1" or "cpu". With "auto" each piece of work goes where
        it was measured to be faster, by a short calibration that is stored once for a user and a device.
    precision : str, default "auto"
        "auto", "float32" or "float64".
    memory_fraction : float, optional
        Share of the device's memory that the pool may hold.
    seed : int, default 0
        Default seed of the engine's users.
    hang_seconds : float, default 30.0
        Live: a device that has not answered for so long is given up, as one that failed.
    """

    device: str = "auto"
    precision: str = "auto"
    memory_fraction: float | None = None
    seed: int = 0
    hang_seconds: float = 30.0


class MetalEngine(Component):
    """One per running system, over the one physical engine and memory pool of the process.

    It follows the run (ready, running, stopped, reset, disposed) and is found through the message bus:
    ``MetalEngine.of(self)`` in any actor or strategy.

    A device error degrades it: the work is done again on the CPU, as is all work until the device answers a probe,
    which is tried after 1 s, 2 s, 4 s, ... of the system's clock, up to 5 minutes. Each change is published as an
    `EngineEvent`. Work for which the device has no memory, after the pool has evicted what it could and the work was
    cut in pieces, is done on the CPU that time.

    In a live system `submit` works on one thread of its own, so that the event loop is never held up.

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
        self._time = clock
        self.health = DeviceHealth(self, clock, msgbus, lambda: self._compute)
        self._worker = Worker("nautilus-metal")
        self._watches: dict[Job, asyncio.TimerHandle] = {}
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
    def log(self) -> Any:
        """The component's logger."""
        return self._log

    @property
    def failure(self) -> str | None:
        """What the device said when it failed; None while it works."""
        return self.health.failure

    @property
    def compute(self) -> ComputeEngine:
        """The engine of large work now: the configured device's, or the CPU's while degraded or out of favour."""
        return self.engine_for(None, 0)

    def engine_for(self, kind: str | None, elements: int) -> ComputeEngine:
        """Return the engine of a piece of work, by what was measured; a device that the settings name gets it all.

        Parameters
        ----------
        kind : str or None
            A kind of work of `nautilus_metal.engine.placement_work.WORK`; None where the size does not matter.
        elements : int
            Size of its largest tensor.
        """
        if self.failure is not None:
            return cpu_of(self._compute)
        return shared_placement(self._compute).choose(self._compute, kind, elements, self.config.device != "auto")

    def configure(self, config: MetalEngineConfig) -> None:
        """Take other settings, as long as the system has not started."""
        if config == self.config:
            return
        if self.is_running or self.is_degraded:
            raise InputError(f"`config` of a running MetalEngine must stay {self.config}, was {config}")
        self._compute, self.config = _engine(config), config

    def run(self, work: Callable[[ComputeEngine], T], kind: str | None = None, elements: int = 0) -> T:
        """Do a piece of work now, on the caller's thread; where the device fails, degrade and use the CPU.

        Parameters
        ----------
        work : callable
            Takes the `ComputeEngine`; must be able to start over.
        kind, elements
            As for `engine_for`.
        """
        self.health.probe()
        outcome = attempt(work, self.engine_for(kind, elements), cpu_of(self._compute))
        self.health.take_note(outcome)
        return outcome.result()

    def submit(
        self,
        work: Callable[[ComputeEngine], T],
        done: Callable[[Outcome[T]], None],
        kind: str | None = None,
        elements: int = 0,
    ) -> CancelToken:
        """Have a piece of work done beside the event loop; in a backtest, now.

        Parameters
        ----------
        work : callable
            Takes the `ComputeEngine`, on another thread: it must not touch the system. Must be able to start over.
        done : callable
            Takes the `Outcome`, on the thread of the system.
        kind, elements
            As for `engine_for`.

        Returns
        -------
        CancelToken
            Gives it up, in which case `done` is not called.
        """
        self.health.probe()
        loop, ticket, engine = event_loop(self._time), CancelToken(), self.engine_for(kind, elements)
        if loop is None:
            outcome = attempt(work, engine, cpu_of(self._compute))
            self.health.take_note(outcome)
            done(outcome)
        else:
            self._submit(loop, work, done, ticket, engine)
        return ticket

    def status(self) -> dict[str, Any]:
        """Facts of the working engine, with the failure that made it the CPU, if any."""
        return self.compute.status() | {"failure": self.failure, "state": self.state.name}

    def _submit(
        self,
        loop: asyncio.AbstractEventLoop,
        work: Callable[[ComputeEngine], T],
        done: Callable[[Outcome[T]], None],
        ticket: CancelToken,
        engine: ComputeEngine,
    ) -> None:
        fallback = cpu_of(self._compute)

        def arrive(outcome: Outcome[T]) -> None:
            watch = self._watches.pop(job, None)
            if watch is not None:
                watch.cancel()
            self.health.take_note(outcome)
            if not job.token.cancelled:
                done(outcome)

        job = Job(partial(attempt, work, engine, fallback), partial(post, loop, arrive), CancelToken(ticket))
        if engine is not fallback:
            self._watch(loop, job, lambda: self._submit(loop, work, done, ticket, fallback))
        self._worker.submit(job)

    def _watch(self, loop: asyncio.AbstractEventLoop, job: Job, again: Callable[[], None]) -> None:
        """Give the device up when it has not answered for too long, and do the job again."""

        def look() -> None:
            del self._watches[job]
            if job.ended or (job.started is None and job.token.cancelled):
                return
            left = self.config.hang_seconds - job.running_for
            if left > 0:
                self._watches[job] = loop.call_later(left, look)
                return
            self._worker.replace(job)
            self.health.fail(f"no answer for {self.config.hang_seconds:g} s")
            again()

        self._watches[job] = loop.call_later(self.config.hang_seconds, look)

    def _on_phase(self, phase: Phase) -> None:
        move(self, phase)

    def _stop(self) -> None:
        for watch in self._watches.values():
            watch.cancel()
        self._watches.clear()
        ended = [self._worker.close(STOP_SECONDS), self.health.stop(STOP_SECONDS)]
        if not all(ended):
            self._log.error(f"{self._compute.device} hangs: its thread is left behind")

    def _reset(self) -> None:
        self.health.reset()


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
    above(config.hang_seconds, 0.0, "`hang_seconds`")
    engine = shared_engine(config.device, config.precision, config.memory_fraction, config.seed)
    if config.device == "auto":
        shared_placement(engine, WORK)  # once for a user and a device
    return engine
