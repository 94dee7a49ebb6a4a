"""What a ValidationActor knows of one RiskActor: the model in use, its score, and the reports that wait."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nautilus_metal.actors.recent_closes import RecentCloses
from nautilus_metal.actors.validation_config import ValidationActorConfig, start_score
from nautilus_metal.actors.validation_days import Closed, DayBook, MarksOf, Stated
from nautilus_metal.errors import InputError
from nautilus_metal.messages import RiskReport
from nautilus_metal.risk.validation import ModelScore

_COUNTS = ("unknown_days", "empty_days", "uncovered_days")


@dataclass(frozen=True)
class Due:
    """A verdict to be made: everything at the moment a day closed, so that later days do not change it."""

    facts: Mapping[str, Any]
    closed: Closed
    score: ModelScore
    next_model: str = ""
    comment: str = ""


class Track:
    """One RiskActor's model on trial.

    Parameters
    ----------
    config : ValidationActorConfig
        The rules.
    model : str
        The model in use.
    options : mapping
        Its options.
    horizon : int
        Of the reports.

    Attributes
    ----------
    score : ModelScore or None
        Of that model; None before its first report.
    """

    def __init__(
        self, config: ValidationActorConfig, model: str, options: Mapping[str, Any], horizon: int
    ) -> None:
        self._config, self._horizon = config, horizon
        self._book = DayBook(horizon, config.day_end, config.time_zone)
        self.restart(model, options, 0)

    def restart(self, model: str, options: Mapping[str, Any], made_after: int) -> None:
        """Score another model from nothing, by reports whose snapshot is not older than `made_after`."""
        self.model, self.options = model, plain(options)
        self._made_after = made_after
        self.score: ModelScore | None = None
        self._since = 0
        self._counts = dict.fromkeys(_COUNTS, 0)
        self._book.forget()

    def fits(self, report: RiskReport, options: Mapping[str, Any]) -> bool:
        """Whether a report is of the model that is on trial."""
        score = self.score
        levels = set() if score is None else {one.e_process.level for one in score.levels}
        same = (report.model, plain(options), report.horizon) == (self.model, self.options, self._horizon)
        return same and (not levels or not report.levels or levels == set(map(float, report.levels)))

    def take(
        self, report: RiskReport, closes: RecentCloses, marks_of: MarksOf, equity: float | None
    ) -> list[Due]:
        """Take a report; return a verdict to be made for each day that has closed with it, oldest first."""
        if report.ts_snapshot < self._made_after:
            return []
        if self.score is None and report.levels:
            self.score = start_score(tuple(map(float, report.levels)), self._config)
        due = []
        for closed in self._book.hear(Stated.of(report, closes, equity), closes, marks_of):
            if self._count(closed) and self.score is not None:
                due.append(Due(self._facts(report), closed, self.score))
        return due

    def state(self) -> dict[str, Any]:
        """Return plain values for `restore`."""
        return {
            "model": self.model,
            "options": self.options,
            "horizon": self._horizon,
            "made_after": self._made_after,
            "score": None if self.score is None else self.score.state(),
            "since": self._since,
            "counts": self._counts,
            "book": self._book.state(),
        }

    @classmethod
    def restore(cls, config: ValidationActorConfig, state: Mapping[str, Any]) -> "Track":
        """Become what `state` was taken of; an `InputError` where it is not that."""
        try:
            track = cls(config, state["model"], state["options"], state["horizon"])
            track._made_after, track._since = int(state["made_after"]), int(state["since"])
            track.score = None if state["score"] is None else ModelScore.restore(state["score"])
            track._counts = {name: int(state["counts"][name]) for name in _COUNTS}
            track._book.restore(state["book"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"`state` must be of a model on trial, was not: {error!r}") from None
        return track

    def _count(self, closed: Closed) -> bool:
        """Put a day into the score, or count why it is not; return whether it is worth a verdict."""
        stated = closed.stated
        if not stated.positions:
            self._counts["empty_days" if stated.figures else "uncovered_days"] += 1
            return False
        if closed.pnl is None:
            self._counts["unknown_days"] += 1
            return True
        assert self.score is not None
        self._since = self._since or stated.ts_event
        figures = {float(level): pair for level, pair in stated.figures.items()}
        self.score = self.score.update(closed.pnl, figures, closed.actual)
        return True

    def _facts(self, report: RiskReport) -> dict[str, Any]:
        return {
            "risk_actor": report.source,
            "model": self.model,
            "horizon": self._horizon,
            "base_currency": report.base_currency,
            "since": self._since,
            **self._counts,
        }


def plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as a saved state gives them back."""
    read: dict[str, Any] = json.loads(json.dumps(dict(options)))
    return read
