"""Options for tests: contracts, quotes by Black-Scholes, and a strategy that buys and sells them."""

from collections.abc import Mapping, Sequence

import numpy as np
from nautilus_trader.model.currencies import BTC, USD
from nautilus_trader.model.data import Bar, QuoteTick
from nautilus_trader.model.enums import AssetClass, OptionKind, OrderSide
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.instruments import CryptoOption, OptionContract
from nautilus_trader.model.objects import Price, Quantity
from nautilus_trader.trading.config import StrategyConfig
from nautilus_trader.trading.strategy import Strategy

from nautilus_metal.actors import RiskActor, RiskActorConfig
from nautilus_metal.kernels import black_scholes
from nautilus_metal.messages import GREEKS_REPORT_TOPIC, STRESS_REPORT_TOPIC
from tests.actors.conftest import System
from tests.small_system import DAY, bar_type, walk

STOCK, DAYS, EXPIRY = "AAA.XNYS", 60, 100
EVERY_DAY = range(1, DAYS + 1)
SMALL = {"window": 40, "min_observations": 20, "levels": (0.95,), "model": "normal", "scenarios": 2_000}
ONE = Quantity.from_int(1)


class Buyer(Strategy):
    """Submits market orders at bar number n of an instrument."""

    def __init__(self, orders: Mapping[int, Sequence[tuple[str, float]]], clock: str = STOCK) -> None:
        super().__init__(StrategyConfig(strategy_id="Buyer", order_id_tag="001"))
        self.orders, self.instrument = orders, clock
        self.count = 0

    def on_start(self) -> None:
        self.subscribe_bars(bar_type(self.instrument))

    def on_bar(self, bar: Bar) -> None:
        self.count += 1
        for name, quantity in self.orders.get(self.count, ()):
            instrument = self.cache.instrument(InstrumentId.from_str(name))
            side = OrderSide.BUY if quantity > 0 else OrderSide.SELL
            self.submit_order(self.order_factory.market(instrument.id, side, instrument.make_qty(abs(quantity))))


def contract(name: str, kind: str, strike: float, underlying: str = "AAA", **options) -> OptionContract:
    instrument_id = InstrumentId.from_str(name)
    return OptionContract(
        instrument_id=instrument_id,
        raw_symbol=instrument_id.symbol,
        asset_class=AssetClass.EQUITY,
        currency=options.get("currency", USD),
        price_precision=6,
        price_increment=Price.from_str("0.000001"),
        multiplier=Quantity.from_int(options.get("multiplier", 100)),
        lot_size=ONE,
        underlying=underlying,
        option_kind=OptionKind.CALL if kind == "call" else OptionKind.PUT,
        strike_price=Price(strike, 4),
        activation_ns=0,
        expiration_ns=options.get("expiry", EXPIRY) * DAY,
        ts_event=0,
        ts_init=0,
    )


def quote(instrument, mid: float, day: int, half: float = 0.0005) -> QuoteTick:
    bid, ask = (instrument.make_price(max(0.0, mid + side * half)) for side in (-1, 1))
    size = instrument.make_qty(10**6)
    return QuoteTick(instrument.id, bid, ask, size, size, day * DAY, day * DAY)


def premium(kind: str, strike: float, spot: float, day: int, volatility: float, **terms: float) -> float:
    years = (terms.pop("expiry", EXPIRY) - day) / 365.25
    rate, dividend_yield = terms.get("rate", 0.03), terms.get("dividend_yield", 0.0)
    return float(black_scholes.price(spot, strike, years, rate, volatility, dividend_yield, kind))


def coin_option() -> CryptoOption:
    """Quoted and settled in coin, struck in dollars, as the largest venue has them."""
    name = InstrumentId.from_str("BTC-C45000.XNYS")
    return CryptoOption(
        name, name.symbol, BTC, BTC, BTC, False, OptionKind.CALL, Price.from_str("45000"), 0, EXPIRY * DAY,
        8, 1, Price.from_str("0.00000001"), Quantity.from_str("0.1"), 0, 0,
    )  # fmt: skip


class Desk(System):
    """A system with a stock, and options on it that are quoted by Black-Scholes."""

    def __init__(self, closes: np.ndarray | None = None) -> None:
        super().__init__()
        self.closes = walk(1, DAYS) if closes is None else closes
        self.greeks: list = []
        self.stresses: list = []
        self.engine.kernel.msgbus.subscribe(GREEKS_REPORT_TOPIC, self.greeks.append)
        self.engine.kernel.msgbus.subscribe(STRESS_REPORT_TOPIC, self.stresses.append)

    def option(
        self, name: str, kind: str, strike: float, volatility: float = 0.25, days: range = EVERY_DAY, **options
    ) -> "Desk":
        instrument = contract(name, kind, strike, **options)
        self.engine.add_instrument(instrument)
        expiry = options.get("expiry", EXPIRY)
        quotes = [
            quote(instrument, premium(kind, strike, self.closes[day - 1], day, volatility, expiry=expiry), day)
            for day in days
        ]
        if quotes:
            self.engine.add_data(quotes)
        return self

    def trade(self, orders: Mapping[int, Sequence[tuple[str, float]]], **options) -> "Desk":
        self.add(STOCK, self.closes)
        self.actor = RiskActor(RiskActorConfig(**{"bar_types": (bar_type(STOCK),), "rate": 0.03, **SMALL, **options}))
        self.run([self.actor], [Buyer(orders)])
        return self
