"""Exceptions are counted on the right days, and the conclusion says what the tests say."""

from dataclasses import replace

import numpy as np
import pytest

from nautilus_metal.errors import InputError
from nautilus_metal.report.series import collect
from nautilus_metal.report.verdict import conclusion, judge, rolling_exceptions
from tests.report.conftest import DAYS, NAMES, START, make_report


def test_known_hits_are_found(run):
    result = run.chosen
    hits = np.flatnonzero(result.hits(0.99))
    np.testing.assert_array_equal(hits, np.arange(38, DAYS - 1, 40))  # P&L day 0 is the price's day 1
    assert result.scores[0.99].exceptions == 8
    assert result.scores[0.99].days == DAYS - 1
    assert result.scores[0.99].expected == pytest.approx((DAYS - 1) * 0.01)


def test_holdout_counts_only_late_days(run, prices):
    late = run.chosen.holdout[0.99]
    assert late.days == DAYS - 200
    assert late.exceptions == int(((np.arange(200, DAYS) % 40) == 39).sum())


def test_a_holdout_that_is_everything_is_no_holdout(prices):
    ts, closes = prices
    series = collect([make_report(day, {"AAA.SIM": (1.0, closes[day, 0])}) for day in range(DAYS)])[0]
    assert judge(series, ts, NAMES, closes, START).holdout == {}
    assert judge(series, ts, NAMES, closes).holdout == {}


def test_a_loss_equal_to_var_is_no_exception():
    ts = START + np.arange(3) * 86_400 * 10**9
    series = collect([make_report(day, {"AAA.SIM": (1.0, 100.0)}, var=10.0) for day in range(3)])[0]
    result = judge(series, ts, ["AAA.SIM"], [[100.0], [90.0], [89.99]])
    np.testing.assert_array_equal(result.hits(0.95), [False, True])


def test_conclusion_says_what_fails_and_how(run):
    results = [replace(result, holdout={}) for result in run.results]
    text = " ".join(conclusion(results, "normal"))
    assert "FAILS" in text
    assert "too many at 99%" in text
    assert "too few at 95%" in text
    assert "No model that was run passes" in text
    assert "8 of 319 days" in text
    p = run.chosen.scores[0.99].christoffersen_p
    assert ("Christoffersen's test" in text) == (p < 0.05 or run.chosen.scores[0.95].christoffersen_p < 0.05)


def test_conclusion_of_an_empty_run():
    series = collect([make_report(0, {})])[0]
    result = judge(series, [START], [], np.zeros((1, 0)))
    assert "no verdict" in conclusion([result], "normal")[0]
    assert not result.passes()
    assert result.empty_days == 1


def test_rolling_count_is_the_plain_sum():
    hits = np.random.default_rng(0).random(600) < 0.05
    rolled = rolling_exceptions(hits, 250)
    assert np.isnan(rolled[:249]).all()
    expected = [hits[i - 249 : i + 1].sum() for i in range(249, 600)]
    np.testing.assert_array_equal(rolled[249:], expected)


def test_rolling_window_is_checked():
    with pytest.raises(InputError, match="`window` must be at least 1 day, was 0"):
        rolling_exceptions([True], 0)
