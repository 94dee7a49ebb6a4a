"""A small real BacktestEngine around a strategy."""

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from nautilus_trader.model import BarType, InstrumentId, Money, Price, Quantity, Symbol, Venue

from nautilus_metal.host.backtest import (
    USD,
    AccountType,
    Equity,
    OmsType,
    fills_of,
    make_bars,
    no_fees,
    silent_engine,
)

VENUE = Venue("SIM")
DAY = 86_400 * 10**9


def bar_type_of(name: str) -> BarType:
    """Daily bars of an instrument on the test venue."""
    return BarType.from_str(f"{name}.SIM-1-DAY-LAST-EXTERNAL")


class Bench:
    """Runs strategies over close prices and remembers every fill.

    Attributes
    ----------
    fills : list of tuple
        (day, instrument, signed quantity, price), in order.
    """

    def __init__(self, prices: Mapping[str, Any], oms: OmsType, volume: float = 1e9) -> None:
        self.engine = silent_engine()
        self.engine.add_venue(
            venue=VENUE,
            oms_type=oms,
            account_type=AccountType.MARGIN,
            starting_balances=[Money(10_000_000, USD)],
            base_currency=USD,
            default_leverage=Decimal(10),
            fee_model=no_fees(),
        )
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
        positions = self.engine.cache.positions_open(instrument_id=InstrumentId(Symbol(name), VENUE))
        return float(sum(position.signed_qty for position in positions))

    def held_by_day(self, name: str, days: int) -> np.ndarray:
        """Net quantity after each day, from the fills; shape (days,)."""
        held = np.zeros(days)
        for day, instrument, quantity, _ in self.fills:
            if instrument == name:
                held[day:] += quantity
        return held

    def _add(self, name: str, closes: np.ndarray, volume: float) -> None:
        one = InstrumentId(Symbol(name), VENUE)
        instrument = Equity(
            instrument_id=one,
            raw_symbol=one.symbol,
            currency=USD,
            price_precision=4,
            price_increment=Price(0.0001, 4),
            lot_size=Quantity.from_int(1),
            ts_event=0,
            ts_init=0,
        )
        self.engine.add_instrument(instrument)
        if len(closes):
            days = (np.arange(len(closes)) + 1) * DAY
            bars = make_bars(bar_type_of(name), instrument, [closes] * 4, np.full(len(closes), volume), days)
            self.engine.add_data(bars, sort=False)

    def _on_fill(self, event: Any) -> None:
        quantity = event.last_qty.as_double() * (1 if event.is_buy else -1)
        day = event.ts_event // DAY - 1
        self.fills.append((day, str(event.instrument_id.symbol), quantity, event.last_px.as_double()))


@pytest.fixture(params=[OmsType.NETTING, OmsType.HEDGING], ids=["netting", "hedging"])
def bench(request: pytest.FixtureRequest) -> Iterator[Callable[..., Bench]]:
    """Make benches on a netting and on a hedging venue, disposed of at the end."""
    made: list[Bench] = []

    def make(prices: Mapping[str, Any], volume: float = 1e9) -> Bench:
        made.append(Bench(prices, request.param, volume))
        return made[-1]

    yield make
    for entry in made:
        entry.engine.dispose()
