"""The year that option expiries are counted in is QuantLib's Actual/365.25."""

from datetime import UTC, date, datetime

import pytest
import QuantLib as ql  # noqa: N813

from nautilus_metal.risk.option import YEAR_NS


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (date(2024, 1, 2), date(2024, 1, 3)),
        (date(2023, 12, 29), date(2024, 6, 21)),
        (date(2014, 2, 28), date(2044, 3, 1)),
    ],
)
def test_years_are_those_of_quantlib(start, end):
    stamps = (datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() for day in (start, end))
    first, last = (int(stamp) * 10**9 for stamp in stamps)
    dates = (ql.Date(day.day, day.month, day.year) for day in (start, end))
    assert (last - first) / YEAR_NS == pytest.approx(ql.Actual36525().yearFraction(*dates), rel=1e-12)
