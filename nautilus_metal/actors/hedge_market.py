"""What a HedgeActor sees of a running system: positions and instruments on an underlying, each with its value."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from nautilus_metal.actors.hedge_config import HedgeActorConfig
from nautilus_metal.actors.option_market import OptionMarket
from nautilus_metal.actors.option_terms import Asked, plain_position, unfit
from nautilus_metal.host import (
    OptionFacts,
    Tradable,
    exchange_rate,
    held_by,
    holdings,
    last_quote,
    live_options,
    newest_price,
    option_facts,
    tradable,
)
from nautilus_metal.risk import Position
from nautilus_metal.risk.option import DAYS_PER_YEAR


@dataclass(frozen=True, slots=True)
class Line:
    """A contract that is held or may be traded.

    Attributes
    ----------
    unit : Position
        One of it. What is no option stands in the name of its underlying, as many as its beta says.
    quoted : bool
        Whether it has a quote that is young enough.
    cost : float
        Of trading one, half the spread and the taker's fee, in the base currency.
    lot : float
        Trades are whole multiples of it.
    ts : int
        UNIX nanoseconds of the price that moves it: its own, or for an option its underlying's.
    """

    unit: Position
    quoted: bool
    cost: float
    lot: float
    ts: int


@dataclass(frozen=True)
class Market:
    """One moment of one underlying.

    Attributes
    ----------
    underlying : str
        Its ID.
    held, own : mapping of str to float
        Net signed quantity by instrument of all strategies, and of the one that hedges.
    lines : mapping of str to Line
        Everything held or to choose from that has a value.
    uncovered : mapping of str to str
        What is held and has none, with the reason.
    xrates : mapping of str to float
        To the base currency.
    """

    underlying: str
    held: Mapping[str, float]
    own: Mapping[str, float]
    lines: Mapping[str, Line]
    uncovered: Mapping[str, str]
    xrates: Mapping[str, float]


class HedgeMarket:
    """Reads the markets of a HedgeActor's underlyings.

    Parameters
    ----------
    config : HedgeActorConfig
        The settings.

    Attributes
    ----------
    options : OptionMarket
        Volatilities of options.
    """

    def __init__(self, config: HedgeActorConfig) -> None:
        self._config = config
        self._max_age = config.max_quote_age_seconds
        self.options = OptionMarket(config.rate, config.dividend_yields, config.volatility_max_age_seconds)
        self.reset()

    def reset(self) -> None:
        """Forget volatilities and terms."""
        self.options.reset()
        self._facts: dict[str, OptionFacts] = {}

    def read(self, cache: Any, underlying: str, choose: bool, now: int) -> Market:
        """Value what is held on an underlying, what may be traded against its risk, and what that costs.

        Parameters
        ----------
        cache : Cache
            The system's.
        underlying : str
            Its ID.
        choose : bool
            Whether options that nobody holds are to choose from.
        now : int
            UNIX nanoseconds.
        """
        config = self._config
        linear = dict.fromkeys([underlying, *config.instruments[underlying]])
        positions = {holding.instrument: holding.quantity for holding in holdings(cache)}
        held = {name: quantity for name, quantity in positions.items() if self._on(cache, name, underlying)}
        offered = self._offered(cache, underlying, now) if choose else []
        problems: dict[str, str] = {}
        lines = self._plain(cache, underlying, linear, now, problems)
        lines |= self._valued(cache, [name for name in (*held, *offered) if name not in linear], now, problems)
        rates = self._rates(cache, (line.unit.currency for line in lines.values()))
        for name in [name for name, line in lines.items() if line.unit.currency not in rates]:
            problems[name] = f"no exchange rate from {lines.pop(name).unit.currency} to {config.base_currency}"
        lines = {name: replace(line, cost=line.cost * rates[line.unit.currency]) for name, line in lines.items()}
        own = held if config.hedger is None else held_by(cache, config.hedger)
        uncovered = {name: problems[name] for name in held if name not in lines}
        return Market(underlying, held, own, lines, uncovered, rates)

    def _on(self, cache: Any, name: str, underlying: str) -> bool:
        facts = self._option(cache, name)
        if facts is not None:
            return facts.underlying == underlying
        return name == underlying or name in self._config.instruments[underlying]

    def _option(self, cache: Any, name: str) -> OptionFacts | None:
        """The terms of an option, which do not change once its underlying is known."""
        known = self._facts.get(name)
        if known is None:
            known = option_facts(cache, name, self._config.underlyings)
            if known is not None and known.underlying is not None:
                self._facts[name] = known
        return known

    def _offered(self, cache: Any, underlying: str, now: int) -> list[str]:
        """Options on the underlying that expire within the days to choose from."""
        first, last = (now + days * 86_400 * 10**9 for days in self._config.option_days)
        found = ((name, self._option(cache, name)) for name in live_options(cache, now))
        return [
            name
            for name, facts in found
            if facts is not None and facts.underlying == underlying and first <= facts.expires_ns <= last
        ]

    def _plain(
        self, cache: Any, underlying: str, names: Iterable[str], now: int, problems: dict[str, str]
    ) -> dict[str, Line]:
        """Value what is no option."""
        lines = {}
        for name in names:
            terms, price = tradable(cache, name), newest_price(cache, name)
            if terms is None:
                problems[name] = "not in the cache"
            elif terms.expires_ns is not None and terms.expires_ns <= now:
                problems[name] = "expired, and not settled yet"
            elif price is None or not price.value > 0:
                problems[name] = "no price"
            elif self._age(price.ts, now) > self._max_age:
                problems[name] = f"its price is {self._age(price.ts, now):.0f} s old, {self._max_age:g} s are allowed"
            else:
                beta = self._config.betas.get(name, 1.0)
                unit = replace(plain_position(terms.contract, price.value), instrument=underlying, quantity=beta)
                lines[name] = self._line(cache, name, terms, unit, 1.0, price.ts, now)
        return lines

    def _valued(self, cache: Any, names: Iterable[str], now: int, problems: dict[str, str]) -> dict[str, Line]:
        """Value options at the volatilities that the system knows."""
        asked: dict[str, Asked] = {}
        traded: dict[str, Tradable] = {}
        for name in dict.fromkeys(names):
            facts, terms = self._option(cache, name), tradable(cache, name)
            assert facts is not None  # else it would not be on the underlying
            assert terms is not None
            spot = self.options.spot(cache, name, facts.underlying)
            problem = unfit(facts, {}, spot, now)
            if problem is None and spot is not None and self._age(spot.ts, now) > self._max_age:
                problem = f"its underlying {facts.underlying}: no price in the last {self._max_age:g} s"
            if problem is not None or spot is None or facts.underlying is None:
                problems[name] = problem or "no price"
            else:
                asked[name], traded[name] = Asked(terms.contract, facts, facts.underlying, spot), terms
        valued, reasons = self.options.value(cache, list(asked.values()), now)
        problems |= reasons
        return {
            name: self._line(cache, name, traded[name], one.position, asked[name].coin, one.spot_ts, now)
            for name, one in valued.items()
        }

    def _line(
        self, cache: Any, name: str, terms: Tradable, unit: Position, coin: float, ts: int, now: int
    ) -> Line:
        """State what a contract costs to trade; `coin` is the price of what its quotes are in."""
        quote = last_quote(cache, name)
        quoted = quote is not None and self._age(quote.ts, now) <= self._max_age
        spread = quote.half_spread * coin if quote is not None and quoted else 0.0
        return Line(unit, quoted, (spread + terms.fee * unit.price) * unit.multiplier, terms.lot, ts)

    def _rates(self, cache: Any, currencies: Iterable[str]) -> dict[str, float]:
        base = self._config.base_currency
        found = {
            currency: 1.0 if currency == base else exchange_rate(cache, currency, base, {})
            for currency in set(currencies)
        }
        return {currency: rate for currency, rate in found.items() if rate is not None}

    @staticmethod
    def _age(ts: int, now: int) -> float:
        return max(0, now - ts) / 1e9


def nearest_options(market: Market, days: tuple[float, float], strikes: int, taken: set[str]) -> list[str]:
    """Choose out-of-the-money options: for each expiry within `days`, the strikes nearest to the spot."""
    by_expiry: dict[float, list[tuple[float, str]]] = {}
    for name, line in market.lines.items():
        option = line.unit.option
        if option is None or not line.quoted or name in taken:
            continue
        expires = days[0] <= option.expiry * DAYS_PER_YEAR <= days[1]
        if expires and (option.strike - option.spot) * option.sign >= 0:
            by_expiry.setdefault(option.expiry, []).append((abs(option.strike / option.spot - 1), name))
    return [name for _, lines in sorted(by_expiry.items()) for _, name in sorted(lines)[:strikes]]
