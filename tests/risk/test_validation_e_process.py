"""The e-backtest: against a plain loop, Ville's bound, power, and a state that survives a restart."""

import json

import numpy as np
import pytest
from scipy import stats

from nautilus_metal.errors import InputError
from nautilus_metal.risk.validation import EProcess, e_process
from nautilus_metal.risk.validation.e_process import e_process_many

LEVEL = 0.975
VAR = float(stats.norm.ppf(LEVEL))
ES = float(stats.norm.pdf(VAR) / (1 - LEVEL))


def by_loops(loss, var, es, level: float, method: str, window: int, most: float = 0.5) -> float:
    """Wealth after all days, in words of the paper's section 5, one day and one past day at a time."""

    def e_value(one: float, v: float, r: float) -> float:
        return max(one - v, 0.0) / ((1 - level) * (r - v))

    wealth = 1.0
    for day in range(len(loss)):
        past = range(max(0, day - window), day)
        if method == "grel":
            values = [e_value(loss[s], var[day], es[day]) for s in past]
        else:
            values = [e_value(loss[s], var[s], es[s]) for s in past]
        square = sum((value - 1) ** 2 for value in values)
        bet = min(max(sum(value - 1 for value in values) / square, 0.0), most) if values and square else 0.0
        wealth *= 1 - bet + bet * e_value(loss[day], var[day], es[day])
    return float(np.log(wealth))


def history(days: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scale = rng.uniform(0.5, 1.5, days)
    return -1.2 * scale * rng.standard_t(4, days), scale * VAR, scale * ES


@pytest.mark.parametrize("window", [500, 30])
@pytest.mark.parametrize("method", ["grel", "gree"])
def test_wealth_equals_the_papers_loop(method: str, window: int) -> None:
    pnl, var, es = history(150, 1)
    path = e_process(pnl, var, es, LEVEL, method=method, window=window)
    assert path[-1] == pytest.approx(by_loops(-pnl, var, es, LEVEL, method, window))


def test_mixture_is_the_mean_of_both() -> None:
    pnl, var, es = history(150, 2)
    each = [np.exp(e_process(pnl, var, es, LEVEL, method=method)) for method in ("grel", "gree")]
    assert np.exp(e_process(pnl, var, es, LEVEL)) == pytest.approx(sum(each) / 2)


def test_var_is_bet_on_by_counting() -> None:
    """The paper's e-statistic of VaR: 1 / (1 - level) on an exception, else nothing."""
    state = EProcess(0.9, figure="value_at_risk", method="gree").update(-2.0, 1.0)
    assert (state.log_wealth, state.e_values) == (0.0, (pytest.approx(10.0),))
    after = state.update(-2.0, 1.0)
    bet = 9 / 81
    assert after.log_wealth == pytest.approx(np.log(1 - bet + bet * 10))
    assert after.update(0.0, 1.0).log_wealth == pytest.approx(after.log_wealth + np.log(1 - bet))


@pytest.mark.parametrize("figure", ["expected_shortfall", "value_at_risk"])
def test_one_day_at_a_time_equals_the_whole(figure: str) -> None:
    pnl, var, es = history(120, 3)
    path = e_process(pnl, var, es, LEVEL, figure=figure, window=50)
    state, wealth = EProcess(LEVEL, figure=figure, window=50), []
    for day in range(120):
        state = state.update(pnl[day], var[day], es[day])
        wealth.append(state.log_wealth)
    assert wealth == pytest.approx(path.tolist())
    assert state.days == 120
    assert len(state.losses) == len(state.e_values) == 50
    assert state.highest == pytest.approx(max(0.0, path.max()))
    assert state.p_value == pytest.approx(np.exp(-max(0.0, path.max())))


def test_state_survives_a_restart() -> None:
    pnl, var, es = history(90, 4)
    whole = EProcess(LEVEL, window=40)
    for day in range(90):
        whole = whole.update(pnl[day], var[day], es[day])
        if day == 45:
            parted = EProcess.from_json(whole.to_json())
        elif day > 45:
            parted = parted.update(pnl[day], var[day], es[day])
    assert parted == whole


def test_an_alarm_stays() -> None:
    state = EProcess(0.975, bound=2.0)
    for _ in range(4):
        state = state.update(-1.1, 1.0, 1.2)
    assert state.alarm
    for _ in range(400):
        state = state.update(1.0, 1.0, 1.2)
    assert state.log_wealth < np.log(2.0)
    assert state.alarm


@pytest.mark.slow
@pytest.mark.parametrize("figure", ["expected_shortfall", "value_at_risk"])
def test_a_right_model_keeps_villes_bound(figure: str) -> None:
    """1,000 histories of 500 days, watched daily: at most 5% ever reach 20 (one-sided; the bound is no equality).

    A share of 5% has a standard error of 0.69%.
    """
    losses = np.random.default_rng(5).normal(size=(1000, 500))
    for method in ("grel", "gree", "mixture"):
        rules = EProcess(LEVEL, figure=figure, method=method)
        path = e_process_many(losses, np.full(500, VAR), np.full(500, ES), rules)
        assert (path.max(axis=1) >= np.log(20)).mean() < 0.05, method
        for day in (100, 400):
            wealth = np.exp(path[:, day])
            assert wealth.mean() < 1 + 4 * wealth.std() / np.sqrt(1000)


@pytest.mark.parametrize("figure", ["expected_shortfall", "value_at_risk"])
@pytest.mark.parametrize("method", ["grel", "gree", "mixture"])
def test_a_model_that_is_30_percent_too_low_raises_the_alarm(method: str, figure: str) -> None:
    losses = np.random.default_rng(6).normal(size=(300, 500))
    rules = EProcess(LEVEL, figure=figure, method=method)
    path = e_process_many(losses, np.full(500, 0.7 * VAR), np.full(500, 0.7 * ES), rules)
    reached = path >= np.log(20)
    assert reached.any(axis=1).mean() > 0.95
    assert np.median(np.where(reached.any(axis=1), reached.argmax(axis=1), 500)) < 250


def test_state_that_is_none_is_refused() -> None:
    state = json.loads(EProcess(0.99).to_json())
    for text in ("", "[]", "{}", json.dumps(state | {"more": 1}), json.dumps(state | {"losses": ["x"]})):
        with pytest.raises(InputError, match="`text` must be the state of an e-process"):
            EProcess.from_json(text)
    with pytest.raises(InputError, match="`level`"):
        EProcess.from_json(json.dumps(state | {"level": 2.0}))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: EProcess(1.0), "`level` must lie between 0 and 1"),
        (lambda: EProcess(0.99, figure="es"), "`figure` must be one of 'expected_shortfall', 'value_at_risk', was"),
        (lambda: EProcess(0.99, method="gro"), "`method` must be one of 'grel', 'gree', 'mixture', was 'gro'"),
        (lambda: EProcess(0.99, bound=1.0), "`bound` must be above 1, was 1"),
        (lambda: EProcess(0.99, window=0), "`window` must be at least 1 day, was 0"),
        (lambda: EProcess(0.99, largest_bet=1.0), "`largest_bet` must lie between 0 and 1, was 1"),
        (lambda: EProcess(0.99).update(1.0, 1.0), "`es` must be given"),
        (lambda: EProcess(0.99).update(1.0, 1.0, 1.0), "`es` must be positive and above `var`"),
        (lambda: EProcess(0.99).update(np.nan, 1.0, 2.0), "must be finite"),
        (lambda: e_process([1.0], [1.0, 2.0], [2.0], 0.99), "must be series of one length"),
    ],
)
def test_bad_input_is_refused(call, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
