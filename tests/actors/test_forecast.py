"""The ForecastActor in backtests: the model's own numbers, one inference for a time stamp, nothing seen twice."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from nautilus_trader.config import ImportableActorConfig
from nautilus_trader.model.data import BarType
from nautilus_trader.persistence.catalog import ParquetDataCatalog
from nautilus_trader.persistence.config import DataCatalogConfig

from nautilus_metal.actors import ForecastActor, ForecastActorConfig, MetalEngineActor, MetalEngineConfig
from nautilus_metal.actors.forecast_windows import BarWindows
from nautilus_metal.errors import InputError
from nautilus_metal.messages import ENGINE_EVENT_TOPIC, FORECAST_TOPIC
from nautilus_metal.models import Recipe, load_checkpoint
from tests.actors.forecast_cases import RECIPE, save
from tests.actors.pretender import FaultAt, Pretender
from tests.small_system import DAY

A, B, C = "AAA.XNYS", "BBB.XNYS", "CCC.XNYS"
DAYS = 60


@pytest.fixture
def play(system, random_walk, daily, tmp_path, device):
    """Run an actor on histories, each of which may begin on a later day; return forecasts, actor and system."""

    def run(histories=None, kind="lstm", inject=None, on=device, **facts):
        histories = histories or {A: (random_walk(1, DAYS), 1), B: (random_walk(2, DAYS), 1)}
        path = save(tmp_path / f"{kind}.pt", kind, **facts)
        one, heard = system(), []
        for name, (closes, first) in histories.items():
            one.add(name, closes, first)
        chosen = MetalEngineActor(MetalEngineConfig(device=on))
        actor = ForecastActor(ForecastActorConfig(checkpoint=path, bar_types=tuple(map(daily, histories))))
        for each in (chosen, actor):
            one.engine.add_actor(each)
        if inject:
            inject(chosen.engine, actor)
        one.engine.kernel.msgbus.subscribe(FORECAST_TOPIC, heard.append)
        one.engine.run()
        return heard, actor, one

    return run


def by_hand(path, closes, day, horizon=1):
    """Forecast from closes alone, in NumPy but for the network: standardised returns of the window, and the scale."""
    log = np.log(closes[:day])
    returns, week = np.diff(log), log[5:] - log[:-5]

    def standard(series, t):
        past = series[t - 10 : t]
        return np.clip((series[t] - past.mean()) / past.std(), -8, 8)

    steps = [[standard(returns, len(returns) - k), standard(week, len(week) - k)] for k in (4, 3, 2, 1)]
    network = load_checkpoint(path).network()
    value = network(torch.tensor([steps], dtype=torch.float32)).item()
    scale = returns[-10:].std() * horizon**0.5
    return value * scale, scale


@pytest.mark.parametrize(("kind", "horizon"), [("lstm", 1), ("transformer", 5)])
def test_a_forecast_is_the_networks_own_on_the_closes_so_far(play, tmp_path, random_walk, kind, horizon, device):
    heard, actor, _ = play(kind=kind, horizon=horizon)
    path, closes = tmp_path / f"{kind}.pt", {A: random_walk(1, DAYS), B: random_walk(2, DAYS)}
    assert len(heard) == DAYS
    for day in range(RECIPE.needed, DAYS + 1, 9):
        message = heard[day - 1]
        assert (message.ts_event, message.ts_init) == (day * DAY, day * DAY + (day < DAYS))
        for name, history in closes.items():
            value, scale = by_hand(path, history, day, horizon)
            row = message.forecasts[name]
            assert row["value"] == pytest.approx(value, rel=1e-3, abs=1e-7)
            assert row["volatility"] == pytest.approx(scale, rel=1e-9)
            assert (row["price"], row["closed_at"]) == (history[day - 1], day * DAY)
    last = heard[-1]
    assert (last.source, last.model, last.horizon) == (str(actor.id), kind, horizon)
    assert last.checkpoint == hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
    assert last.device == device
    assert last.milliseconds > 0
    assert actor.last_forecast is last


def test_instruments_that_close_together_are_one_inference(play, random_walk):
    """A third instrument begins later: it is in the same inference from the day on which it has enough bars."""
    batches = []

    def watch(_, actor):
        infer = actor._infer
        actor._infer = lambda inputs, engine: (batches.append(list(inputs.names)), infer(inputs, engine))[1]

    histories = {A: (random_walk(1, DAYS), 1), B: (random_walk(2, DAYS), 1), C: (random_walk(3, 40), 21)}
    heard, _, _ = play(histories, inject=watch)
    days = DAYS - RECIPE.needed + 1
    assert len(batches) == days
    assert [sorted(names) for names in batches] == [[A, B]] * 20 + [[A, B, C]] * (days - 20)
    assert [len(message.forecasts) for message in heard[RECIPE.needed - 1 :]] == [2] * 20 + [3] * (days - 20)
    assert heard[30].uncovered == {C: f"11 of {RECIPE.needed} bars of history"}


def test_inference_is_placed_as_the_recurrence_that_it_is(play):
    """By the gates of all steps of all windows, what `placement_measure` measures a recurrence by."""
    asked = []

    def watch(engine, _):
        choose = engine.engine_for
        engine.engine_for = lambda kind, elements: (asked.append((kind, elements)), choose(kind, elements))[1]

    play(inject=watch)
    assert set(asked) == {("recurrent", 2 * RECIPE.length * 4 * 8)}


def test_too_little_history_is_uncovered_and_no_inference(play):
    heard, _, _ = play()
    early = heard[RECIPE.needed - 2]
    short = f"{RECIPE.needed - 1} of {RECIPE.needed} bars of history"
    assert (early.forecasts, early.uncovered) == ({}, {A: short, B: short})
    assert (early.device, early.milliseconds) == (None, None)
    assert heard[RECIPE.needed - 1].uncovered == {}


def test_a_bar_that_the_model_was_trained_on_is_not_forecast(play):
    heard, _, _ = play(trained_to=40 * DAY)
    assert heard[39].uncovered == dict.fromkeys((A, B), "the model was trained on this bar")
    assert not any(message.forecasts for message in heard[:40])
    assert set(heard[40].forecasts) == {A, B}


def test_an_instrument_without_a_bar_is_not_in_the_forecast(play, random_walk):
    heard, _, _ = play({A: (random_walk(1, DAYS), 1), B: (random_walk(2, 30), 1)})
    assert set(heard[29].forecasts) == {A, B}
    assert set(heard[30].forecasts) == {A}
    assert heard[30].uncovered == {}


def test_the_future_changes_no_forecast_before_it(play, random_walk):
    one = {A: (random_walk(1, DAYS), 1), B: (random_walk(2, DAYS), 1)}
    other = {name: (np.concatenate([closes[:40], closes[40:] * 1.5]), 1) for name, (closes, _) in one.items()}
    first, second = play(one)[0], play(other)[0]
    assert [m.forecasts for m in first[:40]] == [m.forecasts for m in second[:40]]
    assert first[40].forecasts != second[40].forecasts


def test_reset_and_a_second_run_give_the_same_forecasts(play):
    heard, _, one = play()
    rows = [message.forecasts for message in heard]
    heard.clear()
    one.engine.reset()
    one.engine.run()
    assert [message.forecasts for message in heard] == rows


def test_a_fault_at_every_call_of_an_inference_loses_no_forecast(play):
    """A pretended GPU fails at the first operator of the first inference, at the second of the second, and so on."""
    undisturbed, _, _ = play(on="cpu")
    faults, events = [], []

    def inject(engine, actor):
        engine._compute = Pretender()
        infer = actor._infer

        def failing(inputs, where):
            if not isinstance(where, Pretender):
                return infer(inputs, where)
            with FaultAt(len(faults)) as fault:
                faults.append(fault)
                pretended, where.device = where.device, torch.device("cpu")  # where the network's copy really is
                try:
                    return infer(inputs, where)
                finally:
                    where.device = pretended

        actor._infer = failing
        engine.health.probe = lambda: None
        engine.engine_for = lambda kind, elements: engine._compute
        actor.msgbus.subscribe(ENGINE_EVENT_TOPIC, events.append)

    disturbed, _, _ = play(inject=inject, on="cpu")
    assert sum(fault.fired for fault in faults) > 5
    for one, two in zip(undisturbed, disturbed, strict=True):
        assert one.uncovered == two.uncovered
        for name, row in one.forecasts.items():
            assert two.forecasts[name] == pytest.approx(row, rel=1e-6)
    assert events[0].state == "degraded"


def test_history_from_the_catalog_warms_it_up(system, random_walk, daily, make_equity, make_bars, tmp_path):
    """With 40 days in a catalog, the first bar of the run is forecast."""
    closes, instrument = random_walk(1, DAYS), make_equity(A)
    store = ParquetDataCatalog(str(tmp_path / "catalog"))
    store.write_data(make_bars(instrument, closes[:40]))
    one, heard = system(catalogs=[DataCatalogConfig(path=str(tmp_path / "catalog"))]), []
    one.add(A, closes[40:], 41)
    one.engine.kernel.msgbus.subscribe(FORECAST_TOPIC, heard.append)
    path = save(tmp_path / "one.pt")
    one.run([ForecastActor(ForecastActorConfig(checkpoint=path, bar_types=(daily(A),)))])
    value, _ = by_hand(path, closes, 41)
    assert heard[0].forecasts[A]["value"] == pytest.approx(value, rel=1e-3, abs=1e-7)


def test_it_comes_from_configuration_alone(system, random_walk, daily, tmp_path):
    room = "nautilus_metal.actors:"
    config = {"checkpoint": save(tmp_path / "one.pt"), "bar_types": [str(daily(A))]}
    actor = ImportableActorConfig(room + "ForecastActor", room + "ForecastActorConfig", config)
    one, heard = system(actors=[actor]), []
    one.engine.kernel.msgbus.subscribe(FORECAST_TOPIC, heard.append)
    one.add(A, random_walk(1, DAYS)).run()
    assert len(heard) == DAYS


def test_windows_take_bars_in_any_order_once(make_equity, make_bars, random_walk):
    closes = random_walk(1, 12)
    made = make_bars(make_equity(A), closes)
    windows = BarWindows(8, 4)
    for number in (6, 7, 5, 11, 3, 4, 8, 10, 9, 7, 2):
        windows.take(made[number])
    assert windows.problem(A) is None
    np.testing.assert_array_equal(windows.bars(A)[3], closes[4:])
    assert windows.close(A) == closes[-1]
    assert windows.problem(B) == "0 of 8 bars of history"


def test_a_price_that_has_no_logarithm_is_uncovered(make_equity, make_bars, random_walk):
    closes = random_walk(1, 8)
    closes[3] = 0.0
    windows = BarWindows(8, 4)
    for bar in make_bars(make_equity(A), closes):
        windows.take(bar)
    assert windows.problem(A) == "a price of 0 in its window"


def test_a_price_that_stands_still_is_uncovered(make_equity, make_bars):
    windows = BarWindows(8, 4)
    for bar in make_bars(make_equity(A), np.array([1.0, 2.0, 3.0] + [4.0] * 5)):
        windows.take(bar)
    assert windows.problem(A) == "no change of price in 4 bars"


@pytest.mark.parametrize(
    ("change", "argument"),
    [
        ({"bar_types": ()}, "bar_types"),
        ({"twice": True}, "bar_types"),
        ({"missing": True}, "checkpoint"),
        ({"recipe": None}, "checkpoint"),
        ({"recipe": Recipe(("return",), 10, 4)}, "checkpoint"),
        ({"outputs": 2}, "checkpoint"),
    ],
)
def test_a_wrong_setting_is_refused_at_construction(tmp_path, daily, change, argument):
    kept = {key: change.pop(key) for key in ("recipe", "outputs") if key in change}
    path = save(tmp_path / "one.pt", **kept)
    if change.pop("missing", False):
        path += ".none"
    bar_types = (daily(A),)
    if change.pop("twice", False):
        bar_types += (BarType.from_str(f"{A}-1-HOUR-LAST-EXTERNAL"),)
    with pytest.raises(InputError, match=f"`{argument}` must"):
        ForecastActor(ForecastActorConfig(**{"checkpoint": path, "bar_types": bar_types} | change))
