"""When a replayed feed sends which record."""

import numpy as np
import pytest

from nautilus_metal.errors import InputError
from nautilus_metal.host.replay_schedule import Faults, schedule

TIMES = np.arange(2_000, dtype=np.int64) * 100


def test_without_faults_every_record_comes_once_at_its_time():
    due, index = schedule(TIMES, Faults(), seed=3)
    np.testing.assert_array_equal(due, TIMES)
    np.testing.assert_array_equal(index, np.arange(len(TIMES)))


def test_gaps_lose_whole_stretches_and_nothing_else():
    _, index = schedule(TIMES, Faults(gap=0.01, gap_length=7), seed=3)
    lost = np.setdiff1d(np.arange(len(TIMES)), index)
    assert len(index) + len(lost) == len(TIMES)
    runs = np.split(lost, np.flatnonzero(np.diff(lost) > 1) + 1)
    assert len(runs) > 5
    assert all(len(run) % 7 == 0 for run in runs if run[-1] < len(TIMES) - 1)


def test_bursts_hold_records_back_and_send_them_at_once():
    due, index = schedule(TIMES, Faults(burst=0.01, burst_length=10), seed=3)
    np.testing.assert_array_equal(index, np.arange(len(TIMES)))
    late = np.flatnonzero(due > TIMES)
    assert len(late) > 50
    at, counts = np.unique(due, return_counts=True)
    assert set(counts[:-1].tolist()) == {1, 10}
    assert all(TIMES[due == moment][-1] == moment for moment in at)  # the last of a burst is on time


def test_late_records_are_overtaken_by_as_many_as_asked():
    due, index = schedule(TIMES, Faults(disorder=0.02, disorder_distance=4), seed=3)
    assert sorted(index.tolist()) == list(range(len(TIMES)))
    back = np.flatnonzero(np.diff(index) < 0) + 1
    assert len(back) > 20
    assert max(index[:at].max() - index[at] for at in back) == 4
    assert (due >= TIMES[index]).all()


def test_duplicates_come_twice_in_a_row():
    _, index = schedule(TIMES, Faults(duplicate=0.05), seed=3)
    values, counts = np.unique(index, return_counts=True)
    assert len(values) == len(TIMES)
    assert 60 < (counts == 2).sum() < 140
    assert set(counts.tolist()) == {1, 2}
    assert (np.diff(index) >= 0).all()


def test_all_together_are_sent_in_order_of_time_and_replay_by_seed():
    faults = Faults(gap=0.01, burst=0.01, disorder=0.02, duplicate=0.02)
    first, again, other, later = (schedule(TIMES, faults, *seed) for seed in ((1,), (1,), (2,), (1, 1)))
    assert (np.diff(first[0]) >= 0).all()
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[1], other[1])
    assert not np.array_equal(first[1], later[1])


def test_a_feed_that_loses_all_sends_nothing():
    due, index = schedule(TIMES, Faults(gap=1.0), seed=0)
    assert len(due) == len(index) == 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"gap": -0.1}, "`gap` must be a chance from 0 to 1, was -0.1"),
        ({"duplicate": 1.5}, "`duplicate` must be a chance from 0 to 1, was 1.5"),
        ({"disorder": float("nan")}, "`disorder` must be a chance"),
        ({"burst_length": 0}, "`burst_length` must be at least 1 record, was 0"),
    ],
)
def test_wrong_faults_are_refused(settings, words):
    with pytest.raises(InputError, match=words):
        Faults(**settings)
