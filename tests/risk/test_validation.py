"""VaR backtests against published worked examples, an independent implementation, and simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import xlogy

from nautilus_metal.errors import InputError
from nautilus_metal.risk.validation import (
    christoffersen,
    christoffersen_independence,
    exceptions,
    kupiec,
    score,
    traffic_light,
)

# Kupiec (1995), table 3, as in Jorion (2007), "Value at Risk", table 6-2: fewer and more failures than which the
# model is not rejected at 5%, by days and probability of a failure. For 255 days at 1% the table gives no lower end;
# the ratio of no failure at all is -2 * 255 * ln 0.99 = 5.13, though, which is rejected.
NON_REJECTION = {
    (255, 0.01): (0, 7),
    (255, 0.025): (2, 12),
    (255, 0.05): (6, 21),
    (255, 0.075): (11, 28),
    (255, 0.10): (16, 36),
    (510, 0.01): (1, 11),
    (510, 0.025): (6, 21),
    (510, 0.05): (16, 36),
    (510, 0.075): (27, 51),
    (510, 0.10): (38, 65),
    (1000, 0.01): (4, 17),
    (1000, 0.025): (15, 36),
    (1000, 0.05): (37, 65),
    (1000, 0.075): (59, 92),
    (1000, 0.10): (81, 120),
}

# Basel Committee (1996), table 2: cumulative probability in percent of up to so many exceptions of 250 at 99%.
BASEL = {0: 8.11, 1: 28.58, 2: 54.32, 3: 75.81, 4: 89.22, 5: 95.88, 6: 98.63, 7: 99.60, 8: 99.89, 9: 99.97, 10: 99.99}


def reference(hits: np.ndarray, level: float) -> tuple[float, float, float]:
    """Likelihood ratios of coverage, independence and both, written from the transition matrix."""
    hits = np.asarray(hits, dtype=int)
    n, x = len(hits), hits.sum()

    def likelihood(count: int, of: int, rate: float) -> float:
        return float(xlogy(count, rate) + xlogy(of - count, 1 - rate))

    coverage = 2 * (likelihood(x, n, x / n) - likelihood(x, n, 1 - level))
    table = np.zeros((2, 2))
    np.add.at(table, (hits[:-1], hits[1:]), 1)
    chain = sum(likelihood(row[1], row.sum(), row[1] / row.sum()) for row in table if row.sum())
    alone = likelihood(table[:, 1].sum(), n - 1, table[:, 1].sum() / (n - 1))
    return coverage, 2 * (chain - alone), coverage + 2 * (chain - alone)


def matlab_series() -> np.ndarray:
    """A series with the counts of MATLAB's example: N00 932, N10 53, N01 53, N11 4."""
    hits = [0]
    for run in range(53):
        hits += [1, 1, 0] if run < 4 else [1, 0]
    return np.array(hits + [0] * (1043 - len(hits)), dtype=bool)


@pytest.mark.parametrize(("days", "chance"), NON_REJECTION)
def test_kupiecs_table_of_non_rejection(days: int, chance: float) -> None:
    accepted = [count for count in range(days + 1) if kupiec(count, days, 1 - chance).p_value > 0.05]
    low, high = NON_REJECTION[days, chance]
    assert accepted == list(range(low + 1, high))


def test_matlabs_worked_example() -> None:
    """Risk Management Toolbox, `varbacktest.cc`: 57 failures of 1,043 days at 95%."""
    hits = matlab_series()
    for result, statistic, p_value in (
        (kupiec(57, 1043, 0.95), 0.46147, 0.49694),
        (christoffersen_independence(hits), 0.25866, 0.61104),
        (christoffersen(hits, 0.95), 0.72013, 0.69763),
    ):
        assert result.statistic == pytest.approx(statistic, abs=5e-6)
        assert result.p_value == pytest.approx(p_value, abs=5e-6)


def test_basels_zones() -> None:
    from nautilus_metal.risk.validation.coverage import _binomial_cdf

    zones = [traffic_light(count, 250) for count in range(16)]
    assert zones == ["green"] * 5 + ["yellow"] * 5 + ["red"] * 6
    for count, percent in BASEL.items():
        assert round(100 * _binomial_cdf(count, 250, 0.01), 2) == pytest.approx(percent, abs=0.011)


@settings(max_examples=100, deadline=None)
@given(days=st.integers(1, 9000), share=st.floats(0, 0.2), level=st.sampled_from([0.9, 0.95, 0.975, 0.99, 0.999]))
def test_zones_follow_the_binomial_distribution(days: int, share: float, level: float) -> None:
    count = int(share * days)
    cumulative = stats.binom.cdf(count, days, 1 - level)
    expected = "green" if count == 0 or cumulative < 0.95 else "yellow" if cumulative < 0.9999 else "red"
    assert traffic_light(count, days, level) == expected


@settings(max_examples=150, deadline=None)
@given(
    hits=st.lists(st.booleans(), min_size=2, max_size=300),
    level=st.floats(0.5, 0.999),
)
def test_statistics_equal_an_independent_implementation(hits: list[bool], level: float) -> None:
    coverage, independence, both = reference(np.array(hits), level)
    for result, statistic, degrees in (
        (kupiec(sum(hits), len(hits), level), coverage, 1),
        (christoffersen_independence(hits), independence, 1),
        (christoffersen(hits, level), both, 2),
    ):
        assert result.statistic == pytest.approx(max(statistic, 0.0), rel=1e-9, abs=1e-9)
        assert result.p_value == pytest.approx(stats.chi2.sf(result.statistic, degrees), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("count", "days"), [(0, 1), (1, 1), (0, 1000), (1000, 1000)])
def test_none_and_all_exceptions(count: int, days: int) -> None:
    result = kupiec(count, days, 0.99)
    expected = -2 * days * np.log(0.99) if count == 0 else -2 * days * np.log(0.01)
    assert result.statistic == pytest.approx(expected)
    assert 0 <= result.p_value <= 1
    if days > 1:
        hits = np.full(days, bool(count))
        assert christoffersen_independence(hits).statistic == 0.0
        assert christoffersen_independence(hits).p_value == 1.0
        assert christoffersen(hits, 0.99).p_value == pytest.approx(stats.chi2.sf(expected, 2))
    assert traffic_light(count, days) == ("green" if count == 0 else "red")


def test_clustered_exceptions_are_noticed() -> None:
    alone, together = np.zeros(500, dtype=bool), np.zeros(500, dtype=bool)
    alone[::20] = True
    together[100:125] = True
    assert kupiec(25, 500, 0.95).p_value == pytest.approx(1.0)
    assert christoffersen_independence(together).p_value < 1e-10
    assert christoffersen(together, 0.95).p_value < 1e-10
    assert christoffersen(alone, 0.95).p_value > 0.1


@pytest.mark.parametrize("level", [0.95, 0.99])
def test_size_under_a_right_model(level: float) -> None:
    """4,000 histories of 1,000 days: Kupiec rejects as often as the binomial law says, which is near 5%."""
    days, repeats = 1000, 4000
    accepted = np.array([kupiec(count, days, level).p_value >= 0.05 for count in range(days + 1)])
    exact = 1 - stats.binom.pmf(np.arange(days + 1), days, 1 - level)[accepted].sum()
    assert exact == pytest.approx(0.05, abs=0.025)  # counts are whole: 5% itself cannot be had
    rng = np.random.default_rng(1)
    pnl = rng.normal(size=(repeats, days))
    var = np.full(days, stats.norm.ppf(level))
    found = [score(row, var, level) for row in pnl[:1000]]
    error = np.sqrt(exact * (1 - exact) / repeats)
    rejected = (~accepted[(-pnl > var).sum(axis=1)]).mean()
    assert abs(rejected - exact) < 3 * error
    assert [one.kupiec_p < 0.05 for one in found] == (~accepted[(-pnl[:1000] > var).sum(axis=1)]).tolist()
    both = np.mean([one.christoffersen_p < 0.05 for one in found])
    assert both < 0.09  # the asymptotic law of conditional coverage is rough with ten exceptions
    green = stats.binom.cdf(stats.binom.ppf(0.95, days, 1 - level) - 1, days, 1 - level)
    assert np.mean([one.zone == "green" for one in found]) == pytest.approx(green, abs=0.03)


@pytest.mark.parametrize(("level", "least"), [(0.95, 0.95), (0.99, 0.95)])
def test_power_against_a_model_that_is_30_percent_too_low(level: float, least: float) -> None:
    rng = np.random.default_rng(2)
    var = np.full(1000, 0.7 * stats.norm.ppf(level))
    found = [score(rng.normal(size=1000), var, level) for _ in range(300)]
    assert np.mean([one.kupiec_p < 0.05 for one in found]) > least
    assert np.mean([one.christoffersen_p < 0.05 for one in found]) > least
    assert np.mean([one.zone == "green" for one in found]) < 0.05
    high = [score(rng.normal(size=1000), np.full(1000, 1.5 * stats.norm.ppf(level)), level) for _ in range(100)]
    assert np.mean([one.kupiec_p < 0.05 for one in high]) > 0.9  # too high is wrong as well
    assert {one.zone for one in high} == {"green"}


def test_an_exception_is_a_loss_beyond_var() -> None:
    pnl = [-1.0, -1.0001, 5.0, 0.0, -0.5]
    assert exceptions(pnl, [1.0] * 5).tolist() == [False, True, False, False, False]
    assert exceptions(pnl, [-6.0, -6.0, -6.0, 0.0, 0.4]).tolist() == [True, True, True, False, True]


def test_a_score_collects_the_verdicts() -> None:
    pnl = np.where(matlab_series(), -2.0, 1.0)
    verdict = score(pnl, np.ones(1043), 0.95)
    assert (verdict.days, verdict.exceptions) == (1043, 57)
    assert verdict.expected == pytest.approx(52.15)
    assert verdict.kupiec_p == pytest.approx(0.49694, abs=5e-6)
    assert verdict.christoffersen_p == pytest.approx(0.69763, abs=5e-6)
    assert verdict.zone == "green"


@pytest.mark.parametrize("days", [0, 1])
def test_too_few_days_have_no_verdict(days: int) -> None:
    verdict = score([-1.0] * days, [0.5] * days, 0.99)
    assert (verdict.days, verdict.exceptions) == (days, days)
    assert verdict.kupiec_p is verdict.christoffersen_p is verdict.zone is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kupiec(5, 250, 99), "`level` must lie between 0 and 1, was 99"),
        (lambda: kupiec(5, 250, 1.0), "`level`"),
        (lambda: kupiec(250, 5, 0.99), "`exception_count` must be a whole number from 0 to `days`"),
        (lambda: kupiec(-1, 5, 0.99), "`exception_count`"),
        (lambda: kupiec(0, 0, 0.99), "`exception_count`"),
        (lambda: kupiec(2.5, 250, 0.99), "`exception_count`"),
        (lambda: traffic_light(6, 5), "`exception_count`"),
        (lambda: christoffersen([True], 0.99), "`hits` must be a series of at least 2 days"),
        (lambda: christoffersen([[True, False]], 0.99), "`hits` must be a series"),
        (lambda: christoffersen([0.3, -0.2], 0.99), "`hits` must be true or false"),
        (lambda: christoffersen_independence([0.0, float("nan")]), "`hits` must be true or false"),
        (lambda: exceptions([1.0], [1.0, 2.0]), "`pnl` and `var` must be series of one length"),
        (lambda: score([1.0, float("nan")], [1.0, 1.0], 0.99), "`pnl` and `var` must be finite"),
        (lambda: score([1.0, 2.0], [1.0, 1.0], 1.5), "`level`"),
    ],
)
def test_bad_input_is_refused(call, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
