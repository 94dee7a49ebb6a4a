"""`report.png`: the run on one picture."""

import textwrap
from pathlib import Path
from typing import Any

import numpy as np

from nautilus_metal.errors import InputError
from nautilus_metal.report.charts import BASEL_RED, BASEL_YELLOW, PALETTE, ROLLING_DAYS, component_stack
from nautilus_metal.report.run import RunReport, date_text
from nautilus_metal.report.terminal import HEADINGS, verdict_rows
from nautilus_metal.report.verdict import ModelResult, percent, rolling_exceptions

INK, SOFT, SKY, BLUE, AMBER, RED = "#1b2430", "#5b6673", "#cfe5f3", "#0072b2", "#e69f00", "#c13f00"
ZONES = {"green": "#e3f2ec", "yellow": "#fdf3d8", "red": "#f9e3da"}


def blank_figure() -> Any:
    """Make the empty picture that every kind of run is drawn on, with a canvas that needs no display.

    Raises
    ------
    InputError
        Matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("report.png needs matplotlib: pip install 'nautilus_metal[examples]'") from None
    figure = Figure(figsize=(13.5, 11.5), dpi=110, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def write_picture(run: RunReport, path: Path) -> None:
    """Draw P&L with VaR, component risk, trailing exceptions and verdicts into a PNG file.

    Raises
    ------
    InputError
        Matplotlib is not installed.
    """
    figure = blank_figure()
    grid = figure.add_gridspec(3, 1, height_ratios=[3.1, 2.1, 1.9], hspace=0.26,
                               left=0.065, right=0.985, top=0.9, bottom=0.25)  # fmt: skip
    top = max(run.chosen.series.levels) if run.chosen.series.levels else 0.99
    figure.text(0.065, 0.965, run.title, fontsize=16, fontweight="bold", color=INK)
    lead = "\n".join(textwrap.wrap(run.conclusion()[1 if run.chosen.holdout else 0], 165)[:2])
    figure.text(0.065, 0.956, lead, fontsize=9.5, color=SOFT, va="top", linespacing=1.3)
    panels = [figure.add_subplot(grid[row]) for row in range(3)]
    _pnl(panels[0], run.chosen)
    _components(panels[1], run.chosen, top)
    _rolling(panels[2], run, top)
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
        panel.spines[["left", "bottom"]].set_color("#aab3bd")
        panel.tick_params(colors=SOFT, labelsize=9)
    _verdicts(figure.add_axes((0.065, 0.0, 0.92, 0.205)), run)
    figure.savefig(path)


def _dates(ts: Any) -> Any:
    return np.asarray(ts, dtype="datetime64[ns]")


def _title(axis: Any, text: str) -> None:
    axis.set_title(text, loc="left", fontsize=10.5, color=INK, fontweight="bold")


def _money_axis(axis: Any, currency: str) -> None:
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axis.set_ylabel(currency, color=SOFT, fontsize=9)


def _pnl(axis: Any, result: ModelResult) -> None:
    levels = result.series.levels
    _title(axis, f"Daily clean P&L and the VaR of the evening before ({result.series.model})")
    if not len(result.pnl.ts):
        return
    inner, outer = min(levels), max(levels)
    dates, total = _dates(result.pnl.ts), result.pnl.total
    hits_outer = result.hits(outer)
    hits_inner = result.hits(inner) & ~hits_outer
    plain = ~(hits_inner | hits_outer)
    axis.fill_between(dates, -result.var(outer), -result.var(inner), color=SKY, lw=0,
                      label=f"VaR, {percent(inner)} to {percent(outer)}")  # fmt: skip
    axis.plot(dates, -result.var(outer), color=BLUE, lw=0.7)
    width = 0.5 if len(dates) > 1_500 else 1.2
    axis.vlines(dates[plain], 0, total[plain], color="#7d8a98", lw=width, label="P&L")
    axis.vlines(dates[hits_inner], 0, total[hits_inner], color=AMBER, lw=width + 0.3,
                label=f"beyond {percent(inner)}: {int(result.hits(inner).sum()):,} days")  # fmt: skip
    axis.vlines(dates[hits_outer], 0, total[hits_outer], color=RED, lw=width + 0.4)
    axis.scatter(dates[hits_outer], total[hits_outer], s=11, color=RED, zorder=3,
                 label=f"beyond {percent(outer)}: {int(hits_outer.sum()):,} days")  # fmt: skip
    axis.axhline(0, color="#8e98a3", lw=0.7)
    axis.margins(x=0.005)
    axis.set_ylim(top=axis.get_ylim()[1] * 1.2)
    axis.legend(loc="upper left", fontsize=9, frameon=False, ncols=4)
    _money_axis(axis, result.series.base_currency)


def _components(axis: Any, result: ModelResult, level: float) -> None:
    series = result.series
    _title(axis, f"Component {percent(level)} VaR by instrument")
    rows = np.flatnonzero(series.held)
    if not len(rows):
        return
    parts = series.component_var[rows, :, series.levels.index(level)]
    ts, names, stack = component_stack(series.ts[rows], series.instruments, parts)
    for clip, labels in ((np.maximum, names), (np.minimum, None)):
        axis.stackplot(_dates(ts), clip(stack, 0).T, labels=labels or (), colors=PALETTE, lw=0)
    axis.plot(_dates(ts), stack.sum(axis=1), color=INK, lw=0.9, label="whole book")
    axis.axhline(0, color="#8e98a3", lw=0.7)
    axis.margins(x=0.005)
    axis.legend(loc="upper left", fontsize=8.5, frameon=False, ncols=10, columnspacing=1.2, handlelength=1.1)
    axis.set_ylim(top=axis.get_ylim()[1] * 1.15)
    _money_axis(axis, series.base_currency)


def _rolling(axis: Any, run: RunReport, level: float) -> None:
    _title(axis, f"Exceptions of {percent(level)} VaR in the trailing {ROLLING_DAYS} days")
    highest = BASEL_RED + 2.0
    for i, result in enumerate(run.results):
        if len(result.pnl.ts) > ROLLING_DAYS:
            counts = rolling_exceptions(result.hits(level), ROLLING_DAYS)
            highest = max(highest, float(np.nanmax(counts)) + 1)
            style = ("-", "--", ":", "-.")[i % 4]
            axis.plot(_dates(result.pnl.ts), counts, style, color=PALETTE[i], lw=1.2, label=result.series.model)
    if level == 0.99:
        edges = (0.0, BASEL_YELLOW - 0.5, BASEL_RED - 0.5, highest)
        for (zone, colour), low, high in zip(ZONES.items(), edges[:-1], edges[1:], strict=True):
            axis.axhspan(low, high, color=colour, lw=0, zorder=0)
            axis.text(0.997, high - 0.3, zone, transform=axis.get_yaxis_transform(), ha="right", va="top",
                      fontsize=8.5, color=SOFT)  # fmt: skip
    axis.set_ylim(0, highest)
    axis.yaxis.get_major_locator().set_params(integer=True)
    axis.margins(x=0.005)
    if axis.lines:
        axis.legend(loc="upper left", fontsize=8.5, frameon=False, ncols=4)


def _verdicts(axis: Any, run: RunReport) -> None:
    axis.axis("off")
    cells, colours = [], []
    for result in run.results:
        late = bool(result.holdout)
        scores = result.holdout if late else result.scores
        for row, entry in zip(verdict_rows(result.series.model, scores), scores.values(), strict=True):
            cells.append(row)
            colours.append(["white"] * (len(row) - 1) + [ZONES.get(entry.zone or "", "white")])
    if not cells:
        return
    drawn = axis.table(cells, colLabels=HEADINGS, cellColours=colours, loc="upper center", cellLoc="right",
                       colWidths=[0.2, 0.08, 0.1, 0.12, 0.12, 0.12, 0.15, 0.11])  # fmt: skip
    drawn.auto_set_font_size(False)
    drawn.set_fontsize(9)
    drawn.scale(1, 1.15)
    for cell in drawn.get_celld().values():
        cell.set_edgecolor("#d9dee4")
    for column in range(len(HEADINGS)):
        drawn[0, column].set_text_props(color=SOFT, fontweight="bold")
    last = run.chosen.pnl.ts
    if run.chosen.holdout and len(last):
        axis.set_title(f"Verdicts, {run.holdout_from} to {date_text(last[-1])} (settings fixed before)", loc="left",
                       fontsize=10.5, color=INK, fontweight="bold")  # fmt: skip
    else:
        _title(axis, "Verdicts")
