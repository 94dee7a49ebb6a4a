"""Options and what is known of their markets as formulas take them, and the positions that come out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from nautilus_metal.host import Holding, OptionFacts, Priced
from nautilus_metal.kernels import black_scholes
from nautilus_metal.kernels.implied_volatility import implied_volatility
from nautilus_metal.risk import Option, Position

SECOND_NS = 10**9


@dataclass(frozen=True, slots=True)
class Asked:
    """An option, held or a contract of it, that is to be valued, with what is known of its underlying."""

    holding: Holding
    facts: OptionFacts
    underlying: str
    spot: Priced

    @property
    def coin(self) -> float:
        """The price of what premiums are in."""
        return self.spot.value if self.facts.in_coin else 1.0


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
class Known:
    """A volatility, when it was made in UNIX nanoseconds, and where it is from."""

    volatility: float
    ts: int
    source: str


@dataclass(frozen=True, slots=True)
class Terms:
    """An option with time and rates."""

    asked: Asked
    years: float
    rate: float
    dividend_yield: float

    @property
    def arguments(self) -> tuple[float, float, float, float, float, float]:
        """Spot, strike, years, rate, dividend yield and sign."""
        facts = self.asked.facts
        sign = black_scholes.KINDS[facts.kind]
        return self.asked.spot.value, facts.strike, self.years, self.rate, self.dividend_yield, sign


def unfit(facts: OptionFacts, missing: Mapping[str, str], spot: Priced | None, now: int) -> str | None:
    """Say why an option cannot be valued, as far as its underlying and the calendar go; None where it can.

    Parameters
    ----------
    facts : OptionFacts
        The option.
    missing : mapping of str to str
        By underlying: why it cannot be used.
    spot : Priced or None
        The underlying's price.
    now : int
        UNIX nanoseconds.
    """
    if facts.underlying is None:
        return f"its underlying {facts.label} was not found: name it in `underlyings`"
    if facts.expires_ns <= now:
        return "expired, and not settled yet"
    if facts.underlying in missing:
        return f"its underlying {facts.underlying}: {missing[facts.underlying]}"
    return f"its underlying {facts.underlying}: no price" if spot is None else None


def plain_position(holding: Holding, price: float) -> Position:
    """Value what is no option.

    An inverse contract is worth its count in the quote currency, and moves with the return as others do.
    """
    multiplier = holding.multiplier / price if holding.inverse else holding.multiplier
    return Position(holding.instrument, holding.quantity, price, multiplier, holding.currency)


def implied(terms: Sequence[Terms], premiums: Sequence[float]) -> list[tuple[float, int]]:
    """Volatility and the key of `REASONS` of each."""
    spot, strike, years, rate, dividend_yield, sign = _columns(terms)
    paid = torch.tensor(premiums, dtype=torch.float64)
    solved = implied_volatility(paid, spot, strike, years, rate, dividend_yield, sign)
    return list(zip(solved.volatility.tolist(), solved.reason.tolist(), strict=True))


def model_prices(terms: Sequence[Terms], volatilities: Sequence[float]) -> list[float]:
    """Black-Scholes prices, in the currency of the underlying's price."""
    spot, strike, years, rate, dividend_yield, sign = _columns(terms)
    volatility = torch.tensor(volatilities, dtype=torch.float64)
    return black_scholes.price(spot, strike, years, rate, volatility, dividend_yield, sign).tolist()


def _columns(terms: Sequence[Terms]) -> tuple[torch.Tensor, ...]:
    return tuple(torch.tensor([one.arguments for one in terms], dtype=torch.float64).reshape(-1, 6).T)


def valued_at(terms: Terms, known: Known, price: float, now: int) -> Valued:
    """The position of an option at a volatility and a premium."""
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
    return Valued(position, known.source, max(0, now - known.ts) / SECOND_NS, terms.asked.spot.ts)
