"""What a live node says on the terminal: one line a report, breach, fill or fault, as they come."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TextIO

from nautilus_metal.host import LiveNode
from nautilus_metal.messages import (
    ENGINE_EVENT_TOPIC,
    RISK_BREACH_TOPIC,
    RISK_REPORT_TOPIC,
    RISK_STALE_TOPIC,
    EngineEvent,
    RiskBreach,
    RiskReport,
    RiskStale,
)

FILLS_TOPIC = "events.fills.*"
DENIALS_TOPIC = "events.order.*"


class Console:
    """Prints what comes over the bus of a node, and counts it; of reports of an empty book in a row only the first.

    Parameters
    ----------
    node : LiveNode
        The node, before it runs.
    out : file
        Where to print.
    """

    def __init__(self, node: LiveNode, out: TextIO) -> None:
        self._out = out
        self.counts: dict[str, int] = {}
        self._empty: set[str] = set()
        for topic, name, line in _LINES:
            node.hear(topic, self._printer(name, line))

    def summary(self) -> str:
        """Say how many of each came, reports first."""
        came = [f"{self.counts[name]:,} {name}" for _, name, _ in _LINES if name in self.counts]
        return ", ".join(came) or "nothing was heard"

    def _printer(self, name: str, line: Callable[[Any], str | None]) -> Callable[[Any], None]:
        def on_message(message: Any) -> None:
            text = line(message)
            if text is None:
                return
            self.counts[name] = self.counts.get(name, 0) + 1
            if not (isinstance(message, RiskReport) and self._known_empty(message)):
                at = datetime.now(UTC)
                print(f"{at:%H:%M:%S}.{at.microsecond // 1000:03d}  {text}", file=self._out, flush=True)

        return on_message

    def _known_empty(self, report: RiskReport) -> bool:
        if report.positions or report.uncovered:
            self._empty.discard(report.source)
            return False
        known = report.source in self._empty
        self._empty.add(report.source)
        return known


def _report_line(report: RiskReport) -> str:
    held = f"{len(report.positions)} held" + (f", {len(report.uncovered)} not covered" if report.uncovered else "")
    if not (report.levels and report.positions):
        return f"{report.source}  {held}"
    figures = [
        f"{float(level):.0%} VaR {entry['var']:,.0f} +- {entry['var_se']:,.0f} ES {entry['es']:,.0f}"
        for level, entry in report.levels.items()
    ]
    age = "" if report.age is None else f"  age {report.age:.2f} s"
    skipped = f"  {report.skipped} skipped" if report.skipped else ""
    made = f"{report.milliseconds:.1f} ms on {report.device}"
    return f"{report.source}  {'  '.join(figures)} {report.base_currency}  {held}{age}{skipped}  {made}"


def _breach_line(breach: RiskBreach) -> str:
    return (
        f"{breach.source}  LIMIT {breach.state}: {breach.level:.0%} {breach.measure} {breach.value:,.0f}, "
        f"limit {breach.limit:,.0f}"
    )


def _stale_line(stale: RiskStale) -> str:
    return f"{stale.source}  {stale.state.upper()}: {stale.reason}  {stale.detail}"


def _engine_line(event: EngineEvent) -> str:
    return f"engine  {event.state.upper()}: {event.device}, works on {event.works_on}  {event.reason}"


def _fill_line(fill: Any) -> str:
    side = "buys" if fill.is_buy else "sells"
    return f"{fill.strategy_id}  {side} {fill.last_qty} {fill.instrument_id} at {fill.last_px}"


def _denial_line(event: Any) -> str | None:
    kind = type(event).__name__
    if kind not in ("OrderDenied", "OrderRejected"):
        return None
    return f"{event.strategy_id}  {kind.removeprefix('Order').upper()}: {event.reason}"


_LINES: tuple[tuple[str, str, Callable[[Any], str | None]], ...] = (
    (RISK_REPORT_TOPIC, "risk reports", _report_line),
    (RISK_BREACH_TOPIC, "crossings of a limit", _breach_line),
    (RISK_STALE_TOPIC, "stale or fresh again", _stale_line),
    (ENGINE_EVENT_TOPIC, "engine events", _engine_line),
    (FILLS_TOPIC, "fills", _fill_line),
    (DENIALS_TOPIC, "orders denied or rejected", _denial_line),
)
