"""`report.html` of a hedged backtest: one page with everything in it, which needs no network and prints."""

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

import numpy as np

from nautilus_metal.report.charts import LEFT, PALETTE, RIGHT, WIDTH
from nautilus_metal.report.hedge_run import GOAL, HEADINGS, UNHEDGED, HedgeRun, attribution_rows, measure_rows
from nautilus_metal.report.run import date_text
from nautilus_metal.report.series import Array
from nautilus_metal.report.svg import Frame, axes, canvas, label, line, minus, sticks

WORST_DAYS = 10
TRAILING = 60
GREY = "#7d8a98"
COLOURS = (GREY, PALETTE[1], PALETTE[0], *PALETTE[2:])  # of the books, unhedged first


def write_hedge_page(run: HedgeRun, path: Path) -> None:
    """Write the report page of a run."""
    path.write_text(hedge_page(run), encoding="utf-8")


def hedge_page(run: HedgeRun) -> str:
    """Return the report page: a complete HTML document without any external reference."""
    main = run.labels[run.main]
    sections = [
        _head(run),
        _section(f"Daily P&L, unhedged and with: {main}", "Both on one scale. Marked at the middle of bid and ask.",
                 _daily(run, UNHEDGED, GREY), _daily(run, run.main, PALETTE[0])),
        _section("What each hedge does", "", _table([HEADINGS, *measure_rows(run)])),
        _section("Where the P&L comes from", _ATTRIBUTION_HINT, _table(attribution_rows(run)),
                 '<div class="pair">' + _sources(run, UNHEDGED) + _sources(run, run.main) + "</div>"),
        _section(f"Standard deviation of the trailing {TRAILING} days", "", _lines(run, _trailing(run))),
        _section("Cumulative P&L", "", _lines(run, {book: np.cumsum(run.pnl(book)) for book in run.books})),
        _section("Worst days unhedged", "", _worst(run, UNHEDGED)),
        _section(f"Worst days with: {main}", "", _worst(run, run.main)),
        _section("This run", "", _facts(run)),
        _section("About data and method", "", "<ul>" + "".join(f"<li>{escape(n)}</li>" for n in run.notes) + "</ul>"),
    ]  # fmt: skip
    style = files("nautilus_metal.report").joinpath("page.css").read_text("utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(run.title)}</title><style>{style}</style></head>\n<body><main>"
        + "\n".join(sections)
        + "\n</main></body></html>\n"
    )


_ATTRIBUTION_HINT = (
    "Each day's P&L by the sensitivities of the evening before: delta times the index' move, half gamma times its "
    "square, vega times the change of each strike's volatility, theta times the time passed. Costs are what fills "
    "lose against the middle of bid and ask. The rest is everything of higher order."
)


def _section(heading: str, hint: str, *body: str) -> str:
    lead = f'<p class="hint">{escape(hint)}</p>' if hint else ""
    return f"<section><h2>{escape(heading)}</h2>{lead}{''.join(body)}</section>"


def _head(run: HedgeRun) -> str:
    state = "pass" if run.removed(run.main) >= GOAL else "fail"
    sentences = "".join(f"<p>{escape(text)}</p>" for text in run.conclusion())
    period = f"{date_text(run.ts[0])} to {date_text(run.ts[-1])}, {len(run.ts):,} days"
    return (
        f'<header><h1>{escape(run.title)}</h1><div class="sub">{escape(period)}</div>'
        f'<div class="verdict"><p><b>{escape(run.warning)}</b></p></div>'
        f'<div class="verdict {state}">{sentences}</div><div class="tiles">{_tiles(run)}</div></header>'
    )


def _tiles(run: HedgeRun) -> str:
    before, after = run.measures(UNHEDGED), run.measures(run.main)
    tiles = [
        (f"{after['removed']:.1%}", "of the daily standard deviation removed"),
        (f"{before['standard_deviation']:,.0f}", f"daily standard deviation unhedged, {run.currency}"),
        (f"{after['standard_deviation']:,.0f}", f"hedged, {run.currency}"),
        (minus(f"{before['worst_day']:,.0f}"), f"worst day unhedged, {run.currency}"),
        (minus(f"{after['worst_day']:,.0f}"), f"worst day hedged, {run.currency}"),
        (minus(f"{after['costs']:,.0f}"), f"costs of all trading, {run.currency}"),
    ]
    return "".join(f'<div class="tile"><b>{escape(b)}</b><span>{escape(text)}</span></div>' for b, text in tiles)


def _frame(run: HedgeRun, low: float, high: float, height: float, width: float = WIDTH, room: float = RIGHT) -> Frame:
    pad = 0.05 * ((high - low) or 1.0)
    span = float(run.ts[0]), float(run.ts[-1])
    return Frame(LEFT, 24, width - room, height - 26, span, (low - pad if low < 0 else low, high + pad))


def _daily(run: HedgeRun, book: str, colour: str, height: float = 190) -> str:
    widest = np.concatenate([run.pnl(UNHEDGED), run.pnl(run.main)])
    frame = _frame(run, float(min(widest.min(), 0)), float(max(widest.max(), 0)), height)
    pnl, x = run.pnl(book), frame.x(run.ts)
    drawn = sticks(x, frame.y(pnl), float(frame.y(0.0)), "pnl").replace("<path ", f'<path style="stroke:{colour}" ')
    body = axes(frame, run.ts, run.currency, rows=4) + drawn + label(frame.left + 8, 18, run.labels[book], "legend")
    return canvas(WIDTH, height, body, f"Daily P&L, {run.labels[book]}")


def _lines(run: HedgeRun, curves: dict[str, Array], height: float = 250) -> str:
    """Draw a line for each book, named at the right."""
    values = np.concatenate([curve[np.isfinite(curve)] for curve in curves.values()])
    if not len(values):
        return f"<p>Fewer than {TRAILING} days.</p>"
    frame = _frame(run, float(min(values.min(), 0.0)), float(max(values.max(), 0.0)), height, room=205)
    parts, x = [axes(frame, run.ts, run.currency, rows=5)], frame.x(run.ts)
    for i, (book, curve) in enumerate(curves.items()):
        style = f'style="stroke:{COLOURS[i % len(COLOURS)]}"'
        parts.append(line(x, frame.y(curve), "count").replace("<path ", f"<path {style} "))
        y = frame.top + 14 + 20 * i
        parts.append(f'<path class="count" {style} d="M{frame.right + 12:.0f},{y:.0f}h22"/>')
        parts.append(label(frame.right + 40, y + 4, run.labels[book], "legend"))
    return canvas(WIDTH, height, "".join(parts), "By book")


def _sources(run: HedgeRun, book: str, width: float = 545, height: float = 260) -> str:
    """Draw the cumulative P&L of a book by source."""
    curves = np.cumsum(run.books[book], axis=0)
    total = curves.sum(axis=1)
    every = np.concatenate([np.cumsum(run.books[name], axis=0).ravel() for name in (UNHEDGED, run.main)])
    frame = _frame(run, float(min(every.min(), 0.0)), float(max(every.max(), 0.0)), height, width, 84)
    parts, x = [axes(frame, run.ts, run.currency, rows=5, columns=5)], frame.x(run.ts)
    names = [*run.sources, "total"]
    for i, (name, curve) in enumerate(zip(names, [*curves.T, total], strict=True)):
        style = f'style="stroke:{"var(--ink)" if name == "total" else PALETTE[i]}"'
        parts.append(line(x, frame.y(curve), "count").replace("<path ", f"<path {style} "))
        y = frame.top + 8 + 19 * i
        parts.append(f'<path class="count" {style} d="M{frame.right + 8:.0f},{y:.0f}h16"/>')
        parts.append(label(frame.right + 29, y + 4, name, "legend"))
    title = f"Cumulative P&L by source, {run.labels[book]}"
    drawing = canvas(width, height, "".join(parts), title)
    return f"<figure>{drawing}<figcaption>{escape(title)}</figcaption></figure>"


def _trailing(run: HedgeRun) -> dict[str, Array]:
    curves = {}
    for book in run.books:
        curve = np.full(len(run.ts), np.nan)
        if len(curve) > TRAILING:
            windows = np.lib.stride_tricks.sliding_window_view(run.pnl(book), TRAILING)
            curve[TRAILING - 1 :] = windows.std(axis=1)
        curves[book] = curve
    return curves


def _worst(run: HedgeRun, book: str) -> str:
    pnl = run.pnl(book)
    other = run.main if book == UNHEDGED else UNHEDGED
    rows: list[Sequence[str]] = [("day", "P&L", *run.sources, run.labels[other])]
    for day in np.argsort(pnl)[:WORST_DAYS].tolist():
        amounts = [pnl[day], *run.books[book][day], run.pnl(other)[day]]
        rows.append((date_text(run.ts[day]), *(f"{amount:z,.0f}" for amount in amounts)))
    return _table(rows)


def _table(rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{escape(minus(c)) if i else escape(c)}</td>" for i, c in enumerate(row))
                   + "</tr>" for row in rows[1:])  # fmt: skip
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _facts(run: HedgeRun) -> str:
    rows = {
        **{
            run.labels[hedge]: ", ".join(f"{name.replace('_', ' ')} {value:,}" for name, value in counts.items())
            for hedge, counts in run.counts.items()
        },
        "account's profit less its sources": ", ".join(f"{k} {v:+.2f} {run.currency}" for k, v in run.gaps.items()),
        "wall time": f"{run.wall_seconds:.1f} s",
        "versions": ", ".join(f"{name} {text}" for name, text in run.made_with.items()),
        **{name.replace("_", " "): str(value) for name, value in run.settings.items()},
    }
    cells = "".join(f"<tr><td>{escape(name)}</td><td>{escape(text)}</td></tr>" for name, text in rows.items())
    return f'<table class="facts"><tbody>{cells}</tbody></table>'
