"""A hedged backtest's results in one object, its `summary.json` and its closing table."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nautilus_metal.report.run import date_text, versions
from nautilus_metal.report.series import Array, LongArray
from nautilus_metal.report.terminal import table

UNHEDGED = "unhedged"
GOAL = 0.75  # share of the daily P&L's standard deviation that a hedge is to remove
TAIL = 0.05
MEASURES = ("standard_deviation", "removed", "worst_day", "tail_mean", "total", "costs")
HEADINGS = ("", "daily std", "removed", "worst day", "mean of worst 5%", "total P&L", "of it costs")


@dataclass(frozen=True, eq=False)
class HedgeRun:
    """What the outputs of one hedged backtest are made of; D days, S sources of P&L.

    Attributes
    ----------
    name, title : str
        The backtest's name, and a heading for people.
    ts : ndarray of int64, shape (D,)
        UNIX nanoseconds of the days.
    sources : tuple of str, length S
        What P&L comes from, in the order of the columns of `books`.
    books : mapping of str to ndarray, shape (D, S)
        Daily P&L by source: "unhedged", and one book for each hedge, what is hedged included.
    labels : mapping of str to str
        Each book's name for people.
    main : str
        The hedge that charts show.
    gaps : mapping of str to float
        By hedge: the account's profit less the sum of all its sources.
    counts : mapping of str to mapping
        By hedge: requests, orders and so on.
    warning : str
        What a reader must know before any figure.
    wall_seconds : float
        Of all runs.
    currency : str
        Of every amount.
    settings, notes
        Further facts to state, and what a reader must know about data and method.
    made_with : mapping of str to str
        Versions that produced the figures; those at hand by default.
    """

    name: str
    title: str
    ts: LongArray
    sources: tuple[str, ...]
    books: Mapping[str, Array]
    labels: Mapping[str, str]
    main: str
    gaps: Mapping[str, float]
    counts: Mapping[str, Mapping[str, Any]]
    warning: str
    wall_seconds: float
    currency: str = "USD"
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    made_with: Mapping[str, str] = field(default_factory=versions)

    @property
    def hedges(self) -> list[str]:
        """The books that are hedged."""
        return [name for name in self.books if name != UNHEDGED]

    def pnl(self, book: str) -> Array:
        """Daily P&L of a book, shape (D,)."""
        return self.books[book].sum(axis=1)

    def removed(self, hedge: str) -> float:
        """Share of the unhedged P&L's standard deviation that a hedge removes; 0 where there was none."""
        before = float(self.pnl(UNHEDGED).std())
        return 1.0 - float(self.pnl(hedge).std()) / before if before > 0 else 0.0

    def measures(self, book: str) -> dict[str, float]:
        """Figures of a book by `MEASURES`."""
        pnl = self.pnl(book)
        tail = np.sort(pnl)[: max(1, round(TAIL * len(pnl)))]
        values = (pnl.std(), self.removed(book), pnl.min(), tail.mean(), pnl.sum(), self._total(book)["costs"])
        return dict(zip(MEASURES, map(float, values), strict=True))

    def attribution(self, book: str) -> dict[str, float]:
        """Total P&L of a book by source, with their sum."""
        parts = self._total(book)
        return parts | {"total": sum(parts.values())}

    def conclusion(self) -> list[str]:
        """Say in plain sentences what the hedges did."""
        before = float(self.pnl(UNHEDGED).std())
        lines = []
        for hedge in sorted(self.hedges, key=lambda name: name != self.main):
            removed, after = self.removed(hedge), float(self.pnl(hedge).std())
            verdict = "above" if removed >= GOAL else "below"
            lines.append(
                f"{self.labels[hedge]}: removes {removed:.1%} of the standard deviation of daily P&L, {before:,.0f} "
                f"to {after:,.0f} {self.currency}, {verdict} the goal of {GOAL:.0%}."
            )
        gap = max((abs(gap) for gap in self.gaps.values()), default=0.0)
        lines.append(
            f"{', '.join(self.sources)} add up to each day's P&L, and all days to the account's profit within "
            f"{gap:.2f} {self.currency}."
        )
        return lines

    def _total(self, book: str) -> dict[str, float]:
        return dict(zip(self.sources, self.books[book].sum(axis=0).tolist(), strict=True))


def summary(run: HedgeRun) -> dict[str, Any]:
    """Return the run's figures as plain values: what `summary.json` holds."""
    return {
        "backtest": run.name,
        "title": run.title,
        "labels": {book: run.labels[book] for book in run.books},
        "warning": run.warning,
        "conclusion": run.conclusion(),
        "main_hedge": run.main,
        "first_day": date_text(run.ts[0]),
        "last_day": date_text(run.ts[-1]),
        "market_days": len(run.ts),
        "base_currency": run.currency,
        "removed": {hedge: run.removed(hedge) for hedge in run.hedges},
        "goal": GOAL,
        "measures": {book: run.measures(book) for book in run.books},
        "attribution": {book: run.attribution(book) for book in run.books},
        "account_less_attribution": dict(run.gaps),
        "counts": {hedge: dict(counts) for hedge, counts in run.counts.items()},
        "wall_seconds": run.wall_seconds,
        "versions": dict(run.made_with),
        "settings": dict(run.settings),
        "notes": list(run.notes),
    }


def write_hedge_summary(run: HedgeRun, path: Path) -> None:
    """Write `summary` as JSON."""
    path.write_text(json.dumps(summary(run), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def measure_rows(run: HedgeRun) -> list[tuple[str, ...]]:
    """One row of cells for each book, in the order of `HEADINGS`."""
    rows = []
    for book in run.books:
        found = run.measures(book)
        removed = "" if book == UNHEDGED else f"{found['removed']:.1%}"
        amounts = [f"{found[name]:z,.0f}" for name in MEASURES if name != "removed"]
        rows.append((run.labels[book], amounts[0], removed, *amounts[1:]))
    return rows


def attribution_rows(run: HedgeRun) -> list[tuple[str, ...]]:
    """Headings, then one row of cells for each book."""
    rows: list[tuple[str, ...]] = [("P&L from", *run.sources, "total")]
    for book in run.books:
        rows.append((run.labels[book], *(f"{value:z,.0f}" for value in run.attribution(book).values())))
    return rows


def hedge_closing_text(run: HedgeRun, folder: Path) -> str:
    """Return what is printed when a backtest is done."""
    counts = "\n".join(
        f"{run.labels[hedge]}: " + ", ".join(f"{name.replace('_', ' ')} {value:,}" for name, value in each.items())
        for hedge, each in run.counts.items()
    )
    parts = [
        f"{run.title}\n{run.warning}",
        table([HEADINGS, *measure_rows(run)]),
        table(attribution_rows(run)),
        "\n".join(run.conclusion()),
        f"{counts}\n{len(run.ts):,} days in {run.wall_seconds:.1f} s",
        "\n".join(str(folder / name) for name in ("report.html", "report.png", "summary.json")),
    ]
    return "\n\n".join(parts)
