"""The return history of many instruments, aligned by period, as prices come in."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from nautilus_metal.errors import InputError
from nautilus_metal.risk.book import Array

Series = tuple[NDArray[np.int64], Array]  # periods, strictly rising, and log prices

class ReturnWindow:
    """Log returns of the last periods, one row for an instrument, kept in a ring of prices.

    A period is a number that grows with time: the count of bar intervals, or a time stamp. An instrument without a
    price in a period keeps its last one, so that its return there is zero and the next one spans the gap.

    Parameters
    ----------
    periods : int
        Returns to keep.

    Raises
    ------
    InputError
        If `periods` is below 2.
    """

    def __init__(self, periods: int) -> None:
        if periods < 2:
            raise InputError(f"`periods` must be at least 2, was {periods}")
        self.periods = periods
        self._capacity = 2 * (periods + 1)
        self.reset()

    def reset(self) -> None:
        """Forget every price."""
        self._logs = np.full((8, self._capacity), np.nan)
        self._periods = np.zeros(self._capacity, dtype=np.int64)
        self._rows: dict[str, int] = {}
        self._first: list[int] = []  # the column count at which a row's first price came
        self._head = 0  # column of the current period
        self._seen = 0  # periods since the start
        self._period: int | None = None
        self._restored: int | None = None  # the last period of a state that was loaded
        self._spoiled = False  # whether a price was ever not positive: the usual case needs no look at the history
        self.prices: dict[str, float] = {}
        self.late = 0

    def observe(self, instrument: str, period: int, price: float) -> None:
        """Take a price; the last one of a period counts, and one of an older period is only counted as `late`.

        Parameters
        ----------
        instrument : str
            Its name; a new one gets a row.
        period : int
            Must not fall.
        price : float
            A price that is not positive has no log return: it hides the instrument's history until it has passed.
        """
        if self._period is not None and period < self._period:
            self.late += 1
            return
        self.prices[instrument] = price
        self._place(instrument, period, _log(price))

    def backfill(self, history: Mapping[str, Mapping[int, float]]) -> None:
        """Put older prices before and among those known; from an instrument's first own price on, its own stay.

        Histories arrive one instrument after the other, while `observe` only goes forward in time. In a window that
        was restored the periods since then are a gap: where it has only an old price, the history's is taken.

        Parameters
        ----------
        history : mapping of str to mapping of int to float
            By instrument: prices by period.
        """
        rows = {name: _sorted(prices) for name, prices in history.items() if prices}
        known, prices, late, restored = self._known(), self.prices, self.late, self._restored
        merged = {}
        for name in [*known, *(name for name in rows if name not in known)]:
            merged[name] = rows[name] if name not in known else known[name]
            if name in known and name in rows:
                merged[name], newer = self._merge(known[name], rows[name])
                if newer:
                    prices = prices | {name: history[name][int(rows[name][0][-1])]}
        self._fill(merged)
        latest = {name: history[name][int(periods[-1])] for name, (periods, _) in rows.items()}
        self.prices, self.late, self._restored = latest | prices, late, restored

    def _merge(self, own: Series, other: Series) -> tuple[Series, bool]:
        """Put a history before an instrument's own prices, and into the gap since a state was restored.

        Returns
        -------
        tuple
            The series, and whether its last price is the history's.
        """
        (mine, logs), (periods, theirs) = own, other
        use = periods < mine[0]
        place = np.minimum(np.searchsorted(mine, periods), len(mine) - 1)
        present = mine[place] == periods
        if self._restored is not None:
            repeats = (place > 0) & (logs[place] == logs[place - 1])
            use |= (periods > self._restored) & (~present | repeats)
        logs = logs.copy()
        logs[place[use & present]] = theirs[use & present]
        added = use & ~present
        order = np.argsort(np.concatenate([mine, periods[added]]), kind="stable")
        whole = np.concatenate([mine, periods[added]])[order], np.concatenate([logs, theirs[added]])[order]
        return whole, bool((use & (periods >= mine[-1])).any())

    def _fill(self, series: Mapping[str, Series]) -> None:
        """Become the window of series of log prices, each carried forward where it has none."""
        self.reset()
        if not series:
            return
        every: NDArray[np.int64] = np.unique(np.concatenate([periods for periods, _ in series.values()]))
        logs = np.full((len(series), len(every)), np.nan)
        first = np.empty(len(series), dtype=np.int64)
        columns = np.arange(len(every))
        for row, (periods, own) in enumerate(series.values()):
            place = np.searchsorted(every, periods)
            first[row] = place[0]
            last = np.zeros(len(every), dtype=np.int64)
            last[place] = np.arange(len(place))
            logs[row] = np.where(columns >= place[0], own[np.maximum.accumulate(last)], np.nan)
        self._load(list(series), every, logs, len(every) - 1 - first)

    def _load(self, names: list[str], periods: NDArray[np.int64], logs: Array, known: NDArray[np.int64]) -> None:
        """Take a table of log prices, shape (names, periods), with the count of returns known of each name."""
        count = min(len(periods), self.periods + 1)
        self._logs = np.full((max(8, len(names)), self._capacity), np.nan)
        self._logs[: len(names), :count] = logs[:, -count:]
        self._periods[:count] = periods[-count:]
        self._head, self._seen = count - 1, len(periods) - 1
        self._period = int(periods[-1])
        self._rows = {name: row for row, name in enumerate(names)}
        self._first = (self._seen - known).tolist()
        self._spoiled = bool(np.isnan(logs[np.arange(len(names)), -1]).any()) or self._has_hole(count)

    def _has_hole(self, count: int) -> bool:
        """Whether a price after an instrument's first one was not positive."""
        missing = np.isnan(self._logs[: len(self._rows), :count])
        return bool((missing[:, 1:] & ~missing[:, :-1]).any())

    def state(self) -> dict[str, Array]:
        """Return what `restore` makes the same window of: names, prices, periods, log prices and counts."""
        kept = min(self._seen, self.periods) + 1
        columns = slice(self._head + 1 - kept, self._head + 1)
        rows = len(self._rows)
        return {
            "names": np.array(list(self._rows), dtype=np.str_),
            "prices": np.array([self.prices.get(name, math.nan) for name in self._rows], dtype=np.float64),
            "logs": self._logs[:rows, columns].copy(),
            "periods": self._periods[columns].copy() if self._period is not None else np.zeros(0, dtype=np.int64),
            "known": np.array([self._seen - first for first in self._first], dtype=np.int64),
            "late": np.array(self.late),
        }

    def restore(self, state: Mapping[str, Array]) -> None:
        """Become the window that `state` was taken of; one that kept more periods loses the oldest.

        Parameters
        ----------
        state : mapping of str to ndarray
            From `state`.
        """
        self.reset()
        names, periods = [str(name) for name in state["names"]], state["periods"].astype(np.int64)
        if not len(periods):
            return
        self._load(names, periods, state["logs"], np.minimum(state["known"].astype(np.int64), len(periods) - 1))
        self._restored = self._period
        self.prices = {name: float(p) for name, p in zip(names, state["prices"], strict=True) if not math.isnan(p)}
        self.late = int(state["late"])

    def observations(self, instrument: str) -> int:
        """Count the returns known for an instrument, at most `periods`."""
        row = self._rows.get(instrument)
        return 0 if row is None else min(self._seen - self._first[row], self.periods)

    def uncovered(self, instruments: Sequence[str], minimum: int) -> dict[str, str]:
        """Say which of the instruments have no usable history, and why.

        Parameters
        ----------
        instruments : sequence of str
            Asked for.
        minimum : int
            Returns that are enough.
        """
        reasons = {}
        for instrument in instruments:
            count = self.observations(instrument)
            if instrument not in self._rows:
                reasons[instrument] = "no price history"
            elif count < minimum:
                reasons[instrument] = f"{count} of {minimum} returns of history"
            elif self._spoiled and not np.isfinite(self._slice([instrument], count)).all():
                reasons[instrument] = "a price of its history was not positive"
        return reasons

    def returns(self, instruments: Sequence[str]) -> Array:
        """Log returns over the longest stretch that all instruments share.

        Parameters
        ----------
        instruments : sequence of str
            Each with a usable history.

        Returns
        -------
        ndarray
            Shape (periods, instruments), oldest first.
        """
        if not instruments:
            return np.zeros((0, 0))
        count = min(self.observations(instrument) for instrument in instruments)
        return np.diff(self._slice(instruments, count), axis=1).T

    def _place(self, instrument: str, period: int, log: float) -> None:
        if self._period is None or period > self._period:
            self._advance(period)
        row = self._rows.get(instrument)
        if row is None:
            row = self._add(instrument)
        self._logs[row, self._head] = log
        self._spoiled |= log != log

    def _known(self) -> dict[str, Series]:
        """Log prices by period of each instrument, from its first one on, as far back as the window reaches."""
        known = {}
        for name, row in self._rows.items():
            columns = slice(self._head - min(self._seen - self._first[row], self.periods), self._head + 1)
            known[name] = self._periods[columns].copy(), self._logs[row, columns].copy()
        return known

    def _slice(self, instruments: Sequence[str], count: int) -> Array:
        rows = [self._rows[instrument] for instrument in instruments]
        return self._logs[rows, self._head - count : self._head + 1]

    def _advance(self, period: int) -> None:
        if self._period is not None:
            if self._head + 1 == self._capacity:
                kept = self.periods + 1
                self._logs[:, :kept] = self._logs[:, -kept:]
                self._periods[:kept] = self._periods[-kept:]
                self._head = kept - 1
            self._head += 1
            self._seen += 1
            self._logs[:, self._head] = self._logs[:, self._head - 1]
        self._period = self._periods[self._head] = period

    def _add(self, instrument: str) -> int:
        row = len(self._rows)
        if row == len(self._logs):
            self._logs = np.vstack([self._logs, np.full_like(self._logs, np.nan)])
        self._rows[instrument] = row
        self._first.append(self._seen)
        return row


def _sorted(prices: Mapping[int, float]) -> Series:
    """Periods in order, and log prices."""
    periods = sorted(prices)
    return np.array(periods, dtype=np.int64), np.array([_log(prices[period]) for period in periods])


def _log(price: float) -> float:
    return math.log(price) if price > 0 else math.nan
