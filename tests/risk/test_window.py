"""The return window against a table of prices built the slow way."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus_metal.errors import InputError
from nautilus_metal.risk.window import ReturnWindow

prices = st.one_of(st.none(), st.floats(min_value=0.01, max_value=1e6))


@given(
    table=st.lists(st.tuples(prices, prices, prices), min_size=1, max_size=60),
    periods=st.integers(min_value=2, max_value=12),
)
def test_it_agrees_with_a_forward_filled_table(table, periods):
    window = ReturnWindow(periods)
    filled = [[None, None, None]]
    for period, row in enumerate(table):
        if all(price is None for price in row):
            continue  # a period in which nothing was seen is not known to have passed
        for name, price in zip("abc", row, strict=True):
            if price is not None:
                window.observe(name, period, price)
        filled.append([new if new is not None else old for new, old in zip(row, filled[-1], strict=True)])
    filled = filled[1:]
    known = [name for column, name in enumerate("abc") if filled and filled[-1][column] is not None]
    counts = {}
    for name in known:
        column = [row["abc".index(name)] for row in filled]
        counts[name] = min(sum(price is not None for price in column) - 1, periods)
        assert window.observations(name) == counts[name]
    if known:
        length = min(counts.values())
        columns = [[row["abc".index(name)] for row in filled][-length - 1 :] for name in known]
        expected = np.diff(np.log(np.array(columns)), axis=1).T
        np.testing.assert_array_equal(window.returns(known), expected)


def test_the_last_price_of_a_period_counts_and_late_ones_are_counted():
    window = ReturnWindow(5)
    for period, price in ((1, 10.0), (2, 11.0), (2, 12.0), (1, 99.0)):
        window.observe("a", period, price)
    assert window.returns(["a"])[:, 0].tolist() == [math.log(12.0) - math.log(10.0)]
    assert window.prices == {"a": 12.0}
    assert window.late == 1


def test_a_price_that_is_not_positive_uncovers_until_it_has_left_the_window():
    window = ReturnWindow(3)
    reasons = []
    for period, price in enumerate([5.0, 5.0, -1.0, 5.0, 5.0, 5.0, 5.0]):
        window.observe("a", period, price)
        reasons.append(window.uncovered(["a"], 1).get("a", ""))
    bad = "a price of its history was not positive"
    assert reasons == ["0 of 1 returns of history", "", bad, bad, bad, bad, ""]


def test_reasons_and_reset():
    window = ReturnWindow(5)
    window.observe("a", 1, 1.0)
    assert window.uncovered(["a", "b"], 2) == {"a": "0 of 2 returns of history", "b": "no price history"}
    window.reset()
    assert window.uncovered(["a"], 2) == {"a": "no price history"}
    assert window.returns([]).shape == (0, 0)


def test_a_window_needs_two_periods():
    with pytest.raises(InputError, match="`periods` must be at least 2, was 1"):
        ReturnWindow(1)


rows = st.lists(prices, min_size=1, max_size=30)


@given(columns=st.tuples(rows, rows, rows), split=st.integers(min_value=0, max_value=30))
def test_histories_that_arrive_one_by_one_equal_prices_in_order(columns, split):
    """Backfilled up to a period and observed from there on, against everything observed in order."""
    table = {name: dict(enumerate(column)) for name, column in zip("abc", columns, strict=True)}
    events = sorted((t, name, p) for name, column in table.items() for t, p in column.items() if p is not None)
    whole, merged = ReturnWindow(12), ReturnWindow(12)
    for period, name, price in events:
        whole.observe(name, period, price)
    for period, name, price in events:
        if period >= split:
            merged.observe(name, period, price)
    for name in "abc":  # one instrument after the other, with an overlap of two periods
        merged.backfill({name: {t: p for t, n, p in events if n == name and t < split + 2}})
    assert merged.prices == whole.prices
    for name in whole.prices:
        assert merged.observations(name) == whole.observations(name)
        if whole.observations(name) > 0:
            np.testing.assert_array_equal(merged.returns([name]), whole.returns([name]))


def observed(window, table, first=0):
    for period, row in enumerate(table, start=first):
        for name, price in zip("ab", row, strict=True):
            if price is not None:
                window.observe(name, period, price)
    return window


tables = st.lists(st.tuples(prices, prices), min_size=1, max_size=40)


@given(before=tables, after=tables, periods=st.integers(min_value=2, max_value=12))
def test_a_restored_window_goes_on_as_if_nothing_had_happened(before, after, periods):
    unbroken = observed(observed(ReturnWindow(periods), before), after, len(before))
    restored = ReturnWindow(periods)
    restored.restore(observed(ReturnWindow(periods), before).state())
    observed(restored, after, len(before))
    assert restored.prices == unbroken.prices
    for name in unbroken.prices:
        assert restored.observations(name) == unbroken.observations(name)
        np.testing.assert_array_equal(restored.returns([name]), unbroken.returns([name]))


def full_tables(least):
    return st.lists(st.tuples(*[st.floats(min_value=0.01, max_value=1e6)] * 2), min_size=least, max_size=30)


@given(before=full_tables(1), gap=full_tables(0), after=full_tables(0), late=st.booleans())
def test_history_fills_the_gap_since_the_state_was_saved_even_after_the_first_new_bars(before, gap, after, late):
    periods = 200
    table = [*before, *gap, *after]
    unbroken = observed(ReturnWindow(periods), table)
    restored = ReturnWindow(periods)
    restored.restore(observed(ReturnWindow(periods), before).state())
    history = {name: {i: row["ab".index(name)] for i, row in enumerate([*before, *gap])} for name in "ab"}
    if not late:
        restored.backfill(history)
    observed(restored, after, len(before) + len(gap))
    if late:
        restored.backfill(history)
    assert restored.prices == unbroken.prices
    np.testing.assert_array_equal(restored.returns(["a", "b"]), unbroken.returns(["a", "b"]))


def test_a_state_fits_a_window_of_another_length():
    table = [(float(i + 1), float(2 * i + 1)) for i in range(10)]
    state = observed(ReturnWindow(6), table).state()
    for periods, kept in ((3, 3), (20, 6)):
        window = ReturnWindow(periods)
        window.restore(state)
        assert window.observations("a") == kept
        expected = np.diff(np.log(np.array(table[-kept - 1 :])), axis=0)
        np.testing.assert_array_equal(window.returns(["a", "b"]), expected)


def test_an_empty_state_makes_an_empty_window():
    window = ReturnWindow(4)
    window.restore(ReturnWindow(4).state())
    assert (window.prices, window.observations("a")) == ({}, 0)
