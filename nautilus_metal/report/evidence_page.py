"""Tables of tests, scores, explained changes and worst scenarios for the report page."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from nautilus_metal.report.evidence import BOUND, Evidence
from nautilus_metal.report.run import RunReport, date_text
from nautilus_metal.report.svg import minus
from nautilus_metal.report.verdict import PASS_P_VALUE, ModelResult, p_text, percent
from nautilus_metal.risk.attribution import PARTS
from nautilus_metal.risk.validation import ShortfallResult, VarScore

LIGHTS = {"green": "●", "yellow": "▲", "red": "■"}
_VERDICT_HEADS = (
    *("model", "VaR", "days", "exceptions", "expected", "Kupiec p", "exact", "Christoffersen p", "exact"),
    *("Haas mixed, exact p", "Basel zone"),
)
_SHORTFALL_TESTS = ("unconditional", "conditional", "quantile", "min_bias_absolute", "min_bias_relative")
_SHORTFALL_HEADS = ("model", "ES", "days", "law", *(f"{name.replace('_', ' ')} p" for name in _SHORTFALL_TESTS))
_SCORE_HEADS = (
    *("model", "ES", "quantile score", "Fissler-Ziegel score", "against the main model", "p"),
    *("e-process: wealth", "alarm"),
)
_FEW = 6  # positions named for a scenario


def verdict_table(heading: str, run: RunReport, holdout: bool) -> str:
    """Coverage tests of all models, by chi-square and exactly."""
    body, notes = [], []
    for result in run.results:
        model = result.series.model
        scores = result.holdout if holdout else result.scores
        for level, entry in scores.items():
            proof = run.evidence[model][level]
            exact = proof.exact_holdout if holdout else proof.exact
            body.append(_row(_verdict_cells(model, level, entry, exact), model == run.main))
            notes += _disagreements(f"{model}, {percent(level)}", entry, exact)
    if not body:
        return ""
    return table(_VERDICT_HEADS, body, heading) + "".join(f'<p class="hint">{escape(note)}</p>' for note in notes)


def _verdict_cells(model: str, level: float, entry: VarScore, exact: Mapping[str, float]) -> list[str]:
    zone = "n/a"
    if entry.zone:
        zone = f'<span class="light {entry.zone}">{LIGHTS[entry.zone]} {entry.zone}</span>'
    return [
        escape(model),
        percent(level),
        f"{entry.days:,}",
        f"{entry.exceptions:,}",
        f"{entry.expected:,.1f}",
        _p(entry.kupiec_p),
        _p(exact.get("kupiec")),
        _p(entry.christoffersen_p),
        _p(exact.get("christoffersen")),
        _p(exact.get("haas_mixed")),
        zone,
    ]


def _disagreements(what: str, entry: VarScore, exact: Mapping[str, float]) -> list[str]:
    """Sentences where the exact p-value and chi-square's are on different sides of the line."""
    notes = []
    for name, chi in (("kupiec", entry.kupiec_p), ("christoffersen", entry.christoffersen_p)):
        found = exact.get(name)
        if chi is not None and found is not None and (chi < PASS_P_VALUE) != (found < PASS_P_VALUE):
            verdict = "rejects" if found < PASS_P_VALUE else "does not reject"
            p_values = f"p by chi-square is {chi:.3f}, the exact {found:.3f} {verdict}"
            notes.append(f"{what}: {name.capitalize()}'s {p_values}.")
    return notes


def shortfall_tables(run: RunReport) -> str:
    """Tests and scores of the expected shortfall of all models."""
    tests, scores = [], []
    for result in run.results:
        main = result.series.model == run.main
        for proof in run.evidence[result.series.model].values():
            tests.append(_row(_shortfall_cells(proof), main))
            scores.append(_row(_score_cells(proof, result), main))
    if not tests:
        return "<p>No day with an expected shortfall to test.</p>"
    return table(_SHORTFALL_HEADS, tests, "Tests") + table(_SCORE_HEADS, scores, "Scores")


def _shortfall_cells(proof: Evidence) -> list[str]:
    found = proof.shortfall
    tests = [None if found is None else getattr(found, name) for name in _SHORTFALL_TESTS]
    law = "n/a" if found is None else escape(found.law)
    return [escape(proof.model), percent(proof.level), f"{proof.days:,}", law, *map(_test, tests)]


def _score_cells(proof: Evidence, result: ModelResult) -> list[str]:
    against, alarm, days = proof.against_main, proof.alarm_day, result.pnl.ts
    return [
        escape(proof.model),
        percent(proof.level),
        _number(proof.quantile_score, ",.1f"),
        _number(proof.shortfall_score, ".4f"),
        "" if against is None else ("better" if against.statistic < 0 else "worse"),
        "" if against is None else p_text(against.p_value),
        _number(math.exp(min(proof.log_wealth[-1], 700.0)) if len(proof.log_wealth) else None, ",.3g"),
        "none" if alarm is None else f'<span class="low">{date_text(days[alarm])}</span>',
    ]


def shortfall_hint(run: RunReport) -> str:
    """Say what the table's columns are."""
    found = [proof.shortfall for levels in run.evidence.values() for proof in levels.values() if proof.shortfall]
    simulations = min((one.simulations for one in found), default=0)
    return (
        "Acerbi and Szekely's tests: is the loss beyond VaR as large as stated? A p-value under 0.05 says that the "
        f"shortfall is too low, by {simulations:,} simulated histories of the law named beside it, which is the "
        "normal or the Student-t whose shortfall is as far beyond its VaR as the model's is. Scores: the smaller the "
        "better; the comparison with the main model is Diebold and Mariano's, of the Fissler-Ziegel score. The "
        f"e-process starts with a wealth of 1 and gives alarm at {BOUND:g}, which a right model reaches with a "
        "chance of 5% at most, however often one looks."
    )


def changes_table(entries: Sequence[Mapping[str, Any]]) -> str:
    """Explained changes of VaR, a row for each."""
    if not entries:
        return ""
    level = percent(entries[0]["level"])
    heads = ("from", "to", f"{level} VaR before", "after", "change", *PARTS)
    body = []
    for entry in entries:
        cells = [entry["date_before"], entry["date"], *(_money(entry[key]) for key in ("before", "after"))]
        cells.append(f"<b>{_signed(entry['change'])}</b>")
        for name in PARTS:
            error = entry["standard_errors"][name]
            around = "" if not error else f' <span class="se">± {error:,.0f}</span>'
            cells.append(_signed(entry["parts"][name]) + around)
        body.append(_row(cells))
    return table(heads, body)


def worst_table(worst: Mapping[str, Any]) -> str:
    """The worst scenarios of a report, with what the positions that matter most lose in them."""
    scenarios = worst["scenarios"]
    total: dict[str, float] = {}
    for entry in scenarios:
        for name, loss in entry["positions"].items():
            total[name] = total.get(name, 0.0) + abs(loss)
    shown = sorted(total, key=lambda name: -total[name])[:_FEW]
    rest = len(total) - len(shown)
    dated = any(entry["date"] for entry in scenarios)
    heads = ["scenario", *(["of"] if dated else []), "loss", *shown, *([f"{rest} others"] if rest else [])]
    body = []
    for entry in scenarios:
        lost = entry["positions"]
        others = entry["loss"] - sum(lost[name] for name in shown)
        cells = [f"{entry['scenario']:,}", *([entry["date"] or ""] if dated else [])]
        cells.append(f"<b>{_money(entry['loss'])}</b>")
        cells += [_money(lost[name]) for name in shown] + ([_money(others)] if rest else [])
        body.append(_row(cells))
    return table(heads, body)


def table(heads: Sequence[str], rows: Sequence[str], caption: str = "") -> str:
    """Put rows of HTML under headings that are escaped here."""
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    body = f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return f'<div class="scroll"><table>{title}{body}</table></div>'


def _row(cells: Sequence[str], main: bool = False) -> str:
    css = ' class="main"' if main else ""
    return f"<tr{css}>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _p(value: float | None) -> str:
    if value is None or value >= PASS_P_VALUE:
        return p_text(value)
    return f'<span class="low" title="rejected">{p_text(value)} ✗</span>'


def _test(result: ShortfallResult | None) -> str:
    return "n/a" if result is None else _p(result.p_value)


def _number(value: float | None, form: str) -> str:
    return "n/a" if value is None else minus(format(value, form))


def _money(value: float) -> str:
    return minus(f"{value:,.0f}")


def _signed(value: float) -> str:
    return minus(f"{value:+,.0f}") if round(value) else "0"
