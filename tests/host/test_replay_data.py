"""What a replay plays, from frames and from a catalog; and the settings of its client."""

import numpy as np
import pandas as pd
import pytest
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.data import Bar, BarType, QuoteTick
from nautilus_trader.model.identifiers import InstrumentId, Symbol
from nautilus_trader.model.instruments import Equity
from nautilus_trader.model.objects import Price, Quantity
from nautilus_trader.persistence.catalog import ParquetDataCatalog

from nautilus_metal.errors import InputError
from nautilus_metal.host import ReplayData, ReplayDataClientConfig, ReplayFaults

INDEX = pd.date_range("2024-03-01 09:30", periods=4, freq="1min", tz="America/New_York")
DAILY = "AAA.X-1-DAY-LAST-EXTERNAL"
MINUTES = "AAA.X-1-MINUTE-LAST-EXTERNAL"


def equity(name: str) -> Equity:
    instrument_id = InstrumentId.from_str(name)
    lot = Quantity.from_int(1)
    return Equity(instrument_id, Symbol(instrument_id.symbol.value), USD, 2, Price(0.01, 2), lot, 0, 0)


def bars(**columns) -> pd.DataFrame:
    values = {"open": 10.0, "high": 10.5, "low": 9.5, "close": [10.0, 10.123, 10.2, 10.4], "volume": 100.0}
    return pd.DataFrame(values | columns, index=INDEX)


def quotes(**columns) -> pd.DataFrame:
    values = {"bid_price": 9.99, "ask_price": 10.01, "bid_size": 100, "ask_size": 200}
    return pd.DataFrame(values | columns, index=INDEX - pd.Timedelta("1s"))


def made(**frames) -> ReplayData:
    return ReplayData.from_frames([equity("AAA.X")], **({"bars": {MINUTES: bars()}} | frames))


def test_frames_become_bars_and_quotes_in_order_of_time():
    data = made(quotes={"AAA.X": quotes()})
    assert [type(record) for record in data.records] == [QuoteTick, Bar] * 4
    assert (np.diff(data.times) > 0).all()
    second = data.records[3]
    assert str(second.close) == "10.12"
    assert second.ts_event == second.ts_init == pd.Timestamp("2024-03-01 14:31", tz="UTC").value
    assert str(data.records[0].ask_size) == "200"
    assert data.bar_types == {BarType.from_str(MINUTES)}
    assert data.quoted == {InstrumentId.from_str("AAA.X")}


def test_a_naive_index_is_utc_and_microseconds_are_kept():
    index = pd.DatetimeIndex(["2024-03-01 09:30:00.000001"]).as_unit("us")
    frame = bars().iloc[:1].set_index(index)
    assert made(bars={MINUTES: frame}).records[0].ts_event == 1_709_285_400_000_001_000


@pytest.mark.parametrize(
    ("kinds", "interval"),
    [([MINUTES], 60 * 10**9), ([MINUTES, DAILY], 86_400 * 10**9), (["AAA.X-100-TICK-LAST-EXTERNAL"], 1)],
)
def test_the_interval_is_the_longest_of_the_time_bars(kinds, interval):
    assert made(bars={kind: bars() for kind in kinds}).interval == interval


def test_between_has_both_ends():
    data = made()
    assert len(data.between(int(data.times[1]), int(data.times[2]))) == 2


def test_a_catalog_gives_what_was_written(tmp_path):
    catalog = ParquetDataCatalog(tmp_path)
    data = made(quotes={"AAA.X": quotes()})
    catalog.write_data([equity("AAA.X")])
    catalog.write_data([record for record in data.records if isinstance(record, Bar)])
    catalog.write_data([record for record in data.records if isinstance(record, QuoteTick)])
    for choice in ({}, {"bar_types": [BarType.from_str(MINUTES)]}, {"instruments": [InstrumentId.from_str("AAA.X")]}):
        read = ReplayData.from_catalog(str(tmp_path), **choice)
        assert [str(record) for record in read.records] == [str(record) for record in data.records]
        assert read.times.tolist() == data.times.tolist()
        assert [str(each.id) for each in read.instruments] == ["AAA.X"]
    with pytest.raises(InputError, match="`catalog` must hold the instruments of the replay"):
        ReplayData.from_catalog(str(tmp_path), instruments=[InstrumentId.from_str("ZZZ.X")])


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        ({"bars": {"BBB.X-1-MINUTE-LAST-EXTERNAL": bars()}}, "`instruments` must hold BBB.X"),
        ({"quotes": {"BBB.X": quotes()}}, "`instruments` must hold BBB.X"),
        ({"bars": {MINUTES: bars().drop(columns=["high", "volume"])}}, "lacked high, volume"),
        ({"bars": {MINUTES: bars().reset_index(drop=True)}}, "must be indexed by time, was by RangeIndex"),
        ({"bars": {MINUTES: bars(close=[1.0, 2.0, np.nan, 3.0])}}, "must have finite numbers only"),
        ({"bars": {}}, "at least one bar or quote, was none"),
    ],
)
def test_wrong_frames_are_refused(frames, words):
    with pytest.raises(InputError, match=words):
        made(**frames)


def test_data_of_an_instrument_that_is_not_there_are_refused():
    with pytest.raises(InputError, match=r"must hold every instrument of its data, lacked \['AAA.X'\]"):
        ReplayData([equity("BBB.X")], made().records)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"catalog": None}, "one of `catalog`, `source` and `data` must be given, was none"),
        ({"source": "a:b"}, "must be given, was catalog and source"),
        ({"catalog": None, "data": 3}, "`data` must be a ReplayData, was int"),
        ({"speed": 0.0}, "`speed` must be above 0 and finite, or 'max', was 0.0"),
        ({"speed": float("nan")}, "`speed` must be above 0"),
        ({"speed": "fast"}, "`speed` must be above 0 and finite, or 'max', was 'fast'"),
        ({"stamps": "now"}, "`stamps` must be one of shifted, original, arrival, was 'now'"),
        ({"repeat": 0}, "`repeat` must be at least 1, was 0"),
        ({"start": "yesterday"}, "`start` must be an ISO time, was 'yesterday'"),
        ({"start_delay": -1.0}, "`start_delay` must be at least 0 seconds"),
        ({"shut_down_after": float("inf")}, "`shut_down_after` must be at least 0 seconds and finite"),
    ],
)
def test_wrong_settings_of_the_client_are_refused(settings, words):
    with pytest.raises(InputError, match=words):
        ReplayDataClientConfig(**({"catalog": "somewhere"} | settings))


def test_wrong_faults_are_refused():
    with pytest.raises(InputError, match="`seed` must be at least 0, was -1"):
        ReplayFaults(seed=-1)


def test_a_source_must_return_data():
    config = ReplayDataClientConfig(source="builtins:dict", source_options={"a": 1})
    with pytest.raises(InputError, match="builtins:dict returned a dict"):
        config.load()
