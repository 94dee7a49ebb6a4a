"""The bars that a forecast needs, for each instrument."""

from bisect import bisect_left

import numpy as np

from nautilus_metal.host import Bar
from nautilus_metal.models.features import Array


class BarWindows:
    """The last bars of many instruments, requested ones and live ones in any order.

    Parameters
    ----------
    needed : int
        Bars to keep of each.
    variation : int
        Last returns that must not all be 0: the forecast's scale.
    """

    def __init__(self, needed: int, variation: int) -> None:
        self._needed, self._variation = needed, variation
        self._times: dict[str, list[int]] = {}
        self._rows: dict[str, list[tuple[float, ...]]] = {}

    def reset(self) -> None:
        """Forget every bar."""
        self._times.clear()
        self._rows.clear()

    def take(self, bar: Bar) -> None:
        """Take a bar; one of a time stamp that is there already takes its place."""
        name = str(bar.bar_type.instrument_id)
        times, rows = self._times.setdefault(name, []), self._rows.setdefault(name, [])
        row = tuple(value.as_double() for value in (bar.open, bar.high, bar.low, bar.close, bar.volume))
        at = bisect_left(times, bar.ts_event)
        if at < len(times) and times[at] == bar.ts_event:
            rows[at] = row
            return
        times.insert(at, bar.ts_event)
        rows.insert(at, row)
        if len(times) > self._needed:
            del times[0], rows[0]

    def problem(self, name: str) -> str | None:
        """Say why an instrument cannot be forecast; None where it can."""
        rows = self._rows.get(name, [])
        if len(rows) < self._needed:
            return f"{len(rows)} of {self._needed} bars of history"
        lowest = min(min(row[:4]) for row in rows)
        if not lowest > 0.0:
            return f"a price of {lowest:g} in its window"
        closes = [row[3] for row in rows[-self._variation - 1 :]]
        return None if max(closes) > min(closes) else f"no change of price in {self._variation} bars"

    def bars(self, name: str) -> Array:
        """Return an instrument's window, shape (5, needed)."""
        return np.array(self._rows[name]).T

    def close(self, name: str) -> float:
        """Return an instrument's last close."""
        return self._rows[name][-1][3]
