"""Scores are smallest at the truth; Diebold and Mariano's test against loops and simulation."""

import numpy as np
import pytest
from scipy import integrate, stats

from nautilus_metal.errors import InputError
from nautilus_metal.risk.validation import diebold_mariano, fissler_ziegel_score, quantile_score

LEVEL = 0.975
VAR = float(stats.norm.ppf(LEVEL))
ES = float(stats.norm.pdf(VAR) / (1 - LEVEL))


def by_loops(first: np.ndarray, second: np.ndarray, lags: int) -> float:
    """Newey and West's variance as the double sum over all pairs of days."""
    difference = first - second
    n = len(difference)
    deviation = difference - difference.mean()
    long_run = sum(
        deviation[i] * deviation[j] * (1 - abs(i - j) / (lags + 1))
        for i in range(n)
        for j in range(n)
        if abs(i - j) <= lags
    )
    return float(difference.mean() / np.sqrt(long_run / n**2))


def test_quantile_score_by_hand() -> None:
    """Koenker and Bassett's check function of the loss less VaR, at the level."""
    loss, var = np.array([3.0, 1.0, -2.0]), np.array([2.0, 2.0, 2.0])
    assert quantile_score(-loss, var, 0.9) == pytest.approx([0.9 * 1.0, 0.1 * 1.0, 0.1 * 4.0])


def test_fissler_ziegel_is_pattons_formula() -> None:
    """Patton, Ziegel and Chen (2019), equation 6, with their signs: returns y and negative v and e."""
    rng = np.random.default_rng(1)
    y, v = rng.normal(size=200), -rng.uniform(0.5, 2.0, 200)
    e, tail = v - rng.uniform(0.1, 1.0, 200), 0.025
    expected = -1 / (tail * e) * (y <= v) * (v - y) + v / e + np.log(-e) - 1
    assert fissler_ziegel_score(y, -v, -e, 1 - tail) == pytest.approx(expected)


def mean_score(var: float, es: float) -> float:
    """Expected score of a standard normal P&L, by quadrature."""
    beyond = integrate.quad(lambda loss: (loss - var) * stats.norm.pdf(loss), var, 12)[0]
    return beyond / ((1 - LEVEL) * es) + var / es + np.log(es) - 1


def test_the_truth_has_the_smallest_mean_score() -> None:
    pnl = np.random.default_rng(2).normal(size=400_000)
    sampled = fissler_ziegel_score(pnl, np.full(len(pnl), VAR), np.full(len(pnl), ES), LEVEL)
    assert abs(sampled.mean() - mean_score(VAR, ES)) < 4 * sampled.std() / np.sqrt(len(pnl))
    for var, es in ((0.97 * VAR, ES), (1.03 * VAR, ES), (VAR, 0.97 * ES), (VAR, 1.03 * ES), (0.7 * VAR, 0.7 * ES)):
        assert mean_score(var, es) > mean_score(VAR, ES)
    pinball = [quantile_score(pnl, np.full(len(pnl), scale * VAR), LEVEL).mean() for scale in (0.9, 1.0, 1.1)]
    assert pinball[1] < min(pinball[0], pinball[2])


def test_differences_of_fz0_have_no_unit() -> None:
    rng = np.random.default_rng(3)
    pnl, var = rng.normal(size=300), rng.uniform(1, 2, 300)
    gaps = [
        fissler_ziegel_score(unit * pnl, unit * var, unit * 1.3 * var, LEVEL)
        - fissler_ziegel_score(unit * pnl, unit * 1.1 * var, unit * 1.5 * var, LEVEL)
        for unit in (1.0, 1e6)
    ]
    assert gaps[0] == pytest.approx(gaps[1])


@pytest.mark.parametrize("lags", [0, 1, 4, 40])
def test_variance_equals_the_double_sum(lags: int) -> None:
    rng = np.random.default_rng(4)
    first, second = rng.normal(size=120).cumsum() * 0.1, rng.exponential(size=120)
    result = diebold_mariano(first, second, lags)
    assert result.statistic == pytest.approx(by_loops(first, second, lags))
    assert result.p_value == pytest.approx(2 * stats.norm.sf(abs(result.statistic)))
    assert diebold_mariano(second, first, lags).statistic == pytest.approx(-result.statistic)


def test_default_lags_are_newey_and_wests() -> None:
    rng = np.random.default_rng(5)
    first, second = rng.normal(size=(2, 1000))
    assert diebold_mariano(first, second) == diebold_mariano(first, second, 6)


def test_size_where_two_models_are_equally_wrong() -> None:
    """2,500 histories of 1,000 days: each model 30% too high on random days of its own. Standard error 0.44%."""
    rng, days = np.random.default_rng(6), 1000
    found = []
    for _ in range(2500):
        pnl, wrong = rng.normal(size=days), rng.random((2, days)) < 0.5
        one, other = np.where(wrong, 1.3, 1.0)
        quantile = [quantile_score(pnl, scale * VAR, LEVEL) for scale in (one, other)]
        joint = [fissler_ziegel_score(pnl, scale * VAR, scale * ES, LEVEL) for scale in (one, other)]
        found.append([diebold_mariano(*scores).p_value for scores in (quantile, joint)])
    rejected = (np.array(found) < 0.05).mean(axis=0)
    assert ((rejected > 0.04) & (rejected < 0.06)).all(), rejected


def test_autocorrelated_scores_need_the_lags() -> None:
    """Moving averages over three days: the plain variance rejects far too often, Newey and West's nearly right."""
    noise = np.random.default_rng(8).normal(size=(1500, 1002))
    scores = noise[:, 2:] + noise[:, 1:-1] + noise[:, :-2]
    zero = np.zeros(1000)
    p_values = [[diebold_mariano(row, zero, lags).p_value for lags in (0, 20)] for row in scores]
    plain, allowed = (np.array(p_values) < 0.05).mean(axis=0)
    assert plain > 0.2
    assert 0.04 < allowed < 0.075


def test_power_against_a_model_that_is_30_percent_too_low() -> None:
    rng, days = np.random.default_rng(7), 1000
    right, low, found = np.ones(days), np.full(days, 0.7), []
    for _ in range(300):
        pnl = rng.normal(size=days)
        found.append(
            [
                diebold_mariano(quantile_score(pnl, right * VAR, LEVEL), quantile_score(pnl, low * VAR, LEVEL)),
                diebold_mariano(
                    fissler_ziegel_score(pnl, right * VAR, right * ES, LEVEL),
                    fissler_ziegel_score(pnl, low * VAR, low * ES, LEVEL),
                ),
            ]
        )
    detected = np.array([[one.p_value < 0.05 and one.statistic < 0 for one in row] for row in found]).mean(axis=0)
    assert (detected > [0.5, 0.8]).all(), detected


def test_equal_scores_do_not_differ() -> None:
    result = diebold_mariano([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    assert (result.statistic, result.p_value) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: quantile_score([1.0], [1.0, 2.0], 0.99), "`pnl` and `var` must be series of one length"),
        (lambda: quantile_score([1.0], [1.0], 99), "`level` must lie between 0 and 1, was 99"),
        (lambda: fissler_ziegel_score([1.0], [1.0], [1.0], 0.99), "`es` must be positive and above `var`"),
        (lambda: fissler_ziegel_score([1.0], [1.0], [np.inf], 0.99), "must be finite"),
        (lambda: diebold_mariano([1.0], [2.0]), "must have at least 2 days, had 1"),
        (lambda: diebold_mariano([1.0, 2.0], [2.0, 3.0]), "must differ by more than one constant, was -1"),
        (lambda: diebold_mariano([1.0, 2.0], [2.0, 2.0], lags=2), "`lags` must lie between 0 and 1 for 2 days"),
        (lambda: diebold_mariano([1.0, 2.0], [2.0]), "`first` and `second` must be series of one length"),
    ],
)
def test_bad_input_is_refused(call, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
