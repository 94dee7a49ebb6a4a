"""What survives a restart: the first report after it is the one that there would have been without it."""

import json

import numpy as np
import pytest

from nautilus_metal.actors import RiskActor, RiskActorConfig
from nautilus_metal.actors.risk_state import RiskState, pack, unpack
from nautilus_metal.errors import InputError

A, B = "AAA.XNYS", "BBB.XNYS"
DAYS, CUT = 90, 60
SMALL = {"window": 40, "min_observations": 20, "levels": (0.95,), "warm_up": False, "var_limit": {0.95: 10.0}}


def actor(daily, **options) -> RiskActor:
    return RiskActor(RiskActorConfig(bar_types=(daily(A), daily(B)), **(SMALL | options)))


def fed(system, script, walks, risk, days=slice(None)):
    run = system()
    for name, closes in walks.items():
        run.add(name, closes[days], first_day=1 + (days.start or 0))
    run.run([risk], [script({A: {1: 10}, B: {1: -5}})])
    return run


@pytest.fixture
def walks(random_walk):
    return {A: random_walk(1, DAYS), B: random_walk(2, DAYS)}


@pytest.mark.parametrize("model", ["normal", "filtered_historical"])
@pytest.mark.parametrize("route", ["host", "file"])
def test_reports_after_a_restart_are_those_without_one(system, script, walks, daily, tmp_path, model, route):
    kept = {"state_path": str(tmp_path / "risk" / "state")} if route == "file" else {}
    whole = fed(system, script, walks, actor(daily, model=model))
    before, after = actor(daily, model=model, **kept), actor(daily, model=model, **kept)
    fed(system, script, walks, before, slice(0, CUT))
    if route == "host":
        after.on_load(before.on_save())
    restarted = fed(system, script, walks, after, slice(CUT, DAYS))
    expected = {report.ts_event: report for report in whole.reports}
    assert len(restarted.reports) == DAYS - CUT
    for report in restarted.reports[1:]:  # on the first day the position is bought anew
        assert report.levels == expected[report.ts_event].levels
        assert report.positions == expected[report.ts_event].positions


def test_a_limit_that_was_broken_is_not_broken_anew(system, script, walks, daily):
    before, after = actor(daily), actor(daily)
    first = fed(system, script, walks, before, slice(0, CUT))
    assert [breach.state for breach in first.breaches] == ["breach"]
    after.on_load(before.on_save())
    assert fed(system, script, walks, after, slice(CUT, DAYS)).breaches == []


def wrong_checksum(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


BROKEN = {
    "not a state": (lambda data: b"something else", "RiskActor's"),
    "empty": (lambda data: b"", "RiskActor's"),
    "cut short": (lambda data: data[:20], "RiskActor's"),
    "another version": (lambda data: data[:4] + b"\x00\x63" + data[6:], "version 1, was of 99"),
    "damaged": (wrong_checksum, "checksum"),
    "of other bars": (
        lambda data: pack(RiskState(unpack(data).window, unpack(data).memory | {"bars": "1-HOUR-LAST-EXTERNAL"})),
        "1-HOUR-LAST-EXTERNAL",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_foreign_or_broken_state_is_not_used(system, script, walks, daily, case):
    spoil, _ = BROKEN[case]
    before, after = actor(daily), actor(daily)
    fed(system, script, walks, before, slice(0, CUT))
    system().engine.add_actor(after)
    after.on_load({RiskActor.state_key: spoil(before.on_save()[RiskActor.state_key])})
    assert after._bars.window.prices == {}
    assert after._watch.broken == set()
    assert before._watch.broken != set()


def test_a_state_is_refused_with_a_reason():
    data = pack(RiskState({"logs": np.zeros((1, 2))}, {"bars": "x"}))
    for spoil, words in (row for name, row in BROKEN.items() if name != "of other bars"):
        with pytest.raises(InputError, match=words):
            unpack(spoil(data))


def test_no_state_can_run_code():
    """Arrays of objects would be pickles: they are neither written nor read."""
    with pytest.raises(ValueError, match="allow_pickle"):
        unpack(pack(RiskState({"logs": np.array([{}], dtype=object)}, {})))


def test_a_state_goes_through_bytes(system, script, walks, daily):
    one = actor(daily)
    fed(system, script, walks, one)
    state = unpack(one.on_save()[RiskActor.state_key])
    again = unpack(pack(state))
    assert json.dumps(again.memory, sort_keys=True) == json.dumps(state.memory, sort_keys=True)
    for name, array in state.window.items():
        np.testing.assert_array_equal(again.window[name], array)
