"""A small NautilusTrader system for the actors: instruments, bars, a strategy that follows orders."""

from collections.abc import Mapping

import numpy as np
import pytest
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.enums import AccountType, OmsType
from nautilus_trader.model.identifiers import TraderId
from nautilus_trader.model.objects import Money
from nautilus_trader.trading.config import StrategyConfig
from nautilus_trader.trading.strategy import Strategy

from nautilus_metal.messages import RISK_BREACH_TOPIC, RISK_REPORT_TOPIC
from tests.small_system import VENUE, Scripted, Steps, bar_type, bars, equity, walk

CASH = (Money(10_000_000, USD),)


class Script(Scripted, Strategy):
    """Submits market orders: at bar number n of an instrument, a signed quantity."""

    def __init__(self, orders: Mapping[str, Mapping[int, int]], tag: str = "001") -> None:
        super().__init__(StrategyConfig(strategy_id=f"Script-{tag}", order_id_tag=tag))
        self.orders = orders
        self.bars: dict[str, int] = {}

    def on_reset(self) -> None:
        self.bars.clear()


class System(Steps):
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
