"""When a replayed feed sends which record: pace, and the faults of a feed on demand."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nautilus_metal.errors import InputError


@dataclass(frozen=True, slots=True)
class Faults:
    """How often something happens to a feed, per record, and how long it lasts.

    Attributes
    ----------
    gap, burst, disorder, duplicate : float
        Chance that a gap or a burst begins at a record, that a record comes late, that it comes twice.
    gap_length, burst_length : int
        Records that a gap loses, or that a burst holds back and sends at once.
    disorder_distance : int
        Records that overtake a late one.
    """

    gap: float = 0.0
    gap_length: int = 20
    burst: float = 0.0
    burst_length: int = 50
    disorder: float = 0.0
    disorder_distance: int = 3
    duplicate: float = 0.0

    def __post_init__(self) -> None:
        for name in ("gap", "burst", "disorder", "duplicate"):
            chance = getattr(self, name)
            if not 0.0 <= chance <= 1.0:
                raise InputError(f"`{name}` must be a chance from 0 to 1, was {chance}")
        for name in ("gap_length", "burst_length", "disorder_distance"):
            if getattr(self, name) < 1:
                raise InputError(f"`{name}` must be at least 1 record, was {getattr(self, name)}")


def schedule(
    times: NDArray[np.int64], faults: Faults, seed: int, part: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Order the records of a feed, with its faults.

    Parameters
    ----------
    times : ndarray of int64, shape (N,)
        When each record came, ascending.
    faults : Faults
        What happens to the feed.
    seed, part : int
        Of the generator: the same two give the same faults.

    Returns
    -------
    due : ndarray of int64, shape (M,)
        When to send, ascending: late records and bursts later than they came.
    index : ndarray of int64, shape (M,)
        Which record.

    Examples
    --------
    >>> due, index = schedule(np.arange(4) * 10, Faults(), seed=0)
    >>> due.tolist(), index.tolist()
    ([0, 10, 20, 30], [0, 1, 2, 3])
    >>> due, index = schedule(np.arange(4) * 10, Faults(burst=1.0, burst_length=4), seed=0)
    >>> due.tolist(), index.tolist()
    ([30, 30, 30, 30], [0, 1, 2, 3])
    """
    count = len(times)
    rng = np.random.default_rng((seed, part))
    gap, burst, late, twice = (
        rng.random(count) < chance for chance in (faults.gap, faults.burst, faults.disorder, faults.duplicate)
    )
    due, place = times.copy(), np.arange(count, dtype=np.float64)
    for first in _starts(burst, faults.burst_length):
        stretch = slice(first, first + faults.burst_length)
        due[stretch] = due[stretch][-1]
    behind = np.minimum(np.flatnonzero(late) + faults.disorder_distance, count - 1)
    due[late], place[late] = due[behind], behind + 0.5
    lost = np.zeros(count, dtype=bool)
    for first in _starts(gap, faults.gap_length):
        lost[first : first + faults.gap_length] = True
    index = np.repeat(np.arange(count), np.where(lost, 0, 1 + twice))
    index = index[np.argsort(place[index], kind="stable")]
    return np.maximum.accumulate(due[index]) if len(index) else due[index], index


def _starts(mask: NDArray[np.bool_], length: int) -> list[int]:
    """Return the starts of stretches of `length` that do not overlap."""
    starts: list[int] = []
    for start in np.flatnonzero(mask):
        if not starts or start >= starts[-1] + length:
            starts.append(int(start))
    return starts
