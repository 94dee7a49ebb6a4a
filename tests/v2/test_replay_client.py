"""What a replay sends into a real node of v2: all of it, in order, stamped, with history before and faults."""

import time
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from nautilus_trader.adapters.sandbox import SandboxExecutionClientConfig, SandboxExecutionClientFactory
from nautilus_trader.live import DataClientConfig, LiveNodeBuilder, LiveNodeConfig
from nautilus_trader.live.clients import MarketDataClient
from nautilus_trader.model import Bar, BarType, InstrumentId, Money, Venue
from nautilus_trader.persistence import ParquetDataCatalog

from nautilus_metal.errors import InputError
from nautilus_metal.host import Actor
from nautilus_metal.live import LiveNode, ReplayData, ReplayDataClientConfig, ReplayFaults, node_config
from tests.v2.replay_market import BARS, HISTORY, NAMES, PLAYED, START, data, settings

STEP = 100_000_000
WHOLE = 2 * len(NAMES) * PLAYED
DATA = ("data.bars.*", "data.quotes.*")


class Probe(Actor):
    """Subscribes to a bar type, and asks for its history."""

    def __init__(self, request=None, asks=False):
        super().__init__()
        self.kind, self.request, self.asks = BarType.from_str(BARS[0]), request, asks
        self.history, self.instruments, self.known = [], [], None

    def on_start(self):
        name = InstrumentId.from_str(NAMES[0])
        self.known = self.cache.instrument(name)
        if self.request is not None:
            span = self.request.pop("span", pd.Timedelta("52W"))
            self.request_bars(self.kind, start=self.clock.utc_now() - span, **self.request)
        if self.asks:
            self.request_instrument(name)
            self.request_instruments(Venue("SIM"))
        self.subscribe_bars(self.kind)

    def on_historical_data(self, data):
        self.history.append(data)

    def on_instrument(self, instrument):
        self.instruments.append(str(instrument.id))


def name_of(record) -> str:
    return str(record.bar_type) if isinstance(record, Bar) else f"quote of {record.instrument_id}"


@pytest.fixture
def played():
    """Return a function that plays the market and returns the records that came, and the probe."""

    def play(probe=None, hears=DATA, seconds=20.0, **replay):
        wanted = settings(strategies=[], metal={"engine": {"device": "cpu"}})
        wanted["data_clients"]["REPLAY"]["config"] |= replay
        records, probe = [], probe or Probe()
        with LiveNode(node_config(wanted)) as node:
            node.node.add_actor(probe)
            for topic in hears:
                node.hear(topic, records.append)
            in_time = node.run(timeout=seconds)
            sent = node.replays[0].sent
        return records, probe, in_time, sent

    return play


def test_all_is_sent_in_order_shifted_by_whole_bars_to_end_now(played):
    began = time.time_ns()
    records, probe, in_time, sent = played()
    source = data().between(START.value, 2**62)
    assert in_time
    assert len(records) == len(source) == sent == WHOLE
    shift = {record.ts_event - original.ts_event for record, original in zip(records, source, strict=True)}
    assert len(shift) == 1
    assert shift.pop() % STEP == 0
    assert began - STEP <= records[-1].ts_event <= time.time_ns()
    assert [name_of(record) for record in records] == [name_of(original) for original in source]
    assert probe.known is not None, "an instrument is not in the cache when actors start: see v2_replay._connect"


def test_it_takes_its_time_and_no_stamp_is_of_the_future(played):
    seconds, speed = 0.6, 4.0
    end = START + pd.Timedelta(seconds=seconds * speed)
    began = time.time()
    records, _, in_time, _ = played(speed=speed, end=end.isoformat())
    assert in_time
    assert len(records) == 2 * len(NAMES) * round(seconds * speed / 0.1)
    assert time.time() - began >= seconds
    assert max(record.ts_event for record in records) <= time.time_ns()


def test_history_ends_where_the_replay_begins(played):
    records, probe, _, _ = played(Probe({}))
    stamps = [bar.ts_event for bar in probe.history]
    first = next(one for one in records if isinstance(one, Bar) and one.bar_type == probe.kind)
    assert len(stamps) == HISTORY
    assert set(np.diff([*stamps, first.ts_event]).tolist()) == {STEP}
    assert {bar.bar_type for bar in probe.history} == {probe.kind}


def test_history_is_of_the_number_and_the_time_asked_for(played):
    assert len(played(Probe({"limit": 7}))[1].history) == 7
    soon = (START + pd.Timedelta("300ms")).isoformat()
    _, probe, _, _ = played(Probe({"span": pd.Timedelta("5s")}), speed=1.0, end=soon)
    assert 40 <= len(probe.history) <= 51  # some tenths go by between the call and the answer


def test_the_host_drops_history_that_is_stamped_before_the_time_asked_for(played):
    """At full speed the replay's present is stamped earlier than now, and v2 itself looks at the stamps."""
    _, probe, _, _ = played(Probe({"span": pd.Timedelta("5s")}))
    assert probe.history == [], "v2 takes bars from before the start asked for: see the README on history"


def test_only_what_is_subscribed_where_that_is_asked_for(played):
    assert played(hears=(), everything=False)[3] == PLAYED


def test_original_stamps(played):
    records, probe, _, _ = played(Probe({"limit": 5, "span": pd.Timedelta("520W")}), stamps="original")
    source = data().between(START.value, 2**62)
    assert [record.ts_event for record in records] == [original.ts_event for original in source]
    assert probe.history[-1].ts_event < source[0].ts_event


def test_stamps_of_arrival(played):
    began = time.time_ns()
    stamps = [record.ts_event for record in played(stamps="arrival")[0]]
    assert stamps == sorted(stamps)
    assert began < stamps[0] < stamps[-1] < time.time_ns()


def test_repeats_follow_one_another_in_time(played):
    records, probe, _, _ = played(repeat=3)
    stamps = [each.ts_event for each in records if isinstance(each, Bar) and each.bar_type == probe.kind]
    assert len(stamps) == 3 * PLAYED
    assert set(np.diff(stamps).tolist()) == {STEP}


def test_faults_reach_the_node(played):
    faults = {"gap": 0.01, "gap_length": 5, "disorder": 0.05, "duplicate": 0.1, "burst": 0.02, "seed": 4}
    records, _, _, sent = played(faults=faults)
    keys = [(name_of(record), record.ts_event) for record in records]
    assert len(set(keys)) < min(len(keys), WHOLE)  # some came twice, some not at all
    assert any(later.ts_event < earlier.ts_event for earlier, later in pairwise(records))
    assert all(record.ts_init >= record.ts_event for record in records)
    assert len(records) == sent


def test_instruments_can_be_asked_for(played):
    _, probe, _, _ = played(Probe(asks=True))
    assert sorted(set(probe.instruments)) == list(NAMES)


def test_what_nobody_asks_for_is_never_sent(played):
    class Silent(Probe):
        def on_start(self):
            pass

    _, _, in_time, sent = played(Silent(), hears=(), seconds=0.5)
    assert (in_time, sent) == (False, 0)


def test_a_start_after_all_data_is_refused(played):
    with pytest.raises(Exception, match="`start` and `end` must leave something to play"):
        played(start="2030-01-01")


def test_a_config_takes_what_a_file_has():
    made = ReplayDataClientConfig(catalog="x", speed="max", faults={"gap": 0.5}, routing={"venues": ["SIM"]})
    assert made.faults == ReplayFaults(gap=0.5)
    assert (made.routing.default, made.routing.venues) == (False, ["SIM"])
    assert ReplayDataClientConfig(catalog="x").routing.default
    with pytest.raises(InputError, match="`faults` of ReplayDataClientConfig must be ReplayFaults"):
        ReplayDataClientConfig(catalog="x", faults={"gaap": 0.5})


def written_to(folder) -> ReplayData:
    written = data(bars=20)
    catalog = ParquetDataCatalog(str(folder))
    catalog.write_instruments(list(written.instruments))
    for name in sorted(set(map(name_of, written.records))):  # each kind by itself
        records = [one for one in written.records if name_of(one) == name]
        (catalog.write_bars if name in BARS else catalog.write_quote_ticks)(records)
    return written


def test_a_catalog_gives_what_was_written(tmp_path):
    written = written_to(tmp_path)
    read = ReplayData.from_catalog(str(tmp_path))
    assert read.times.tolist() == written.times.tolist()
    assert sorted(map(str, read.records)) == sorted(map(str, written.records))
    assert read.interval == STEP
    one = ReplayData.from_catalog(str(tmp_path), [BarType.from_str(BARS[1])], [InstrumentId.from_str(NAMES[1])])
    assert {name_of(record) for record in one.records} == {BARS[1], f"quote of {NAMES[1]}"}
    for path, names in ((tmp_path, [InstrumentId.from_str("ZZZ.SIM")]), (tmp_path / "nowhere", [])):
        with pytest.raises(InputError, match="`catalog` must hold the instruments of the replay"):
            ReplayData.from_catalog(str(path), (), names)
    assert not (tmp_path / "nowhere").exists()


def test_a_replay_from_a_catalog_runs(played, tmp_path):
    written_to(tmp_path)
    assert played(source=None, catalog=str(tmp_path), start=None, hears=())[3] == 2 * len(NAMES) * 20


def test_the_client_s_own_facts_of_v2():
    hint = "a data client can stop its node now: v2_replay need not be looked at by LiveNode"
    assert not hasattr(MarketDataClient, "shutdown_system"), hint
    assert not hasattr(MarketDataClient, "_msgbus"), hint
    hint = "v2's config of a client has changed: see LiveDataClientConfig in host.v2_records"
    assert {"handle_revised_bars", "instrument_provider", "routing"} <= set(vars(DataClientConfig)), hint


def test_the_sandbox_still_needs_its_fees_said():
    client = SandboxExecutionClientConfig(Venue("SIM"), [Money.from_str("1 USD")])
    builder = LiveNodeBuilder.from_config("A", LiveNodeConfig())
    with pytest.raises(RuntimeError, match="fee_model") as caught:
        builder.add_simulated_exec_client("SIM", SandboxExecutionClientFactory(), client).build()
    assert caught.value, "the sandbox has fees of its own now: see _sandbox in host.v2_node_keys"
