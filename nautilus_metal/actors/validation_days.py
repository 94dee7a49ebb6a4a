"""Which report a day's P&L is compared with, and that P&L: a static portfolio between two closes."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from nautilus_metal.actors.option_marks import Marks
from nautilus_metal.actors.recent_closes import RecentCloses
from nautilus_metal.messages import RiskReport
from nautilus_metal.risk.validation import clean_contributions

_AFTER_CLOSE_NS = 60 * 10**9  # a report of the same close replaces the first one for so long: fills at the close
_NO_CLOSE = "no price of that close"
_FORGOTTEN = "too many closes since the report"
MarksOf = Callable[[tuple[str, ...], int], Marks]


@dataclass(frozen=True)
class Stated:
    """A report, as far as its test needs it.

    Attributes
    ----------
    period : int
        The close that it is priced at.
    ts_event, ts_snapshot : int
        As in the report.
    figures : dict
        By level, as the report spells it: VaR and expected shortfall.
    positions : dict
        By instrument: quantity, price and value.
    options : tuple of str
        Those of them that are options.
    equity : float or None
        Of the accounts when the report was heard.
    """

    period: int
    ts_event: int
    ts_snapshot: int
    figures: dict[str, tuple[float, float]]
    positions: dict[str, tuple[float, float, float]]
    options: tuple[str, ...]
    equity: float | None = None

    @classmethod
    def of(cls, report: RiskReport, closes: RecentCloses, equity: float | None) -> "Stated":
        """Take what is needed of a report."""
        return cls(
            period=closes.period(report.ts_event),
            ts_event=report.ts_event,
            ts_snapshot=report.ts_snapshot,
            figures={level: (row["var"], row["es"]) for level, row in report.levels.items()},
            positions={name: (row["quantity"], row["price"], row["value"]) for name, row in report.positions.items()},
            options=tuple(name for name, row in report.positions.items() if "underlying" in row),
            equity=equity,
        )

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "Stated":
        """Read what `asdict` and JSON made of one."""
        rows = {name: {key: tuple(row) for key, row in state[name].items()} for name in ("figures", "positions")}
        return cls(**dict(state) | rows | {"options": tuple(state["options"])})


@dataclass(frozen=True)
class Closed:
    """A report whose horizon has passed.

    Attributes
    ----------
    stated : Stated
        The report.
    closed_at : int
        UNIX nanoseconds of the close.
    pnl : float or None
        Clean P&L; None where it is not known.
    actual : float or None
        Change in equity.
    unknown : dict
        By instrument: why.
    """

    stated: Stated
    closed_at: int
    pnl: float | None
    actual: float | None
    unknown: dict[str, str]


@dataclass
class _Open:
    """A report that waits for its close."""

    stated: Stated
    target: int | None = None  # the period of its close, once that has come
    marks: Marks | None = None
    equity: float | None = None


class DayBook:
    """One RiskActor's reports, from the last one of a day until its P&L is known.

    Of the reports priced at one close the last counts that was made within a minute of the first, as fills at the
    close make new ones. With `day_end` the last close of each day counts, else every close; windows of several
    periods do not overlap.

    Parameters
    ----------
    horizon : int
        Closes from a report to its own.
    day_end : str or None
        "HH:MM" in `time_zone`.
    time_zone : str
        An IANA name.
    """

    def __init__(self, horizon: int, day_end: str | None, time_zone: str) -> None:
        self._horizon = horizon
        self._end = None if day_end is None else time.fromisoformat(day_end)
        self._zone = ZoneInfo(time_zone)
        self.forget()

    def forget(self) -> None:
        """Start without reports."""
        self._candidate: Stated | None = None
        self._first_made = 0  # when the first report of the candidate's close was made
        self._open: list[_Open] = []
        self._window_end: int | None = None

    def hear(self, report: Stated, closes: RecentCloses, marks_of: MarksOf) -> list[Closed]:
        """Take a report; return those whose horizon has passed with it, oldest first.

        Parameters
        ----------
        report : Stated
            The newest.
        closes : RecentCloses
            What has closed.
        marks_of : callable
            ``marks_of(names, since)`` prices options now.
        """
        candidate = self._candidate
        if candidate is not None and self._day(report) > self._day(candidate):
            self._candidate = None
            self._reach(closes)
            free = all(one.target is not None for one in self._open)
            if free and (self._window_end is None or candidate.period >= self._window_end):
                self._open.append(_Open(candidate))
        self._reach(closes)
        done = [
            closed for one in self._open if (closed := self._close(one, report, closes, marks_of)) is not None
        ]
        settled = {closed.stated.ts_event for closed in done}
        self._open = [one for one in self._open if one.stated.ts_event not in settled]
        self._take(report)
        return done

    def state(self) -> dict[str, Any]:
        """Return plain values for `restore`."""
        return {
            "candidate": None if self._candidate is None else asdict(self._candidate),
            "first_made": self._first_made,
            "open": [asdict(one) for one in self._open],
            "window_end": self._window_end,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take what `state` returned."""
        kept = state["candidate"]
        self._candidate = None if kept is None else Stated.restore(kept)
        self._first_made, self._window_end = state["first_made"], state["window_end"]
        self._open = [
            _Open(Stated.restore(one["stated"]), one["target"], one["marks"] and tuple(one["marks"]), one["equity"])
            for one in state["open"]
        ]

    def _take(self, report: Stated) -> None:
        if self._candidate is None or report.ts_event > self._candidate.ts_event:
            self._candidate, self._first_made = report, report.ts_snapshot
        elif report.ts_event == self._candidate.ts_event and (
            report.ts_snapshot - self._first_made <= _AFTER_CLOSE_NS
        ):
            self._candidate = report

    def _reach(self, closes: RecentCloses) -> None:
        for one in self._open:
            if one.target is None:
                one.target = closes.after(one.stated.period, self._horizon)
                self._window_end = one.target if one.target is not None else self._window_end

    def _close(self, one: _Open, report: Stated, closes: RecentCloses, marks_of: MarksOf) -> Closed | None:
        """The P&L of a report whose close has come, once all prices of that close are here, or none will come."""
        stated = one.stated
        if not closes.reaches(stated.period):
            return Closed(stated, stated.ts_event, None, None, dict.fromkeys(stated.positions, _FORGOTTEN))
        if one.target is None:
            return None
        if report.period == one.target and one.marks is None:
            one.marks, one.equity = marks_of(stated.options, stated.ts_snapshot), report.equity
        prices, unknown = self._prices(one, closes)
        if unknown and report.period <= one.target:
            return None
        pnl = None if unknown else _clean(stated, prices)
        actual = None if one.equity is None or stated.equity is None else one.equity - stated.equity
        return Closed(stated, closes.closed_at(one.target), pnl, actual, unknown)

    @staticmethod
    def _prices(one: _Open, closes: RecentCloses) -> tuple[dict[str, float], dict[str, str]]:
        assert one.target is not None
        came, (marks, reasons) = closes.closes(one.target), one.marks or ({}, {})
        prices, unknown = {}, {}
        for name, (_, price, _) in one.stated.positions.items():
            option = name in one.stated.options
            new = marks.get(name) if option else came.get(name)
            if price == 0:
                unknown[name] = "a price of 0 in the report"
            elif new is None:
                unknown[name] = reasons.get(name, _NO_CLOSE)
            else:
                prices[name] = new
        return prices, unknown

    def _day(self, report: Stated) -> int:
        """The day, or without a `day_end` the period, that a report belongs to."""
        if self._end is None:
            return report.period
        moment = datetime.fromtimestamp((report.ts_event - 1) // 10**9, self._zone)
        return moment.toordinal() + (moment.time() >= self._end)


def _clean(stated: Stated, prices: Mapping[str, float]) -> float:
    rows = np.array([(*row, prices[name]) for name, row in stated.positions.items()]).reshape(-1, 4)
    return math.fsum(clean_contributions(*rows.T).tolist())
