"""What actors read of a running system's cache: positions, prices, exchange rates."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from nautilus_trader.model import BarType, Currency, InstrumentId

from nautilus_metal.host.facts import Holding
from nautilus_metal.host.words import PriceType, base_currency, instruments_of, open_positions, price_of, xrate

_LAST_THEN_MID = (PriceType.LAST, PriceType.MID)


def holdings(cache: Any) -> list[Holding]:
    """Net the open positions by instrument, flat ones left out, in the order of the positions' IDs."""
    net: dict[Any, list[Any]] = {}
    for position in open_positions(cache):
        entry = net.setdefault(position.instrument_id, [0.0, position])
        entry[0] += position.signed_qty
    return [
        Holding(str(key), quantity, float(p.multiplier), p.quote_currency.code, p.is_inverse)
        for key, (quantity, p) in net.items()
        if quantity != 0.0
    ]


def last_price(cache: Any, instrument: str) -> float | None:
    """The cache's last or mid price; None where it has neither."""
    instrument_id = InstrumentId.from_str(instrument)
    for price_type in _LAST_THEN_MID:
        price = price_of(cache, instrument_id, price_type)
        if price is not None:
            return float(price)
    return None


def exchange_rate(cache: Any, source: str, target: str, prices: Mapping[str, float]) -> float | None:
    """Units of `target` for one unit of `source`: from a pair among `prices`, else from the cache's quotes.

    Parameters
    ----------
    cache : Cache
        The system's cache.
    source, target : str
        Currency codes.
    prices : mapping of str to float
        Last prices by instrument ID, bars included, which the cache's own rates leave out.
    """
    venues = set()
    for instrument in instruments_of(cache):
        base = base_currency(instrument)
        if base is None:
            continue
        venues.add(instrument.venue)
        price = prices.get(str(instrument.id))
        if price and (base.code, instrument.quote_currency.code) == (source, target):
            return price
        if price and (base.code, instrument.quote_currency.code) == (target, source):
            return 1.0 / price
    for venue in sorted(venues, key=str):
        rate = xrate(cache, venue, Currency.from_str(source), Currency.from_str(target))
        if rate:
            return float(rate)
    return None


def bar_interval_ns(bar_type: BarType) -> int | None:
    """Length of a time bar in nanoseconds; None for bars that are not made by time."""
    if not bar_type.spec.is_time_aggregated():
        return None
    return int(bar_type.spec.timedelta / timedelta(microseconds=1)) * 1000
