"""The bundled prices become bars without being bent."""

from datetime import date

import numpy as np
import pytest

from backtests._data import sp500_stocks, us_indices
from nautilus_metal.errors import InputError


def test_stocks_keep_every_digit_of_the_data_set():
    from skfolio.datasets import load_sp500_dataset

    frame = load_sp500_dataset()
    market = sp500_stocks(None, None)
    assert market.close.shape == (8_313, 20)
    np.testing.assert_array_equal(market.close, frame.to_numpy())
    bars = market.bars(market.names.index("BBY.SIM"))
    np.testing.assert_array_equal([bar.close.as_double() for bar in bars], frame["BBY"])
    assert str(bars[0].close) == "0.1440"
    assert all(bar.open == bar.high == bar.low == bar.close for bar in bars)


def test_indices_keep_their_range_and_volume():
    import arch.data.nasdaq

    frame = arch.data.nasdaq.load()
    market = us_indices(None, None)
    bars = market.bars(1)
    assert len(bars) == len(frame)
    for row, bar in list(zip(frame.itertuples(index=False), bars, strict=True))[::500]:
        prices = (bar.open, bar.high, bar.low, bar.close)
        np.testing.assert_allclose([float(price) for price in prices], row[:4], atol=0.005 + 1e-9)
        assert int(bar.volume) == row.Volume


def test_time_stamps_are_the_days_closes():
    market = sp500_stocks(date(2005, 1, 1), date(2006, 12, 31))
    stamps = market.ts.astype("datetime64[ns]")
    assert str(stamps[0])[:16] == "2005-01-03T21:00"
    assert (np.diff(market.ts) > 0).all()
    assert market.bars(0)[0].ts_event == market.ts[0]


@pytest.mark.parametrize("load", [sp500_stocks, us_indices])
@pytest.mark.parametrize(
    ("start", "end"), [(date(2031, 1, 1), None), (None, date(1980, 1, 1)), (date(2005, 1, 1), date(2005, 12, 31))]
)
def test_too_short_a_period_is_refused_with_what_there_is(load, start, end):
    with pytest.raises(InputError, match=r"must leave at least 300 days of the data \(\d{4}-\d\d-\d\d to"):
        load(start, end)
