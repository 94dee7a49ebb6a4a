"""The soak: what it measures on a real node, and that it fails on what grows."""

from dataclasses import replace

import numpy as np
import pytest

from nautilus_metal.errors import InputError
from nautilus_metal.live import Latencies, Sample, Soak, Window, grown, soak_rows, windows

STEADY = Window(1_000, 500.0, 20, 5, (0.1, 2.0), (5.0, 20.0), (0.5, 4.0))


def samples(count: int = 50, memory: float = 0.0, handles: int = 0) -> tuple[list[Sample], Latencies]:
    """Make samples of 100 ticks, 2 reports and 10 beats each, with a growth of memory and handles per sample."""
    latencies = Latencies(100 * count)
    latencies.ticks[:] = np.arange(100 * count) / 1e3
    latencies.reports.extend([7.0] * (2 * count))
    return [
        Sample(100 * i, 2 * i, 0, 500.0 + memory * i, 20 + handles * i, 5) for i in range(1, count + 1)
    ], latencies


def test_windows_are_the_first_the_middle_and_the_last_fifth():
    start, middle, end = windows(*samples(memory=1.0))
    assert [window.ticks for window in (start, middle, end)] == [1_000, 3_000, 5_000]
    assert [window.memory for window in (start, middle, end)] == [505.5, 525.5, 545.5]
    assert middle.tick_ms == pytest.approx((2.5495, 2.991), abs=1e-3)
    assert middle.report_ms == (7.0, 7.0)
    assert middle.lag_ms is None


def test_nothing_grows_in_a_steady_run():
    _, middle, end = windows(*samples(memory=0.1))
    assert grown(middle, replace(end, tick_ms=middle.tick_ms)) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"memory": 530.0}, "memory grew from 500.0 to 530.0 MiB"),
        ({"handles": 21}, "handles grew from 20 to 21"),
        ({"threads": 6}, "threads grew from 5 to 6"),
        ({"tick_ms": (2.0, 3.0)}, "median latency of ticks grew from 0.10 to 2.00 ms"),
        ({"report_ms": (5.0, 60.0)}, "99th percentile latency of reports grew from 20.00 to 60.00 ms"),
        ({"lag_ms": (3.0, 4.0)}, "median latency of the loop grew from 0.50 to 3.00 ms"),
    ],
)
def test_each_growth_is_found_by_itself(change, words):
    assert grown(STEADY, replace(STEADY, **change)) == [words]
    assert grown(replace(STEADY, **change), STEADY) == []


def test_a_run_too_short_is_said():
    with pytest.raises(InputError, match="at least 15 samples"):
        windows(*samples(count=14))


def test_a_node_is_watched_while_it_runs(live_run, make):
    made = []

    def prepare(heard):
        made.append(Soak(heard.node))
        made[0].latencies = Latencies(10**6)

    heard = live_run(
        [make.risk_actor()],
        [make.strategy()],
        prepare=prepare,
        until=lambda heard: made[0].watch() or len(made[0].samples) >= 16,
        replay={"repeat": 1_000, "speed": "max"},
    )
    assert heard.in_time
    watched = made[0]
    start, middle, end = parts = watched.windows()
    assert 0 < start.ticks < middle.ticks < end.ticks <= watched.ticks
    assert watched.ticks > 1_000
    assert watched.fills == len(heard.fills)
    assert len(watched.latencies.reports) == len(heard.reports) > 20
    assert min(watched.latencies.reports) >= 0.0
    ticks = watched.latencies.ticks[: watched.ticks]
    assert np.isfinite(ticks).all()
    assert ticks.min() > 0.0
    assert len(watched.latencies.beats) > 10
    assert min(end.memory, end.handles, end.threads) > 0
    rows = soak_rows(parts)
    assert {len(row) for row in rows} == {4}
    assert rows[1] == ("ticks so far", *(f"{part.ticks:,}" for part in parts))


def test_a_node_without_a_replay_is_refused(live_run, make):
    def prepare(heard):
        heard.node.replays.clear()
        Soak(heard.node)

    with pytest.raises(InputError, match="must be of a node with a replay client"):
        live_run(prepare=prepare)
