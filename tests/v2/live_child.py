"""A live node of v2 in a process of its own, as v2 ends a process whose objects are touched from another thread.

``python -m tests.v2.live_child [touch | fail]`` prints on which threads risk was computed, and how many reports came.
With "touch" the work asks the actor's clock, which it must not; with "fail" a handler of reports raises.
"""

import asyncio
import json
import sys
import threading

from nautilus_trader.common import Environment, LoggerConfig, LogLevel
from nautilus_trader.live import LiveNode
from nautilus_trader.model import TraderId

from nautilus_metal.actors import (
    ConditionsActor,
    MetalEngineActor,
    MetalEngineConfig,
    RiskActor,
    RiskActorConfig,
    risk_flow,
)
from nautilus_metal.errors import InputError
from nautilus_metal.host import Actor
from nautilus_metal.messages import RISK_REPORT_TOPIC

WANTED = 5
SECONDS = 60.0


class Listener(Actor):
    """Counts reports, and notes the threads that bring them."""

    def __init__(self, fails: bool) -> None:
        super().__init__()
        self.fails = fails
        self.threads: list[str] = []

    def register_base(self, portfolio, msgbus, cache, clock) -> None:
        super().register_base(portfolio, msgbus, cache, clock)
        msgbus.subscribe(RISK_REPORT_TOPIC, self.on_report)

    def on_report(self, _report) -> None:
        if self.fails:
            raise InputError("failed on purpose")
        self.threads.append(threading.current_thread().name)


async def main(how: str) -> None:
    node = (
        LiveNode.builder("CHILD", TraderId("CHILD-001"), Environment.SANDBOX)
        .with_logging(LoggerConfig(stdout_level=LogLevel.ERROR))
        .with_reconciliation(False)
        .with_delay_post_stop_secs(0)
        .build()
    )
    risk, listener, worked = RiskActor(RiskActorConfig(timer_seconds=0.05)), Listener(how == "fail"), set()
    compute = risk_flow.tick_figures

    def tick_figures(*arguments):
        worked.add(threading.current_thread().name)
        if how == "touch":
            risk.clock.timestamp_ns()
        return compute(*arguments)

    risk_flow.tick_figures = tick_figures
    for actor in (MetalEngineActor(MetalEngineConfig(device="cpu")), risk, ConditionsActor(), listener):
        node.add_actor(actor)
    run = asyncio.ensure_future(node.run_async())
    for _ in range(int(SECONDS / 0.02)):
        await asyncio.sleep(0.02)
        if run.done() or len(listener.threads) >= WANTED:
            break
    node.handle().stop()
    await run
    node.dispose()
    heard = sorted(set(listener.threads))
    print(json.dumps({"reports": len(listener.threads), "worked": sorted(worked), "heard": heard}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[-1]))
