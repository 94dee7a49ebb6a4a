"""Exact p-values, tests of the shortfall and scores on the page are those of the validation room."""

import math
from dataclasses import replace

import numpy as np
import pytest

from nautilus_metal.report.evidence import COVERAGE, collect_evidence, tail_law
from nautilus_metal.report.page import page
from nautilus_metal.report.run import summary
from nautilus_metal.report.verdict import scored
from nautilus_metal.risk.validation import (
    CoverageNull,
    acerbi_szekely,
    diebold_mariano,
    e_process,
    fissler_ziegel_score,
    normal_law,
    quantile_score,
    student_law,
)
from tests.report.cases import CHANGES, WORST


def test_p_values_scores_and_wealth_are_recomputed(run):
    for result in run.results:
        for level in result.series.levels:
            found = run.evidence[result.series.model][level]
            stated = result.pnl.total, result.var(level), result.es(level)
            exact = CoverageNull(len(result.pnl.ts), level, found.simulations).test(result.hits(level))
            assert found.exact == {name: exact[name].p_value for name in COVERAGE}
            assert found.quantile_score == quantile_score(*stated[:2], level).mean()
            assert found.shortfall_score == fissler_ziegel_score(*stated, level).mean()
            np.testing.assert_array_equal(found.log_wealth, e_process(*stated, level))
            law = tail_law(*stated[1:], level)
            again = acerbi_szekely(*stated, level, law, simulations=found.shortfall.simulations)
            assert found.shortfall == again


def test_days_without_a_shortfall_to_test_are_left_out(run):
    first = run.results[0]
    es = first.series.es.copy()
    es[100:110] = first.series.var[100:110]  # nothing beyond VaR: no tail that could be tested
    result = scored(replace(first.series, es=es), first.pnl)
    found = collect_evidence([result], result.series.model)[result.series.model][0.99]
    good = ~np.isin(result.pnl.row, np.arange(100, 110))
    assert found.days == good.sum() == len(result.pnl.ts) - 10
    stated = result.pnl.total[good], result.var(0.99)[good], result.es(0.99)[good]
    assert found.shortfall_score == fissler_ziegel_score(*stated, 0.99).mean()
    assert len(found.log_wealth) == len(result.pnl.ts)
    np.testing.assert_array_equal(found.log_wealth[good], e_process(*stated, 0.99))
    assert len(set(found.log_wealth[~good])) == 1


def test_models_are_compared_with_the_main_one_on_the_days_of_both(run):
    first, second = run.results
    var, es = first.series.var * 1.4, first.series.es * 1.4
    late = slice(40, None)
    pnl = replace(second.pnl, ts=second.pnl.ts[late], row=second.pnl.row[late],
                  contributions=second.pnl.contributions[late])  # fmt: skip
    other = scored(replace(second.series, var=var, es=es), pnl)
    found = collect_evidence([first, other], "normal")
    assert found["normal"][0.99].against_main is None
    scores = [
        fissler_ziegel_score(result.pnl.total[-len(pnl.ts):], result.var(0.99)[-len(pnl.ts):],
                             result.es(0.99)[-len(pnl.ts):], 0.99)
        for result in (other, first)
    ]  # fmt: skip
    assert found["student_t"][0.99].against_main == diebold_mariano(*scores)


@pytest.mark.parametrize("law", [normal_law(), student_law(4.0), student_law(15.0)], ids=str)
def test_the_law_is_read_off_the_stated_figures(law):
    var = np.linspace(1.0, 3.0, 50) * law.value_at_risk(0.99)
    es = np.linspace(1.0, 3.0, 50) * law.expected_shortfall(0.99)
    assert tail_law(var, es, 0.99) is law


def test_an_alarm_names_its_day(run):
    first = run.results[0]
    half = replace(first.series, var=first.series.var / 20, es=first.series.es / 20)
    found = collect_evidence([scored(half, first.pnl)], "normal")["normal"][0.99]
    day = found.alarm_day
    assert found.log_wealth[day] >= math.log(20) > found.log_wealth[:day].max()


def test_page_and_summary_carry_them(run, whole):
    facts, html = summary(whole), page(whole)
    entry = facts["evidence"]["normal"]["0.99"]
    assert entry["exact_p"]["kupiec"] == run.evidence["normal"][0.99].exact["kupiec"]
    assert entry["shortfall"]["unconditional"]["p_value"] is not None
    assert facts["explained_changes"] == CHANGES
    assert facts["worst_scenarios"] == WORST
    for text in ("+6", "± 1", "Fissler-Ziegel score", "alarm at 20", f"{17 + 9}"):
        assert text in html
    assert f"{run.evidence['normal'][0.99].exact['kupiec']:.3f}" in html


def test_disagreement_of_exact_and_asymptotic_is_said(run):
    said = replace(run)
    proof = run.evidence["normal"][0.99]
    opposite = 0.9 if run.results[0].scores[0.99].kupiec_p < 0.05 else 0.01
    other = replace(proof, exact=proof.exact | {"kupiec": opposite})
    said.__dict__["evidence"] = run.evidence | {"normal": run.evidence["normal"] | {0.99: other}}
    assert "Kupiec&#x27;s p by chi-square is" in page(said)
    assert "the exact" in page(said)
