"""The return history of many instruments, aligned by period, as prices come in."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from nautilus_metal.errors import InputError
from nautilus_metal.risk.book import Array


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

        Histories arrive one instrument after the other, while `observe` only goes forward in time.

        Parameters
        ----------
        history : mapping of str to mapping of int to float
            By instrument: prices by period.
        """
        logs = {name: {period: _log(price) for period, price in rows.items()} for name, rows in history.items()}
        latest = {name: rows[max(rows)] for name, rows in history.items() if rows}
        for name, own in self._known().items():
            older = {period: log for period, log in logs.get(name, {}).items() if period < min(own)}
            logs[name] = older | own
        prices, late = latest | self.prices, self.late
        self.reset()
        events = sorted((period, name, log) for name, rows in logs.items() for period, log in rows.items())
        for period, name, log in events:
            self._place(name, period, log)
        self.prices, self.late = prices, late

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

    def _known(self) -> dict[str, dict[int, float]]:
        """Log prices by period of each instrument, from its first one on, as far back as the window reaches."""
        known = {}
        for name, row in self._rows.items():
            start = self._head - min(self._seen - self._first[row], self.periods)
            columns = slice(start, self._head + 1)
            known[name] = dict(zip(self._periods[columns].tolist(), self._logs[row, columns].tolist(), strict=True))
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


def _log(price: float) -> float:
    return math.log(price) if price > 0 else math.nan
