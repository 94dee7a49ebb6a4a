"""Whether the last risk report still stands, and the words on the bus when that changes."""

from collections.abc import Callable
from typing import Any

from nautilus_metal.actors.risk_config import RiskActorConfig
from nautilus_metal.host import later, publish
from nautilus_metal.messages import RiskReport, RiskStale


class Freshness:
    """Publishes a `RiskStale` when risk becomes unknown, and one when it is known again.

    Parameters
    ----------
    owner : Actor
        Registered when it reports.
    config : RiskActorConfig
        The settings.
    """

    def __init__(self, owner: Any, config: RiskActorConfig) -> None:
        self._owner, self._config = owner, config
        self._call_off: Callable[[], None] | None = None
        self.reset()

    def reset(self) -> None:
        """Forget every report."""
        self.stale: str | None = None
        self._since = 0

    def expect(self) -> None:
        """Wait for the next report, for as long as one is good for."""
        self.stop()
        seconds = self._config.stale_after_seconds
        if seconds is not None:
            silence = f"no report for {seconds:g} s"
            name = f"{self._owner.id}-silence"
            self._call_off = later(self._owner, name, seconds, lambda: self.complain("silence", silence))

    def stop(self) -> None:
        """Wait no longer."""
        if self._call_off is not None:
            self._call_off()
        self._call_off = None

    def judge(self, report: RiskReport) -> None:
        """Take a new report: risk is known again, unless it is made of prices that are too old."""
        self._since = report.ts_snapshot
        self.expect()
        limit = self._config.price_max_age_seconds
        if limit is not None and report.age is not None and report.age > limit:
            self.complain("prices", f"the oldest price is {report.age:.1f} s old, {limit:g} s are allowed")
        elif self.stale is not None:
            self.stale = None
            self._announce("fresh", "report", "a report has come")

    def complain(self, reason: str, detail: str) -> None:
        """Say once that risk is unknown."""
        if self.stale is None and self._owner.is_running:
            self.stale = reason
            self._announce("stale", reason, detail)

    def _announce(self, state: str, reason: str, detail: str) -> None:
        now = self._owner.clock.timestamp_ns()
        publish(self._owner, RiskStale(self._since, now, str(self._owner.id), state, reason, detail))
