"""Sell a straddle at the money, hold it to expiry, sell the next: the income strategy that needs a hedge."""

from typing import Any

from nautilus_trader.model import InstrumentId

from nautilus_metal.host import (
    OptionContract,
    OrderSide,
    PriceType,
    Strategy,
    StrategyConfig,
    TimeInForce,
    instruments_of,
    price_of,
    quote_tick,
)
from strategies.positions import require

NANOSECONDS_PER_DAY = 86_400_000_000_000


class ShortStraddleConfig(StrategyConfig, frozen=True, kw_only=True):
    """Settings of `ShortStraddle`.

    Parameters
    ----------
    underlying : InstrumentId
        What the options are on; it needs a last price.
    trigger : InstrumentId
        The strategy looks at the market when this instrument is quoted.
    contracts : int
        Calls, and puts, to sell each time.
    min_days : float
        The nearest expiry at least so many days away is sold.
    last_expiry_ns : int, optional
        No option that expires later (UNIX nanoseconds) is sold.

    Raises
    ------
    InputError
        A setting is outside what is said above.
    """

    underlying: InstrumentId
    trigger: InstrumentId
    contracts: int = 10
    min_days: float = 20.0
    last_expiry_ns: int | None = None

    def __post_init__(self) -> None:
        require(self.contracts >= 1, "contracts", "at least 1", self.contracts)
        require(self.min_days > 0.0, "min_days", "above 0 days", self.min_days)


class ShortStraddle(Strategy):
    """Short one call and one put of the strike nearest to the underlying, whenever no option is held."""

    def on_start(self) -> None:
        """Listen to the trigger."""
        self.subscribe_quote_ticks(self.config.trigger)

    def on_quote_tick(self, tick: Any) -> None:
        """Sell a straddle where none is held or on its way."""
        if self.cache.positions_open(strategy_id=self.id) or self.cache.orders_open(strategy_id=self.id):
            return
        for option in self._straddle():
            quantity = option.make_qty(self.config.contracts)
            self.submit_order(
                self.order_factory.market(option.id, OrderSide.SELL, quantity, time_in_force=TimeInForce.IOC)
            )

    def _straddle(self) -> list[Any]:
        """Choose expiry and strike among the options that are quoted as calls and as puts."""
        spot = price_of(self.cache, self.config.underlying, PriceType.LAST)
        now = self.clock.timestamp_ns()
        first = now + int(self.config.min_days * NANOSECONDS_PER_DAY)
        last = self.config.last_expiry_ns or 2**63
        pairs: dict[tuple[int, float], list[Any]] = {}
        for option in self._options():
            if first <= option.expiration_ns <= last and self._quoted(option, now):
                pairs.setdefault((option.expiration_ns, float(option.strike_price)), []).append(option)
        whole = [key for key, options in pairs.items() if len(options) == 2]
        if spot is None or not whole:
            return []
        nearest = min(expiry for expiry, _ in whole)
        strike = min((k for expiry, k in whole if expiry == nearest), key=lambda k: abs(k - float(spot)))
        return pairs[nearest, strike]

    def _options(self) -> list[Any]:
        symbol = self.config.underlying.symbol.value
        options = (one for one in instruments_of(self.cache) if isinstance(one, OptionContract))
        return [option for option in options if option.underlying == symbol]

    def _quoted(self, option: Any, now: int) -> bool:
        quote = quote_tick(self.cache, option.id)
        return quote is not None and now - quote.ts_event < NANOSECONDS_PER_DAY
