"""Market data of one instrument, made from plain prices."""

from collections.abc import Callable, Iterator

import pytest
from nautilus_trader.model.data import Bar, BarType, QuoteTick, TradeTick
from nautilus_trader.model.enums import AggressorSide
from nautilus_trader.model.identifiers import InstrumentId, TradeId
from nautilus_trader.model.objects import Price, Quantity

from nautilus_metal.engine import ComputeEngine

PRECISION = 2


@pytest.fixture(scope="module")
def cpu() -> Iterator[ComputeEngine]:
    """An engine with float64, whatever device this machine would pick."""
    with ComputeEngine("cpu") as made:
        yield made


def _price(value: float) -> Price:
    return Price(value, PRECISION)


@pytest.fixture
def make_bar() -> Callable[..., Bar]:
    """Make a bar of (close), (close, ts) or (close, ts, high, low)."""

    def make(
        close: float, ts: int = 0, high: float | None = None, low: float | None = None, symbol: str = "AAPL"
    ) -> Bar:
        top = close if high is None else high
        bottom = close if low is None else low
        bar_type = BarType.from_str(f"{symbol}.XNAS-1-MINUTE-LAST-EXTERNAL")
        one = Quantity.from_int(1)
        return Bar(bar_type, _price(close), _price(top), _price(bottom), _price(close), one, ts, ts)

    return make


@pytest.fixture
def make_quote() -> Callable[..., QuoteTick]:
    """Make a quote of (bid, ask, ts)."""

    def make(bid: float, ask: float, ts: int = 0) -> QuoteTick:
        one = Quantity.from_int(1)
        return QuoteTick(InstrumentId.from_str("AAPL.XNAS"), _price(bid), _price(ask), one, one, ts, ts)

    return make


@pytest.fixture
def make_trade() -> Callable[..., TradeTick]:
    """Make a trade of (price, ts)."""

    def make(price: float, ts: int = 0) -> TradeTick:
        instrument, one = InstrumentId.from_str("AAPL.XNAS"), Quantity.from_int(1)
        return TradeTick(instrument, _price(price), one, AggressorSide.BUYER, TradeId("1"), ts, ts)

    return make
