"""`report.html`: one page with everything in it, which needs no network and prints."""

import json
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from nautilus_metal.report.charts import (
    LEFT,
    RIGHT,
    WIDTH,
    close_ups,
    component_chart,
    equity_chart,
    greeks_charts,
    pnl_chart,
    rolling_chart,
    wealth_chart,
)
from nautilus_metal.report.evidence_page import (
    changes_table,
    shortfall_hint,
    shortfall_tables,
    verdict_table,
    worst_table,
)
from nautilus_metal.report.run import RunReport, date_text, summary
from nautilus_metal.report.svg import minus
from nautilus_metal.report.terminal import hit_rate
from nautilus_metal.report.verdict import ModelResult, clusters, percent

WORST_DAYS = 12
LONG_TABLE = 8


def write_page(run: RunReport, path: Path) -> None:
    """Write the report page of a run."""
    path.write_text(page(run), encoding="utf-8")


def page(run: RunReport) -> str:
    """Return the report page: a complete HTML document without any external reference."""
    chosen, facts = run.chosen, summary(run)
    top = max(chosen.series.levels) if chosen.series.levels else 0.99
    greeks = greeks_charts(chosen.series)
    sections = [
        _head(run, facts),
        _section("Daily P&L against the value at risk stated the day before", _PNL_HINT, _key(chosen),
                 pnl_chart(chosen, run.holdout_ts), '<div id="readout" aria-live="polite"></div>', close_ups(chosen)),
        _section("Verdicts", _VERDICT_HINT, verdict_table("All days", run, False),
                 verdict_table(f"From {run.holdout_from} on: no setting was chosen on these days", run, True)),
        _section("Exceptions in the trailing 250 days", f"{percent(top)} VaR; Basel's zones for 99%.",
                 rolling_chart(run.results, top)),
        _section("Where the risk is", _COMPONENT_HINT.format(percent(top)), component_chart(chosen, top)),
        _section("Is the expected shortfall right", shortfall_hint(run), shortfall_tables(run),
                 wealth_chart(run, top)),
        _section("Sensitivities", _GREEKS_HINT, greeks) if greeks else "",
        _section("Why VaR changed", _CHANGES_HINT, changes_table(run.explained)) if run.explained else "",
        _section("Worst scenarios", _worst_hint(run.worst), worst_table(run.worst)) if run.worst else "",
        _section("Cumulative clean P&L", "Before trading within the day and fees; shaded: below the last peak.",
                 equity_chart(chosen)),
        _section("Worst days", "", _worst_days(chosen)),
        _section("Not covered by the figures", "", _uncovered(facts["uncovered"])),
        _section("This run", "", _facts(run, facts)),
        _section("About data and method", "", "<ul>" + "".join(f"<li>{escape(n)}</li>" for n in run.notes) + "</ul>"),
    ]  # fmt: skip
    room = files("nautilus_metal.report")
    style, script = (room.joinpath(name).read_text("utf-8") for name in ("page.css", "page.js"))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(run.title)}</title><style>{style}</style></head>\n<body><main>"
        + "\n".join(sections)
        + f"\n</main>{_data(chosen)}<script>{script}</script></body></html>\n"
    )


_PNL_HINT = (
    "Clean P&L: yesterday's positions at today's prices, so that trading within the day does not blur it. "
    "A loss is an exception when it is larger than the VaR of the evening before."
)
_VERDICT_HINT = (
    "Kupiec: is the number of exceptions right? Christoffersen: is it right, and do they come alone? Haas: are the "
    "waits between them right as well? A p-value under 0.05 rejects the model; the exact ones are by simulated "
    "histories of a right model, where chi-square is rough. Basel's light is that of the whole period."
)
_COMPONENT_HINT = (
    "{} VaR by instrument: the parts add up to the whole. Below zero are positions that take risk away. "
    "Averages of a few days each."
)


_GREEKS_HINT = "Of the whole book, options and what they stand beside, as each report has them."
_CHANGES_HINT = (
    "The largest changes of VaR from one report to the next, split by Shapley's value: positions and prices; each "
    "instrument's volatility; the rest of the return window; the model's settings; the scenario stream. The parts "
    "add up to the change; ± is a standard error of the simulation."
)


def _worst_hint(worst: Mapping[str, Any]) -> str:
    return (
        f"Of the report of {worst['report']}, by {worst['model']}: what the book and its positions lose in them, "
        f"{worst['base_currency']}; below zero is a gain."
    )


def _section(heading: str, hint: str, *body: str) -> str:
    lead = f'<p class="hint">{escape(hint)}</p>' if hint else ""
    return f"<section><h2>{escape(heading)}</h2>{lead}{''.join(body)}</section>"


def _head(run: RunReport, facts: Mapping[str, Any]) -> str:
    chosen = run.chosen
    period = f"{facts['first_report']} to {facts['last_report']}, {run.days:,} days of prices"
    scores = chosen.holdout or chosen.scores
    state = "fail" if not chosen.passes(holdout=bool(chosen.holdout)) else "pass"
    if state == "pass" and any(clusters(entry) for entry in scores.values()):
        state = "mixed"
    sentences = "".join(f"<p>{escape(sentence)}</p>" for sentence in run.conclusion())
    return (
        f'<header><h1>{escape(run.title)}</h1><div class="sub">{escape(period)}; {escape(run.main)}, '
        f"{chosen.series.scenarios:,} scenarios, seed {chosen.series.seed}, {escape(chosen.series.device)}</div>"
        f'<div class="verdict {state}">{sentences}</div><div class="tiles">{_tiles(run, facts)}</div></header>'
    )


def _tiles(run: RunReport, facts: Mapping[str, Any]) -> str:
    ticks, currency = facts["tick_milliseconds"], facts["base_currency"]
    tiles = []
    for level, s in run.chosen.scores.items():
        tiles.append((f"{s.exceptions:,} / {s.expected:,.1f}", f"exceptions of {percent(level)} VaR / expected"))
    profit = run.portfolio.get("profit")
    whose = "clean P&L" if profit is None else "profit of the strategies"
    amount = float(run.chosen.pnl.total.sum()) if profit is None else float(profit)
    tiles.append((minus(f"{amount:+,.0f}"), f"{whose}, {currency}"))
    tiles.append((f"{ticks['median'] or 0:.2f} ms", f"median risk tick; 99th percentile {ticks['p99'] or 0:.2f} ms"))
    if run.wall_seconds is not None:
        tiles.append((f"{run.wall_seconds:.1f} s", f"for {run.days:,} days and {facts['reports']:,} risk ticks"))
    tiles.append((hit_rate(run), "of the pool's borrows answered from cache"))
    return "".join(f'<div class="tile"><b>{escape(b)}</b><span>{escape(text)}</span></div>' for b, text in tiles)


def _key(result: ModelResult) -> str:
    if not result.series.levels:
        return ""
    inner, outer = percent(min(result.series.levels)), percent(max(result.series.levels))
    rows = (
        ("#7d8a98", "P&L of the day"),
        ("var(--sky)", f"VaR, {inner} to {outer}"),
        ("var(--amber)", f"loss beyond {inner}"),
        ("var(--red)", f"loss beyond {outer}"),
    )
    return '<div class="key">' + "".join(
        f'<span><i style="background:{colour}"></i>{escape(text)}</span>' for colour, text in rows
    ) + "</div>"  # fmt: skip


def _worst_days(result: ModelResult) -> str:
    total = result.pnl.total
    order = [day for day in np.argsort(total)[:WORST_DAYS].tolist() if total[day] < 0]
    if not order:
        return "<p>No day with a loss.</p>"
    levels = result.series.levels
    top = max(levels)
    heads = ["day", "P&L", *(f"VaR {percent(x)}" for x in levels), f"ES {percent(top)}", "loss / ES"]
    head = "".join(f"<th>{escape(text)}</th>" for text in heads) + '<th class="text">largest losses in it</th>'
    body = []
    for day in order:
        es = float(result.es(top)[day])
        cells = [date_text(result.pnl.ts[day]), _money(total[day]), *(_money(result.var(x)[day]) for x in levels)]
        cells += [_money(es), f"{-total[day] / es:.2f}" if es > 0 else "n/a"]
        parts = result.pnl.contributions[day]
        worst = [i for i in np.argsort(parts)[:3].tolist() if parts[i] < 0]
        names = ", ".join(f"{result.series.instruments[i]} {_money(parts[i])}" for i in worst)
        body.append("<tr>" + "".join(f"<td>{c}</td>" for c in cells) + f'<td class="wrap">{escape(names)}</td></tr>')
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'


def _uncovered(uncovered: Mapping[str, Mapping[str, Any]]) -> str:
    if not uncovered:
        return "<p>Nothing: every position of every report had a price, a history and an exchange rate.</p>"
    rows = [
        f"<tr><td>{escape(name)}</td><td>{entry['reports']:,}</td>"
        f'<td class="wrap">{escape(entry["reason"])}</td></tr>'
        for name, entry in uncovered.items()
    ]
    head = '<thead><tr><th>instrument</th><th>reports</th><th class="text">why (last time)</th></tr></thead>'
    half = len(rows) if len(rows) <= LONG_TABLE else -(-len(rows) // 2)
    halves = [f"<table>{head}<tbody>{''.join(part)}</tbody></table>" for part in (rows[:half], rows[half:]) if part]
    return f'<div class="pair">{"".join(halves)}</div>' if len(halves) > 1 else halves[0]


def _facts(run: RunReport, facts: Mapping[str, Any]) -> str:
    by_model = facts["tick_milliseconds_by_model"].items()
    rows = {
        "device": facts["device"],
        "seed": str(facts["seed"]),
        "period": f"{facts['first_report']} to {facts['last_report']}",
        **{name.replace("_", " "): _text(value) for name, value in run.portfolio.items()},
        "risk ticks, median (99th percentile)": "; ".join(
            f"{name} {t['median'] or 0:.2f} ({t['p99'] or 0:.2f}) ms" for name, t in by_model
        ),
        "days with an empty book (not tested)": _pairs(facts["empty_book_days"]),
        "days with nothing covered (not tested)": _pairs(facts["uncovered_book_days"]),
        "sampler": _pairs(facts["sampler"]),
        "scenarios": _pairs(facts["scenarios"]),
        "largest drift from float64": f"{facts['largest_drift'] or 0:.1e} of the P&L's standard deviation",
        "versions": _pairs(facts["versions"]),
        **{name.replace("_", " "): _text(value) for name, value in run.settings.items()},
    }
    cells = "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in rows.items())
    return f'<table class="facts"><tbody>{cells}</tbody></table>'


def _pairs(entries: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_text(value)}" for name, value in entries.items())


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _money(value: float) -> str:
    return minus(f"{value:,.0f}")


def _data(result: ModelResult) -> str:
    """The P&L chart's numbers, for the read-out under the pointer."""
    body = {
        "width": WIDTH,
        "left": LEFT,
        "right": WIDTH - RIGHT,
        "currency": result.series.base_currency,
        "levels": [percent(level) for level in result.series.levels],
        "day": (result.pnl.ts // 86_400_000_000_000).tolist(),
        "pnl": np.round(result.pnl.total).astype(np.int64).tolist(),
        "var": [np.round(result.var(level)).astype(np.int64).tolist() for level in result.series.levels],
    }
    return f'<script type="application/json" id="pnl-data">{json.dumps(body, separators=(",", ":"))}</script>'
