"""What a test returns, and the checks that all validation tests share."""

from dataclasses import dataclass
from typing import SupportsFloat

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from nautilus_metal.errors import InputError


@dataclass(frozen=True)
class TestResult:
    """A test statistic and its p-value.

    Attributes
    ----------
    statistic : float
        The statistic; the test's own docstring says which values speak against the model.
    p_value : float
        The chance of one as bad or worse under a right model.
    """

    __test__ = False  # not a test case for pytest

    statistic: float
    p_value: float


def series_of(length_of: str, **named: ArrayLike) -> list[NDArray[np.float64]]:
    """Return finite float64 series of one length, shape (days,) each.

    Parameters
    ----------
    length_of : str
        What the error calls them together.
    **named : array_like
        The series.

    Raises
    ------
    InputError
        If their shapes differ, they are no series, or a value is not finite.
    """
    made = [np.asarray(one, dtype=np.float64) for one in named.values()]
    if any(one.shape != made[0].shape or one.ndim != 1 for one in made):
        shapes = " and ".join(str(one.shape) for one in made)
        raise InputError(f"{length_of} must be series of one length, were {shapes}")
    if not all(np.isfinite(one).all() for one in made):
        raise InputError(f"{length_of} must be finite, a NaN or infinity came")
    return made


def tail_series(pnl: ArrayLike, var: ArrayLike, es: ArrayLike) -> list[NDArray[np.float64]]:
    """Return checked P&L, VaR and expected shortfall; the last must be positive and above VaR on every day."""
    profit, stated, shortfall = series_of("`pnl`, `var` and `es`", pnl=pnl, var=var, es=es)
    wrong = np.flatnonzero((shortfall <= stated) | (shortfall <= 0))
    if len(wrong):
        day = int(wrong[0])
        raise InputError(
            f"`es` must be positive and above `var` on every day, was {shortfall[day]:g} beside {stated[day]:g} on "
            f"day {day}"
        )
    return [profit, stated, shortfall]


def checked_hits(hits: ArrayLike) -> NDArray[np.bool_]:
    """Return exceptions by day as booleans, shape (days,), at least two days."""
    series = np.asarray(hits)
    if series.ndim != 1 or len(series) < 2:
        raise InputError(f"`hits` must be a series of at least 2 days, was of shape {series.shape}")
    if not np.isin(series, (0, 1)).all():
        raise InputError("`hits` must be true or false for each day, held something else: see `exceptions`")
    return series.astype(bool)


def check_level(level: float) -> None:
    """Refuse a confidence level outside (0, 1)."""
    if not 0 < level < 1:
        raise InputError(f"`level` must lie between 0 and 1, was {level}")


def check_counts(count: int, days: int, level: float) -> None:
    """Refuse a number of exceptions that so many days cannot have."""
    check_level(level)
    whole = all(isinstance(number, int | np.integer) and not isinstance(number, bool) for number in (count, days))
    if not whole or days < 1 or not 0 <= count <= days:
        raise InputError(f"`exception_count` must be a whole number from 0 to `days`, was {count} of {days}")


def chi_square(statistic: SupportsFloat, degrees: int) -> TestResult:
    """Return a likelihood ratio with its asymptotic p-value."""
    ratio = max(0.0, float(statistic))  # rounding may leave it a hair under zero
    half = torch.tensor([degrees / 2, ratio / 2], dtype=torch.float64)
    return TestResult(ratio, float(torch.special.gammaincc(half[0], half[1])))
