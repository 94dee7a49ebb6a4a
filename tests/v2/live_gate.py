"""A live node of v2 with a RiskGate and a RiskController, from importable configs, and the sandbox for orders.

``python -m tests.v2.live_gate`` prints what became of orders; with "unguarded" a strategy in Rust is there too.
"""

import asyncio
import json
import sys

from nautilus_trader.adapters.sandbox import SandboxExecutionClientFactory
from nautilus_trader.common import Environment, ImportableActorConfig, LoggerConfig, LogLevel
from nautilus_trader.live import DataClientConfig, LiveNode
from nautilus_trader.model import Quantity, StrategyId, TraderId
from nautilus_trader.trading import EmaCrossConfig, ImportableControllerConfig

from nautilus_metal.host import InstrumentId, OrderSide, Strategy, StrategyConfig, find
from nautilus_metal.messages import RISK_REPORT_TOPIC
from tests.v2.live_market import BARS, KIND, NAME, SECONDS, Factory, sandbox

ROOM = "nautilus_metal.actors"
LEVEL = 0.95
RISK = {"bar_types": [str(KIND)], "window": 120, "min_observations": 100, "levels": [LEVEL], "model": "normal",
        "on_fill": True, "keep_scenarios": True}  # fmt: skip
GATE = {"var_limit": {str(LEVEL): 200.0}, "trim": True, "hedge_tags": ["hedge"]}
CONTROLLER = {"var_limit": {str(LEVEL): 1_000.0}, "halt_after_reports": 2}


class Trader(Strategy):
    """Asks for too much, then takes it as a hedge, and then tries to sell it."""

    def __init__(self, config: StrategyConfig) -> None:
        super().__init__(config)
        self.bars, self.reports, self.events, self.sent = 0, [], [], []

    def on_start(self) -> None:
        self.subscribe_quote_ticks(InstrumentId.from_str(NAME))
        self.subscribe_bars(KIND)
        self.msgbus.subscribe(RISK_REPORT_TOPIC, self.reports.append)

    def on_bar(self, _bar) -> None:
        self.bars += 1
        if self.bars == 3:
            self.trade(1_000)
            self.trade(1_000)
        elif self.bars == 5:
            self.trade(5_000, tags=["hedge"])
        elif self.bars in (9, 10):
            self.trade(-100, reduce_only=True)

    def trade(self, quantity: int, **options) -> None:
        side, size = OrderSide.BUY if quantity > 0 else OrderSide.SELL, Quantity.from_int(abs(quantity))
        self.sent.append(self.order_factory.market(InstrumentId.from_str(NAME), side, size, **options))
        self.submit_order(self.sent[-1])

    def on_order_event(self, event) -> None:
        size = getattr(event, "last_qty", None) or getattr(event, "quantity", None)
        number = [order.client_order_id for order in self.sent].index(event.client_order_id)
        said = getattr(event, "reason", None) or (None if size is None else float(size))
        self.events.append([number, type(event).__name__, said])


async def main(how: str) -> None:
    controller = ImportableControllerConfig(f"{ROOM}:RiskController", f"{ROOM}:RiskControllerConfig", CONTROLLER)
    node = (
        LiveNode.builder("GATE", TraderId("GATE-001"), Environment.SANDBOX)
        .with_logging(LoggerConfig(stdout_level=LogLevel.ERROR))
        .with_reconciliation(False)
        .with_delay_post_stop_secs(0)
        .with_controller(controller)
        .add_data_client("XNYS", Factory, DataClientConfig())
        .add_simulated_exec_client("XNYS", SandboxExecutionClientFactory(), sandbox())
        .build()
    )
    for cls, settings in (("MetalEngine", {"device": "cpu"}), ("RiskActor", RISK), ("RiskGate", GATE)):
        actor = f"{cls}Actor" if cls == "MetalEngine" else cls
        node.add_actor_from_config(ImportableActorConfig(f"{ROOM}:{actor}", f"{ROOM}:{cls}Config", settings))
    trader = Trader(StrategyConfig(strategy_id="Trader", order_id_tag="001"))
    node.add_strategy(trader)
    if how == "unguarded":
        name, size = InstrumentId.from_str(NAME), Quantity.from_int(10)
        config = EmaCrossConfig(name, size, strategy_id=StrategyId("EMA-009"), order_id_tag="009")
        node.add_builtin_strategy("EmaCross", config)
    run = asyncio.ensure_future(node.run_async())
    for _ in range(int(SECONDS / 0.02)):
        await asyncio.sleep(0.02)
        if run.done() or trader.bars == BARS:
            break
    await asyncio.sleep(0.2)
    gate = find(trader.msgbus, "RiskGate.get") if trader.msgbus.node else None
    node.handle().stop()
    await run
    node.dispose()
    print(json.dumps({"events": trader.events, "denied": gate.denied, "trimmed": gate.trimmed}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[-1]))
