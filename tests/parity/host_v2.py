"""Instruments, data and the engine of the demos in the words of NautilusTrader v2."""

from typing import Any

from nautilus_trader.model import (
    AssetClass,
    InstrumentId,
    OptionContract,
    OptionKind,
    OrderSide,
    Price,
    Quantity,
    QuoteTick,
)

from tests.v2.conftest import DAY, USD, System, equity

ONE = Quantity.from_int(1)


class Market:
    """One venue with stocks and options, at daily prices."""

    def __init__(self) -> None:
        self.system = System()

    def stock(self, name: str, closes: Any, quoted: bool = False) -> None:
        """Add a stock with daily bars, and quotes around their closes a second later."""
        self.system.add(name, closes)
        if quoted:
            self._quote(equity(name), closes.tolist(), 0.01, 10**9)

    def option(self, name: str, kind: str, strike: float, expiry: int, premiums: list[float]) -> None:
        """Add an option with daily quotes around its premium."""
        one = InstrumentId.from_str(name)
        right = OptionKind.CALL if kind == "call" else OptionKind.PUT
        option = OptionContract(
            one, one.symbol, AssetClass.EQUITY, "AAA", right, Price(strike, 2), USD, 0, expiry * DAY, 4,
            Price.from_str("0.0001"), Quantity.from_int(100), ONE, 0, 0,
        )  # fmt: skip
        self.system.engine.add_instrument(option)
        self._quote(option, premiums, 0.005)

    def _quote(self, instrument: Any, prices: list[float], half: float, late: int = 0) -> None:
        make, size = instrument.make_price, Quantity.from_int(10**6)
        rows = [(make(price - half), make(price + half), day * DAY + late) for day, price in enumerate(prices, 1)]
        self.system.engine.add_data([QuoteTick(instrument.id, bid, ask, size, size, ts, ts) for bid, ask, ts in rows])

    def run(self, actors: list[Any], strategies: list[Any], log: list[list[Any]]) -> None:
        """Run, note all orders at the end, and let go."""
        engine = self.system.run(actors, strategies).engine
        for order in engine.cache.orders():
            signed = float(order.filled_qty) * (1 if order.side == OrderSide.BUY else -1)
            facts = [str(order.strategy_id), str(order.instrument_id), order.tags, signed, float(order.avg_px or 0)]
            log.append([order.ts_last, "order", facts])
        engine.dispose()
