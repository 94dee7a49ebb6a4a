"""A small NautilusTrader system for the actors: instruments, bars, a strategy that follows orders."""

from collections.abc import Mapping

import numpy as np
import pytest
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId, Symbol, TraderId, Venue
from nautilus_trader.model.instruments import Equity
from nautilus_trader.model.objects import Currency, Money, Price, Quantity
from nautilus_trader.trading.config import StrategyConfig
from nautilus_trader.trading.strategy import Strategy

from nautilus_metal.messages import RISK_BREACH_TOPIC, RISK_REPORT_TOPIC

DAY = 86_400 * 10**9
VENUE = Venue("XNYS")
CASH = (Money(10_000_000, USD),)


class Script(Strategy):
    """Submits market orders: at bar number n of an instrument, a signed quantity."""

    def __init__(self, orders: Mapping[str, Mapping[int, int]], tag: str = "001") -> None:
        super().__init__(StrategyConfig(strategy_id=f"Script-{tag}", order_id_tag=tag))
        self.orders = orders
        self.bars: dict[str, int] = {}

    def on_start(self) -> None:
        for name in self.orders:
            self.subscribe_bars(bar_type(name))

    def on_bar(self, bar: Bar) -> None:
        name = str(bar.bar_type.instrument_id)
        self.bars[name] = self.bars.get(name, 0) + 1
        quantity = self.orders[name].get(self.bars[name])
        if quantity:
            side = OrderSide.BUY if quantity > 0 else OrderSide.SELL
            size = Quantity.from_int(abs(quantity))
            self.submit_order(self.order_factory.market(bar.bar_type.instrument_id, side, size))

    def on_reset(self) -> None:
        self.bars.clear()


def bar_type(name: str) -> BarType:
    return BarType.from_str(f"{name}-1-DAY-LAST-EXTERNAL")


def equity(name: str, currency: Currency = USD) -> Equity:
    instrument_id = InstrumentId.from_str(name)
    return Equity(
        instrument_id=instrument_id,
        raw_symbol=Symbol(instrument_id.symbol.value),
        currency=currency,
        price_precision=2,
        price_increment=Price.from_str("0.01"),
        lot_size=Quantity.from_int(1),
        ts_event=0,
        ts_init=0,
    )


def bars(instrument: Equity, closes: np.ndarray, first_day: int = 1) -> list[Bar]:
    made, kind, volume = [], bar_type(str(instrument.id)), Quantity.from_int(10**6)
    for day, close in enumerate(closes.tolist(), start=first_day):
        price = instrument.make_price(close)
        made.append(Bar(kind, price, price, price, price, volume, day * DAY, day * DAY))
    return made


def walk(seed: int, days: int, start: float = 100.0, sigma: float = 0.01) -> np.ndarray:
    """Closes of a geometric random walk on cents."""
    steps = np.random.default_rng(seed).normal(scale=sigma, size=days)
    return np.round(start * np.exp(np.cumsum(steps)), 2)


class System:
    """A BacktestEngine with its reports and breaches collected."""

    def __init__(self, trader_id: str = "TESTER-001", balances=CASH, **config) -> None:
        self.engine = BacktestEngine(
            BacktestEngineConfig(trader_id=TraderId(trader_id), logging=LoggingConfig(log_level="ERROR"), **config)
        )
        self.engine.add_venue(
            venue=VENUE,
            oms_type=OmsType.NETTING,
            account_type=AccountType.MARGIN,
            base_currency=None,
            starting_balances=list(balances),
        )
        self.reports: list = []
        self.breaches: list = []
        self.engine.kernel.msgbus.subscribe(RISK_REPORT_TOPIC, self.reports.append)
        self.engine.kernel.msgbus.subscribe(RISK_BREACH_TOPIC, self.breaches.append)

    def add(self, name: str, closes: np.ndarray, first_day: int = 1, currency: Currency = USD) -> "System":
        instrument = equity(name, currency)
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
    """Make systems that are disposed at the end of the test."""
    made = []

    def make(**options) -> System:
        made.append(System(**options))
        return made[-1]

    yield make
    for one in made:
        one.engine.dispose()


@pytest.fixture
def desk():
    """Make systems with options that are disposed at the end of the test."""
    from tests.actors.option_cases import Desk  # which takes its systems from here

    made = []

    def make(closes: np.ndarray | None = None) -> Desk:
        made.append(Desk(closes))
        return made[-1]

    yield make
    for one in made:
        one.engine.dispose()


@pytest.fixture
def script():
    return Script


@pytest.fixture
def random_walk():
    return walk


@pytest.fixture
def daily():
    return bar_type


@pytest.fixture
def make_equity():
    return equity


@pytest.fixture
def make_bars():
    return bars
