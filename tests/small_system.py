"""What small systems of every NautilusTrader share: stocks, their daily bars, a strategy that follows orders."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from nautilus_trader.model import Bar, BarType, Currency, InstrumentId, Price, Quantity, Venue

from nautilus_metal.host import OrderSide
from nautilus_metal.host.backtest import USD, Equity

DAY = 86_400 * 10**9
VENUE = Venue("XNYS")


class Scripted:
    """A strategy's callbacks that submit market orders: at bar number n of an instrument, a signed quantity."""

    orders: Mapping[str, Mapping[int, int]]
    bars: dict[str, int]

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


class Steps:
    """Adds stocks to an engine, then actors and strategies, and runs it."""

    engine: Any

    def add(self, name: str, closes: np.ndarray, first_day: int = 1, currency: Currency = USD) -> "Steps":
        instrument = equity(name, currency)
        self.engine.add_instrument(instrument)
        self.engine.add_data(bars(instrument, closes, first_day))
        return self

    def run(self, actors=(), strategies=()) -> "Steps":
        for actor in actors:
            self.engine.add_actor(actor)
        for strategy in strategies:
            self.engine.add_strategy(strategy)
        self.engine.run()
        return self


def bar_type(name: str) -> BarType:
    return BarType.from_str(f"{name}-1-DAY-LAST-EXTERNAL")


def equity(name: str, currency: Currency = USD, precision: int = 2, lot: int = 1, **terms: Any) -> Equity:
    """A stock whose price has so many digits."""
    instrument_id = InstrumentId.from_str(name)
    return Equity(
        instrument_id=instrument_id,
        raw_symbol=instrument_id.symbol,
        currency=currency,
        price_precision=precision,
        price_increment=Price(10.0**-precision, precision),
        lot_size=Quantity.from_int(lot),
        ts_event=0,
        ts_init=0,
        **terms,
    )


def bars(instrument: Equity, closes: np.ndarray, first_day: int = 1) -> list[Bar]:
    """Daily bars, all prices the close."""
    made, kind, volume = [], bar_type(str(instrument.id)), Quantity.from_int(10**6)
    for day, close in enumerate(closes.tolist(), start=first_day):
        price = instrument.make_price(close)
        made.append(Bar(kind, price, price, price, price, volume, day * DAY, day * DAY))
    return made


def walk(seed: int, days: int, start: float = 100.0, sigma: float = 0.01) -> np.ndarray:
    """Closes of a geometric random walk on cents."""
    steps = np.random.default_rng(seed).normal(scale=sigma, size=days)
    return np.round(start * np.exp(np.cumsum(steps)), 2)
