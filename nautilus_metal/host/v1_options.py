"""What actors ask of a running NautilusTrader 1.x system about options: terms, underlyings, quotes, volatilities."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nautilus_trader.model.enums import InstrumentClass, OptionKind
from nautilus_trader.model.identifiers import InstrumentId, Symbol
from nautilus_trader.model.instruments import CryptoOption, OptionContract

from nautilus_metal.errors import InputError

_GREEKS_TOPIC = "data.option_greeks.*"  # the engine publishes here what it also feeds to option chains
_FORWARDS = (InstrumentClass.FUTURE, InstrumentClass.FUTURES_SPREAD)


@dataclass(frozen=True, slots=True)
class OptionFacts:
    """An option as its instrument describes it.

    Attributes
    ----------
    kind : str
        "call" or "put".
    strike : float
        In the currency in which the underlying is quoted.
    expires_ns : int
        UNIX nanoseconds.
    underlying : str or None
        ID of the instrument whose price moves it; None where the cache has none.
    label : str
        What the instrument calls its underlying.
    on_future : bool
        Whether the underlying is a dated future.
    currency : str or None
        In which the underlying is quoted.
    in_coin : bool
        Whether premiums are in units of the underlying.
    """

    kind: str
    strike: float
    expires_ns: int
    underlying: str | None
    label: str
    on_future: bool
    currency: str | None
    in_coin: bool


@dataclass(frozen=True, slots=True)
class Priced:
    """A price, or a volatility, and when it was made in UNIX nanoseconds."""

    value: float
    ts: int


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
        named = [one for one in cache.instruments() if one.id.symbol.value == label]
        return named[0] if len(named) == 1 else None
    plain = [
        one
        for one in cache.instruments(venue=option.id.venue)
        if one.get_base_currency() == option.underlying and one.instrument_class in _PLAIN
    ]
    return min(plain, key=lambda one: (_PLAIN[one.instrument_class], str(one.id)), default=None)


_PLAIN = {InstrumentClass.SPOT: 0, InstrumentClass.SWAP: 1}


def quote_mid(cache: Any, name: str) -> Priced | None:
    """The middle of the last quote that has a price on both sides; a bid of zero is one."""
    quote = cache.quote_tick(InstrumentId.from_str(name))
    if quote is None:
        return None
    bid, ask = float(quote.bid_price), float(quote.ask_price)
    return Priced((bid + ask) / 2.0, quote.ts_event) if ask > 0 and bid >= 0 else None


def last_trade(cache: Any, name: str) -> Priced | None:
    """The last trade's price."""
    trade = cache.trade_tick(InstrumentId.from_str(name))
    return None if trade is None else Priced(float(trade.price), trade.ts_event)


def yield_of_curve(cache: Any, name: str, years: float) -> float | None:
    """The rate at a maturity from the cache's yield curve of a currency or an underlying; None where it has none.

    Raises
    ------
    InputError
        If the curve, which is a user's, fails there: the host's own needs three tenors.
    """
    curve = cache.yield_curve(name)
    try:
        return None if curve is None else float(curve(years))
    except Exception as error:
        raise InputError(f"the yield curve of {name} failed at {years:.4g} years: {error}") from error


def follow_option_greeks(owner: Any, handler: Callable[[str, Priced, Priced | None], None]) -> None:
    """Call `handler` with option, implied volatility and price of the underlying, whenever a venue sends its Greeks.

    Those of an option chain come the same way. A message without a mark volatility is passed over.
    """

    def on_greeks(greeks: Any) -> None:
        if greeks.mark_iv is not None:
            spot = greeks.underlying_price
            priced = None if spot is None else Priced(float(spot), greeks.ts_event)
            handler(str(greeks.instrument_id), Priced(float(greeks.mark_iv), greeks.ts_event), priced)

    owner.msgbus.subscribe(_GREEKS_TOPIC, on_greeks)


def subscribe_option(owner: Any, name: str, kinds: tuple[str, ...]) -> None:
    """Ask the data client for an option's "quotes" and "greeks", those of them that `kinds` names."""
    instrument_id = InstrumentId.from_str(name)
    if "quotes" in kinds:
        owner.subscribe_quote_ticks(instrument_id)
    if "greeks" in kinds:
        owner.subscribe_option_greeks(instrument_id)
