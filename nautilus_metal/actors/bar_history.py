"""The return histories that bars make: requested ones first, then bar by bar."""

from collections.abc import Iterable, Mapping

from nautilus_metal.actors.recent_closes import RecentCloses
from nautilus_metal.host import Bar, BarType, bar_interval_ns
from nautilus_metal.risk.book import Array
from nautilus_metal.risk.window import ReturnWindow

_WEEK_NS = 7 * 86_400 * 10**9
_LEAST_VOLATILITY_HISTORY = 20  # changes of a volatility index


class BarHistory:
    """Closing prices of many instruments, aligned by the interval of their bars.

    Parameters
    ----------
    periods : int
        Returns to keep.

    Attributes
    ----------
    closed_at : dict of str to int
        By instrument: when its last bar closed, in UNIX nanoseconds.
    recent : RecentCloses
        The closes of the last periods, nothing carried forward.
    """

    def __init__(self, periods: int) -> None:
        self._window = ReturnWindow(periods)
        self.closed_at: dict[str, int] = {}
        self.recent = RecentCloses()
        self.reset()

    def reset(self) -> None:
        """Forget every price."""
        self._window.reset()
        self.recent.reset()
        self.closed_at.clear()
        self._requested: dict[str, dict[int, float]] = {}
        self._intervals: dict[BarType, int] = {}

    @property
    def window(self) -> ReturnWindow:
        """The returns; requested histories come one instrument after the other, some perhaps after the first bars."""
        if self._requested:
            self._window.backfill(self._requested)
            self._requested = {}
        return self._window

    def observe(self, bar: Bar) -> None:
        """Take a bar as it closes."""
        name, period = self._place(bar)
        self.window.observe(name, period, bar.close.as_double())
        self.closed_at[name] = bar.ts_event

    def take(self, bar: Bar) -> None:
        """Take a bar of a requested history."""
        name, period = self._place(bar)
        self._requested.setdefault(name, {})[period] = bar.close.as_double()
        self.closed_at[name] = max(self.closed_at.get(name, 0), bar.ts_event)

    def volatility_changes(
        self, indices: Mapping[str, str], underlyings: Iterable[str], minimum: int
    ) -> dict[str, Array]:
        """Log changes of the volatility index of each underlying that has one with a history.

        Parameters
        ----------
        indices : mapping of str to str
            By underlying: the index.
        underlyings : iterable of str
            Those asked for.
        minimum : int
            Changes that are enough; 20 are in any case.
        """
        series = {}
        for underlying in set(underlyings) & indices.keys():
            pair = [underlying, indices[underlying]]
            if not self.window.uncovered(pair, min(minimum, _LEAST_VOLATILITY_HISTORY)):
                series[underlying] = self.window.returns(pair)[:, 1]
        return series

    def _place(self, bar: Bar) -> tuple[str, int]:
        """Note a close; return the instrument of the bar and the number of its period."""
        interval = self._intervals.get(bar.bar_type)
        if interval is None:
            length = bar_interval_ns(bar.bar_type)
            # months differ in length and ticks have none: there a time stamp is its own period
            interval = self._intervals[bar.bar_type] = length if length and length <= _WEEK_NS else 1
        name = str(bar.bar_type.instrument_id)
        self.recent.take(name, interval, bar.ts_event, bar.close.as_double())
        return name, (bar.ts_event - 1) // interval
