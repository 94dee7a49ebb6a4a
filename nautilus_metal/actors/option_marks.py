"""What options are worth at a close that a report is tested by: only by what has come since that report."""

from collections.abc import Sequence
from typing import Any

from nautilus_metal.actors.option_market import OptionMarket
from nautilus_metal.actors.option_terms import SECOND_NS, Asked
from nautilus_metal.kernels import black_scholes

Marks = tuple[dict[str, float], dict[str, str]]

_AT_EXPIRY_NS = 60 * SECOND_NS  # the underlying's price settles an option if it is no further from the expiry


def option_marks(
    cache: Any, options: Sequence[Asked], market: OptionMarket, now: int, since: int
) -> Marks:
    """Price options as reports do; what has expired is worth its payoff.

    Parameters
    ----------
    cache : Cache
        The system's cache.
    options : sequence of Asked
        One contract of each.
    market : OptionMarket
        Volatilities and premiums.
    now, since : int
        UNIX nanoseconds of this moment, and of the report.

    Returns
    -------
    tuple of dict
        Prices by instrument, and for the rest why they are not known.
    """
    living = [one for one in options if one.facts.expires_ns > now]
    valued, reasons = market.value(cache, living, now) if living else ({}, {})
    prices = {}
    for name, one in valued.items():
        if now - one.age * SECOND_NS > since:
            prices[name] = one.position.price
        else:
            reasons[name] = "neither Greeks nor a quote nor a trade since the report"
    for gone in options:
        if gone.facts.expires_ns <= now:
            if abs(gone.spot.ts - gone.facts.expires_ns) <= _AT_EXPIRY_NS:
                sign = black_scholes.KINDS[gone.facts.kind]
                prices[gone.holding.instrument] = max(0.0, sign * (gone.spot.value - gone.facts.strike))
            else:
                reasons[gone.holding.instrument] = "it expired between two closes"
    return prices, reasons
