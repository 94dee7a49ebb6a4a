"""The charts of the report page, drawn as SVG."""

from collections.abc import Sequence

import numpy as np

from nautilus_metal.report.evidence import BOUND
from nautilus_metal.report.run import RunReport, date_text
from nautilus_metal.report.series import GREEKS, Array, LongArray, RiskSeries
from nautilus_metal.report.svg import Frame, area, axes, canvas, label, line, number, sticks
from nautilus_metal.report.verdict import ModelResult, percent, rolling_exceptions

WIDTH = 1120
LEFT, RIGHT = 62, 16
SHOWN_INSTRUMENTS = 8
MAX_BINS = 200
ROLLING_DAYS = 250
DENSE_DAYS = 1_500
BASEL_YELLOW, BASEL_RED = 5, 10

# Okabe and Ito's palette, which people with any colour vision tell apart, and lighter tones of it.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C6BB1", "#B8A900", "#9AA3AD")


def pnl_chart(result: ModelResult, holdout_ts: int | None = None, height: int = 400) -> str:
    """Draw the daily clean P&L, the VaR stated the day before, and the days on which it was not enough."""
    ts, total, currency = result.pnl.ts, result.pnl.total, result.series.base_currency
    if not len(ts):
        return "<p>Nothing was held: there is no P&amp;L to show.</p>"
    frame = _pnl_frame(result, slice(None), WIDTH, height, LEFT)
    parts = [axes(frame, ts, currency), *_pnl_marks(result, slice(None), frame)]
    if holdout_ts is not None and ts[0] < holdout_ts < ts[-1]:
        x = float(frame.x(holdout_ts))
        parts.append(f'<path class="split" d="M{x:.1f},{frame.top}V{frame.bottom}"/>')
        parts.append(label(x + 6, frame.top + 10, "settings fixed before this day →", "note"))
    parts.append(f'<path class="cursor" d="M0,{frame.top}V{frame.bottom}" visibility="hidden"/>')
    title = f"Daily clean P&L of {len(ts)} days with value at risk; {int((total < 0).sum())} losing days"
    return canvas(WIDTH, height, "".join(parts), title, "pnl")


def close_ups(result: ModelResult, count: int = 3, days: int = 120) -> str:
    """Draw the same in large around the worst losses, windows not overlapping, in order of time."""
    total = result.pnl.total
    windows: list[int] = []
    for day in np.argsort(total).tolist():
        start = max(0, min(day - days // 2, len(total) - days))
        if all(abs(start - other) >= days for other in windows):
            windows.append(start)
        if len(windows) == count or total[day] >= 0:
            break
    drawings = []
    for start in sorted(windows):
        window = slice(start, start + days)
        frame = _pnl_frame(result, window, 360, 230, 50)
        ts = result.pnl.ts[window]
        body = axes(frame, ts, result.series.base_currency, rows=4, columns=4)
        body += "".join(_pnl_marks(result, window, frame, large=True))
        caption = f"{date_text(ts[0])} to {date_text(ts[-1])}"
        drawings.append(f"<figure>{canvas(360, 230, body, caption)}<figcaption>{caption}</figcaption></figure>")
    return f'<div class="row">{"".join(drawings)}</div>'


def equity_chart(result: ModelResult, height: int = 200) -> str:
    """Draw cumulative clean P&L, with what it has lost since its peak shaded."""
    ts, equity = result.pnl.ts, np.cumsum(result.pnl.total)
    if not len(ts):
        return ""
    peak = np.maximum.accumulate(np.maximum(equity, 0.0))
    frame = Frame(LEFT, 24, WIDTH - RIGHT, height - 26, _span(ts), _padded(min(equity.min(), 0.0), peak.max()))
    x = frame.x(ts)
    parts = [
        axes(frame, ts, result.series.base_currency, rows=4),
        area(x, frame.y(equity), frame.y(peak), "drawdown"),
        line(x, frame.y(equity), "equity"),
    ]
    return canvas(WIDTH, height, "".join(parts), f"Cumulative clean P&L, {number(float(equity[-1]))} at the end")


def rolling_chart(results: Sequence[ModelResult], level: float, height: int = 250) -> str:
    """Draw exceptions in the trailing 250 days for each model, over Basel's zones (which are meant for 99%)."""
    long_enough = [result for result in results if len(result.pnl.ts) > ROLLING_DAYS]
    if not long_enough:
        return f"<p>Fewer than {ROLLING_DAYS} days with something held: no trailing count.</p>"
    counts = [rolling_exceptions(result.hits(level), ROLLING_DAYS) for result in long_enough]
    top = max(BASEL_RED + 2.0, max(float(np.nanmax(count)) for count in counts) + 1)
    ts = long_enough[0].pnl.ts
    frame = Frame(LEFT, 24, WIDTH - 168, height - 26, _span(ts), (0.0, top))
    parts = [*_zones(frame, level), axes(frame, ts, "exceptions", rows=5, whole=True)]
    for i, (result, count) in enumerate(zip(long_enough, counts, strict=True)):
        colour = f"stroke:{PALETTE[i % len(PALETTE)]}"
        drawn = line(frame.x(result.pnl.ts), frame.y(count), "count")
        parts.append(drawn.replace("<path ", f'<path style="{colour};stroke-dasharray:{_DASHES[i % 4]}" '))
        y = frame.top + 14 + 20 * i
        sample = f'<path class="count" style="{colour};stroke-dasharray:{_DASHES[i % 4]}" '
        parts.append(sample + f'd="M{frame.right + 12:.0f},{y:.0f}h22"/>')
        parts.append(label(frame.right + 40, y + 4, result.series.model, "legend"))
    return canvas(WIDTH, height, "".join(parts), f"Exceptions of {percent(level)} VaR in the trailing 250 days")


def wealth_chart(run: RunReport, level: float, height: int = 230) -> str:
    """Draw the wealth of each model's e-process, on a logarithmic scale, and the bound of the alarm."""
    curves = [(result.pnl.ts, run.evidence[result.series.model].get(level)) for result in run.results]
    known = [(ts, proof) for ts, proof in curves if proof is not None and len(ts) > 1]
    if not known:
        return ""
    logs = [proof.log_wealth / np.log(10) for _, proof in known]
    bound = float(np.log10(BOUND))
    low, high = min(float(log.min()) for log in logs), max(bound, *(float(log.max()) for log in logs))
    span = float(min(ts[0] for ts, _ in known)), float(max(ts[-1] for ts, _ in known))
    frame = Frame(LEFT, 24, WIDTH - 168, height - 26, span, _padded(min(low, 0.0), high))
    every = np.array([span[0], span[1]]).astype(np.int64)
    parts = [axes(frame, every, "wealth, powers of ten", rows=4)]
    y = float(frame.y(bound))
    parts.append(f'<path class="split" d="M{frame.left},{y:.1f}H{frame.right}"/>')
    parts.append(label(frame.left + 6, y - 5, f"alarm at {BOUND:g}", "note"))
    for i, ((ts, proof), log) in enumerate(zip(known, logs, strict=True)):
        colour = f"stroke:{PALETTE[i % len(PALETTE)]};stroke-dasharray:{_DASHES[i % 4]}"
        parts.append(line(frame.x(ts), frame.y(log), "count").replace("<path ", f'<path style="{colour}" '))
        y = frame.top + 14 + 20 * i
        parts.append(f'<path class="count" style="{colour}" d="M{frame.right + 12:.0f},{y:.0f}h22"/>')
        parts.append(label(frame.right + 40, y + 4, proof.model, "legend"))
    return canvas(WIDTH, height, "".join(parts), f"E-process of {percent(level)} ES by model", "wealth")


def greeks_charts(series: RiskSeries, height: int = 190) -> str:
    """Draw the book's sensitivities over time; nothing for a book without options."""
    rows = np.flatnonzero(np.isfinite(series.greeks).all(axis=1))
    if len(rows) < 2:
        return ""
    ts, drawings = series.ts[rows], []
    for name, curve in zip(GREEKS, series.greeks[rows].T, strict=True):
        bounds = _padded(min(float(curve.min()), 0.0), max(float(curve.max()), 0.0))
        frame = Frame(LEFT, 24, 545 - RIGHT, height - 26, _span(ts), bounds)
        body = axes(frame, ts, series.base_currency, rows=4, columns=5)
        body += line(frame.x(ts), frame.y(curve), "equity")
        drawings.append(f"<figure>{canvas(545, height, body, name)}<figcaption>{name}</figcaption></figure>")
    return f'<div class="pair" id="greeks">{"".join(drawings)}</div>'


def component_chart(result: ModelResult, level: float, height: int = 330) -> str:
    """Draw each instrument's part of the VaR over time: what adds risk above zero, what takes it away below."""
    series = result.series
    rows = np.flatnonzero(series.held)
    if not len(rows):
        return ""
    ts, names, stack = component_stack(series.ts[rows], series.instruments,
                                       series.component_var[rows, :, series.levels.index(level)])  # fmt: skip
    above, below = np.cumsum(np.maximum(stack, 0), axis=1), np.cumsum(np.minimum(stack, 0), axis=1)
    frame = Frame(LEFT, 24, WIDTH - 168, height - 26, _span(ts), _padded(below[:, -1].min(), above[:, -1].max()))
    x, parts = frame.x(ts), []
    for i, name in enumerate(names):
        colour = f"fill:{PALETTE[i % len(PALETTE)]}"
        for total, part in ((above, np.maximum(stack, 0)), (below, np.minimum(stack, 0))):
            if part[:, i].any():
                parts.append(area(x, frame.y(total[:, i] - part[:, i]), frame.y(total[:, i]), "part", colour))
        y = frame.top + 4 + 22 * i
        parts.append(f'<rect x="{frame.right + 14:.0f}" y="{y:.0f}" width="13" height="13" style="{colour}"/>')
        parts.append(label(frame.right + 34, y + 11, name, "legend"))
    parts.append(axes(frame, ts, series.base_currency))
    parts.append(line(x, frame.y(stack.sum(axis=1)), "whole"))
    y = frame.top + 10 + 22 * len(names)
    parts.append(f'<path class="whole" d="M{frame.right + 12:.0f},{y:.0f}h17"/>')
    parts.append(label(frame.right + 34, y + 4, "whole book", "legend"))
    return canvas(WIDTH, height, "".join(parts), f"Component {percent(level)} VaR by instrument over time")


def component_stack(ts: LongArray, names: Sequence[str], components: Array) -> tuple[LongArray, list[str], Array]:
    """Average components over bins of days and lump the small ones together.

    Parameters
    ----------
    ts : ndarray of int64, shape (T,)
        UNIX nanoseconds.
    names : sequence of str
        Instruments.
    components : ndarray, shape (T, N)
        Component VaR.

    Returns
    -------
    tuple
        Middle of each bin, shape (B,); names, most risk first, "others" last; averages, shape (B, names).
    """
    width = -(-len(ts) // MAX_BINS)
    starts = np.arange(0, len(ts), width)
    lengths = np.diff(np.append(starts, len(ts)))
    averages = np.add.reduceat(components, starts, axis=0) / lengths[:, None]
    order = np.argsort(-np.abs(components).mean(axis=0))
    shown, rest = order[:SHOWN_INSTRUMENTS], order[SHOWN_INSTRUMENTS:]
    columns, titles = [averages[:, shown]], [names[i] for i in shown]
    if len(rest):
        columns.append(averages[:, rest].sum(axis=1, keepdims=True))
        titles.append(f"{len(rest)} others")
    return ts[starts + lengths // 2], titles, np.concatenate(columns, axis=1)


_DASHES = ("none", "6 3", "2 3", "9 3 2 3")


def _zones(frame: Frame, level: float) -> list[str]:
    if level != 0.99:
        return []
    edges = ((0.0, BASEL_YELLOW - 0.5, "green"), (BASEL_YELLOW - 0.5, BASEL_RED - 0.5, "yellow"),
             (BASEL_RED - 0.5, frame.y_range[1], "red"))  # fmt: skip
    parts = []
    for low, high, zone in edges:
        top, bottom = float(frame.y(high)), float(frame.y(low))
        parts.append(
            f'<rect class="zone-{zone}" x="{frame.left}" y="{top:.1f}" '
            f'width="{frame.right - frame.left}" height="{bottom - top:.1f}"/>'
        )
        parts.append(label(frame.left + 6, top + 13, zone, "note"))
    return parts


def _pnl_frame(result: ModelResult, window: slice, width: float, height: float, left: float) -> Frame:
    total = result.pnl.total[window]
    low = min(float(total.min()), -float(np.nanmax(result.var(max(result.series.levels))[window])))
    bounds = _padded(low, float(max(total.max(), 0.0)))
    return Frame(left, 24, width - RIGHT, height - 26, _span(result.pnl.ts[window]), bounds)


def _pnl_marks(result: ModelResult, window: slice, frame: Frame, large: bool = False) -> list[str]:
    """Sticks of P&L, bands of VaR at the lowest and highest level, marks where the loss was larger."""
    inner, outer = min(result.series.levels), max(result.series.levels)
    x, total = frame.x(result.pnl.ts[window]), result.pnl.total[window]
    near, far = frame.y(-result.var(inner)[window]), frame.y(-result.var(outer)[window])
    hits_inner, hits_outer = result.hits(inner)[window], result.hits(outer)[window]
    base, y = float(frame.y(0.0)), frame.y(total)
    size = " large" if large else " dense" if len(x) > DENSE_DAYS else ""
    middle = hits_inner & ~hits_outer
    parts = [
        area(x, far, near, "band"),
        sticks(x[~hits_inner], y[~hits_inner], base, f"pnl{size}"),
        sticks(x[middle], y[middle], base, f"hit-inner{size}"),
        sticks(x[hits_outer], y[hits_outer], base, f"hit-outer{size}"),
        line(x, near, f"var-inner{size}"),
        line(x, far, f"var-outer{size}"),
    ]
    radius = 3.2 if large else 2.6
    marks = zip(x[hits_outer].tolist(), y[hits_outer].tolist(), strict=True)
    parts += [f'<circle class="mark" cx="{a:.1f}" cy="{b:.1f}" r="{radius}"/>' for a, b in marks]
    return parts


def _span(ts: LongArray) -> tuple[float, float]:
    return float(ts[0]), float(ts[-1])


def _padded(low: float, high: float) -> tuple[float, float]:
    pad = 0.05 * ((high - low) or 1.0)
    return (low - pad if low < 0 else low), high + pad
