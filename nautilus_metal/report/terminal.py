"""The table at the end of a run, for a terminal."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from nautilus_metal.report.run import RunReport, summary
from nautilus_metal.report.verdict import p_text, percent
from nautilus_metal.risk.validation import VarScore

HEADINGS = ("model", "VaR", "days", "exceptions", "expected", "Kupiec p", "Christoffersen p", "Basel zone")


def table(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Line up columns, the first row being headings.

    Parameters
    ----------
    rows : sequence of sequences of str
        Cells, every row of one length.
    left : int
        Columns from the left that are flush left; the others are flush right.
    """
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(widths[i]) if i < left else cell.rjust(widths[i]) for i, cell in enumerate(row))
        for row in rows
    ]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def verdict_rows(model: str, scores: Mapping[float, VarScore]) -> list[tuple[str, ...]]:
    """Return one row of cells for each level, in the order of `HEADINGS`."""
    return [
        (
            model,
            percent(level),
            f"{s.days:,}",
            f"{s.exceptions:,}",
            f"{s.expected:,.1f}",
            p_text(s.kupiec_p),
            p_text(s.christoffersen_p),
            s.zone or "n/a",
        )
        for level, s in scores.items()
    ]


def closing_text(run: RunReport, folder: Path) -> str:
    """Return what is printed when a backtest is done."""
    facts = summary(run)
    parts = [run.title, _verdicts("All days", run, holdout=False)]
    if any(result.holdout for result in run.results):
        heading = f"From {run.holdout_from} on (no setting was chosen on these days)"
        parts.append(_verdicts(heading, run, holdout=True))
    parts.append("\n".join(run.conclusion()))
    ticks = facts["tick_milliseconds"]
    parts.append(
        f"{facts['reports']:,} risk ticks on {facts['device']}: median {ticks['median'] or 0:.2f} ms, "
        f"99th percentile {ticks['p99'] or 0:.2f}; {facts['market_days']:,} days in {facts['wall_seconds']:.1f} s; "
        f"pool hit rate {hit_rate(run)}"
    )
    parts.append("; ".join(f"{name.replace('_', ' ')} {_cell(value)}" for name, value in run.portfolio.items()))
    parts.append("\n".join(str(folder / name) for name in ("report.html", "report.png", "summary.json",
                                                         "risk_reports.parquet")))  # fmt: skip
    return "\n\n".join(part for part in parts if part)


def hit_rate(run: RunReport) -> str:
    """Write the memory pool's hit rate; a run that never looked for cached contents has none."""
    rate = summary(run)["pool_hit_rate"]
    return "n/a" if rate is None else f"{rate:.2%}"


def _verdicts(heading: str, run: RunReport, holdout: bool) -> str:
    rows: list[tuple[str, ...]] = [HEADINGS]
    for result in run.results:
        rows += verdict_rows(result.series.model, result.holdout if holdout else result.scores)
    return f"{heading}\n{table(rows)}"


def _cell(value: object) -> str:
    return f"{value:,.0f}" if isinstance(value, int | float) else str(value)
