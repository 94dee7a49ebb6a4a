"""Indicators registered with a strategy of v2: TA-Lib's numbers, at every bar."""

from types import SimpleNamespace

import numpy as np
import pytest
import talib
from nautilus_trader.trading import Strategy, StrategyConfig

from nautilus_metal.errors import HostError, InputError
from nautilus_metal.indicators import IndicatorUniverse, MetalBollingerBands, MetalMACD, MetalRSI
from tests.small_system import bar_type, walk

NAME = "AAA.XNYS"


class Watcher(Strategy):
    """Registers indicators and notes their outputs at every bar."""

    def __new__(cls, indicators, read):
        return super().__new__(cls, StrategyConfig())

    def __init__(self, indicators, read) -> None:
        self.indicators, self.read, self.rows, self.ready = indicators, read, [], []

    def on_start(self) -> None:
        for one in self.indicators:
            self.register_indicator_for_bars(bar_type(NAME), one)
        self.subscribe_bars(bar_type(NAME))

    def on_bar(self, bar) -> None:
        self.rows.append(self.read(*self.indicators))
        self.ready.append(self.indicators_initialized())


def outputs(rsi, macd, bands):
    return (rsi.value, macd.value, macd.signal, macd.histogram, bands.upper, bands.middle, bands.lower)


def expected(closes):
    bands = talib.BBANDS(closes, 20, 2.0, 2.0)
    return np.array([talib.RSI(closes, 14), *talib.MACD(closes, 12, 26, 9), *bands]).T


def test_in_a_strategy_they_are_talibs(system):
    closes = walk(3, 300)
    watcher = Watcher([MetalRSI(14), MetalMACD(12, 26, 9), MetalBollingerBands(20, 2.0)], outputs)
    system().add(NAME, closes).run(strategies=[watcher])
    found, reference = np.array(watcher.rows, dtype=float), expected(closes)
    known = ~np.isnan(reference)
    assert known.any(axis=0).all()
    np.testing.assert_allclose(found[known], reference[known], rtol=1e-9, atol=1e-9)
    assert watcher.ready == [False] * 33 + [True] * (300 - 33)


def test_views_of_a_universe_are_talibs(system):
    closes = walk(4, 120)
    universe = IndicatorUniverse([NAME], ["rsi(14)"])
    watcher = Watcher([universe.view(NAME, "rsi(14)")], lambda view: (view.value,))
    system().add(NAME, closes).run(strategies=[watcher])
    np.testing.assert_allclose(np.array(watcher.rows)[14:, 0], talib.RSI(closes, 14)[14:], rtol=1e-9)


def fail_in_handler(indicator, bar):
    raise ZeroDivisionError("broken on purpose")


def fail_between_bars(indicator):
    yield
    raise ZeroDivisionError("broken on purpose")


@pytest.mark.parametrize("method", [{"handle_bar": fail_in_handler}, {"_take_bars": fail_between_bars}])
def test_a_failing_indicator_makes_the_run_fail(system, method):
    Broken = type("Broken", (MetalRSI,), method)
    watcher = Watcher([Broken()], lambda rsi: (rsi.value,))
    with pytest.raises(ZeroDivisionError, match="broken on purpose") as caught:
        system().add(NAME, walk(3, 20)).run(strategies=[watcher])
    assert caught.value.__notes__[0] == "raised in Broken.handle_bar"


@pytest.mark.parametrize(
    ("cls", "output"), [(MetalRSI, "value"), (MetalMACD, "histogram"), (MetalBollingerBands, "upper")]
)
def test_a_call_that_failed_leaves_the_indicator_as_it_was(cls, output):
    failing, plain = cls(), cls()
    for ts, close in enumerate(walk(6, 80).tolist()):
        if ts in (0, 40):
            with pytest.raises(AttributeError, match="close"):
                failing.handle_bar("a bar")
        failing.handle_bar(SimpleNamespace(close=SimpleNamespace(as_double=lambda close=close: close)))
        plain.update_raw(close)
    assert failing.initialized
    assert getattr(failing, output) == getattr(plain, output)


def test_v1s_convention_is_there_in_streams_and_in_histories():
    closes = walk(5, 80)
    for made in (MetalRSI(14, "nautilus_v1", ma_type="WILDER"), MetalMACD(12, 26, 9, "nautilus_v1")):
        for close in closes.tolist():
            made.update_raw(close)
        history = made.compute(closes)
        last = history[-1] if isinstance(history, np.ndarray) else history.value[-1]
        assert made.value == pytest.approx(last, rel=1e-9)
    bands = MetalBollingerBands(20, 2.0, "nautilus_v1", ma_type="EXPONENTIAL")
    for close in closes.tolist():
        bands.update_raw(close)
    assert bands.upper == pytest.approx(bands.compute(closes).upper[-1], rel=1e-9)


def test_an_average_that_only_v1_has_needs_v1():
    with pytest.raises(HostError, match="`ma_type` VARIABLE_INDEX_DYNAMIC needs NautilusTrader v1"):
        MetalRSI(14, convention="nautilus_v1", ma_type="VARIABLE_INDEX_DYNAMIC")


def test_a_price_type_has_v1s_names():
    assert MetalRSI(price_type="bid").price_type == MetalRSI(price_type="BID").price_type
    with pytest.raises(InputError, match="`price_type` must be a PriceType"):
        MetalRSI(price_type="close")
