"""Watches heat and memory pressure in a live system: tells the placement, and says so on the bus."""

import asyncio
from functools import partial

from nautilus_metal.actors.engine import MetalEngine
from nautilus_metal.engine import shared_engine
from nautilus_metal.engine.hardware import Conditions, read_conditions
from nautilus_metal.engine.placement import Placement, shared_placement
from nautilus_metal.engine.worker import Job, Worker
from nautilus_metal.host import Actor, ActorConfig, event_loop, every, post, publish
from nautilus_metal.messages import DeviceConditions
from nautilus_metal.risk.checks import above

_TIMER = "nautilus-metal-conditions"


class ConditionsActorConfig(ActorConfig, frozen=True, kw_only=True):
    """Settings of a `ConditionsActor`.

    Parameters
    ----------
    seconds : float, default 10.0
        Between two looks at the sensors.
    """

    seconds: float = 10.0


class ConditionsActor(Actor):
    """Looks at the sensors from time to time, beside the event loop, and publishes each change.

    Under serious heat or memory pressure the device gets less work and less memory, under critical ones none, by
    `nautilus_metal.engine.placement.POLICY`. A device that `MetalEngineConfig` names keeps its work; only its share
    of the memory budget shrinks. A sensor that says nothing changes nothing.

    A backtest must replay, so there it does not look.

    Parameters
    ----------
    config : ConditionsActorConfig, optional
        The settings.
    """

    def __init__(self, config: ConditionsActorConfig | None = None) -> None:
        super().__init__(config or ConditionsActorConfig())
        self._seconds = above(self.config.seconds, 0.0, "`seconds`")
        self._worker = Worker(_TIMER)
        self._loop: asyncio.AbstractEventLoop | None = None  # while it looks
        self._looking = False

    def on_start(self) -> None:
        """Look now, and then at every interval."""
        self._loop = event_loop(self.clock)
        if self._loop is None:
            self.log.info("A backtest must replay: heat and memory pressure are not looked at")
            return
        config = MetalEngine.of(self).config
        self._engine = shared_engine(config.device, config.precision, seed=config.seed)
        self._forced = config.device != "auto"
        self._known = Conditions()
        self._look()
        every(self, _TIMER, self._seconds, self._look)

    def on_resume(self) -> None:
        """Look again."""
        self.on_start()

    def on_stop(self) -> None:
        """Stop looking, and lift what was imposed."""
        if self._loop is not None:
            self._loop = None
            self.clock.cancel_timer(_TIMER)
            self._worker.close(timeout=0.0)
            self._looking = False
            shared_placement(self._engine).limit(Conditions())

    def _look(self) -> None:
        """Have the sensors read on a thread of its own: commands take their time; one at a time."""
        if self._loop is not None and not self._looking:
            self._looking = True
            work = partial(read_conditions, self._engine.device)
            self._worker.submit(Job(work, partial(post, self._loop, self._arrive)))

    def _arrive(self, found: Conditions) -> None:
        if self._loop is None:
            return
        self._looking = False
        placement = shared_placement(self._engine)
        placement.limit(found)
        if (found.thermal, found.memory) == (self._known.thermal, self._known.memory):
            return
        self._known = found
        reason = self._in_words(found, placement)
        (self.log.info if placement.mode.name == "normal" else self.log.warning)(reason)
        publish(self, self._message(found, placement, reason))

    def _in_words(self, found: Conditions, placement: Placement) -> str:
        mode = placement.mode
        if not self._forced:
            return f"{found}: {mode.says}"
        named = f"{self._engine.device}, named in the settings, keeps its work"
        return f"{found}: {named}, with {mode.share:.0%} of the memory budget"

    def _message(self, found: Conditions, placement: Placement, reason: str) -> DeviceConditions:
        now = self.clock.timestamp_ns()
        works_on = placement.choose(self._engine, forced=self._forced).device
        words = (found.thermal or "unknown", found.memory or "unknown", placement.mode.name)
        return DeviceConditions(now, now, str(self._engine.device), *words, str(works_on), reason)
