"""What actors learn of a running system, in plain values that are the same under every version of the host."""

from dataclasses import dataclass
from enum import Enum


class Phase(Enum):
    """Where the run of the host system stands."""

    READY = "ready"
    RUNNING = "running"
    STOPPED = "stopped"
    DISPOSED = "disposed"


@dataclass(frozen=True, slots=True)
class Holding:
    """The net open position of one instrument, over all strategies.

    Attributes
    ----------
    instrument : str
        The instrument ID.
    quantity : float
        Signed.
    multiplier : float
        Of the contract.
    currency : str
        Code of the quote currency.
    inverse : bool
        Whether the contract is quoted in the quote currency but settled in the base currency.
    """

    instrument: str
    quantity: float
    multiplier: float
    currency: str
    inverse: bool


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


@dataclass(frozen=True, slots=True)
class Quote:
    """Both sides of the last quote, and when it was made in UNIX nanoseconds."""

    bid: float
    ask: float
    ts: int

    @property
    def mid(self) -> float:
        """The middle."""
        return (self.bid + self.ask) / 2.0

    @property
    def half_spread(self) -> float:
        """What a market order loses against the middle."""
        return max(0.0, self.ask - self.bid) / 2.0


@dataclass(frozen=True, slots=True)
class Tradable:
    """An instrument as something to trade.

    Attributes
    ----------
    contract : Holding
        One of it.
    fee : float
        A taker's, as a share of the value traded.
    lot : float
        Orders are whole multiples of it.
    expires_ns : int or None
        UNIX nanoseconds; None for what does not expire.
    """

    contract: Holding
    fee: float
    lot: float
    expires_ns: int | None
