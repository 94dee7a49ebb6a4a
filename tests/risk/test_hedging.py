"""Hedges against SciPy's solvers, brute force over lots, and what must hold of any of them."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog, minimize

from nautilus_metal.errors import InputError
from nautilus_metal.risk.hedge_terms import STATUSES, HedgeInstrument
from nautilus_metal.risk.hedging import delta_hedge, exposure_hedge
from nautilus_metal.risk.programme import minimise
from nautilus_metal.risk.scenario_hedges import minimum_es_hedge, minimum_variance_hedge

TINY = 1e-7  # a lot that rounds nothing


def trades_of(result, instruments) -> np.ndarray:
    return np.array([result.trades.get(one.name, 0.0) for one in instruments])


@pytest.mark.parametrize("seed", range(30))
def test_programmes_against_scipy(seed):
    draw = np.random.default_rng(seed)
    n, m = draw.integers(1, 20, size=2)
    rows = np.vstack([draw.normal(size=(m, n)), np.eye(n), -np.eye(n)])
    bounds = np.concatenate([draw.normal(size=m) + 1, np.full(n, 5.0), np.zeros(n)])
    linear = draw.normal(size=n)
    reference = linprog(linear, rows, bounds, bounds=(None, None))
    found = minimise(linear, rows, bounds)
    assert found.converged == (reference.status == 0)
    if found.converged:
        assert linear @ found.x == pytest.approx(reference.fun, rel=1e-7, abs=1e-7)
        assert (rows @ found.x <= bounds + 1e-7).all()


def test_a_quadratic_programme_against_least_squares():
    draw = np.random.default_rng(1)
    a, b = draw.normal(size=(30, 4)), draw.normal(size=30)
    box, wide = np.vstack([np.eye(4), -np.eye(4)]), np.full(8, 100.0)
    found = minimise(-a.T @ b, box, wide, a.T @ a)
    np.testing.assert_allclose(found.x, np.linalg.lstsq(a, b, rcond=None)[0], atol=1e-8)


@example(delta=2.225073858507203e-309, unit=0.25, band=0.0, lot=1.0, held=0, limit=10.0)
@example(delta=2.225073858507203e-309, unit=1.0, band=0.0, lot=1.0, held=0, limit=0.0)
@example(delta=5e-324, unit=1e4, band=0.0, lot=100.0, held=3, limit=1000.0)
@given(
    delta=st.floats(-1e6, 1e6),
    unit=st.floats(0.1, 1e4),
    band=st.floats(0, 1e4),
    lot=st.sampled_from([1.0, 5.0, 100.0]),
    held=st.integers(-50, 50),
    limit=st.sampled_from([0.0, 10.0, 1000.0, math.inf]),
)
def test_a_delta_hedge_keeps_its_promises(delta, unit, band, lot, held, limit):
    instrument = HedgeInstrument("FUND", 0.01, lot, held, limit)
    result = delta_hedge(delta, instrument, unit, band)
    trade = result.trades.get("FUND", 0.0)
    assert result.status in STATUSES
    assert result.after["delta"] == pytest.approx(delta + trade * unit, abs=1e-6)
    assert result.risk_after <= result.risk_before
    assert trade % lot == 0
    assert abs(held + trade) <= max(limit, abs(held))
    assert result.cost == pytest.approx(0.01 * abs(trade))
    if result.status == "unneeded":
        assert abs(delta) <= band + 0.5 * lot * unit
    if result.status == "hedged":
        assert abs(result.after["delta"]) <= band + 0.5 * lot * unit + 1e-6 * abs(delta)


def test_a_limit_that_keeps_the_last_lot_away_is_named():
    fund = HedgeInstrument("FUND", 0.01, lot=5.0, held=48, limit=0.0)
    result = delta_hedge(298_068.0, fund, unit_delta=6_264.0)
    assert (result.status, result.trades) == ("infeasible", {"FUND": -45.0})
    assert result.reason.startswith("limits of FUND leave 16,188 of delta")


def test_the_cheapest_trade_stops_at_the_edge_of_the_band():
    result = delta_hedge(1000.0, HedgeInstrument("FUND", cost=1.0), unit_delta=1.0, band=300.0)
    assert result.trades == {"FUND": -700.0}
    assert result.after == {"delta": 300.0}


@pytest.mark.parametrize("seed", range(12))
def test_exposures_are_hedged_at_the_least_cost(seed):
    draw = np.random.default_rng(seed)
    n = int(draw.integers(3, 9))
    given_, units = draw.normal(size=3) * 1000, draw.normal(size=(3, n))
    instruments = [HedgeInstrument(str(i), float(cost), TINY) for i, cost in enumerate(draw.uniform(0.1, 1, n))]
    band = 50.0
    result = exposure_hedge(
        dict(zip(("delta", "gamma", "vega"), given_, strict=True)), instruments, units,
        dict.fromkeys(("delta", "gamma", "vega"), band),
    )  # fmt: skip
    costs = [one.cost for one in instruments] * 2
    both = np.hstack([units, -units])
    reference = linprog(costs, np.vstack([both, -both]), np.concatenate([band - given_, band + given_]))
    assert reference.status == 0
    assert result.status == "hedged"
    assert result.cost == pytest.approx(reference.fun, rel=1e-5)
    after = given_ + units @ trades_of(result, instruments)
    np.testing.assert_allclose(list(result.after.values()), after, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    exposures=st.tuples(*[st.integers(-3000, 3000)] * 2),
    table=st.lists(st.integers(-90, 90), min_size=4, max_size=4),
    limits=st.tuples(*[st.integers(0, 8)] * 2),
)
def test_lots_and_limits_against_every_combination(exposures, table, limits):
    units = np.array(table, dtype=float).reshape(2, 2)
    instruments = [HedgeInstrument(name, 1.0, 1.0, 0.0, limit) for name, limit in zip("ab", limits, strict=True)]
    start = np.array(exposures, dtype=float)
    result = exposure_hedge({"delta": start[0], "vega": start[1]}, instruments, units)
    trades = trades_of(result, instruments)
    assert (np.abs(trades) <= limits).all()
    assert (trades == np.round(trades)).all()
    assert result.risk_after <= result.risk_before
    combinations = itertools.product(*(range(-limit, limit + 1) for limit in limits))
    best = min(np.abs(start + units @ np.array(each)).sum() for each in combinations)
    assume(best < np.abs(start).sum())
    # rounding may cost half a lot of each in either exposure, and no more
    slack = 0.5 * np.abs(units).sum() + 1e-6 * np.abs(start).sum()
    if result.trades:
        assert np.abs(list(result.after.values())).sum() <= best + 2 * slack


@pytest.mark.parametrize(
    ("instruments", "units", "reason"),
    [
        ([], np.zeros((2, 0)), "no instrument to hedge with"),
        ([HedgeInstrument("FUND")], [[1.0], [0.0]], "no instrument has vega"),
        ([HedgeInstrument("FUND"), HedgeInstrument("CALL", limit=3)], [[1.0, 5.0], [0.0, 10.0]], "limits of CALL"),
        ([HedgeInstrument("CALL", limit=0)], [[0.1], [10.0]], "limits of CALL"),
    ],
)
def test_what_cannot_be_hedged_is_an_answer_with_a_reason(instruments, units, reason):
    result = exposure_hedge({"delta": 100.0, "vega": -900.0}, instruments, units)
    assert result.status == "infeasible"
    assert reason in result.reason
    assert result.risk_after <= result.risk_before
    if len(instruments) == 2:
        assert result.trades == {"FUND": -115.0, "CALL": 3.0}
        assert result.after == {"delta": 0.0, "vega": -870.0}


def test_less_than_a_lot_is_left_alone():
    result = delta_hedge(-40.0, HedgeInstrument("FUND", lot=100.0), 1.0)
    assert (result.status, result.trades) == ("unneeded", {})
    assert result.reason == "less than one lot would be traded"


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.floats(-14, 14), min_size=9, max_size=9),
    signs=st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=9, max_size=9),
    lots=st.tuples(*[st.sampled_from([1e-8, 1.0, 1e6])] * 2),
    costs=st.tuples(*[st.sampled_from([0.0, 1e-9, 1e9])] * 2),
    limit=st.sampled_from([0.0, 1e-3, 7.0, math.inf]),
)
def test_numbers_of_any_size_get_an_answer(sizes, signs, lots, costs, limit):
    numbers = np.array(signs) * 10.0 ** np.array(sizes)
    instruments = [HedgeInstrument(n, c, lot, 0.0, limit) for n, c, lot in zip("ab", costs, lots, strict=True)]
    result = exposure_hedge(dict(zip("xyz", numbers[:3], strict=True)), instruments, numbers[3:].reshape(3, 2))
    assert result.status in STATUSES
    assert result.risk_after <= result.risk_before
    assert all(math.isfinite(each) for each in (*result.trades.values(), *result.after.values(), result.cost))
    assert all(abs(each) <= limit for each in result.trades.values())


def scenario_case(seed: int, n: int, count: int, cost: float):
    draw = np.random.default_rng(seed)
    factors = draw.standard_t(4, size=(n + 1, count))
    units = draw.normal(size=(n, n + 1)) @ factors
    pnl = 100 * draw.normal(size=n + 1) @ factors - 20 * np.maximum(-factors[0], 0) ** 2
    costs = cost * np.abs(draw.normal(size=n))
    return pnl, [HedgeInstrument(str(i), float(c), TINY) for i, c in enumerate(costs)], units, costs


@pytest.mark.parametrize(("n", "cost"), [(1, 0.0), (3, 0.0), (3, 0.2), (5, 0.1)])
def test_minimum_variance_against_regression_and_a_general_optimiser(n, cost):
    pnl, instruments, units, costs = scenario_case(n, n, 500, cost)
    result = minimum_variance_hedge(pnl, instruments, units)
    found = trades_of(result, instruments)
    assert result.risk_after == pytest.approx(np.std(pnl + found @ units))
    assert result.cost == pytest.approx(costs @ np.abs(found))
    if cost:
        start = minimum_variance_hedge(pnl, instruments, units, cost_weight=0.0)

        def total(x):
            return np.std(pnl + x @ units) + costs @ np.abs(x)

        options = {"xtol": 1e-10, "ftol": 1e-13}
        general = minimize(total, trades_of(start, instruments), method="Powell", options=options)
        assert total(found) <= general.fun * (1 + 1e-7)
    else:
        centred = units - units.mean(axis=1, keepdims=True)
        regression = np.linalg.lstsq(centred.T, -(pnl - pnl.mean()), rcond=None)[0]
        np.testing.assert_allclose(found, regression, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("n", "cost"), [(1, 0.0), (2, 0.3), (4, 0.1)])
def test_minimum_shortfall_against_its_linear_programme(n, cost):
    count, level = 400, 0.95
    pnl, instruments, units, costs = scenario_case(10 + n, n, count, cost)
    result = minimum_es_hedge(pnl, instruments, units, level)
    tail = count * (1 - level)
    assert result.after["expected_shortfall"] == pytest.approx(
        minimum_es_hedge(pnl + trades_of(result, instruments) @ units, [], [], level).risk_before
    )
    units = units - units.mean(axis=1, keepdims=True)
    rows = np.hstack([-units.T, units.T, -np.ones((count, 1)), -np.eye(count)])
    objective = np.concatenate([costs, costs, [1.0], np.full(count, 1 / tail)])
    bounds = [(0, None)] * (2 * n) + [(None, None)] + [(0, None)] * count
    exact = linprog(objective, rows, pnl, bounds=bounds).fun
    assert exact - 1e-6 * abs(exact) <= result.risk_after + result.cost <= exact + 3e-4 * pnl.std()


def test_a_shortfall_hedge_beats_the_variance_hedge_in_the_tail():
    pnl, instruments, units, _ = scenario_case(3, 3, 2000, 0.0)
    units -= units.mean(axis=1, keepdims=True)
    tail, spread = minimum_es_hedge(pnl, instruments, units), minimum_variance_hedge(pnl, instruments, units)
    es = minimum_es_hedge(pnl + trades_of(spread, instruments) @ units, [], np.zeros((0, 2000))).risk_before
    assert tail.risk_after < es
    assert np.std(pnl + trades_of(tail, instruments) @ units) > spread.risk_after


def test_what_only_decays_is_no_hedge():
    draw = np.random.default_rng(2)
    pnl, decay = draw.normal(size=1000), -1.5 + 0.2 * draw.uniform(size=1000)
    for hedge in (minimum_variance_hedge, minimum_es_hedge):
        result = hedge(pnl, [HedgeInstrument("worthless option", 0.01)], [decay])
        assert abs(result.trades.get("worthless option", 0.0)) < 5.0


def test_trades_keep_to_lots_and_limits_and_costs_decide():
    pnl, _, units, _ = scenario_case(7, 2, 500, 0.0)
    limited = [HedgeInstrument("a", 0.1, 5.0, 12.0, 20.0), HedgeInstrument("b", 0.1, 1.0, -30.0, 10.0)]
    for hedge in (minimum_variance_hedge, minimum_es_hedge):
        result = hedge(pnl, limited, units)
        trade = trades_of(result, limited)
        assert abs(12 + trade[0]) <= 20
        assert trade[0] % 5 == 0
        assert -10 - -30 >= trade[1] >= 0 or trade[1] <= 40
        assert abs(-30 + trade[1]) <= 30
        assert result.risk_after < result.risk_before
        dear = [HedgeInstrument("a", 1e6), HedgeInstrument("b", 1e6)]
        assert hedge(pnl, dear, units).status == "unneeded"
        coarse = [HedgeInstrument("a", lot=1e9), HedgeInstrument("b", lot=1e9)]
        assert hedge(pnl, coarse, units).reason == "less than one lot would be traded"
        assert hedge(pnl, coarse, units).status == "unneeded"
        none = [HedgeInstrument("a", limit=0.0), HedgeInstrument("b", limit=0.0)]
        assert hedge(pnl, none, units).status == "infeasible"
        assert hedge(pnl, [], []).status == "infeasible"
        assert hedge(0 * pnl, limited, units).status == "unneeded"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: HedgeInstrument("X", cost=-1.0), "`cost` of X must be at least 0, was -1.0"),
        (lambda: HedgeInstrument("X", lot=0.0), "`lot` of X must be above 0, was 0.0"),
        (lambda: HedgeInstrument("X", held=math.nan), "`held` of X must be finite, was nan"),
        (lambda: HedgeInstrument("X", limit=-1.0), "`limit` of X must be at least 0, was -1.0"),
        (lambda: delta_hedge(math.nan, HedgeInstrument("X"), 1.0), "`exposures` must be finite"),
        (lambda: delta_hedge(1.0, HedgeInstrument("X"), math.inf), "`units` must be finite"),
        (lambda: delta_hedge(1.0, HedgeInstrument("X"), 1.0, -1.0), "`bands` must be at least 0"),
        (lambda: exposure_hedge({"delta": 1.0}, [], [[1.0]]), r"`units` must be of shape \(1, 0\)"),
        (lambda: minimum_variance_hedge([1.0], [], []), r"`book_pnl` must be of shape \(scenarios,\)"),
        (lambda: minimum_variance_hedge([1.0, math.nan], [], []), "must be finite"),
        (lambda: minimum_variance_hedge([1.0, 2.0], [HedgeInstrument("X")], [1.0]), "`unit_pnl` must be of shape"),
        (lambda: minimum_variance_hedge([1.0, 2.0], [], [], -1.0), "`cost_weight` must be at least 0, was -1.0"),
        (lambda: minimum_es_hedge([1.0, 2.0], [], [], 0.99), "needs at least 100 scenarios"),
    ],
)
def test_an_error_names_argument_requirement_and_value(call, message):
    with pytest.raises(InputError, match=message):
        call()
