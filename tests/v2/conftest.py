"""A small system of NautilusTrader v2 for the same actors, indicators and messages: instruments, bars, a strategy."""

from collections.abc import Mapping

import numpy as np
import pytest
from nautilus_trader.backtest import BacktestEngine, BacktestEngineConfig
from nautilus_trader.common import LoggerConfig, LogLevel
from nautilus_trader.execution import MakerTakerFeeModel
from nautilus_trader.model import (
    AccountType,
    Bar,
    BarType,
    Currency,
    DataType,
    Equity,
    InstrumentId,
    Money,
    OmsType,
    OrderSide,
    Price,
    Quantity,
    StrategyId,
    Symbol,
    Venue,
)
from nautilus_trader.trading import Strategy, StrategyConfig

DAY = 86_400 * 10**9
USD = Currency.from_str("USD")
VENUE = Venue("XNYS")


class Script(Strategy):
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
        for name in self.orders:
            self.subscribe_bars(bar_type(name))
        for kind in self.hears:
            self.subscribe_data(DataType(kind.__name__))

    def on_data(self, data) -> None:
        self.heard.append(data.data)

    def on_order_filled(self, event) -> None:
        self.fills.append((event.ts_event, str(event.instrument_id), float(event.last_qty), float(event.last_px)))

    def on_bar(self, bar: Bar) -> None:
        name = str(bar.bar_type.instrument_id)
        self.bars[name] = self.bars.get(name, 0) + 1
        quantity = self.orders[name].get(self.bars[name])
        if quantity:
            side = OrderSide.BUY if quantity > 0 else OrderSide.SELL
            size = Quantity.from_int(abs(quantity))
            self.submit_order(self.order_factory.market(bar.bar_type.instrument_id, side, size))


def bar_type(name: str) -> BarType:
    return BarType.from_str(f"{name}-1-DAY-LAST-EXTERNAL")


def equity(name: str) -> Equity:
    instrument_id = InstrumentId.from_str(name)
    increment = Price.from_str("0.01")
    lot = Quantity.from_int(1)
    return Equity(instrument_id, Symbol(instrument_id.symbol.value), USD, 2, increment, 0, 0, lot_size=lot)


def bars(instrument: Equity, closes: np.ndarray, first_day: int = 1) -> list[Bar]:
    kind, volume = bar_type(str(instrument.id)), Quantity.from_int(10**6)
    prices = [instrument.make_price(close) for close in closes.tolist()]
    days = range(first_day, first_day + len(prices))
    return [Bar(kind, p, p, p, p, volume, day * DAY, day * DAY) for p, day in zip(prices, days, strict=True)]


def walk(seed: int, days: int, start: float = 100.0, sigma: float = 0.01) -> np.ndarray:
    """Closes of a geometric random walk on cents."""
    steps = np.random.default_rng(seed).normal(scale=sigma, size=days)
    return np.round(start * np.exp(np.cumsum(steps)), 2)


class System:
    """A BacktestEngine; v2 takes one at a time."""

    def __init__(self, account=AccountType.MARGIN, **config) -> None:
        logging = LoggerConfig(stdout_level=LogLevel.ERROR)
        self.engine = BacktestEngine(BacktestEngineConfig(logging=logging, **config))
        self.engine.add_venue(
            VENUE,
            OmsType.NETTING,
            account,
            [Money(10_000_000, USD)],
            fee_model=MakerTakerFeeModel("0", "0"),
        )

    def add(self, name: str, closes: np.ndarray, first_day: int = 1) -> "System":
        instrument = equity(name)
        self.engine.add_instrument(instrument)
        self.engine.add_data(bars(instrument, closes, first_day))
        return self

    def run(self, actors=(), strategies=()) -> "System":
        for actor in actors:
            self.engine.add_actor(actor)
        for strategy in strategies:
            self.engine.add_strategy(strategy)
        self.engine.run()
        return self


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
