"""The bars that a forecast needs, for each instrument."""

from bisect import bisect_left
from collections.abc import Collection, Mapping

import numpy as np

from nautilus_metal.host import Bar
from nautilus_metal.models.features import Array

_PRICES = 5  # open, high, low, close, volume


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
        row = tuple(value.as_double() for value in (bar.open, bar.high, bar.low, bar.close, bar.volume))
        self._place(str(bar.bar_type.instrument_id), bar.ts_event, row)

    def state(self) -> dict[str, Array]:
        """Return every bar: their `times`, UNIX nanoseconds, their `rows`, shape (bars, 5), and the `names`."""
        return {
            "names": np.array([name for name, times in self._times.items() for _ in times], dtype=np.str_),
            "times": np.array([time for times in self._times.values() for time in times], dtype=np.int64),
            "rows": np.array([row for rows in self._rows.values() for row in rows]).reshape(-1, _PRICES),
        }

    def restore(self, state: Mapping[str, Array], wanted: Collection[str]) -> None:
        """Take the bars that `state` has of wanted instruments; those that are here already take their place."""
        names, times, rows = (state[name].tolist() for name in ("names", "times", "rows"))
        for name, time, row in zip(names, times, rows, strict=True):
            if name in wanted and time not in self._times.get(name, ()):
                self._place(name, time, tuple(row))

    def full(self, name: str) -> bool:
        """Whether all the bars that are needed are there."""
        return len(self._rows.get(name, ())) >= self._needed

    def problem(self, name: str) -> str | None:
        """Say why an instrument cannot be forecast; None where it can."""
        rows = self._rows.get(name, [])
        if not self.full(name):
            return f"{len(rows)} of {self._needed} bars of history"
        lowest = min(min(row[:4]) for row in rows)
        if not lowest > 0.0:
            return f"a price of {lowest:g} in its window"
        closes = [row[3] for row in rows[-self._variation - 1 :]]
        return None if max(closes) > min(closes) else f"no change of price in {self._variation} bars"

    def bars(self, name: str) -> Array:
        """Return an instrument's window, shape (5, needed)."""
        return np.array(self._rows[name]).T

    def closed_at(self, name: str) -> int:
        """Return when an instrument's last bar closed, UNIX nanoseconds."""
        return self._times[name][-1]

    def close(self, name: str) -> float:
        """Return an instrument's last close."""
        return self._rows[name][-1][3]

    def _place(self, name: str, time: int, row: tuple[float, ...]) -> None:
        times, rows = self._times.setdefault(name, []), self._rows.setdefault(name, [])
        at = bisect_left(times, time)
        if at < len(times) and times[at] == time:
            rows[at] = row
            return
        times.insert(at, time)
        rows.insert(at, row)
        if len(times) > self._needed:
            del times[0], rows[0]
