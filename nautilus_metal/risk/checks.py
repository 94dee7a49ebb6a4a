"""Checks of plain numbers that come from outside."""

import math
from typing import Any

from nautilus_metal.errors import InputError


def finite(number: Any, what: str) -> float:
    """Return a finite number of any kind as a float.

    Parameters
    ----------
    number : Any
        What was given; text and truth values are no numbers.
    what : str
        What the error calls it.

    Raises
    ------
    InputError
        If it is not a finite number.
    """
    try:
        value = float(number)
    except (TypeError, ValueError):
        value = math.nan
    if isinstance(number, str | bool) or not math.isfinite(value):
        raise InputError(f"{what} must be a finite number, was {number!r}")
    return value


def at_least(number: Any, least: float, what: str) -> float:
    """Return a finite number that is not below `least`; errors as for `finite`."""
    value = finite(number, what)
    if value < least:
        raise InputError(f"{what} must be at least {least:g}, was {value}")
    return value


def above(number: Any, bound: float, what: str) -> float:
    """Return a finite number above `bound`; errors as for `finite`."""
    value = finite(number, what)
    if value <= bound:
        raise InputError(f"{what} must be above {bound:g}, was {value}")
    return value
