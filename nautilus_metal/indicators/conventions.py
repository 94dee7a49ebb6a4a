"""The conventions of the indicators, and the moving averages that the built-in ones accept."""

from collections.abc import Mapping
from math import nan
from typing import Any

from nautilus_metal.errors import InputError
from nautilus_metal.host import moving_average_type

STANDARD = "standard"
NAUTILUS_V1 = "nautilus_v1"

# Shortest period of each moving average that the built-in indicators work with. ADAPTIVE is missing: the host's
# factory has no such average, and its indicators fail on their first update. A HULL of one bar halves it to none.
SHORTEST_PERIOD = {
    "SIMPLE": 1,
    "EXPONENTIAL": 1,
    "DOUBLE_EXPONENTIAL": 1,
    "WILDER": 1,
    "HULL": 2,
    "WEIGHTED": 1,
    "VARIABLE_INDEX_DYNAMIC": 1,
}

def before_first(convention: str) -> float:
    """Return what an indicator shows before its first price."""
    return nan if convention == STANDARD else 0.0


def convention_of[Row](table: Mapping[str, Row], convention: Any) -> Row:
    """Return the row of `convention`; `InputError` if the table has none."""
    if not isinstance(convention, str) or convention not in table:
        raise InputError(f"`convention` must be one of {', '.join(map(repr, table))}, was {convention!r}")
    return table[convention]


def average_of(convention: str, ma_type: Any, default: str, shortest: int) -> Any:
    """Return the host's moving average type for an indicator; None in the standard convention.

    Parameters
    ----------
    convention : str
        A known convention; "standard" has fixed averages.
    ma_type : MovingAverageType, str or None
        What the user asked for; None is `default`.
    default : str
        The built-in indicator's own default.
    shortest : int
        Shortest period that the average will have.

    Raises
    ------
    InputError
        If `ma_type` is not one that the built-in indicators work with, or not with such a period.
    """
    if convention == STANDARD:
        if ma_type is not None:
            raise InputError(f"`ma_type` must be left out with convention {STANDARD!r}, was {ma_type!r}")
        return None
    found = moving_average_type(default if ma_type is None else ma_type)
    if found is None or found.name not in SHORTEST_PERIOD:
        raise InputError(f"`ma_type` must be one of {', '.join(SHORTEST_PERIOD)}, was {ma_type!r}")
    if shortest < SHORTEST_PERIOD[found.name]:
        least = SHORTEST_PERIOD[found.name]
        raise InputError(f"`period` must be at least {least} bars with ma_type {found.name}, was {shortest}")
    return found
