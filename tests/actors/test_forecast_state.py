"""What a ForecastActor keeps: forecasts after a restart are those that there would have been without one."""

import numpy as np
import pytest
from nautilus_trader.model.data import BarType

from nautilus_metal.actors import ForecastActor, ForecastActorConfig
from nautilus_metal.actors.forecast import _ENVELOPE
from nautilus_metal.errors import InputError
from nautilus_metal.messages import FORECAST_TOPIC
from tests.actors.forecast_cases import RECIPE, save
from tests.live.conftest import live_run, market  # noqa: F401  (fixtures)

A, B = "AAA.XNYS", "BBB.XNYS"
DAYS, CUT = 60, 40


@pytest.fixture
def walks(random_walk):
    return {A: random_walk(1, DAYS), B: random_walk(2, DAYS)}


@pytest.fixture
def actor(daily, tmp_path):
    path = save(tmp_path / "one.pt")

    def make(names=(A, B), **settings) -> ForecastActor:
        bar_types = settings.pop("bar_types", tuple(map(daily, names)))
        return ForecastActor(ForecastActorConfig(checkpoint=path, bar_types=bar_types, warm_up=False, **settings))

    return make


@pytest.fixture
def heard(system, walks):
    """Run an actor over some days; return what it has published."""

    def run(one, days=slice(None)) -> list:
        made, messages = system(), []
        for name, closes in walks.items():
            made.add(name, closes[days], 1 + (days.start or 0))
        made.engine.kernel.msgbus.subscribe(FORECAST_TOPIC, messages.append)
        made.run([one])
        return messages

    return run


@pytest.mark.parametrize("route", ["host", "file"])
def test_forecasts_after_a_restart_are_those_without_one(actor, heard, tmp_path, route):
    kept = {"state_path": str(tmp_path / "kept" / "forecast")} if route == "file" else {}
    whole = heard(actor())
    before, after = actor(**kept), actor(**kept)
    heard(before, slice(0, CUT))
    if route == "host":
        after.on_load(before.on_save())
    again = heard(after, slice(CUT, DAYS))
    assert len(again) == DAYS - CUT
    assert [(m.ts_event, m.forecasts, m.uncovered) for m in again] == [
        (m.ts_event, m.forecasts, m.uncovered) for m in whole[CUT:]
    ]
    assert set(again[0].forecasts) == {A, B}


def test_only_instruments_that_are_asked_for_are_taken(actor, heard, walks):
    before, after = actor(), actor((A,))
    heard(before, slice(0, CUT))
    after.on_load(before.on_save())
    assert not after._windows.full(B)
    np.testing.assert_array_equal(after._windows.bars(A)[3], walks[A][CUT - RECIPE.needed : CUT])


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda data: b"something else", "must be a ForecastActor's"),
        (lambda data: b"NMRA" + data[4:], "must be a ForecastActor's"),
        (lambda data: data[:4] + b"\x00\x63" + data[6:], "version 1, was of 99"),
        (lambda data: data[:20], "must be a ForecastActor's"),
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "damaged"),
    ],
)
def test_a_foreign_or_broken_state_is_refused_with_a_reason(actor, heard, system, spoil, reason):
    before, after = actor(), actor()
    heard(before, slice(0, CUT))
    system().engine.add_actor(after)
    spoiled = spoil(before.on_save()[before.state_key])
    after.on_load({after.state_key: spoiled})  # warns
    assert not after._windows.full(A)
    with pytest.raises(InputError, match=reason):
        _ENVELOPE.unpack(spoiled)


def test_a_state_of_other_bars_is_refused(actor, heard, system):
    before = actor()
    heard(before, slice(0, CUT))
    after = actor(bar_types=(BarType.from_str(f"{A}-1-HOUR-LAST-EXTERNAL"),))
    system().engine.add_actor(after)
    after.on_load(before.on_save())
    assert not after._windows.full(A)


def test_a_restarted_node_forecasts_from_its_first_bar(live_run, market, tmp_path):  # noqa: F811
    """The second node asks for no history: what it forecasts with is the first one's."""
    path, kept = save(tmp_path / "one.pt"), str(tmp_path / "forecast.state")

    def played(**settings) -> list:
        messages = []
        one = ForecastActor(
            ForecastActorConfig(checkpoint=path, bar_types=tuple(market.bars), state_path=kept, **settings)
        )

        def prepare(run):
            run.node.node.trader.add_actor(one)
            run.node.hear(FORECAST_TOPIC, messages.append)

        assert live_run([], [], prepare=prepare, replay={"speed": 4.0}).in_time
        return messages

    first, second = played(), played(warm_up=False)
    assert not any(message.uncovered for message in first + second)
    assert set(second[0].forecasts) <= set(market.instruments)
    assert second[0].forecasts
