"""A small real BacktestEngine around a strategy."""

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from nautilus_trader.backtest.config import BacktestEngineConfig
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.enums import AccountType, OmsType
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import Equity
from nautilus_trader.model.objects import Money, Price, Quantity

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
        self.engine = BacktestEngine(
            BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True), run_analysis=False)
        )
        self.engine.add_venue(VENUE, oms, AccountType.MARGIN, [Money(10_000_000, USD)], USD, Decimal(10))
        self.fills: list[tuple[int, str, float, float]] = []
        for name, closes in prices.items():
            self._add(name, np.asarray(closes, dtype=np.float64), volume)
        self.engine.sort_data()
        self.engine.kernel.msgbus.subscribe("events.fills.*", self._on_fill)

    def run(self, *parts: Any) -> "Bench":
        """Add strategies, then run to the end of the data."""
        for part in parts:
            self.engine.add_strategy(part)
        self.engine.run()
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
        self.engine.add_instrument(
            Equity(
                InstrumentId(Symbol(name), VENUE), Symbol(name), USD, 4, Price(0.0001, 4), Quantity.from_int(1), 0, 0
            )
        )
        if len(closes):
            ts = (np.arange(len(closes)) + 1).astype(np.uint64) * DAY
            columns = [closes.copy() for _ in range(4)]
            bars = Bar.from_raw_arrays_to_list(
                bar_type_of(name), 4, 0, *columns, np.full(len(closes), volume), ts, ts.copy()
            )
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
