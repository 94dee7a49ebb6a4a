"""Positions of NautilusTrader 2.x in the order that 1.x has them in: 2.x sorts them by IDs of its own making."""

from collections.abc import Iterable
from typing import Any

_NUMBERS: dict[str, str] = {}  # of the instruments of the engine that is alive; 2.x takes one at a time


def number(instruments: Iterable[Any]) -> None:
    """Note the order in which a new engine gets its instruments.

    1.x's simulated venues number their instruments, and the positions of hedging accounts by that and a count:
    ``SIM-1-001``. The engine of 2.x names a position after the time, the strategy and a count. Assets stand in a
    book, and meet the columns of the random numbers, in the order of these names.
    """
    _NUMBERS.clear()
    counts: dict[str, int] = {}
    for instrument in instruments:
        venue = str(instrument.id.venue)
        counts[venue] = counts.get(venue, 0) + 1
        _NUMBERS[str(instrument.id)] = f"{venue}-{counts[venue]}-"


def in_order(positions: Iterable[Any]) -> list[Any]:
    """Sort positions as 1.x does by their IDs; those of one instrument of a hedging account by age."""
    return sorted(positions, key=_key)


def _key(position: Any) -> tuple[str, int, str]:
    identity, instrument = str(position.id), str(position.instrument_id)
    if identity.startswith(instrument):  # a netting account's
        return identity, 0, identity
    return _NUMBERS.get(instrument, instrument), position.ts_opened, identity
