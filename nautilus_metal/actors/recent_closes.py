"""The closes that really came in the last periods, by period: what a return history carries forward is not here."""

from bisect import bisect_right, insort
from collections.abc import Mapping

_NONE: Mapping[str, float] = {}


class RecentCloses:
    """Closing prices of the last periods.

    Parameters
    ----------
    keep : int
        Periods.
    """

    def __init__(self, keep: int = 64) -> None:
        self._keep = keep
        self.reset()

    def reset(self) -> None:
        """Forget every price."""
        self._closes: dict[int, dict[str, float]] = {}
        self._periods: list[int] = []  # ascending
        self._closed_at: dict[int, int] = {}
        self._dropped: int | None = None  # the newest period that was forgotten
        self.interval = 1

    def take(self, name: str, interval: int, ts: int, price: float) -> None:
        """Take a bar's close.

        Parameters
        ----------
        name : str
            The instrument.
        interval, ts : int
            Nanoseconds of the bar, and UNIX nanoseconds of its close.
        price : float
            Its close.
        """
        self.interval = interval
        period = self.period(ts)
        if self._dropped is not None and period <= self._dropped:
            return
        if period not in self._closes:
            insort(self._periods, period)
            self._closes[period] = {}
            if len(self._periods) > self._keep:
                self._dropped = oldest = self._periods.pop(0)
                del self._closes[oldest]
                self._closed_at.pop(oldest, None)
                if oldest == period:
                    return
        self._closes[period][name] = price
        self._closed_at[period] = max(ts, self._closed_at.get(period, 0))

    def period(self, ts: int) -> int:
        """Return the number of the period that closes at or after a time."""
        return (ts - 1) // self.interval

    def after(self, period: int, count: int) -> int | None:
        """Return the period of the `count`-th close after a period; None where it is yet to come, or forgotten."""
        if self._dropped is not None and period < self._dropped:
            return None
        place = bisect_right(self._periods, period) + count - 1
        return self._periods[place] if place < len(self._periods) else None

    def reaches(self, period: int) -> bool:
        """Whether every close after a period is here."""
        return self._dropped is None or period >= self._dropped

    def closes(self, period: int) -> Mapping[str, float]:
        """Return the closes of a period, by instrument."""
        return self._closes.get(period, _NONE)

    def closed_at(self, period: int) -> int:
        """Return the UNIX nanoseconds of the last close of a period that is here."""
        return self._closed_at[period]
