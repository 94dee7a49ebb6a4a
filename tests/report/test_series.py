"""Reports become arrays, and are paired with the prices that followed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus_metal.errors import InputError
from nautilus_metal.report.series import clean_pnl, collect
from tests.report.conftest import DAY, NAMES, START, make_report


def test_arrays_hold_what_the_reports_said():
    series = collect([
        make_report(0, {"BBB.SIM": (-2.0, 50.0)}, var=4.0),
        make_report(1, {"AAA.SIM": (3.0, 7.0), "BBB.SIM": (1.0, 51.0)}, var=6.0, uncovered={"X.SIM": "no price"}),
    ])[0]  # fmt: skip
    assert series.instruments == NAMES
    assert series.levels == (0.95, 0.99)
    np.testing.assert_array_equal(series.quantity, [[0, -2], [3, 1]])
    np.testing.assert_array_equal(series.price, [[np.nan, 50], [7, 51]])
    np.testing.assert_array_equal(series.var, [[4, 8], [6, 12]])
    np.testing.assert_array_equal(series.es, [[6, 12], [9, 18]])
    np.testing.assert_allclose(series.component_var.sum(axis=1), series.var)
    assert series.uncovered == {"X.SIM": (1, "no price")}
    np.testing.assert_array_equal(series.missing, [0, 1])


def test_clean_pnl_is_yesterdays_positions_at_todays_prices():
    ts = START + np.arange(3) * DAY
    closes = np.array([[100.0, 50.0], [103.0, 49.0], [90.0, 60.0]])
    reports = [
        make_report(0, {"AAA.SIM": (2.0, 100.0), "BBB.SIM": (-10.0, 50.0)}),
        make_report(1, {"BBB.SIM": (5.0, 49.0)}),
        make_report(2, {"BBB.SIM": (5.0, 60.0)}),  # no price follows
    ]
    pnl = clean_pnl(collect(reports)[0], ts, NAMES, closes)
    np.testing.assert_array_equal(pnl.ts, ts[1:])
    np.testing.assert_allclose(pnl.contributions, [[6.0, 10.0], [0.0, 55.0]])
    np.testing.assert_allclose(pnl.total, [16.0, 55.0])


def test_multiplier_and_exchange_rate_come_from_the_reported_value():
    report = make_report(0, {"AAA.SIM": (2.0, 100.0)})
    report.positions["AAA.SIM"]["value"] = 2.0 * 100.0 * 50 * 1.25
    pnl = clean_pnl(collect([report])[0], [START, START + DAY], ["AAA.SIM"], [[100.0], [101.0]])
    np.testing.assert_allclose(pnl.total, [2.0 * 1.0 * 50 * 1.25])


def test_days_with_an_empty_book_are_left_out():
    ts = START + np.arange(4) * DAY
    reports = [make_report(0, {}), make_report(1, {"AAA.SIM": (1.0, 2.0)}), make_report(2, {})]
    series = collect(reports)[0]
    pnl = clean_pnl(series, ts, ["AAA.SIM"], [[1.0], [2.0], [5.0], [9.0]])
    np.testing.assert_array_equal(series.held, [False, True, False])
    np.testing.assert_array_equal(pnl.ts, [ts[2]])
    np.testing.assert_allclose(pnl.total, [3.0])


def test_horizon_compares_with_the_price_that_many_days_ahead():
    ts = START + np.arange(4) * DAY
    series = collect([make_report(day, {"AAA.SIM": (1.0, 10.0)}, horizon=2) for day in range(4)])[0]
    pnl = clean_pnl(series, ts, ["AAA.SIM"], [[10.0], [11.0], [13.0], [20.0]])
    np.testing.assert_array_equal(pnl.ts, ts[2:])
    np.testing.assert_allclose(pnl.total, [3.0, 10.0])


def test_a_second_report_of_one_time_stamp_replaces_the_first():
    series = collect([make_report(0, {"AAA.SIM": (1.0, 2.0)}), make_report(0, {"AAA.SIM": (9.0, 2.0)})])[0]
    np.testing.assert_array_equal(series.quantity, [[9.0]])


def test_sources_are_kept_apart_and_facts_are_of_a_report_that_computed():
    nothing = {"sampler": "none", "scenarios": 0, "drift": None, "pool_hit_rate": None}
    reports = [
        make_report(0, {"AAA.SIM": (1.0, 2.0)}, source="A"),
        make_report(0, {}, source="B"),
        make_report(1, {}, source="A", **nothing),
    ]
    first, second = collect(reports)
    assert (first.source, second.source) == ("A", "B")
    assert (first.sampler, first.scenarios) == ("pseudo", 1_000)
    assert np.isnan(first.drift[1])
    assert np.isnan(first.pool_hit_rate[1])


@pytest.mark.parametrize(
    ("ts", "names", "closes", "words"),
    [
        ([START + DAY], NAMES, [[1.0, 1.0]], "time stamp"),
        ([START, START + DAY], ("BBB.SIM",), [[1.0], [1.0]], "AAA.SIM is missing"),
        ([START, START + DAY], NAMES, [[1.0, 1.0], [np.nan, 1.0]], "finite"),
    ],
)
def test_prices_that_do_not_fit_are_refused(ts, names, closes, words):
    series = collect([make_report(0, {"AAA.SIM": (1.0, 2.0)})])[0]
    with pytest.raises(InputError, match=words):
        clean_pnl(series, ts, names, closes)


def test_reports_out_of_order_are_refused():
    with pytest.raises(InputError, match="time order"):
        collect([make_report(1, {}), make_report(0, {})])


amounts = st.floats(-1e6, 1e6).filter(lambda x: abs(x) > 1e-3)


@given(st.lists(st.tuples(amounts, st.floats(0.01, 1e5), st.floats(0.01, 1e5)), min_size=1, max_size=6))
def test_pnl_is_the_change_in_value_of_a_book_that_stands_still(lines):
    names = [f"S{i}.SIM" for i in range(len(lines))]
    report = make_report(0, {name: line[:2] for name, line in zip(names, lines, strict=True)})
    closes = [[line[1] for line in lines], [line[2] for line in lines]]
    pnl = clean_pnl(collect([report])[0], [START, START + DAY], names, closes)
    expected = [quantity * (after - before) for quantity, before, after in lines]
    scale = sum(abs(q) * (a + b) for q, b, a in lines)
    np.testing.assert_allclose(pnl.total[0], sum(expected), atol=1e-9 * scale)
