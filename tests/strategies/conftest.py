"""A small real BacktestEngine around a strategy, on whichever NautilusTrader is installed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from nautilus_trader.model import BarType, InstrumentId, Money, Price, Quantity, QuoteTick, Symbol, Venue

from nautilus_metal.host import Actor, publish
from nautilus_metal.host.backtest import (
    USD,
    AccountType,
    BacktestEngine,
    OmsType,
    fills_of,
    make_bars,
    no_fees,
    silent_engine,
)
from tests.small_system import DAY, bar_type, equity

VENUE = Venue("SIM")
SECOND = 10**9
Engines = Callable[..., BacktestEngine]


def instrument_id(name: str) -> InstrumentId:
    """An instrument of the test venue."""
    return InstrumentId(Symbol(name), VENUE)


def bar_type_of(name: str) -> BarType:
    """Daily bars of an instrument on the test venue."""
    return bar_type(f"{name}.SIM")


def quotes_of(name: str, size: int) -> list[QuoteTick]:
    """Quotes of 99.99 and 100.01 in the first nine seconds."""
    prices, sizes = (Price(99.99, 2), Price(100.01, 2)), [Quantity.from_int(size)] * 2
    return [QuoteTick(instrument_id(name), *prices, *sizes, *[s * SECOND] * 2) for s in range(1, 10)]


class Speaker(Actor):
    """Publishes messages at given seconds, all of one second within a nanosecond; fresh ones have that time."""

    def __init__(self, script: Mapping[int, Sequence[Any]], fresh: bool) -> None:
        super().__init__()
        self.script, self.fresh = script, fresh

    def on_start(self) -> None:
        for second in self.script:
            self.clock.set_time_alert_ns(f"speak-{second}", second * SECOND + 1, self.on_alert)

    def on_alert(self, event: Any) -> None:
        for message in self.script[event.ts_event // SECOND]:
            now = {"ts_event": event.ts_event, "ts_init": event.ts_event} if self.fresh else {}
            publish(self, type(message).from_dict(message.to_dict() | now))


class Bench:
    """Runs strategies over close prices and remembers every fill.

    Attributes
    ----------
    fills : list of tuple
        (day, instrument, signed quantity, price), in order.
    """

    def __init__(self, engine: BacktestEngine, prices: Mapping[str, Any], volume: float = 1e9) -> None:
        self.engine = engine
        self.fills: list[tuple[int, str, float, float]] = []
        for name, closes in prices.items():
            self._add(name, np.asarray(closes, dtype=np.float64), volume)
        self.engine.sort_data()

    def run(self, *parts: Any) -> "Bench":
        """Add strategies, then run to the end of the data."""
        for part in parts:
            self.engine.add_strategy(part)
        self.engine.run()
        for fill in fills_of(self.engine.cache):
            self._on_fill(fill)
        return self

    def quantity(self, name: str) -> float:
        """Net quantity held now."""
        return held(self.engine, name)

    def held_by_day(self, name: str, days: int) -> np.ndarray:
        """Net quantity after each day, from the fills; shape (days,)."""
        held = np.zeros(days)
        for day, instrument, quantity, _ in self.fills:
            if instrument == name:
                held[day:] += quantity
        return held

    def _add(self, name: str, closes: np.ndarray, volume: float) -> None:
        instrument = equity(f"{name}.SIM", precision=4)
        self.engine.add_instrument(instrument)
        if len(closes):
            days = (np.arange(len(closes)) + 1) * DAY
            bars = make_bars(bar_type_of(name), instrument, [closes] * 4, np.full(len(closes), volume), days)
            self.engine.add_data(bars, sort=False)

    def _on_fill(self, event: Any) -> None:
        day = event.ts_event // DAY - 1
        self.fills.append((day, str(event.instrument_id.symbol), signed(event), event.last_px.as_double()))


def held(engine: BacktestEngine, name: str) -> float:
    """Net quantity held now."""
    positions = engine.cache.positions_open(instrument_id=instrument_id(name))
    return float(sum(position.signed_qty for position in positions))


def signed(fill: Any) -> float:
    """Quantity of a fill, below 0 where it sells."""
    return float(fill.last_qty.as_double() * (1 if fill.is_buy else -1))


@pytest.fixture(params=[OmsType.NETTING, OmsType.HEDGING], ids=["netting", "hedging"])
def engines(request: pytest.FixtureRequest) -> Iterator[Engines]:
    """Make engines on a netting and on a hedging venue, each in the place of the one before: v2 has one at a time."""
    made: list[BacktestEngine] = []

    def make(cash: int = 10_000_000, leverage: int = 10, kind: AccountType = AccountType.MARGIN) -> BacktestEngine:
        while made:
            made.pop().dispose()
        made.append(silent_engine())
        made[0].add_venue(
            venue=VENUE,
            oms_type=request.param,
            account_type=kind,
            starting_balances=[Money(cash, USD)],
            base_currency=USD,
            default_leverage=Decimal(leverage),
            fee_model=no_fees(),
        )
        return made[0]

    yield make
    for engine in made:
        engine.dispose()


@pytest.fixture
def bench(engines: Engines) -> Callable[..., Bench]:
    """Make benches on a netting and on a hedging venue; one at a time can be asked for what it holds."""

    def make(prices: Mapping[str, Any], volume: float = 1e9) -> Bench:
        return Bench(engines(), prices, volume)

    return make
