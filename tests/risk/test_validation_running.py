"""A running score: what it says after many days is what the tests say of the whole history."""

import json
import math

import numpy as np
import pytest

from nautilus_metal.engine import shared_engine
from nautilus_metal.errors import InputError
from nautilus_metal.risk.validation import (
    CoverageNull,
    EProcess,
    ModelScore,
    acerbi_szekely,
    clean_contributions,
    e_process,
    fissler_ziegel_score,
    quantile_score,
    score,
    shortfall_statistics,
)
from nautilus_metal.risk.validation.e_process import e_process_many

LEVELS = (0.9, 0.95)
FIGURES = {0.9: (1.2816, 1.755), 0.95: (1.6449, 2.0627)}  # of a standard normal


def run(pnl, actual=None, **rules):
    one = ModelScore.start(LEVELS, window=40, **rules)
    for day, profit in enumerate(pnl):
        one = one.update(float(profit), FIGURES, None if actual is None else actual[day])
    return one


def test_it_equals_the_tests_of_the_whole_history():
    pnl = 1.2 * np.random.default_rng(3).standard_normal(120)
    verdicts = run(pnl).verdict(shared_engine("cpu"))
    for level, (var, es) in FIGURES.items():
        v, e = np.full(120, var), np.full(120, es)
        found, whole, window = verdicts[level], score(pnl, v, level), slice(80, 120)
        assert (found.days, found.exceptions, found.expected) == (120, whole.exceptions, whole.expected)
        assert found.log_wealth == pytest.approx(e_process(pnl, v, e, level)[-1], rel=1e-12)
        assert found.quantile_score == pytest.approx(quantile_score(pnl, v, level).mean())
        assert found.shortfall_score == pytest.approx(fissler_ziegel_score(pnl, v, e, level).mean())
        exact = CoverageNull(40, level).test(-pnl[window] > var)
        assert (found.tested_days, found.recent_days) == (40, 40)
        assert found.kupiec_p == exact["kupiec"].p_value
        assert found.christoffersen_p == exact["christoffersen"].p_value
        assert found.zone == score(pnl[window], v[window], level).zone
        tail = acerbi_szekely(pnl[window], v[window], e[window], level).unconditional
        assert found.z == pytest.approx(tail.statistic)
        assert found.z_critical == pytest.approx(tail.critical_value, rel=1e-3)
        assert (found.var, found.es) == (var, es)


def test_statistics_without_their_laws_are_the_same():
    pnl, ones = np.random.default_rng(1).standard_normal(60), np.ones(60)
    whole = acerbi_szekely(pnl, 1.28 * ones, 1.75 * ones, 0.9)
    for name, value in shortfall_statistics(pnl, 1.28 * ones, 1.75 * ones, 0.9).items():
        assert value == getattr(whole, name).statistic


def test_the_first_days_leave_tests_unknown():
    verdict = run([0.1] * 9).verdict(shared_engine("cpu"))[0.9]
    assert (verdict.tested_days, verdict.kupiec_p, verdict.christoffersen_p, verdict.z) == (0, None, None, None)
    assert (verdict.days, verdict.zone) == (9, "green")
    assert ModelScore.start(LEVELS).verdict(shared_engine("cpu"))[0.9].zone is None
    assert run([0.1] * 19).verdict(shared_engine("cpu"))[0.9].tested_days == 10


def test_actual_profits_are_counted_where_they_are_known():
    one = run([0.0, 0.0, -9.0], actual=[None, -9.0, 0.5]).levels[0]
    assert (one.exceptions, one.actual_days, one.actual_exceptions) == (1, 2, 1)


def test_figures_that_shortfall_tests_cannot_use_stay_out_of_them():
    """Long options close to expiry can lose their premium and no more: both figures are that."""
    one = ModelScore.start((0.9,), window=8).update(-5.0, {0.9: (10.0, 10.0)})
    assert (one.days, one.levels[0].shortfall_days, one.levels[0].e_process.days) == (1, 0, 0)
    for _ in range(8):
        one = one.update(-5.0, {0.9: (10.0, 10.0)})
    verdict = one.verdict(shared_engine("cpu"))[0.9]
    assert (verdict.tested_days, verdict.z, verdict.shortfall_score) == (8, None, None)
    assert verdict.kupiec_p is not None


def test_the_alarm_is_by_the_mean_of_the_levels():
    pnl = -np.abs(np.random.default_rng(0).standard_normal(60)) * 1.5
    one = run(pnl)
    paths = [e_process(pnl, *(np.full(60, figure) for figure in FIGURES[level]), level) for level in LEVELS]
    mean = np.log(np.exp(paths).mean(axis=0))
    assert one.log_wealth == pytest.approx(mean[-1])
    assert one.highest == pytest.approx(max(0.0, mean.max()))
    assert one.alarm
    assert not run(pnl, bound=2 * math.exp(mean.max())).alarm


def test_a_right_model_is_blamed_less_often_than_promised():
    """1,000 histories of 300 days and two levels; the share of alarms in standard errors over 5%."""
    histories, days = 1_000, 300
    losses = np.random.default_rng(5).standard_normal((histories, days))
    paths = [
        e_process_many(losses, np.full(days, var), np.full(days, es), EProcess(level))
        for level, (var, es) in FIGURES.items()
    ]
    wealth = np.logaddexp(*paths) - math.log(2)
    share = (wealth.max(axis=1) >= math.log(20)).mean()
    assert share <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / histories)


def test_a_state_goes_through_json():
    whole = run(np.random.default_rng(2).standard_normal(60), actual=[None, 1.0] * 30)
    half = ModelScore.restore(json.loads(json.dumps(whole.state())))
    assert half == whole
    assert half.update(-3.0, FIGURES) == whole.update(-3.0, FIGURES)


@pytest.mark.parametrize("state", [{}, {"levels": 3, "highest": 0.0}, {"levels": [{"window": 3}], "highest": 0.0}])
def test_a_state_of_something_else_is_refused(state):
    with pytest.raises(InputError, match="`state` must be that of a running score"):
        ModelScore.restore(state)


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda: ModelScore.start(()), "`levels` must hold at least one"),
        (lambda: ModelScore.start((0.9,), window=7), "`window` must be at least 8 days, was 7"),
        (lambda: ModelScore.start((0.9,), bound=1.0), "`bound` must be above 1"),
        (lambda: ModelScore.start(LEVELS).update(0.0, {0.9: (1.0, 2.0)}), "every level, 0.95 is missing"),
        (lambda: shortfall_statistics([], [], [], 0.9), "at least one day"),
    ],
)
def test_bad_input_is_refused(act, words):
    with pytest.raises(InputError, match=words):
        act()


def test_clean_contributions_by_hand():
    """A short in a foreign currency with a multiplier, nothing held, and a price that did not come."""
    value = -3 * 50 * 20.0 * 1.25
    found = clean_contributions([-3, 0, 1], [20.0, np.nan, 5.0], [value, 0.0, 5.0], [22.0, 7.0, np.nan])
    assert found[0] == pytest.approx(-3 * 50 * 2.0 * 1.25)
    assert found[1] == 0.0
    assert np.isnan(found[2])
