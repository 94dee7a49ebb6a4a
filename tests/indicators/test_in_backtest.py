"""In a real BacktestEngine, strategies and actors register the indicators for bars, quotes and trades."""

import warnings

import numpy as np
import pytest
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig
from nautilus_trader.indicators import BollingerBands, MovingAverageConvergenceDivergence, RelativeStrengthIndex
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.enums import AccountType, OmsType
from nautilus_trader.model.identifiers import Venue
from nautilus_trader.model.objects import Money
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.trading.strategy import Strategy

from nautilus_metal.indicators import IndicatorUniverse, MetalBollingerBands, MetalMACD, MetalRSI

MINUTE = 60_000_000_000
KINDS = ("bars", "quote_ticks", "trade_ticks")


class Watcher(Strategy):
    """Registers indicators for one kind of data, and notes their outputs whenever that data comes."""

    def __init__(self, kind, source, indicators, read):
        super().__init__()
        self.kind, self.source, self.indicators, self.read = kind, source, indicators, read
        self.seen = []
        self.ready = []

    def on_start(self):
        for indicator in self.indicators:
            getattr(self, f"register_indicator_for_{self.kind}")(self.source, indicator)
        getattr(self, f"subscribe_{self.kind}")(self.source)

    def note(self, data):
        self.ready.append(self.indicators_initialized())
        self.seen.append([self.read(indicator) for indicator in self.indicators])

    on_bar = on_quote_tick = on_trade_tick = note

    def on_reset(self):
        self.seen, self.ready = [], []
        for indicator in self.indicators:
            indicator.reset()


def run(strategies, data, runs=1):
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    cash = [Money(1_000_000, USD)]
    engine.add_venue(Venue("XNAS"), OmsType.NETTING, AccountType.CASH, cash, bar_execution=False)
    for symbol in ("AAPL", "MSFT"):
        engine.add_instrument(TestInstrumentProvider.equity(symbol, "XNAS"))
    engine.add_data(data)
    for strategy in strategies:
        engine.add_strategy(strategy)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for again in range(runs):
            if again:
                engine.reset()
            engine.run()
    engine.dispose()


@pytest.fixture
def closes():
    return (100.0 + np.random.default_rng(0).normal(size=80).cumsum()).round(2).tolist()


@pytest.fixture
def market(closes, make_bar, make_quote, make_trade):
    return {
        "bars": [make_bar(p, t * MINUTE, p + 0.25, p - 0.5) for t, p in enumerate(closes, 1)],
        "quote_ticks": [make_quote(p - 0.02, p + 0.02, t * MINUTE) for t, p in enumerate(closes, 1)],
        "trade_ticks": [make_trade(p, t * MINUTE) for t, p in enumerate(closes, 1)],
    }


def source_of(data, kind):
    return data[0].bar_type if kind == "bars" else data[0].instrument_id


def read_ours(indicator):
    return [getattr(indicator, name, None) for name in ("value", "signal", "upper", "middle", "lower", "percent_b")]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("convention", ["standard", "nautilus_v1"])
def test_all_three_on_every_kind_of_data(kind, convention, market, closes):
    made = [cls(convention=convention) for cls in (MetalRSI, MetalMACD, MetalBollingerBands)]
    data = market[kind]
    watcher = Watcher(kind, source_of(data, kind), made, read_ours)
    run([watcher], data, runs=2)  # the second run sees what the first saw, after a reset

    assert len(watcher.seen) == len(closes)
    needed = 34 if convention == "standard" else 26
    assert watcher.ready == [bar >= needed for bar in range(1, len(closes) + 1)]
    plain = [cls(convention=convention) for cls in (MetalRSI, MetalMACD, MetalBollingerBands)]
    for bar, price in enumerate(closes):
        for indicator, seen in zip(plain, watcher.seen[bar], strict=True):
            if kind == "bars" and isinstance(indicator, MetalBollingerBands):
                indicator.update_raw(price + 0.25, price - 0.5, price)
            else:
                indicator.update_raw(price)
            expected = [np.nan if value is None else value for value in read_ours(indicator)]
            np.testing.assert_allclose([np.nan if v is None else v for v in seen], expected, rtol=1e-9, atol=1e-9)


def test_beside_the_built_in_classes(market):
    def read(indicator):
        return [getattr(indicator, name, 0.0) for name in ("value", "upper", "middle", "lower")]

    bars = market["bars"]
    theirs = [RelativeStrengthIndex(14), MovingAverageConvergenceDivergence(12, 26), BollingerBands(20, 2.0)]
    ours = [cls(convention="nautilus_v1") for cls in (MetalRSI, MetalMACD, MetalBollingerBands)]
    watcher = Watcher("bars", bars[0].bar_type, [*ours, *theirs], read)
    run([watcher], bars)
    seen = np.array(watcher.seen)
    np.testing.assert_allclose(seen[:, :3], seen[:, 3:], rtol=1e-9, atol=1e-12)


def test_two_strategies_share_a_universe_through_views(closes, make_bar):
    names = ["rsi(14)", "macd(12,26,9)", "bollinger(20,2)"]
    universe = IndicatorUniverse(["AAPL.XNAS", "MSFT.XNAS"], names)
    prices = {"AAPL": closes, "MSFT": closes[::-1]}
    data = [make_bar(prices[s][t], (t + 1) * MINUTE, symbol=s) for t in range(len(closes)) for s in prices]
    watchers = [
        Watcher("bars", data[0].bar_type, [universe.view("AAPL.XNAS", name) for name in names], read_ours),
        Watcher("bars", data[1].bar_type, [universe.view("MSFT.XNAS", name) for name in names], read_ours),
        Watcher("bars", data[0].bar_type, [universe.view("AAPL.XNAS", names[0])], read_ours),
    ]
    for number, watcher in enumerate(watchers):
        watcher.change_id(type(watcher.id)(f"Watcher-{number}"))
    run(watchers, data, runs=2)
    for watcher, symbol in zip(watchers, ("AAPL", "MSFT", "AAPL"), strict=True):
        singles = [MetalRSI(), MetalMACD(), MetalBollingerBands()][: len(watcher.indicators)]
        for bar, price in enumerate(prices[symbol]):
            for single in singles:
                single.update_raw(price)
            assert watcher.ready[bar] == all(single.initialized for single in singles)
            expected = [[np.nan if v is None else v for v in read_ours(single)] for single in singles]
            seen = [[np.nan if v is None else v for v in values] for values in watcher.seen[bar]]
            np.testing.assert_allclose(seen, expected, rtol=1e-9, atol=1e-9)
