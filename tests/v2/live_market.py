"""A live node of v2 with a data client that serves history, quotes and bars, and the sandbox for orders.

``python -m tests.v2.live_market`` prints what the actors and a strategy of ours made of it.
"""

import asyncio
import json
from typing import Any

from nautilus_trader.adapters.sandbox import SandboxExecutionClientConfig, SandboxExecutionClientFactory
from nautilus_trader.common import Environment, LoggerConfig, LogLevel
from nautilus_trader.execution import MakerTakerFeeModel
from nautilus_trader.live import BarsResponse, DataClientConfig, LiveNode
from nautilus_trader.live.clients import DataClient, DataClientFactory
from nautilus_trader.model import AccountType, Bar, BarType, Money, OmsType, Quantity, QuoteTick, TraderId

from nautilus_metal.actors import (
    HedgeActor,
    HedgeActorConfig,
    MetalEngineActor,
    MetalEngineConfig,
    RiskActor,
    RiskActorConfig,
)
from nautilus_metal.host import InstrumentId, OrderSide, Strategy, StrategyConfig
from nautilus_metal.host.backtest import USD
from nautilus_metal.messages import RISK_REPORT_TOPIC
from tests.small_system import VENUE, equity, walk

NAME, BARS, HISTORY = "AAA.XNYS", 12, 130
KIND = BarType.from_str(f"{NAME}-1-MINUTE-LAST-EXTERNAL")
SIZE = Quantity.from_int(10**6)
MINUTE = 60 * 10**9
SECONDS = 60.0


class Client(DataClient):
    """Knows one stock: a past on request, then a quote and a bar every few milliseconds."""

    async def _connect(self) -> None:
        self.closes = walk(1, HISTORY + BARS).tolist()
        self.stock = equity(NAME)
        self._handle_instrument(self.stock)

    async def _disconnect(self) -> None:
        pass

    async def _request_bars(self, request: Any) -> None:
        now = self.clock.timestamp_ns()
        past = [self._bar(close, now - (HISTORY - i) * MINUTE) for i, close in enumerate(self.closes[:HISTORY])]
        self._handle_response(BarsResponse(self.client_id, KIND, past, request.request_id, now))

    async def _subscribe_quotes(self, command: Any) -> None:
        pass

    async def _subscribe_bars(self, command: Any) -> None:
        self.create_task(self._feed(), "feed")

    async def _unsubscribe_quotes(self, command: Any) -> None:
        pass

    async def _unsubscribe_bars(self, command: Any) -> None:
        pass

    async def _feed(self) -> None:
        for number, close in enumerate(self.closes[HISTORY:]):
            now = self.clock.timestamp_ns()
            bid, ask = self.stock.make_price(close - 0.01), self.stock.make_price(close + 0.01)
            self._handle_data(QuoteTick(self.stock.id, bid, ask, SIZE, SIZE, now, now))
            self._handle_data(self._bar(close, now + number * MINUTE))
            await asyncio.sleep(0.1)

    def _bar(self, close: float, ts: int) -> Bar:
        price = self.stock.make_price(close)
        return Bar(KIND, price, price, price, price, SIZE, ts, ts)


class Factory(DataClientFactory):
    @staticmethod
    def create(*, name: str, config: Any, cache: Any, clock: Any) -> Client:
        return Client(name=name, config=config, cache=cache, clock=clock, venue=VENUE)


class Buyer(Strategy):
    """Buys at its third bar, and keeps what it hears."""

    def __init__(self) -> None:
        super().__init__(StrategyConfig(strategy_id="Buyer", order_id_tag="001"))
        self.bars, self.reports, self.fills = 0, [], []

    def on_start(self) -> None:
        self.subscribe_quote_ticks(InstrumentId.from_str(NAME))
        self.subscribe_bars(KIND)
        self.msgbus.subscribe(RISK_REPORT_TOPIC, self.reports.append)

    def on_bar(self, bar: Any) -> None:
        self.bars += 1
        if self.bars == 3:
            name = InstrumentId.from_str(NAME)
            self.submit_order(self.order_factory.market(name, OrderSide.BUY, Quantity.from_int(100)))

    def on_order_filled(self, event: Any) -> None:
        self.fills.append(float(event.last_qty))


async def main() -> None:
    node = (
        LiveNode.builder("MARKET", TraderId("MARKET-001"), Environment.SANDBOX)
        .with_logging(LoggerConfig(stdout_level=LogLevel.ERROR))
        .with_reconciliation(False)
        .with_delay_post_stop_secs(0)
        .add_data_client("XNYS", Factory, DataClientConfig())
        .add_simulated_exec_client("XNYS", SandboxExecutionClientFactory(), sandbox())
        .build()
    )
    buyer = Buyer()
    settings = RiskActorConfig(bar_types=(KIND,), window=120, min_observations=100, levels=(0.95,), on_fill=True)
    risk = RiskActor(settings)
    hedge = HedgeActor(HedgeActorConfig(instruments={NAME: (NAME,)}, bands={"delta": 1e9}, timer_seconds=0.1))
    for actor in (MetalEngineActor(MetalEngineConfig(device="cpu")), risk, hedge):
        node.add_actor(actor)
    node.add_strategy(buyer)
    run = asyncio.ensure_future(node.run_async())
    for _ in range(int(SECONDS / 0.02)):
        await asyncio.sleep(0.02)
        asked = sum(1 + report.skipped for report in buyer.reports)
        if run.done() or (buyer.bars == BARS and asked >= BARS and buyer.reports[-1].positions):
            break
    await asyncio.sleep(0.2)
    node.handle().stop()
    await run
    node.dispose()
    last = buyer.reports[-1]
    facts = {"bars": buyer.bars, "fills": buyer.fills, "asked": sum(1 + report.skipped for report in buyer.reports)}
    facts |= {"var": last.var(0.95), "quantity": last.positions[NAME]["quantity"], "hedges": list(hedge.last_results)}
    print(json.dumps(facts))


def sandbox() -> SandboxExecutionClientConfig:
    """An account that fills at the quotes, without fees."""
    return SandboxExecutionClientConfig(
        VENUE,
        [Money(10_000_000, USD)],
        oms_type=OmsType.NETTING,
        account_type=AccountType.MARGIN,
        fee_model=MakerTakerFeeModel("0", "0"),
    )


if __name__ == "__main__":
    asyncio.run(main())
