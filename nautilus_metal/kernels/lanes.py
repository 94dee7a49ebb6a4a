"""Eight numbers side by side, for recurrences of eight series at once: what loops for a compiler are written with.

A recurrence gives a compiler nothing to make vectors of but several series. Here is what is right, and slow, in
numpy; `engine.fused_lanes` has the instructions that a compiler puts in their place. Arithmetic of lanes is that of
each number alone: a step that is one function, of lanes and of numbers, gives the same bits by both.
"""

from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

LANES = 8

Array = NDArray[np.float64]
Groups = NDArray[np.int64]
Lanes = Any  # an array of eight numbers here, a vector where it is compiled
Value = Any  # lanes or a number
Eight = tuple[Lanes, Lanes, Lanes, Lanes, Lanes, Lanes, Lanes, Lanes]


def load(x: Array, at: int) -> Lanes:
    """Eight numbers of a flat array from a position on."""
    return x[at : at + LANES].copy()


def store(x: Array, at: int, values: Lanes) -> None:
    """Put lanes where `load` takes them from."""
    x[at : at + LANES] = values


def stream(x: Array, at: int, values: Lanes) -> None:
    """As `store`, past the caches, where `at` is the start of a cache line: for what will not be read soon."""
    x[at : at + LANES] = values


def streamed() -> None:
    """Let every other thread see what was streamed before."""


def turned(a: Lanes, b: Lanes, c: Lanes, d: Lanes, e: Lanes, f: Lanes, g: Lanes, h: Lanes) -> Eight:
    """Rows of eight by eight as columns: eight bars of eight series as eight series at eight bars, and back."""
    a, b, c, d, e, f, g, h = np.array([a, b, c, d, e, f, g, h]).T.copy()
    return a, b, c, d, e, f, g, h


def larger(x: Value, y: float) -> Value:
    """The larger one of `x` and a number; NaN where `x` is."""
    return np.where(x < y, y, x)


def positive_or(x: Value, other: float) -> Value:
    """`x` where it is positive, else a number."""
    return np.where(x > 0.0, x, other)


def nonzero_or(x: Value, other: float) -> Value:
    """`x` where it is not zero, else a number."""
    return np.where(x == 0.0, other, x)


def root(x: Value) -> Value:
    """The square root."""
    return np.sqrt(x)


def times_plus(rate: float, x: Value, y: Value) -> Value:
    """``rate * x + y``, in one step where a machine has one: which of two products is, a compiler would choose."""
    return rate * x + y


def columns(x: Array, at: int, apart: int) -> Eight:
    """Eight bars of eight series, whose rows are `apart`, as lanes of one bar each."""
    return turned(
        load(x, at), load(x, at + apart), load(x, at + 2 * apart), load(x, at + 3 * apart),
        load(x, at + 4 * apart), load(x, at + 5 * apart), load(x, at + 6 * apart), load(x, at + 7 * apart),
    )  # fmt: skip


def put(y: Array, at: int, values: Lanes, direct: bool) -> None:
    """Store eight bars of a series, `direct` past the caches."""
    if direct:
        stream(y, at, values)
    else:
        store(y, at, values)


def put_columns(y: Array, at: int, apart: int, eight: Eight, direct: bool) -> None:
    """Store lanes of one bar each where `columns` takes them from."""
    a, b, c, d, e, f, g, h = eight
    a, b, c, d, e, f, g, h = turned(a, b, c, d, e, f, g, h)
    put(y, at, a, direct)
    put(y, at + apart, b, direct)
    put(y, at + 2 * apart, c, direct)
    put(y, at + 3 * apart, d, direct)
    put(y, at + 4 * apart, e, direct)
    put(y, at + 5 * apart, f, direct)
    put(y, at + 6 * apart, g, direct)
    put(y, at + 7 * apart, h, direct)


def eights(series: int, bars: int, lines: int) -> Groups:
    """Which series go side by side, less those that are left when there are no eight more.

    Parameters
    ----------
    series, bars : int
        Shape of the outputs.
    lines : int
        How many numbers past the start of a cache line the outputs start; -1 for outputs that go through the caches.

    Returns
    -------
    ndarray
        Shape (groups, 3): the first series, how far apart the eight are, and the first bar that stands at the start
        of a cache line, in all eight; -1 where outputs go through the caches.
    """
    apart = LANES // gcd(bars, LANES) if lines >= 0 else 1  # rows of which each starts alike
    alike = series // (LANES * apart) * apart
    groups = np.empty((alike + (series - alike * LANES) // LANES, 3), np.int64)
    for i in range(len(groups)):
        if i < alike:
            first = i // apart * LANES * apart + i % apart
            groups[i, 0], groups[i, 1] = first, apart
            groups[i, 2] = -(lines + first * bars) % LANES if lines >= 0 else -1
        else:
            groups[i, 0], groups[i, 1], groups[i, 2] = alike * LANES + (i - alike) * LANES, 1, -1
    return groups
