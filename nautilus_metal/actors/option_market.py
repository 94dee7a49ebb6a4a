"""What actors know of a market with options: prices, volatilities as they come, and from them valued positions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nautilus_metal.actors.option_terms import (
    SECOND_NS,
    Asked,
    Known,
    Terms,
    Valued,
    implied,
    model_prices,
    valued_at,
)
from nautilus_metal.errors import InputError
from nautilus_metal.host import Priced, last_quote, last_trade, newest_price, quote_mid, yield_of_curve
from nautilus_metal.kernels.implied_volatility import REASONS
from nautilus_metal.risk.option import YEAR_NS

VENUE, QUOTE, TRADE, LAST_GOOD = "venue", "quote", "trade", "last good"

_FITS_NS = 60 * SECOND_NS  # a premium fits a price of the underlying that is younger by up to a minute
_NO_TIME_VALUE = 3  # as `REASONS` numbers it
_FLAT = (1, _NO_TIME_VALUE)  # below the payoff, or on it
_MOST_VOLATILITY = 10.0  # per year; a venue's number beyond it is in per cent, or wrong


@dataclass(frozen=True, slots=True)
class _Tried:
    """The last price that was inverted: when it was made, what failed, and whether it is one without time value."""

    ts: int
    source: str
    failure: str | None
    flat: bool


class OptionMarket:
    """Volatilities of options, from the venue's Greeks, else implied from a price, else the last good one.

    An option that has none of these, and a price that fits its payoff alone, has a volatility of zero: deep in the
    money a quote's middle lies on the payoff, or by less than half the spread below it.

    Parameters
    ----------
    rate : float, optional
        Interest rate; where not given it is the cache's yield curve of the currency, else 0.
    dividend_yields : mapping of str to float
        By underlying; where not given it is the cache's curve of the underlying, else the rate for a future (Black
        1976) and 0 for anything else.
    max_age_seconds : float
        Age up to which a volatility is good.
    """

    def __init__(self, rate: float | None, dividend_yields: Mapping[str, float], max_age_seconds: float) -> None:
        self._rate, self._yields, self._max_age = rate, dividend_yields, max_age_seconds
        self.reset()

    def reset(self) -> None:
        """Forget every volatility."""
        self._venue: dict[str, Known] = {}
        self._good: dict[str, Known] = {}
        self._tried: dict[str, _Tried] = {}
        self.spots: dict[str, Priced] = {}  # the venue's word on the underlying, by option

    def state(self) -> dict[str, dict[str, list[Any]]]:
        """Return the volatilities known, in plain values, for `restore`."""
        groups = {"venue": self._venue, "good": self._good}
        return {
            group: {name: [one.volatility, one.ts, one.source] for name, one in known.items()}
            for group, known in groups.items()
        }

    def restore(self, state: Mapping[str, Mapping[str, Sequence[Any]]]) -> None:
        """Take volatilities that `state` returned; newer ones stay."""
        for group, known in (("venue", self._venue), ("good", self._good)):
            for name, row in state.get(group, {}).items():
                if name not in known or known[name].ts < row[1]:
                    known[name] = Known(*row)

    def take_greeks(self, name: str, volatility: Priced, spot: Priced | None) -> None:
        """Take a venue's implied volatility of an option, and its price of the underlying."""
        if 0 < volatility.value <= _MOST_VOLATILITY:
            self._venue[name] = Known(volatility.value, volatility.ts, VENUE)
        if spot is not None and spot.value > 0:
            self.spots[name] = spot

    def spot(
        self, cache: Any, option: str, underlying: str | None, close: Priced | None = None
    ) -> Priced | None:
        """The newest price of an option's underlying; None where it has none above zero.

        Parameters
        ----------
        cache : Cache
            The system's cache.
        option : str
            Its instrument ID: the venue's Greeks say what they were made from.
        underlying : str or None
            The ID of its underlying.
        close : Priced, optional
            Another price to choose from.
        """
        if underlying is None:
            return None
        known = [close, newest_price(cache, underlying), self.spots.get(option)]
        prices = [price for price in known if price is not None and price.value > 0]
        return max(prices, key=lambda price: price.ts, default=None)

    def value(self, cache: Any, options: Sequence[Asked], now: int) -> tuple[dict[str, Valued], dict[str, str]]:
        """Value options at one moment.

        Parameters
        ----------
        cache : Cache
            The system's cache, for quotes, trades and curves.
        options : sequence of Asked
            Not expired.
        now : int
            UNIX nanoseconds.

        Returns
        -------
        tuple of dict
            What could be valued, by option, and for the rest the reason.
        """
        terms, reasons = self._all_terms(cache, options, now)
        premiums, found = self._imply(cache, terms, now), {}
        for one in terms:
            name = one.asked.holding.instrument
            known = self._volatility(name, one.asked.spot.ts, now)
            if isinstance(known, str):
                reasons[name] = known
            else:
                found[name] = (one, known)
        marks = model_prices([one for one, _ in found.values()], [known.volatility for _, known in found.values()])
        valued = {}
        for (name, (one, known)), mark in zip(found.items(), marks, strict=True):
            price = mark if known.source == LAST_GOOD else premiums.get(name, mark)
            try:
                valued[name] = valued_at(one, known, price, now)
            except InputError as error:
                reasons[name] = str(error)
        return valued, reasons

    def _all_terms(self, cache: Any, options: Sequence[Asked], now: int) -> tuple[list[Terms], dict[str, str]]:
        terms, reasons = [], {}
        for asked in options:
            try:
                terms.append(self._terms(cache, asked, now))
            except InputError as error:
                reasons[asked.holding.instrument] = str(error)
        return terms, reasons

    def _terms(self, cache: Any, asked: Asked, now: int) -> Terms:
        years = (asked.facts.expires_ns - now) / YEAR_NS
        rate = self._rate
        if rate is None:
            rate = yield_of_curve(cache, asked.holding.currency, years) or 0.0
        dividend_yield = self._yields.get(asked.underlying)
        if dividend_yield is None:
            dividend_yield = yield_of_curve(cache, asked.underlying, years)
        if dividend_yield is None:
            dividend_yield = rate if asked.facts.on_future else 0.0
        return Terms(asked, years, rate, dividend_yield)

    def _imply(self, cache: Any, terms: Sequence[Terms], now: int) -> dict[str, float]:
        """Invert the prices that are new, all at once; return the current premium of each option that has one."""
        premiums, fresh = {}, []
        for one in terms:
            name = one.asked.holding.instrument
            price, source = self._premium(cache, name, now)
            if price is None:
                continue
            premiums[name] = price.value * one.asked.coin
            if name not in self._tried or self._tried[name].ts != price.ts:
                fresh.append((name, one, price.ts, source))
        if not fresh:
            return premiums
        paid = [premiums[name] for name, *_ in fresh]
        most = [self._most_paid(cache, *row) for row in zip(fresh, paid, strict=True)]
        solved = implied([one for _, one, _, _ in fresh] * 2, paid + most)
        for i, (name, _, ts, source) in enumerate(fresh):
            volatility, code = solved[i]
            flat = code in _FLAT and solved[len(fresh) + i][1] in (0, _NO_TIME_VALUE)
            self._tried[name] = _Tried(ts, source, REASONS[code] if code else None, flat)
            if not code:
                self._good[name] = Known(volatility, ts, source)
        return premiums

    def _premium(self, cache: Any, name: str, now: int) -> tuple[Priced | None, str]:
        """The quote's middle, else the last trade; prices that are too old are none."""
        for source, price in ((QUOTE, quote_mid(cache, name)), (TRADE, last_trade(cache, name))):
            if price is not None and price.value > 0 and self._age(price.ts, now) <= self._max_age:
                return price, source
        return None, QUOTE

    @staticmethod
    def _most_paid(cache: Any, fresh: tuple[str, Terms, int, str], paid: float) -> float:
        """The most that an option may be worth by its price: the quote's ask, or the trade itself."""
        name, terms, _, source = fresh
        quote = last_quote(cache, name) if source == QUOTE else None
        return paid if quote is None else quote.ask * terms.asked.coin

    def _volatility(self, name: str, spot_ts: int, now: int) -> Known | str:
        """The best volatility of an option, or the reason why it has none.

        One that is implied from a price is the last good one as soon as the underlying has moved on without it.
        """
        tried = self._tried.get(name)
        candidates = [self._venue.get(name), self._good.get(name)]
        known = [one for one in candidates if one is not None]
        for one in known:
            if self._age(one.ts, now) <= self._max_age:
                fits = tried is not None and one.ts == tried.ts and spot_ts - one.ts <= _FITS_NS
                return one if one.source == VENUE or fits else Known(one.volatility, one.ts, LAST_GOOD)
        if tried is not None and tried.flat and self._age(tried.ts, now) <= self._max_age:
            return Known(0.0, tried.ts, tried.source)
        if known:
            age = min(self._age(one.ts, now) for one in known)
            return f"its volatility is {age:.0f} s old, {self._max_age:g} s are allowed"
        failure = None if tried is None else tried.failure
        return f"no volatility: {failure}" if failure else "no volatility: neither Greeks nor a quote nor a trade"

    @staticmethod
    def _age(ts: int, now: int) -> float:
        return max(0, now - ts) / SECOND_NS
