"""TUFF, binomial and Haas' tests, and the exact p-values of all coverage tests."""

import numpy as np
import pytest
from scipy import stats

from nautilus_metal.errors import InputError
from nautilus_metal.risk.validation import (
    CoverageNull,
    binomial,
    christoffersen,
    christoffersen_independence,
    haas_independence,
    haas_mixed,
    kupiec,
    tuff,
)
from nautilus_metal.risk.validation.coverage_null import coverage_statistics
from nautilus_metal.risk.validation.result import chi_square

CASES = [(250, 0.99), (1000, 0.95), (1000, 0.99)]
HISTORIES = 6000


def waiting(days: int, q: float) -> float:
    """Kupiec's ratio from the two likelihoods themselves."""
    own = 1 / days
    return -2 * float(np.log(q * (1 - q) ** (days - 1)) - np.log(own * (1 - own) ** (days - 1)))


def draw(histories: int, days: int, chance: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((histories, days)) < chance


def test_matlabs_worked_examples() -> None:
    """Risk Management Toolbox, `varbacktest.tuff` and `varbacktest.bin`: day 58, and 57 failures of 1,043 at 95%."""
    hits = np.zeros(1043, dtype=bool)
    hits[57:114] = True
    first, number = tuff(hits, 0.95), binomial(57, 1043, 0.95)
    assert (round(first.statistic, 4), round(first.p_value, 5)) == (1.7354, 0.18773)
    assert (round(number.statistic, 5), round(number.p_value, 5)) == (0.68905, 0.49079)


def test_matlabs_degrees_of_freedom() -> None:
    """`varbacktest.tbf`: ratios 88.491 and 0.46147 of 57 failures have these p-values and this sum."""
    assert chi_square(88.491, 57).p_value == pytest.approx(0.0047475, abs=5e-7)
    assert chi_square(88.491 + 0.46147, 58).p_value == pytest.approx(0.0055565, abs=5e-7)
    hits = draw(1, 1043, 0.05, 4)[0]
    count, alone, mixed = int(hits.sum()), haas_independence(hits, 0.95), haas_mixed(hits, 0.95)
    assert alone.p_value == pytest.approx(stats.chi2.sf(alone.statistic, count))
    assert mixed.statistic == pytest.approx(alone.statistic + kupiec(count, 1043, 0.95).statistic)
    assert mixed.p_value == pytest.approx(stats.chi2.sf(mixed.statistic, count + 1))


@pytest.mark.parametrize("level", [0.9, 0.99])
def test_haas_sums_the_waits(level: float) -> None:
    for hits in draw(50, 300, 0.05, 5):
        days = np.flatnonzero(hits) + 1
        waits = np.diff(days, prepend=0)
        expected = sum(waiting(int(wait), 1 - level) for wait in waits)
        assert haas_independence(hits, level).statistic == pytest.approx(expected)
        assert tuff(hits, level).statistic == pytest.approx(waiting(int(days[0]), 1 - level))


def test_kupiecs_first_failure_bounds() -> None:
    """The first failure after day 6 and before day 439 does not reject 1% (Kupiec 1995, table 1: 7 to 438)."""
    alone = np.eye(600, dtype=bool)
    accepted = [day + 1 for day in range(600) if tuff(alone[day], 0.99).p_value > 0.05]
    assert (accepted[0], accepted[-1]) == (7, 438)
    assert len(accepted) == 438 - 7 + 1


def test_no_exception_yet() -> None:
    assert tuff(np.zeros(200), 0.99) is None
    assert tuff(np.zeros(800), 0.99).statistic == pytest.approx(waiting(801, 0.01))
    assert haas_independence(np.zeros(200), 0.99) is None
    assert haas_mixed(np.zeros(200), 0.99) == kupiec(0, 200, 0.99)


def test_statistics_of_many_are_those_of_each() -> None:
    many = draw(200, 120, 0.03, 6)
    many[0] = False
    table = coverage_statistics(many, 0.97)
    for row, hits in enumerate(many):
        single = {
            "kupiec": kupiec(int(hits.sum()), 120, 0.97),
            "independence": christoffersen_independence(hits),
            "christoffersen": christoffersen(hits, 0.97),
            "haas_mixed": haas_mixed(hits, 0.97),
        }
        if hits.any():
            single |= {"tuff": tuff(hits, 0.97), "haas_independence": haas_independence(hits, 0.97)}
        for name, result in single.items():
            assert table[name][row] == pytest.approx(result.statistic, rel=1e-9, abs=1e-9), name


def test_exact_p_value_is_that_of_the_binomial_law() -> None:
    """Kupiec's statistic depends on the count alone, so that its law is known without simulation."""
    null = CoverageNull(250, 0.99, simulations=20_000)
    counts = np.arange(251)
    ratio = np.array([kupiec(int(count), 250, 0.99).statistic for count in counts])
    chance = stats.binom.pmf(counts, 250, 0.01)
    for count in (0, 1, 5, 8):
        hits = np.arange(250) < count
        larger, equal = chance[ratio > ratio[count] + 1e-9].sum(), chance[np.isclose(ratio, ratio[count])].sum()
        p_values = np.array([null.test(hits, draw=number)["kupiec"].p_value for number in range(200)])
        slack = 4 * np.sqrt(0.25 / 20_000)
        assert (p_values > larger - slack).all()
        assert (p_values < larger + equal + slack).all()
        assert p_values.mean() == pytest.approx(larger + equal / 2, abs=slack + 4 * equal / np.sqrt(12 * 200))


@pytest.mark.parametrize(("days", "level"), CASES)
def test_size_under_a_right_model(days: int, level: float) -> None:
    """6,000 histories: every test rejects at 5% in 4% to 6%; a share of 5% has a standard error of 0.28%."""
    _, p_values = CoverageNull(days, level).test_many(draw(HISTORIES, days, 1 - level, 7))
    rejected = {name: float((value < 0.05).mean()) for name, value in p_values.items()}
    assert set(rejected) == {"kupiec", "tuff", "independence", "christoffersen", "haas_independence", "haas_mixed"}
    assert all(0.04 < share < 0.06 for share in rejected.values()), rejected


def test_binomial_size_where_its_law_holds() -> None:
    """Of 20,000 days at 95%, exactly and without simulation."""
    count = np.arange(20_001)
    rejected = np.abs(count - 1000) / np.sqrt(950) > 1.959964
    assert binomial(1061, 20_000, 0.95).p_value < 0.05 < binomial(1060, 20_000, 0.95).p_value
    assert 0.04 < stats.binom.pmf(count, 20_000, 0.05)[rejected].sum() < 0.06


@pytest.mark.parametrize(("days", "level"), CASES)
def test_power_against_a_model_that_is_30_percent_too_low(days: int, level: float) -> None:
    """Its exceptions are too many but alone: tests of independence need not see them, one wait hardly can."""
    chance = stats.norm.sf(0.7 * stats.norm.ppf(level))
    hits = draw(1000, days, chance, 8)
    _, p_values = CoverageNull(days, level).test_many(hits)
    rejected = {name: float((value < 0.05).mean()) for name, value in p_values.items()}
    for name in ("kupiec", "christoffersen", "haas_independence", "haas_mixed"):
        assert rejected[name] > 0.9, name
    assert rejected["tuff"] > 0.08
    assert np.mean([binomial(int(count), days, level).p_value < 0.05 for count in hits.sum(axis=1)]) > 0.9


def test_power_against_exceptions_that_cluster() -> None:
    """5% of days, but after one exception the next day has 30%: Christoffersen's own alternative."""
    uniform = np.random.default_rng(9).random((1000, 1000))
    hits = np.zeros((1000, 1000), dtype=bool)
    hits[:, 0] = uniform[:, 0] < 0.05
    for day in range(1, 1000):
        hits[:, day] = uniform[:, day] < np.where(hits[:, day - 1], 0.3, 0.05 * 0.7 / 0.95)
    assert hits.mean() == pytest.approx(0.05, abs=0.001)
    _, p_values = CoverageNull(1000, 0.95).test_many(hits)
    rejected = {name: float((value < 0.05).mean()) for name, value in p_values.items()}
    for name in ("independence", "christoffersen", "haas_independence", "haas_mixed"):
        assert rejected[name] > 0.9, (name, rejected)
    assert rejected["tuff"] < 0.1


def test_simulation_replays_and_extends() -> None:
    hits = draw(1, 250, 0.02, 10)[0]
    assert CoverageNull(250, 0.99).test(hits) == CoverageNull(250, 0.99).test(hits)
    first, second = CoverageNull(250, 0.99, seed=1).test(hits), CoverageNull(250, 0.99, seed=2).test(hits)
    assert first["haas_mixed"].statistic == second["haas_mixed"].statistic
    assert first["haas_mixed"].p_value == pytest.approx(second["haas_mixed"].p_value, abs=4 * np.sqrt(0.5 / 9999))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: binomial(6, 5, 0.99), "`exception_count` must be a whole number from 0 to `days`, was 6 of 5"),
        (lambda: binomial(1, 5, 1.0), "`level` must lie between 0 and 1, was 1"),
        (lambda: tuff([True], 0.99), "`hits` must be a series of at least 2 days"),
        (lambda: tuff([True, False], 99), "`level`"),
        (lambda: haas_independence([True, False], 0.0), "`level`"),
        (lambda: haas_mixed([2, 0], 0.99), "`hits` must be true or false"),
        (lambda: CoverageNull(1, 0.99), "`days` must be at least 2, was 1"),
        (lambda: CoverageNull(250, 1.0), "`level`"),
        (lambda: CoverageNull(250, 0.99, simulations=10), "`simulations` must be at least 99, was 10"),
        (lambda: CoverageNull(250, 0.99).test([True] * 9), "`hits` must be series of 250 days"),
    ],
)
def test_bad_input_is_refused(call, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
