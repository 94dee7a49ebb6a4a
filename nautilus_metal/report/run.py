"""One backtest's results in one object, and its `summary.json`."""

import json
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from nautilus_metal.report.evidence import Evidence, collect_evidence
from nautilus_metal.report.series import Array
from nautilus_metal.report.verdict import ModelResult, conclusion
from nautilus_metal.risk.validation import VarScore

PACKAGES = ("nautilus_metal", "nautilus_trader", "torch", "numpy")


def date_text(ts: int) -> str:
    """Write UNIX nanoseconds as an ISO date (UTC).

    >>> date_text(1_000_000_000 * 10**9)
    '2001-09-09'
    """
    return datetime.fromtimestamp(int(ts) / 1e9, UTC).date().isoformat()


def versions() -> dict[str, str]:
    """Return the versions that produced the figures; a package that is not there is left out."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@dataclass(frozen=True)
class RunReport:
    """What the outputs of one backtest are made of.

    Attributes
    ----------
    name, title : str
        The backtest's name, and a heading for people.
    results : sequence of ModelResult
        One for each model, in the order asked for.
    main : str
        The model that charts show.
    days : int
        Days of market data replayed.
    wall_seconds : float or None
        From the first bar to the last; None where it was not measured.
    portfolio : mapping
        Starting and final equity, counts of orders and so on, as they are to be shown.
    settings : mapping
        Further facts to state.
    notes : sequence of str
        What a reader must know about data and method.
    holdout_from : str, optional
        Date (ISO) from which on no setting was chosen.
    explained : sequence of mapping
        The largest changes of VaR between two reports, by `nautilus_metal.report.findings.largest_changes`.
    worst : mapping, optional
        The worst scenarios of a report, by `nautilus_metal.report.findings.worst_of`.
    made_with : mapping of str to str
        Versions that produced the figures; those at hand by default.
    """

    name: str
    title: str
    results: Sequence[ModelResult]
    main: str
    days: int
    wall_seconds: float | None
    portfolio: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    holdout_from: str | None = None
    explained: Sequence[Mapping[str, Any]] = ()
    worst: Mapping[str, Any] | None = None
    made_with: Mapping[str, str] = field(default_factory=versions)

    @property
    def chosen(self) -> ModelResult:
        """The main model's result."""
        return next(result for result in self.results if result.series.model == self.main)

    @property
    def milliseconds(self) -> Array:
        """Wall time of every report of every model on something held."""
        return np.concatenate([_computed(result) for result in self.results])

    @property
    def holdout_ts(self) -> int | None:
        """UNIX nanoseconds of `holdout_from`."""
        if self.holdout_from is None:
            return None
        return int(datetime.fromisoformat(self.holdout_from).replace(tzinfo=UTC).timestamp()) * 10**9

    @cached_property
    def evidence(self) -> dict[str, dict[float, Evidence]]:
        """Further tests by model and level; made on first use."""
        return collect_evidence(self.results, self.main, self.holdout_ts)

    def conclusion(self) -> list[str]:
        """Say in plain sentences whether VaR was right."""
        return conclusion(self.results, self.main, self.holdout_from)


def summary(run: RunReport) -> dict[str, Any]:
    """Return the run's figures as plain values: what `summary.json` holds.

    Per model and level: days, exceptions, expected, kupiec_p, christoffersen_p, zone; then the same of the holdout
    period, times, pool hit rate, device, seed, versions, the portfolio and the notes.
    """
    chosen = run.chosen.series
    body: dict[str, Any] = {
        "backtest": run.name,
        "title": run.title,
        "conclusion": run.conclusion(),
        "main_model": run.main,
        "models": {r.series.model: _scores(r.scores) for r in run.results},
        "holdout": {"from": run.holdout_from, "models": {r.series.model: _scores(r.holdout) for r in run.results}}
        if any(r.holdout for r in run.results)
        else None,
        "evidence": {
            model: {format(level, "g"): _proof(entry) for level, entry in levels.items()}
            for model, levels in run.evidence.items()
        },
        "explained_changes": [dict(entry) for entry in run.explained],
        "worst_scenarios": None if run.worst is None else dict(run.worst),
        "first_report": date_text(chosen.ts[0]) if len(chosen.ts) else None,
        "last_report": date_text(chosen.ts[-1]) if len(chosen.ts) else None,
        "market_days": run.days,
        "reports": sum(len(r.series.ts) for r in run.results),
        "empty_book_days": {r.series.model: r.empty_days for r in run.results},
        "uncovered_book_days": {r.series.model: r.uncovered_days for r in run.results},
        "uncovered": {
            name: {"reports": count, "reason": reason} for name, (count, reason) in sorted(chosen.uncovered.items())
        },
        "wall_seconds": run.wall_seconds,
        "tick_milliseconds": _times(run.milliseconds),
        "tick_milliseconds_by_model": {r.series.model: _times(_computed(r)) for r in run.results},
        "pool_hit_rate": float(chosen.pool_hit_rate[-1]) if len(chosen.ts) else None,
        "largest_drift": float(np.nanmax(chosen.drift)) if chosen.held.any() else None,
        "device": chosen.device,
        "sampler": {r.series.model: r.series.sampler for r in run.results},
        "scenarios": {r.series.model: r.series.scenarios for r in run.results},
        "horizon": chosen.horizon,
        "seed": chosen.seed,
        "base_currency": chosen.base_currency,
        "versions": dict(run.made_with),
        "portfolio": dict(run.portfolio),
        "settings": dict(run.settings),
        "notes": list(run.notes),
    }
    return _plain(body)


def write_summary(run: RunReport, path: Path) -> None:
    """Write `summary` as JSON; a figure that is not a number becomes null."""
    path.write_text(json.dumps(summary(run), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _computed(result: ModelResult) -> Array:
    return result.series.milliseconds[result.series.held]


def _scores(scores: Mapping[float, VarScore]) -> dict[str, Any]:
    return {format(level, "g"): asdict(entry) for level, entry in scores.items()}


def _proof(entry: Evidence) -> dict[str, Any]:
    alarm = entry.alarm_day
    return {
        "exact_p": entry.exact,
        "exact_p_holdout": entry.exact_holdout,
        "exact_simulations": entry.simulations,
        "shortfall": None if entry.shortfall is None else asdict(entry.shortfall),
        "mean_quantile_score": entry.quantile_score,
        "mean_fissler_ziegel_score": entry.shortfall_score,
        "against_main": None if entry.against_main is None else asdict(entry.against_main),
        "log_wealth": float(entry.log_wealth[-1]) if len(entry.log_wealth) else None,
        "alarm_after_days": None if alarm is None else alarm + 1,
    }


def _times(milliseconds: Array) -> dict[str, float | None]:
    if not len(milliseconds):
        return {"median": None, "p99": None, "max": None}
    median, p99 = np.percentile(milliseconds, [50, 99])
    return {"median": float(median), "p99": float(p99), "max": float(milliseconds.max())}


def _plain(item: Any) -> Any:
    if isinstance(item, dict):
        return {str(key): _plain(value) for key, value in item.items()}
    if isinstance(item, list | tuple):
        return [_plain(value) for value in item]
    if isinstance(item, np.generic):
        item = item.item()
    return None if isinstance(item, float) and not math.isfinite(item) else item
