"""A small system of NautilusTrader v2 for the same actors, indicators and messages: instruments, bars, a strategy."""

from collections.abc import Mapping

import pytest
from nautilus_trader.backtest import BacktestEngine, BacktestEngineConfig
from nautilus_trader.common import LoggerConfig, LogLevel
from nautilus_trader.model import AccountType, DataType, Money, OmsType, StrategyId
from nautilus_trader.trading import Strategy, StrategyConfig

from nautilus_metal.host.backtest import USD, no_fees
from tests.small_system import VENUE, Scripted, Steps


class Script(Scripted, Strategy):
    """Submits market orders: at bar number n of an instrument, a signed quantity; keeps the messages it hears."""

    def __new__(cls, orders=None, tag="001", hears=()):
        return super().__new__(cls, StrategyConfig(strategy_id=StrategyId(f"Script-{tag}"), order_id_tag=tag))

    def __init__(self, orders: Mapping[str, Mapping[int, int]] | None = None, tag: str = "001", hears=()) -> None:
        self.orders = orders or {}
        self.hears = hears
        self.bars: dict[str, int] = {}
        self.heard: list = []
        self.fills: list = []

    def on_start(self) -> None:
        super().on_start()
        for kind in self.hears:
            self.subscribe_data(DataType(kind.__name__))

    def on_data(self, data) -> None:
        self.heard.append(data.data)

    def on_order_filled(self, event) -> None:
        self.fills.append((event.ts_event, str(event.instrument_id), float(event.last_qty), float(event.last_px)))


class System(Steps):
    """A BacktestEngine; v2 takes one at a time."""

    def __init__(self, account=AccountType.MARGIN, **config) -> None:
        logging = LoggerConfig(stdout_level=LogLevel.ERROR)
        self.engine = BacktestEngine(BacktestEngineConfig(logging=logging, **config))
        self.engine.add_venue(VENUE, OmsType.NETTING, account, [Money(10_000_000, USD)], fee_model=no_fees())


@pytest.fixture
def system():
    """Make one system after the other; each is disposed before the next, and at the end of the test."""
    made = []

    def make(**options) -> System:
        while made:
            made.pop().engine.dispose()
        made.append(System(**options))
        return made[-1]

    yield make
    for one in made:
        one.engine.dispose()
