"""The terms and the market of a European option, as a position of a book carries them."""

from dataclasses import dataclass

from nautilus_metal.errors import InputError
from nautilus_metal.kernels.contracts import KINDS
from nautilus_metal.risk.checks import above, at_least, finite

DAYS_PER_YEAR = 365.25  # of the calendar, in the whole package: Actual/365.25, as the host's GreeksCalculator counts
YEAR_NS = DAYS_PER_YEAR * 86_400 * 10**9


@dataclass(frozen=True, slots=True)
class Option:
    """A European option with the market that it is valued in. Numbers of any kind are kept as floats.

    Parameters
    ----------
    underlying : str
        The risk factor: a column of the return history.
    kind : {"call", "put"}
        What it is.
    strike : float
        In the position's currency, above 0.
    expiry : float
        Years of `DAYS_PER_YEAR` days to expiry, not negative; an option of expiry 0 is its payoff.
    volatility : float
        Implied, per year, not negative.
    spot : float
        Price of the underlying, in the position's currency, above 0.
    rate, dividend_yield : float, default 0.0
        Per year, continuously compounded. An option on a future has its rate for a yield (Black 1976), one on a
        currency the foreign rate (Garman and Kohlhagen 1983).

    Raises
    ------
    InputError
        If a number is outside its range, or `kind` is unknown.

    Examples
    --------
    >>> Option("SPY.ARCX", "put", strike=480, expiry=0.25, volatility=0.2, spot=500.0).sign
    -1.0
    """

    underlying: str
    kind: str
    strike: float
    expiry: float
    volatility: float
    spot: float
    rate: float = 0.0
    dividend_yield: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.underlying, str) or not self.underlying:
            raise InputError(f"`underlying` must be the name of an instrument, was {self.underlying!r}")
        if not isinstance(self.kind, str) or self.kind not in KINDS:
            raise InputError(f"`kind` must be one of {', '.join(KINDS)}, was {self.kind!r}")
        for name, check, bound in _RANGES:
            what = f"`{name}` of an option on {self.underlying}"
            object.__setattr__(self, name, check(getattr(self, name), bound, what))
        for name in ("rate", "dividend_yield"):
            what = f"`{name}` of an option on {self.underlying}"
            object.__setattr__(self, name, finite(getattr(self, name), what))

    @property
    def sign(self) -> float:
        """+1 for a call, -1 for a put."""
        return KINDS[self.kind]


_RANGES = (
    ("strike", above, 0.0),
    ("spot", above, 0.0),
    ("expiry", at_least, 0.0),
    ("volatility", at_least, 0.0),
)
