"""What a run leaves in its folder, read back, so that its page can be made again."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from nautilus_metal.errors import InputError
from nautilus_metal.report.run import RunReport
from nautilus_metal.report.series import Array, CleanPnl, LongArray, RiskSeries, SeriesCollector
from nautilus_metal.report.verdict import ModelResult, scored
from nautilus_metal.risk.validation import clean_contributions

Closes = Mapping[str, tuple[LongArray, Array]]

SUMMARY, REPORTS, DAILY_PNL = "summary.json", "risk_reports.parquet", "daily_pnl.parquet"
OWN_PRICES = (
    "P&L is that of each report's positions at the prices of the next one, or at the last close between both where "
    "bars are stored. Reports after which something held has neither are left out of the tests."
)
_JSON = ("levels", "positions", "uncovered")
_KEYS = ("source", "ts", "ts_report")


def write_daily_pnl(results: Sequence[ModelResult], path: Path) -> None:
    """Write the clean P&L of every model by day and instrument, with the report that it is compared with.

    Parameters
    ----------
    results : sequence of ModelResult
        Every model run.
    path : Path
        A Parquet file; an older one is replaced.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = sorted({name for result in results for name in result.series.instruments})
    columns: dict[str, list[Any]] = {key: [] for key in (*_KEYS, *names)}
    for result in results:
        series, pnl = result.series, result.pnl
        columns["source"] += [series.source] * len(pnl.ts)
        columns["ts"] += pnl.ts.tolist()
        columns["ts_report"] += series.ts[pnl.row].tolist()
        own = dict(zip(series.instruments, pnl.contributions.T, strict=True))
        for name in names:
            columns[name] += own[name].tolist() if name in own else [0.0] * len(pnl.ts)
    pq.write_table(pa.table(columns), path, compression="zstd")


def load_run(folder: Path, facts: Mapping[str, Any]) -> RunReport:
    """Read a run back from the folder that it wrote.

    Parameters
    ----------
    folder : Path
        With `summary.json`, `risk_reports.parquet` and `daily_pnl.parquet`. Without the last one days are paired with
        the prices of the next report, and those whose prices are not in it are left out.
    facts : mapping
        From `read_summary`.

    Raises
    ------
    InputError
        If the folder holds no such run, or a file of it cannot be read.
    """
    reports = folder / REPORTS
    if not reports.exists():
        raise InputError(f"{folder} has a {SUMMARY} but no {REPORTS}: this run's page cannot be made again")
    series = _series(reports)
    pnl = _daily_pnl(folder / DAILY_PNL, series) if (folder / DAILY_PNL).exists() else None
    try:
        main, holdout = facts["main_model"], facts["holdout"]
        since = None if holdout is None else holdout["from"]
        run = RunReport(
            name=facts["backtest"],
            title=facts.get("title", facts["backtest"]),
            results=[],
            main=main,
            days=facts["market_days"],
            wall_seconds=facts["wall_seconds"],
            portfolio=facts["portfolio"],
            settings=facts["settings"],
            notes=[*facts["notes"], *([OWN_PRICES] if pnl is None else [])],
            holdout_from=since,
            explained=facts.get("explained_changes", ()),
            worst=facts.get("worst_scenarios"),
            made_with=facts["versions"],
        )
        order = list(facts["models"])
    except (KeyError, TypeError) as error:
        raise InputError(f"{folder / SUMMARY} is not that of a risk backtest: {error} is not in it") from None
    results = [
        scored(one, own_prices(one) if pnl is None else pnl[one.source], run.holdout_ts)
        for one in sorted(series, key=lambda one: order.index(one.model) if one.model in order else len(order))
    ]
    if main not in {result.series.model for result in results}:
        raise InputError(f"{reports} has no report of the model {main}, which {SUMMARY} is about")
    return replace(run, results=results)


def run_of_reports(reports: Iterable[Any], title: str, closes: Closes | None = None) -> RunReport:
    """Make a run of reports alone, as a live node or a catalog has them.

    Parameters
    ----------
    reports : iterable of RiskReport
        In order of time; several sources may be mixed.
    title : str
        The page's heading.
    closes : mapping of str to tuple, optional
        As of `own_prices`.

    Raises
    ------
    InputError
        If there is none.
    """
    collector = SeriesCollector()
    for report in sorted(reports, key=lambda report: report.ts_event):
        collector.add(report)
    results = [scored(series, own_prices(series, closes)) for series in collector.series()]
    if not results:
        raise InputError(f"{title} has no risk report")
    days = len({ts for result in results for ts in result.series.ts.tolist()})
    return RunReport(
        name=title,
        title=title,
        results=results,
        main=results[0].series.model,
        days=days,
        wall_seconds=None,
        notes=(OWN_PRICES,),
    )


def own_prices(series: RiskSeries, closes: Closes | None = None) -> CleanPnl:
    """Pair every report with the prices of the one after its horizon, where there is a price of all that was held.

    Parameters
    ----------
    series : RiskSeries
        The reports.
    closes : mapping of str to tuple, optional
        By instrument: UNIX nanoseconds, ascending, and closes, for what is no longer in the later report.
    """
    last = len(series.ts) - series.horizon
    rows = np.arange(max(last, 0), dtype=np.int64)
    later = series.price[rows + series.horizon].copy()
    for column, name in enumerate(series.instruments):
        if closes and name in closes:
            stamps, prices = closes[name]
            place = np.searchsorted(stamps, series.ts[rows + series.horizon], side="right") - 1
            fresh = (place >= 0) & (stamps[np.maximum(place, 0)] > series.ts[rows])
            gap = np.isnan(later[:, column]) & fresh
            later[gap, column] = prices[place[gap]]
    known = np.isfinite(later) | (series.quantity[rows] == 0)
    kept = series.held[rows] & known.all(axis=1)
    rows, later = rows[kept], later[kept]
    stated = series.quantity[rows], series.price[rows], series.value[rows]
    return CleanPnl(series.ts[rows + series.horizon], rows, clean_contributions(*stated, later))


def read_summary(folder: Path) -> dict[str, Any]:
    """Read the `summary.json` of a run's folder; an `InputError` that says what is missing where it is none."""
    path = folder / SUMMARY
    if not folder.is_dir():
        raise InputError(f"`DIR` must be a folder of a run, {folder} is not there")
    if not path.exists():
        raise InputError(f"{folder} holds no run: there is no {SUMMARY}, nor reports of a data catalog")
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    if not isinstance(facts, dict):
        raise InputError(f"{path} is not that of a risk backtest")
    return facts


def _series(path: Path) -> list[RiskSeries]:
    collector = SeriesCollector()
    for row in _rows(path):
        decoded = {name: json.loads(row[name]) for name in _JSON}
        collector.add(SimpleNamespace(**row | decoded))
    return collector.series()


def _daily_pnl(path: Path, series: Sequence[RiskSeries]) -> dict[str, CleanPnl]:
    columns = read_table(path).to_pydict()
    sources, found = np.array(columns["source"]), {}
    for one in series:
        mine = sources == one.source
        ts, reports = (np.array(columns[key], dtype=np.int64)[mine] for key in ("ts", "ts_report"))
        row = np.searchsorted(one.ts, reports)
        if not np.array_equal(one.ts[np.minimum(row, len(one.ts) - 1)], reports):
            raise InputError(f"{path} must be of the reports beside it, has other times for {one.source}")
        parts = [np.array(columns[name], dtype=np.float64)[mine] for name in one.instruments]
        table = np.stack(parts, axis=1) if parts else np.zeros((len(ts), 0))
        found[one.source] = CleanPnl(ts, row.astype(np.int64), table)
    return found


def _rows(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = read_table(path).to_pylist()
    return rows


def read_table(path: Path) -> Any:
    """Read a Parquet file; an `InputError` where it is none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
