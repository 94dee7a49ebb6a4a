"""From the system's state to a book: positions that can be priced and have a history, and reasons for the rest."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nautilus_metal.actors.bar_history import BarHistory
from nautilus_metal.actors.option_market import OptionMarket
from nautilus_metal.actors.option_marks import Marks, option_marks
from nautilus_metal.actors.option_terms import Asked, Valued, plain_position, unfit
from nautilus_metal.actors.risk_config import RiskActorConfig
from nautilus_metal.host import (
    Holding,
    OptionFacts,
    Priced,
    exchange_rate,
    holdings,
    last_price,
    option_facts,
    tradable,
)
from nautilus_metal.risk import Book, Position


@dataclass(frozen=True)
class Snapshot:
    """A book of one moment.

    Attributes
    ----------
    book : Book
        What can be priced and has a history.
    uncovered : mapping of str to str
        What is held but not in it, with the reason.
    options : mapping of str to Valued
        Where the volatility of each option is from.
    oldest_price : int or None
        UNIX nanoseconds of the oldest price in the book; None where it has none with a time.
    candidates : tuple of Position
        One of each instrument that is not held and could be: with a price and as long a history as the book's.
    """

    book: Book
    uncovered: Mapping[str, str]
    options: Mapping[str, Valued]
    oldest_price: int | None
    candidates: tuple[Position, ...] = ()

    @property
    def factors(self) -> tuple[str, ...]:
        """The instruments whose returns the book depends on, then those of the candidates."""
        return tuple(dict.fromkeys([*self.book.instruments, *(one.factor for one in self.candidates)]))

    def age(self, now: int) -> float | None:
        """Seconds from the oldest price to `now`, UNIX nanoseconds."""
        return None if self.oldest_price is None else (now - self.oldest_price) / 1e9


@dataclass
class Snapshots:
    """Makes snapshots of a running system.

    Attributes
    ----------
    config : RiskActorConfig
        The settings.
    bars : BarHistory
        Return history, and closing prices with their times.
    market : OptionMarket
        Volatilities of options.
    cover : callable
        Subscribes what an instrument, or an option and its underlying, needs.
    """

    config: RiskActorConfig
    bars: BarHistory
    market: OptionMarket
    cover: Callable[[str, OptionFacts | None], None]

    def take(self, cache: Any, chosen: set[str] | None, now: int) -> Snapshot:
        """Read positions, prices, volatilities and exchange rates.

        Parameters
        ----------
        cache : Cache
            The system's cache.
        chosen : set of str or None
            Instruments of the book; None for all.
        now : int
            UNIX nanoseconds.
        """
        held = [holding for holding in holdings(cache) if chosen is None or holding.instrument in chosen]
        facts = {holding.instrument: self.facts(cache, holding.instrument) for holding in held}
        for name, fact in facts.items():
            self.cover(name, fact)
        unheld = self._unheld(cache, facts, chosen) if self.config.keep_scenarios else {}
        facts |= {name: self.facts(cache, name) for name in unheld}
        factors = {name: _factor(name, fact) for name, fact in facts.items()}
        missing = self.bars.window.uncovered(_distinct(factors.values()), self.config.min_observations)
        uncovered: dict[str, str] = {}
        found = {
            holding.instrument: place
            for holding in [*held, *unheld.values()]
            if (place := self._place(cache, holding, facts[holding.instrument], missing, uncovered, now)) is not None
        }
        asked = [place for place in found.values() if isinstance(place, Asked)]
        options, reasons = self.market.value(cache, asked, now) if asked else ({}, {})
        uncovered |= reasons
        valued = [_position(name, place, options) for name, place in found.items()]
        known, rates = self._converted(cache, [one for one in valued if one is not None], uncovered)
        times = {**self.bars.closed_at, **{one.holding.instrument: one.spot.ts for one in asked}}
        kept = [position for position in known if position.instrument not in unheld]
        return Snapshot(
            book=Book(kept, self.config.base_currency, rates),
            uncovered={name: reason for name, reason in uncovered.items() if name not in unheld},
            options={p.instrument: options[p.instrument] for p in kept if p.instrument in options},
            oldest_price=min((times[p.instrument] for p in kept if p.instrument in times), default=None),
            candidates=tuple(position for position in known if position.instrument in unheld),
        )

    def _unheld(
        self, cache: Any, facts: Mapping[str, OptionFacts | None], chosen: set[str] | None
    ) -> dict[str, Holding]:
        """One of each instrument that is not held, and whose history does not shorten the book's."""
        window, least = self.bars.window, self.config.min_observations
        counts = [window.observations(factor) for factor in _distinct(_factor(*item) for item in facts.items())]
        enough = min((count for count in counts if count >= least), default=least)
        found = {}
        for name in sorted(window.prices if chosen is None else chosen):
            one = None if name in facts else tradable(cache, name)
            factor = None if one is None else _factor(name, self.facts(cache, name))
            if one is not None and factor is not None and window.observations(factor) >= enough:
                found[name] = one.contract
        return found

    def facts(self, cache: Any, name: str) -> OptionFacts | None:
        """Describe an option; None for any other instrument."""
        return option_facts(cache, name, self.config.underlyings)

    def marks(self, cache: Any, names: Iterable[str], now: int, since: int) -> Marks:
        """Price options, held or not, by what has come since a report; see `option_marks`."""
        asked, reasons = [], {}
        for name in names:
            one, facts = tradable(cache, name), self.facts(cache, name)
            underlying = None if facts is None else facts.underlying
            spot = self.market.spot(cache, name, underlying, self._close(underlying))
            if one is None or facts is None or underlying is None or spot is None:
                reasons[name] = "its underlying has no price"
            else:
                asked.append(Asked(one.contract, facts, underlying, spot))
        prices, unknown = option_marks(cache, asked, self.market, now, since)
        return prices, reasons | unknown

    def _place(
        self,
        cache: Any,
        holding: Holding,
        facts: OptionFacts | None,
        missing: Mapping[str, str],
        uncovered: dict[str, str],
        now: int,
    ) -> Position | Asked | None:
        """Price a plain holding, or find the market of an option; else say why not in `uncovered`."""
        name = holding.instrument
        if facts is None:
            price = self.bars.window.prices.get(name) or last_price(cache, name)
            reason = missing.get(name) or ("no price" if price is None else None)
            if reason is None and price is not None:
                return plain_position(holding, price)
        else:
            spot = self.market.spot(cache, name, facts.underlying, self._close(facts.underlying))
            reason = unfit(facts, missing, spot, now)
            if reason is None and spot is not None and facts.underlying is not None:
                return Asked(holding, facts, facts.underlying, spot)
        uncovered[name] = reason or "no price"
        return None

    def _close(self, underlying: str | None) -> Priced | None:
        """The underlying's last closing price."""
        close = None if underlying is None else self.bars.window.prices.get(underlying)
        return None if underlying is None or close is None else Priced(close, self.bars.closed_at.get(underlying, 0))

    def _converted(
        self, cache: Any, positions: list[Position], uncovered: dict[str, str]
    ) -> tuple[list[Position], dict[str, float]]:
        """Leave out what has no exchange rate."""
        base = self.config.base_currency
        rates = {
            currency: 1.0 if currency == base else exchange_rate(cache, currency, base, self.bars.window.prices)
            for currency in _distinct(position.currency for position in positions)
        }
        known = {currency: rate for currency, rate in rates.items() if rate is not None}
        for position in positions:
            if position.currency not in known:
                uncovered[position.instrument] = f"no exchange rate from {position.currency} to {base}"
        return [position for position in positions if position.currency in known], known


def _factor(name: str, facts: OptionFacts | None) -> str | None:
    return name if facts is None else facts.underlying


def _distinct(names: Iterable[str | None]) -> list[str]:
    return list(dict.fromkeys(name for name in names if name is not None))


def _position(name: str, place: Position | Asked, options: Mapping[str, Valued]) -> Position | None:
    if isinstance(place, Position):
        return place
    return options[name].position if name in options else None
