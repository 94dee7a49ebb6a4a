"""What actors ask of a running system about options: terms, underlyings, quotes, volatilities."""

from collections.abc import Mapping
from typing import Any

from nautilus_trader.model import InstrumentId, StrategyId, Symbol

from nautilus_metal.errors import InputError
from nautilus_metal.host.facts import Holding, OptionFacts, Priced, Quote, Tradable
from nautilus_metal.host.words import (
    CryptoOption,
    InstrumentClass,
    OptionContract,
    OptionKind,
    PriceType,
    bar_types_of,
    base_currency,
    curve_of,
    instruments_of,
    quote_tick,
    taker_fee,
    trade_tick,
)

_FORWARDS = (InstrumentClass.FUTURE, InstrumentClass.FUTURES_SPREAD)


def tradable(cache: Any, name: str) -> Tradable | None:
    """Describe what it takes to trade an instrument; None for one that the cache does not have."""
    instrument = cache.instrument(InstrumentId.from_str(name))
    if instrument is None:
        return None
    currency, multiplier = instrument.quote_currency.code, float(instrument.multiplier)
    return Tradable(
        contract=Holding(name, 1.0, multiplier, currency, instrument.is_inverse),
        fee=taker_fee(instrument),
        lot=float(instrument.size_increment),
        expires_ns=getattr(instrument, "expiration_ns", 0) or None,
    )


def live_options(cache: Any, now: int) -> list[str]:
    """IDs of the options in the cache that expire after `now`, UNIX nanoseconds."""
    options = (one for one in instruments_of(cache) if isinstance(one, OptionContract | CryptoOption))
    return [str(option.id) for option in options if option.expiration_ns > now]


def held_by(cache: Any, strategy: str) -> dict[str, float]:
    """Signed quantity by instrument that a strategy holds."""
    held: dict[str, float] = {}
    for position in cache.positions_open(strategy_id=StrategyId(strategy)):
        name = str(position.instrument_id)
        held[name] = held.get(name, 0.0) + position.signed_qty
    return held


def option_facts(cache: Any, name: str, underlyings: Mapping[str, str]) -> OptionFacts | None:
    """Describe an instrument that is an option; None for any other.

    Parameters
    ----------
    cache : Cache
        The system's cache.
    name : str
        The instrument ID.
    underlyings : mapping of str to str
        Instrument IDs of underlyings, by the option's ID or by what options call their underlying.
    """
    option = cache.instrument(InstrumentId.from_str(name))
    if not isinstance(option, OptionContract | CryptoOption):
        return None
    crypto = isinstance(option, CryptoOption)
    label = option.underlying.code if crypto else option.underlying
    chosen = underlyings.get(name) or underlyings.get(label)
    found = cache.instrument(InstrumentId.from_str(chosen)) if chosen else _underlying(cache, option, label, crypto)
    return OptionFacts(
        kind="call" if option.option_kind == OptionKind.CALL else "put",
        strike=float(option.strike_price),
        expires_ns=option.expiration_ns,
        underlying=chosen or (None if found is None else str(found.id)),
        label=label,
        on_future=found is not None and found.instrument_class in _FORWARDS,
        currency=None if found is None else found.quote_currency.code,
        in_coin=crypto and (option.is_inverse or option.quote_currency == option.underlying),
    )


def _underlying(cache: Any, option: Any, label: str, crypto: bool) -> Any | None:
    """By symbol at the option's venue, else the only one of that symbol; a coin by what trades it at the venue."""
    same = cache.instrument(InstrumentId(Symbol(label), option.id.venue))
    if same is not None:
        return same
    if not crypto:
        named = [one for one in instruments_of(cache) if one.id.symbol.value == label]
        return named[0] if len(named) == 1 else None
    plain = [
        one
        for one in cache.instruments(venue=option.id.venue)
        if base_currency(one) == option.underlying and one.instrument_class in _PLAIN
    ]
    return min(plain, key=lambda one: (_PLAIN[one.instrument_class], str(one.id)), default=None)


_PLAIN = {InstrumentClass.SPOT: 0, InstrumentClass.SWAP: 1}


def last_quote(cache: Any, name: str) -> Quote | None:
    """The last quote that has a price on both sides; a bid of zero is one."""
    tick = quote_tick(cache, InstrumentId.from_str(name))
    if tick is None:
        return None
    quote = Quote(float(tick.bid_price), float(tick.ask_price), tick.ts_event)
    return quote if quote.ask > 0 and quote.bid >= 0 else None


def quote_mid(cache: Any, name: str) -> Priced | None:
    """The middle of that quote."""
    quote = last_quote(cache, name)
    return None if quote is None else Priced(quote.mid, quote.ts)


def last_trade(cache: Any, name: str) -> Priced | None:
    """The last trade's price."""
    trade = trade_tick(cache, InstrumentId.from_str(name))
    return None if trade is None else Priced(float(trade.price), trade.ts_event)


def newest_price(cache: Any, name: str) -> Priced | None:
    """The newest of the last quote's middle, the last trade and the bars' last closes; at one time, in that order."""
    types = bar_types_of(cache, InstrumentId.from_str(name), PriceType.LAST)
    bars = [bar for bar in map(cache.bar, types) if bar is not None]
    known = [quote_mid(cache, name), last_trade(cache, name)]
    known += [Priced(float(bar.close), bar.ts_event) for bar in bars]
    return max((price for price in known if price is not None), key=lambda price: price.ts, default=None)


def yield_of_curve(cache: Any, name: str, years: float) -> float | None:
    """The rate at a maturity from the cache's yield curve of a currency or an underlying; None where it has none.

    Raises
    ------
    InputError
        If the curve, which is a user's, fails there: the host's own needs three tenors.
    """
    curve = curve_of(cache, name)
    try:
        return None if curve is None else float(curve(years))
    except Exception as error:
        raise InputError(f"the yield curve of {name} failed at {years:.4g} years: {error}") from error
