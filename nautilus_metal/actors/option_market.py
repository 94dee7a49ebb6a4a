"""What the RiskActor knows of the options it holds: volatilities as they come, and from them valued positions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from nautilus_metal.errors import InputError
from nautilus_metal.host import Holding, OptionFacts, Priced, last_trade, quote_mid, yield_of_curve
from nautilus_metal.kernels import black_scholes
from nautilus_metal.kernels.implied_volatility import REASONS, implied_volatility
from nautilus_metal.risk import Option, Position
from nautilus_metal.risk.option import YEAR_NS

VENUE, QUOTE, TRADE, LAST_GOOD = "venue", "quote", "trade", "last good"

_SECOND_NS = 10**9
_FITS_NS = 60 * _SECOND_NS  # a premium fits a price of the underlying that is younger by up to a minute
_MOST_VOLATILITY = 10.0  # per year; a venue's number beyond it is in per cent, or wrong


@dataclass(frozen=True, slots=True)
class Asked:
    """A held option that is to be valued, with what is known of its underlying."""

    holding: Holding
    facts: OptionFacts
    underlying: str
    spot: Priced


@dataclass(frozen=True, slots=True)
class Valued:
    """An option's position, and where its volatility is from.

    Attributes
    ----------
    position : Position
        In the currency of the underlying's price where premiums are in coin, else in the option's.
    source : str
        "venue", "quote", "trade" or "last good".
    age : float
        Seconds since the volatility was made.
    spot_ts : int
        UNIX nanoseconds of the underlying's price.
    """

    position: Position
    source: str
    age: float
    spot_ts: int


@dataclass(frozen=True, slots=True)
class _Known:
    volatility: float
    ts: int
    source: str


@dataclass(frozen=True, slots=True)
class _Terms:
    asked: Asked
    years: float
    rate: float
    dividend_yield: float

    @property
    def arguments(self) -> tuple[float, float, float, float, float, float]:
        facts = self.asked.facts
        sign = black_scholes.KINDS[facts.kind]
        return self.asked.spot.value, facts.strike, self.years, self.rate, self.dividend_yield, sign


class OptionMarket:
    """Volatilities of options, from the venue's Greeks, else implied from a price, else the last good one.

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
        self._venue: dict[str, _Known] = {}
        self._good: dict[str, _Known] = {}
        self._tried: dict[str, tuple[int, str | None]] = {}  # time of the last price inverted, and what failed
        self.spots: dict[str, Priced] = {}  # the venue's word on the underlying, by option

    def take_greeks(self, name: str, volatility: Priced, spot: Priced | None) -> None:
        """Take a venue's implied volatility of an option, and its price of the underlying."""
        if 0 < volatility.value <= _MOST_VOLATILITY:
            self._venue[name] = _Known(volatility.value, volatility.ts, VENUE)
        if spot is not None and spot.value > 0:
            self.spots[name] = spot

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
        marks = _model_prices([(one, known.volatility) for one, known in found.values()])
        valued = {}
        for (name, (one, known)), mark in zip(found.items(), marks, strict=True):
            price = mark if known.source == LAST_GOOD else premiums.get(name, mark)
            try:
                valued[name] = _valued(one, known, price, now)
            except InputError as error:
                reasons[name] = str(error)
        return valued, reasons

    def _all_terms(self, cache: Any, options: Sequence[Asked], now: int) -> tuple[list[_Terms], dict[str, str]]:
        terms, reasons = [], {}
        for asked in options:
            try:
                terms.append(self._terms(cache, asked, now))
            except InputError as error:
                reasons[asked.holding.instrument] = str(error)
        return terms, reasons

    def _terms(self, cache: Any, asked: Asked, now: int) -> _Terms:
        years = (asked.facts.expires_ns - now) / YEAR_NS
        rate = self._rate
        if rate is None:
            rate = yield_of_curve(cache, asked.holding.currency, years) or 0.0
        dividend_yield = self._yields.get(asked.underlying)
        if dividend_yield is None:
            dividend_yield = yield_of_curve(cache, asked.underlying, years)
        if dividend_yield is None:
            dividend_yield = rate if asked.facts.on_future else 0.0
        return _Terms(asked, years, rate, dividend_yield)

    def _imply(self, cache: Any, terms: Sequence[_Terms], now: int) -> dict[str, float]:
        """Invert the prices that are new, all at once; return the current premium of each option that has one."""
        premiums, fresh = {}, []
        for one in terms:
            name = one.asked.holding.instrument
            price, source = self._premium(cache, name, now)
            if price is None:
                continue
            premiums[name] = price.value * (one.asked.spot.value if one.asked.facts.in_coin else 1.0)
            if self._tried.get(name, (None,))[0] != price.ts:
                fresh.append((name, one, price.ts, source))
        if fresh:
            columns = torch.tensor([one.arguments for _, one, _, _ in fresh], dtype=torch.float64)
            paid = torch.tensor([premiums[name] for name, *_ in fresh], dtype=torch.float64)
            spot, strike, years, rate, dividend_yield, sign = columns.T
            solved = implied_volatility(paid, spot, strike, years, rate, dividend_yield, sign)
            for (name, _, ts, source), volatility, code in zip(fresh, *map(torch.Tensor.tolist, solved), strict=True):
                self._tried[name] = ts, REASONS[code] if code else None
                if not code:
                    self._good[name] = _Known(volatility, ts, source)
        return premiums

    def _premium(self, cache: Any, name: str, now: int) -> tuple[Priced | None, str]:
        """The quote's middle, else the last trade; prices that are too old are none."""
        for source, price in ((QUOTE, quote_mid(cache, name)), (TRADE, last_trade(cache, name))):
            if price is not None and price.value > 0 and self._age(price.ts, now) <= self._max_age:
                return price, source
        return None, QUOTE

    def _volatility(self, name: str, spot_ts: int, now: int) -> _Known | str:
        """The best volatility of an option, or the reason why it has none.

        One that is implied from a price is the last good one as soon as the underlying has moved on without it.
        """
        tried, failure = self._tried.get(name, (None, None))
        candidates = [self._venue.get(name), self._good.get(name)]
        known = [one for one in candidates if one is not None]
        for one in known:
            if self._age(one.ts, now) <= self._max_age:
                current = one.source == VENUE or (one.ts == tried and spot_ts - one.ts <= _FITS_NS)
                return one if current else _Known(one.volatility, one.ts, LAST_GOOD)
        if known:
            age = min(self._age(one.ts, now) for one in known)
            return f"its volatility is {age:.0f} s old, {self._max_age:g} s are allowed"
        return f"no volatility: {failure}" if failure else "no volatility: neither Greeks nor a quote nor a trade"

    @staticmethod
    def _age(ts: int, now: int) -> float:
        return max(0, now - ts) / _SECOND_NS


def _model_prices(options: Sequence[tuple[_Terms, float]]) -> list[float]:
    if not options:
        return []
    columns = torch.tensor([one.arguments for one, _ in options], dtype=torch.float64)
    spot, strike, years, rate, dividend_yield, sign = columns.T
    volatility = torch.tensor([number for _, number in options], dtype=torch.float64)
    return black_scholes.price(spot, strike, years, rate, volatility, dividend_yield, sign).tolist()


def _valued(terms: _Terms, known: _Known, price: float, now: int) -> Valued:
    holding, facts = terms.asked.holding, terms.asked.facts
    option = Option(
        underlying=terms.asked.underlying,
        kind=facts.kind,
        strike=facts.strike,
        expiry=terms.years,
        volatility=known.volatility,
        spot=terms.asked.spot.value,
        rate=terms.rate,
        dividend_yield=terms.dividend_yield,
    )
    currency = facts.currency if facts.in_coin and facts.currency else holding.currency
    position = Position(holding.instrument, holding.quantity, price, holding.multiplier, currency, option)
    return Valued(position, known.source, max(0, now - known.ts) / _SECOND_NS, terms.asked.spot.ts)
