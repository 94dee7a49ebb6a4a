"""What a replay sends into a real node: all of it, in time, stamped, with history before and faults on demand."""

import time
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from nautilus_trader.common.actor import Actor
from nautilus_trader.model.data import Bar
from nautilus_trader.model.identifiers import InstrumentId, Venue

from nautilus_metal.errors import InputError
from nautilus_metal.live import ReplayDataClientConfig, ReplayFaults

STEP = 100_000_000


class Probe(Actor):
    """Subscribes to a bar type, and asks for its history."""

    def __init__(self, bar_type, **request):
        super().__init__()
        self.bar_type, self.request = bar_type, request
        self.history, self.answered = [], []

    def on_start(self):
        if self.request:
            start = self.clock.utc_now() - self.request.pop("span", pd.Timedelta("52W"))
            self.request_bars(self.bar_type, start=start, callback=self.answered.append, **self.request)
        self.subscribe_bars(self.bar_type)

    def on_historical_data(self, data):
        self.history.append(data)


def name_of(record) -> str:
    return str(record.bar_type) if isinstance(record, Bar) else f"quote of {record.instrument_id}"


@pytest.fixture
def played(live_run, market):
    """Return a function that plays the market and returns the records that came, and the probe."""

    def play(request=None, **replay):
        records, probe = [], Probe(market.bars[0], **(request or {}))

        def prepare(heard):
            for topic in ("data.bars.*", "data.quotes.*"):
                heard.node.hear(topic, records.append)

        heard = live_run([probe], prepare=prepare, replay=replay)
        assert heard.in_time
        return records, probe

    return play


def test_all_is_sent_in_order_shifted_by_whole_bars_to_end_now(played, market):
    began = time.time_ns()
    records, _ = played()
    source = market.data.between(pd.Timestamp(market.start).value, 2**62)
    assert len(records) == len(source) == 2 * 3 * market.played
    shift = {record.ts_event - original.ts_event for record, original in zip(records, source, strict=True)}
    assert len(shift) == 1
    assert shift.pop() % STEP == 0
    assert began - STEP <= records[-1].ts_event <= time.time_ns()
    assert [name_of(record) for record in records] == [name_of(original) for original in source]


@pytest.mark.parametrize("speed", [1.0, 10.0])
def test_it_takes_its_time_and_no_stamp_is_of_the_future(live_run, market, speed):
    seconds, arrivals = 0.6, []

    def prepare(heard):
        heard.node.hear("data.quotes.*", lambda quote: arrivals.append((time.time_ns(), quote.ts_event)))

    end = pd.Timestamp(market.start) + pd.Timedelta(seconds=seconds * speed)
    heard = live_run([Probe(market.bars[0])], prepare=prepare, replay={"speed": speed, "end": end.isoformat()})
    assert heard.in_time
    assert len(arrivals) == 3 * round(seconds * speed / 0.1)
    assert arrivals[-1][0] - arrivals[0][0] >= (seconds - 0.1) * 0.95e9
    assert all(stamp <= arrival for arrival, stamp in arrivals)


def test_history_ends_where_the_replay_begins(played, market):
    records, probe = played(request={"span": pd.Timedelta("52W")})
    stamps = [bar.ts_event for bar in probe.history]
    first = next(record for record in records if isinstance(record, Bar) and record.bar_type == probe.bar_type)
    assert len(stamps) == 300
    assert set(np.diff([*stamps, first.ts_event]).tolist()) == {STEP}
    assert {bar.bar_type for bar in probe.history} == {probe.bar_type}
    assert len(probe.answered) == 1


def test_history_is_of_the_time_and_number_asked_for(played):
    _, probe = played(request={"limit": 7})
    assert len(probe.history) == 7
    _, probe = played(request={"span": pd.Timedelta("5s")})
    assert 46 <= len(probe.history) <= 51  # some tenths go by between the call and the answer


def test_only_what_is_subscribed_where_that_is_asked_for(played, market):
    records, probe = played(everything=False)
    assert {record.bar_type for record in records} == {probe.bar_type}
    assert len(records) == market.played


def test_original_stamps(played, market):
    records, probe = played(stamps="original", request={"limit": 5})
    source = market.data.between(pd.Timestamp(market.start).value, 2**62)
    assert [record.ts_event for record in records] == [original.ts_event for original in source]
    assert len(probe.history) == 5
    assert probe.history[-1].ts_event < source[0].ts_event


def test_stamps_of_arrival(played):
    began = time.time_ns()
    records, _ = played(stamps="arrival")
    stamps = [record.ts_event for record in records]
    assert stamps == sorted(stamps)
    assert began < stamps[0] < stamps[-1] < time.time_ns()
    assert stamps == [record.ts_init for record in records]


def test_repeats_follow_one_another_in_time(played, market):
    records, probe = played(repeat=3)
    stamps = [each.ts_event for each in records if isinstance(each, Bar) and each.bar_type == probe.bar_type]
    assert len(stamps) == 3 * market.played
    assert set(np.diff(stamps).tolist()) == {STEP}


def test_faults_reach_the_node(played, market):
    whole = 2 * 3 * market.played
    faults = ReplayFaults(gap=0.01, gap_length=5, disorder=0.05, duplicate=0.1, burst=0.02, seed=4)
    records, _ = played(faults=faults)
    again, _ = played(faults=faults)
    keys = [(name_of(record), record.ts_event) for record in records]
    assert len(set(keys)) < min(len(keys), whole)  # some came twice, some not at all
    assert any(later.ts_event < earlier.ts_event for earlier, later in pairwise(records))
    arrivals = [record.ts_init for record in records]
    assert arrivals == sorted(arrivals)
    assert all(record.ts_init >= record.ts_event for record in records)
    assert len(again) == len(records)


def test_a_trading_node_survives_a_bad_feed(live_run, make, market):
    faults = ReplayFaults(gap=0.02, gap_length=10, burst=0.05, disorder=0.1, duplicate=0.1, seed=1)
    heard = live_run([make.risk_actor()], [make.strategy()], replay={"faults": faults})
    assert heard.in_time
    assert len(heard.fills) > 5
    assert heard.reports[-1].uncovered == {}
    assert heard.cached["open"] == 0


def test_instruments_are_in_the_cache_before_the_node_starts_and_can_be_asked_for(live_run, market):
    found = []

    class Asks(Actor):
        def on_start(self):
            name = InstrumentId.from_str(market.instruments[0])
            found.append(self.cache.instrument(name).id)
            self.request_instrument(name, callback=lambda _: found.append("one"))
            self.request_instruments(Venue("SIM"), callback=lambda _: found.append("all"))
            self.subscribe_bars(market.bars[0])

    live_run([Asks()])
    assert sorted(map(str, found[1:])) == ["all", "one"]


def test_a_start_after_all_data_is_refused(live_run):
    with pytest.raises(InputError, match="`start` and `end` must leave something to play"):
        live_run(replay={"start": "2030-01-01"})


def test_what_nobody_asks_for_is_never_sent(live_run):
    heard = live_run(timeout=0.5)
    assert not heard.in_time
    assert heard.node.replays[0].sent == 0


def test_a_config_of_a_catalog_round_trips_through_json():
    config = ReplayDataClientConfig(catalog="x", speed="max", faults=ReplayFaults(gap=0.5))
    assert ReplayDataClientConfig.parse(config.json()) == config
