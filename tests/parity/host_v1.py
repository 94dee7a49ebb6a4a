"""Instruments, data and the engine of the demos in the words of NautilusTrader v1."""

from typing import Any

from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.data import Bar, BarType, QuoteTick
from nautilus_trader.model.enums import AccountType, AssetClass, OmsType, OptionKind, OrderSide
from nautilus_trader.model.identifiers import InstrumentId, Venue
from nautilus_trader.model.instruments import Equity, OptionContract
from nautilus_trader.model.objects import Money, Price, Quantity

DAY = 86_400 * 10**9
SIZE, ONE = Quantity.from_int(10**6), Quantity.from_int(1)
VENUE = Venue("XNYS")


class Market:
    """One venue with stocks and options, at daily prices."""

    def __init__(self) -> None:
        self.engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(log_level="ERROR")))
        self.engine.add_venue(VENUE, OmsType.NETTING, AccountType.MARGIN, [Money(10_000_000, USD)])

    def stock(self, name: str, closes: Any, quoted: bool = False) -> None:
        """Add a stock with daily bars, and quotes around their closes a second later."""
        one = InstrumentId.from_str(name)
        stock = Equity(one, one.symbol, USD, 2, Price.from_str("0.01"), ONE, 0, 0)
        self.engine.add_instrument(stock)
        kind, prices = BarType.from_str(f"{name}-1-DAY-LAST-EXTERNAL"), list(map(stock.make_price, closes.tolist()))
        self.engine.add_data([Bar(kind, p, p, p, p, SIZE, d * DAY, d * DAY) for d, p in enumerate(prices, 1)])
        if quoted:
            self._quote(stock, closes.tolist(), 0.01, 10**9)

    def option(self, name: str, kind: str, strike: float, expiry: int, premiums: list[float]) -> None:
        """Add an option with daily quotes around its premium."""
        one = InstrumentId.from_str(name)
        right = OptionKind.CALL if kind == "call" else OptionKind.PUT
        option = OptionContract(
            one, one.symbol, AssetClass.EQUITY, USD, 4, Price.from_str("0.0001"), Quantity.from_int(100), ONE,
            "AAA", right, Price(strike, 2), 0, expiry * DAY, 0, 0,
        )  # fmt: skip
        self.engine.add_instrument(option)
        self._quote(option, premiums, 0.005)

    def _quote(self, instrument: Any, prices: list[float], half: float, late: int = 0) -> None:
        make, size = instrument.make_price, Quantity.from_int(10**6)
        rows = [(make(price - half), make(price + half), day * DAY + late) for day, price in enumerate(prices, 1)]
        self.engine.add_data([QuoteTick(instrument.id, bid, ask, size, size, ts, ts) for bid, ask, ts in rows])

    def run(self, actors: list[Any], strategies: list[Any], log: list[list[Any]]) -> None:
        """Run, note all orders at the end, and let go."""
        for actor in actors:
            self.engine.add_actor(actor)
        for strategy in strategies:
            self.engine.add_strategy(strategy)
        self.engine.run()
        for order in self.engine.cache.orders():
            signed = float(order.filled_qty) * (1 if order.side == OrderSide.BUY else -1)
            facts = [str(order.strategy_id), str(order.instrument_id), order.tags, signed, float(order.avg_px or 0)]
            log.append([order.ts_last, "order", facts])
        self.engine.dispose()
