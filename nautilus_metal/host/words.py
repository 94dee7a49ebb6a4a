"""The names of the host's model that its versions spell differently."""

from typing import TYPE_CHECKING, Any

from nautilus_metal.host.version import MAJOR

if TYPE_CHECKING or MAJOR == 1:
    from nautilus_trader.common.enums import ComponentState
    from nautilus_trader.model.enums import (
        ContingencyType,
        InstrumentClass,
        OptionKind,
        OrderSide,
        OrderStatus,
        PriceType,
        TimeInForce,
    )
    from nautilus_trader.model.instruments import CryptoOption, OptionContract

    def base_currency(instrument: Any) -> Any | None:
        """The currency that a pair, or a contract on one, trades; None for anything else."""
        return instrument.get_base_currency()

    def xrate(cache: Any, venue: Any, source: Any, target: Any) -> Any | None:
        """The exchange rate by the quotes of a venue; None or zero where they have none."""
        return cache.get_xrate(venue, source, target)

    def quote_tick(cache: Any, instrument_id: Any) -> Any | None:
        """The last quote."""
        return cache.quote_tick(instrument_id)

    def trade_tick(cache: Any, instrument_id: Any) -> Any | None:
        """The last trade."""
        return cache.trade_tick(instrument_id)

    def bar_types_of(cache: Any, instrument_id: Any, price_type: Any) -> list[Any]:
        """The types of an instrument's bars in the cache."""
        return list(cache.bar_types(instrument_id, price_type))

    def instruments_of(cache: Any) -> list[Any]:
        """All instruments in the cache, in an order that a second run has as well."""
        return list(cache.instruments())

    def price_of(cache: Any, instrument_id: Any, price_type: Any) -> Any | None:
        """The newest price of a type, of a quote or a trade, else of a bar."""
        return cache.price(instrument_id, price_type)

    def open_positions(cache: Any, instrument_id: Any = None, strategy_id: Any = None) -> list[Any]:
        """The open positions of an instrument and a strategy, or of all, in the order of their IDs."""
        return list(cache.positions_open(instrument_id=instrument_id, strategy_id=strategy_id))

    def curve_of(cache: Any, name: str) -> Any | None:
        """The yield curve of a name; None where the cache has none."""
        return cache.yield_curve(name)

    def taker_fee(instrument: Any) -> float:
        """A taker's fee, as a share of the value traded."""
        return float(instrument.taker_fee)
else:
    from nautilus_trader.model import (
        AggregationSource,
        ContingencyType,
        CryptoOption,
        InstrumentClass,
        OptionContract,
        OptionKind,
        OrderSide,
        OrderStatus,
        PriceType,
        TimeInForce,
    )

    from nautilus_metal.host.v2_component import ComponentState
    from nautilus_metal.host.v2_order import in_order

    _OF_A_COIN = ("CryptoFuture", "CryptoOption")

    def base_currency(instrument):
        """As above; v2's instruments have no method for it."""
        if type(instrument).__name__ in _OF_A_COIN:
            return instrument.underlying
        return getattr(instrument, "base_currency", None)

    def xrate(cache, venue, source, target):
        """As above, by the middle of the quotes."""
        return cache.get_xrate(venue, source, target, PriceType.MID)

    def quote_tick(cache, instrument_id):
        """As above."""
        return cache.quote(instrument_id)

    def trade_tick(cache, instrument_id):
        """As above."""
        return cache.trade(instrument_id)

    def bar_types_of(cache, instrument_id, price_type):
        """As above."""
        sources = (AggregationSource.EXTERNAL, AggregationSource.INTERNAL)
        return [one for source in sources for one in cache.bar_types(source, instrument_id, price_type)]

    def instruments_of(cache):
        """As above; v2's IDs have another order."""
        return sorted(cache.instruments(), key=lambda one: str(one.id))

    def price_of(cache, instrument_id, price_type):
        """As above; v2's own leaves bars out."""
        price = cache.price(instrument_id, price_type)
        if price is not None:
            return price
        bars = [bar for bar in map(cache.bar, bar_types_of(cache, instrument_id, price_type)) if bar is not None]
        return max(bars, key=lambda bar: bar.ts_event).close if bars else None

    def open_positions(cache, instrument_id=None, strategy_id=None):
        """As above; v2's IDs have another order."""
        return in_order(cache.positions_open(instrument_id=instrument_id, strategy_id=strategy_id))

    def curve_of(cache, name):
        """None: a curve can be added to v2's cache, and not be read from it."""
        return None

    def taker_fee(instrument):
        """Zero: in v2 the venue's fee model has the fees, and an actor is not given it."""
        return 0.0


__all__ = [
    "ComponentState",
    "ContingencyType",
    "CryptoOption",
    "InstrumentClass",
    "OptionContract",
    "OptionKind",
    "OrderSide",
    "OrderStatus",
    "PriceType",
    "TimeInForce",
    "bar_types_of",
    "base_currency",
    "curve_of",
    "instruments_of",
    "open_positions",
    "price_of",
    "quote_tick",
    "taker_fee",
    "trade_tick",
    "xrate",
]
