"""`report.png` of a hedged backtest: the run on one picture."""

import textwrap
from pathlib import Path
from typing import Any

import numpy as np

from nautilus_metal.report.charts import PALETTE
from nautilus_metal.report.hedge_page import COLOURS
from nautilus_metal.report.hedge_run import HEADINGS, UNHEDGED, HedgeRun, attribution_rows, measure_rows
from nautilus_metal.report.picture import INK, RED, SOFT, blank_figure

ROW, LINE = 0.019, 0.0165  # heights of a table's row and of a line of text, of the picture's


def write_hedge_picture(run: HedgeRun, path: Path) -> None:
    """Draw daily and cumulative P&L, its sources and the verdict into a PNG file.

    Raises
    ------
    InputError
        Matplotlib is not installed.
    """
    figure = blank_figure()
    figure.text(0.075, 0.968, run.title, fontsize=16, fontweight="bold", color=INK)
    warning = "\n".join(textwrap.wrap(run.warning, 170))
    figure.text(0.075, 0.960, warning, fontsize=9.5, color=RED, va="top", linespacing=1.3)
    conclusion = run.conclusion()
    figure.text(0.075, 0.918, "\n".join(conclusion), fontsize=9.5, color=INK, va="top", linespacing=1.35)
    table = ROW * (len(run.books) + 1)
    grid = figure.add_gridspec(3, 2, hspace=0.34, wspace=0.14, left=0.075, right=0.985,
                               top=0.883 - LINE * len(conclusion), bottom=2 * table + 0.085)  # fmt: skip
    bounds = _bounds(run)
    for row, (book, colour) in enumerate(((UNHEDGED, COLOURS[0]), (run.main, PALETTE[0]))):
        _daily(figure.add_subplot(grid[row, :]), run, book, colour, bounds)
    _cumulative(figure.add_subplot(grid[2, 0]), run)
    _sources(figure.add_subplot(grid[2, 1]), run)
    for panel in figure.axes:
        panel.spines[["top", "right"]].set_visible(False)
        panel.spines[["left", "bottom"]].set_color("#aab3bd")
        panel.tick_params(colors=SOFT, labelsize=9)
        panel.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        panel.set_ylabel(run.currency, color=SOFT, fontsize=9)
        panel.axhline(0, color="#8e98a3", lw=0.7)
        panel.margins(x=0.005)
    _table(figure.add_axes((0.075, table + 0.03, 0.91, table)), [HEADINGS, *measure_rows(run)])
    _table(figure.add_axes((0.075, 0.015, 0.91, table)), attribution_rows(run))
    figure.savefig(path)


def _bounds(run: HedgeRun) -> tuple[float, float]:
    every = np.concatenate([run.pnl(UNHEDGED), run.pnl(run.main)])
    return 1.05 * float(min(every.min(), 0.0)), 1.05 * float(max(every.max(), 0.0)) or 1.0


def _dates(run: HedgeRun) -> Any:
    return np.asarray(run.ts, dtype="datetime64[ns]")


def _title(axis: Any, text: str) -> None:
    axis.set_title(text, loc="left", fontsize=10.5, color=INK, fontweight="bold")


def _daily(axis: Any, run: HedgeRun, book: str, colour: str, bounds: tuple[float, float]) -> None:
    pnl = run.pnl(book)
    _title(axis, f"Daily P&L: {run.labels[book]}, standard deviation {pnl.std():,.0f} {run.currency}")
    axis.vlines(_dates(run), 0, pnl, color=colour, lw=0.8)
    axis.set_ylim(*bounds)


def _cumulative(axis: Any, run: HedgeRun) -> None:
    _title(axis, "Cumulative P&L")
    for i, book in enumerate(run.books):
        axis.plot(_dates(run), np.cumsum(run.pnl(book)), color=COLOURS[i % len(COLOURS)], lw=1.3,
                  label=run.labels[book])  # fmt: skip
    axis.legend(loc="upper left", fontsize=8.5, frameon=False)


def _sources(axis: Any, run: HedgeRun) -> None:
    _title(axis, f"Cumulative P&L by source: {run.labels[run.main]}")
    curves = np.cumsum(run.books[run.main], axis=0)
    for i, name in enumerate(run.sources):
        axis.plot(_dates(run), curves[:, i], color=PALETTE[i], lw=1.1, label=name)
    axis.plot(_dates(run), curves.sum(axis=1), color=INK, lw=1.5, label="total")
    axis.legend(loc="upper left", fontsize=8.5, frameon=False, ncols=4)


def _table(axis: Any, rows: list[tuple[str, ...]]) -> None:
    axis.axis("off")
    widths = [0.3, *[0.7 / (len(rows[0]) - 1)] * (len(rows[0]) - 1)]
    drawn = axis.table(rows[1:], colLabels=rows[0], loc="upper center", cellLoc="right", colWidths=widths)
    drawn.auto_set_font_size(False)
    drawn.set_fontsize(9)
    drawn.scale(1, 1.15)
    for (row, column), cell in drawn.get_celld().items():
        cell.set_edgecolor("#d9dee4")
        if row == 0:
            cell.set_text_props(color=SOFT, fontweight="bold")
        if column == 0:
            cell.get_text().set_horizontalalignment("left")
