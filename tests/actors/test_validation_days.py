"""Which report meets which close: fills at the close, days that end by the clock, long horizons, what comes late."""

import json

import pytest

from nautilus_metal.actors.recent_closes import RecentCloses
from nautilus_metal.actors.validation_days import DayBook, Stated

HOUR = 3_600 * 10**9
DAY = 24 * HOUR
SECOND = 10**9


def closes_of(prices, interval=DAY, **options):
    """Closes of one instrument by the number of its bar."""
    made = RecentCloses(**options)
    for number, price in prices.items():
        made.take("A", interval, number * interval, price)
    return made


def stated(number, quantity=1.0, interval=DAY, after=1, price=100.0, options=(), equity=None):
    ts = number * interval
    positions = {"A": (quantity, price, quantity * price)}
    return Stated((ts - 1) // interval, ts, ts + after, {"0.9": (1.0, 2.0)}, positions, options, equity)


def nothing(names, since):
    assert not names
    return {}, {}


def hear(book, reports, closes, marks=nothing):
    return [one for report in reports for one in book.hear(report, closes, marks)]


def test_a_report_meets_the_next_close():
    closes = closes_of({1: 100.0, 2: 103.0, 5: 99.0})
    found = hear(DayBook(1, None, "UTC"), [stated(1), stated(2, price=103.0), stated(5, price=99.0)], closes)
    days = [(one.stated.ts_event // DAY, one.closed_at // DAY, one.pnl) for one in found]
    assert days == [(1, 2, 3.0), (2, 5, -4.0)]


def test_fills_at_the_close_count_and_later_ones_do_not():
    closes = closes_of({1: 100.0, 2: 103.0})
    reports = [stated(1), stated(1, 2.0, after=30 * SECOND), stated(1, 5.0, after=2 * HOUR), stated(2, price=103.0)]
    assert [one.pnl for one in hear(DayBook(1, None, "UTC"), reports, closes)] == [6.0]


def test_a_day_ends_by_the_clock_of_its_zone():
    """Hourly bars without a pause, a horizon of 24: from 17:00 in New York to 17:00, in winter 22:00 UTC."""
    closes = closes_of({hour: float(hour) for hour in range(1, 100)}, HOUR, keep=200)
    reports = [stated(hour, interval=HOUR, price=float(hour)) for hour in range(1, 100)]
    found = hear(DayBook(24, "17:00", "America/New_York"), reports, closes)
    assert [one.stated.ts_event // HOUR for one in found] == [22, 46, 70]
    assert [one.closed_at // HOUR for one in found] == [46, 70, 94]
    assert {one.pnl for one in found} == {24.0}


def test_windows_of_several_closes_do_not_overlap():
    closes = closes_of({day: float(day) for day in range(1, 12)})
    found = hear(DayBook(3, None, "UTC"), [stated(day, price=float(day)) for day in range(1, 12)], closes)
    assert [(one.stated.ts_event // DAY, one.closed_at // DAY) for one in found] == [(1, 4), (4, 7), (7, 10)]


def test_a_report_that_comes_late_meets_its_own_close_all_the_same():
    """Live, several bars may have closed before a report is out."""
    closes = closes_of({day: float(day) for day in range(1, 9)})
    found = hear(DayBook(1, None, "UTC"), [stated(1, price=1.0), stated(6, price=6.0)], closes)
    assert [(one.closed_at // DAY, one.pnl) for one in found] == [(2, 1.0)]


def test_closes_that_are_forgotten_are_unknown():
    closes = closes_of({day: float(day) for day in range(1, 9)}, keep=3)
    found = hear(DayBook(1, None, "UTC"), [stated(1), stated(8)], closes)
    assert [(one.pnl, one.unknown) for one in found] == [(None, {"A": "too many closes since the report"})]


def test_options_are_marked_at_their_close_or_not_at_all():
    closes, asked = closes_of({1: 1.0, 2: 2.0, 3: 3.0, 4: 4.0}), []

    def marks(names, since):
        asked.append((names, since))
        return {"A": 104.0}, {}

    book = DayBook(1, None, "UTC")
    reports = [stated(1, options=("A",)), stated(2, options=("A",)), stated(4, options=("A",))]
    found = hear(book, reports, closes, marks)
    assert asked == [(("A",), DAY + 1)]
    assert [(one.pnl, one.unknown) for one in found] == [(4.0, {}), (None, {"A": "no price of that close"})]


def test_a_price_of_nothing_says_nothing_of_the_contract():
    closes = closes_of({1: 0.0, 2: 3.0, 3: 3.0})
    found = hear(DayBook(1, None, "UTC"), [stated(1, price=0.0), stated(2), stated(3)], closes)
    assert (found[0].pnl, found[0].unknown) == (None, {"A": "a price of 0 in the report"})


def test_actual_profit_is_from_one_snapshot_to_the_other():
    closes = closes_of({1: 100.0, 2: 103.0, 3: 103.0})
    reports = [stated(1, equity=1_000.0), stated(2, equity=1_250.0), stated(3)]
    assert [one.actual for one in hear(DayBook(1, None, "UTC"), reports, closes)] == [250.0, None]


def test_a_book_goes_on_from_its_state():
    closes = closes_of({day: float(day) for day in range(1, 9)})
    reports = [stated(day, price=float(day), options=("A",) if day == 4 else ()) for day in range(1, 9)]
    expected = hear(DayBook(2, None, "UTC"), reports, closes, lambda *_: ({"A": 50.0}, {}))
    for cut in range(1, 8):
        first, second = DayBook(2, None, "UTC"), DayBook(2, None, "UTC")
        found = hear(first, reports[:cut], closes_of({day: float(day) for day in range(1, cut + 1)}))
        second.restore(json.loads(json.dumps(first.state())))
        found += hear(second, reports[cut:], closes, lambda *_: ({"A": 50.0}, {}))
        assert [(one.closed_at, one.pnl) for one in found] == [(one.closed_at, one.pnl) for one in expected]


@pytest.mark.parametrize("order", [(1, 2, 3, 4), (4, 3, 2, 1), (2, 4, 1, 3)])
def test_recent_closes_keep_the_newest_in_any_order(order):
    closes = closes_of({day: float(day) for day in order}, keep=2)
    assert closes.after(2, 1) == 3
    assert closes.closes(2) == {"A": 3.0}
    assert closes.after(2, 2) is None
    assert (closes.reaches(0), closes.reaches(1)) == (False, True)
