"""What working orders mean to a gate, on orders made by hand."""

import math

import pytest

from nautilus_metal.actors.gate_book import asked_for, cases, reducing_part, whole_lots, worth
from nautilus_metal.host import OrderIntent


def order(quantity, name="A", number="1", *, price=None, reduce_only=False, closes=False, group=()):
    return OrderIntent(number, name, "S-001", (), quantity, price, reduce_only, closes, group)


SELL_400 = order(-400.0, number="9")
EITHER = [order(-300.0, number="7", group=("7", "8")), order(-200.0, number="8", group=("7", "8"))]


@pytest.mark.parametrize(
    ("intent", "held", "working", "part"),
    [
        (order(-300.0), 1_000.0, [], 300.0),
        (order(300.0), 1_000.0, [], 0.0),
        (order(-300.0), 0.0, [], 0.0),
        (order(300.0), -200.0, [], 200.0),
        (order(-700.0), 1_000.0, [SELL_400], 600.0),
        (order(-700.0), 300.0, [SELL_400], 0.0),
        (order(300.0), -1_000.0, [SELL_400], 300.0),
        (order(-900.0), 1_000.0, EITHER, 700.0),
        (order(-900.0), 1_000.0, [order(-900.0, number="6", reduce_only=True)], 900.0),
        (order(-900.0), 1_000.0, [order(-900.0, number="6", closes=True)], 900.0),
        (order(-900.0), 1_000.0, [order(-900.0, "B", "6")], 900.0),
        (order(900.0, reduce_only=True), 0.0, [], 900.0),
        (order(900.0, closes=True), 0.0, [], 900.0),
        (order(math.nan), 1_000.0, [], 0.0),
    ],
)
def test_the_part_of_an_order_that_only_reduces(intent, held, working, part):
    assert reducing_part(intent, held, working) == part


@pytest.mark.parametrize(
    ("holdings", "known", "working", "intent", "expected"),
    [
        ({}, {}, [], order(5.0), [{}]),
        ({"A": 3.0}, {"A": 3.0}, [], order(5.0), [{}]),
        ({"A": 3.0}, {"B": 2.0}, [], order(5.0), [{"A": 3.0, "B": -2.0}]),
        ({}, {}, [order(7.0, number="2")], order(5.0), [{"A": 7.0}]),
        ({}, {}, [order(-7.0, number="2")], order(5.0), [{"A": -7.0}, {}]),
        ({"B": 10.0}, {"B": 10.0}, [order(-10.0, "B", "2")], order(5.0), [{"B": -10.0}, {}]),
        ({"B": 10.0}, {"B": 10.0}, [order(-30.0, "B", "2")], order(5.0), [{"B": -30.0}]),
        ({}, {}, [order(7.0, "B", "2"), order(-9.0, "B", "3")], order(5.0), [{"B": -2.0}, {"B": -9.0}]),
        ({}, {}, [order(7.0, number="2", reduce_only=True)], order(5.0), [{}]),
        ({}, {}, EITHER, order(-5.0), [{"A": -300.0}]),
    ],
)
def test_the_cases_that_are_asked_about(holdings, known, working, intent, expected):
    assert cases(holdings, known, working, [intent]) == expected


def test_orders_that_cancel_each_other_count_once():
    assert asked_for([*EITHER, order(10.0, number="2"), order(5.0, "B", "3")]) == {"A": -290.0, "B": 5.0}


@pytest.mark.parametrize(
    ("intent", "held", "last", "expected"),
    [
        (order(5.0), 0.0, 100.0, 1.0),
        (order(5.0, price=150.0), 0.0, 100.0, 1.5),
        (order(5.0, price=50.0), 0.0, 100.0, 1.0),
        (order(-5.0, price=150.0), 10.0, 100.0, 1.0),
        (order(5.0, price=150.0), 10.0, 100.0, 1.5),
        (order(5.0, price=150.0), 0.0, None, 1.0),
        (order(5.0, price=150.0), 0.0, 0.0, 1.0),
        (order(5.0, price=3.0), 0.0, -2.0, 1.0),
    ],
)
def test_the_dearer_price_counts_for_what_adds(intent, held, last, expected):
    assert worth(intent, held, last) == expected


@pytest.mark.parametrize(
    ("quantity", "lot", "expected"),
    [(119.9, 1.0, 119.0), (119.9999, 1.0, 120.0), (0.37, 0.1, 0.3), (0.3, 0.1, 0.3), (5.5, None, 5.5)],
)
def test_whole_lots(quantity, lot, expected):
    assert whole_lots(quantity, lot) == expected
