"""The ValidationActor in real backtests: the right loss beside the right figure, alarm, switch, restart."""

from datetime import date

import numpy as np
import pytest
from nautilus_trader.backtest.config import (
    BacktestDataConfig,
    BacktestEngineConfig,
    BacktestRunConfig,
    BacktestVenueConfig,
)
from nautilus_trader.backtest.node import BacktestNode
from nautilus_trader.config import ImportableActorConfig, LoggingConfig
from nautilus_trader.model.data import Bar
from nautilus_trader.persistence.catalog import ParquetDataCatalog

from backtests._data import us_indices
from nautilus_metal.actors import RiskActor, RiskActorConfig, ValidationActor, ValidationActorConfig
from nautilus_metal.actors.validation import _ENVELOPE
from nautilus_metal.errors import InputError
from nautilus_metal.messages import MODEL_SWITCH_TOPIC, MODEL_VERDICT_TOPIC
from nautilus_metal.report.series import clean_pnl, collect
from nautilus_metal.risk.validation import e_process, score
from tests.small_system import DAY, bar_type

A, B = "AAA.XNYS", "BBB.XNYS"
DAYS, CUT = 110, 70
SMALL = {"window": 40, "min_observations": 20, "levels": (0.9, 0.95), "model": "normal", "scenarios": 500}
QUICK = {"window": 20}


def risk(*names, **options) -> RiskActor:
    return RiskActor(RiskActorConfig(bar_types=tuple(map(bar_type, names)), **(SMALL | {"warm_up": False} | options)))


def validation(**options) -> ValidationActor:
    return ValidationActor(ValidationActorConfig(**(QUICK | options)))


def hear(run):
    """Collect a system's verdicts and switches."""
    run.verdicts, run.switches = [], []
    run.engine.kernel.msgbus.subscribe(MODEL_VERDICT_TOPIC, run.verdicts.append)
    run.engine.kernel.msgbus.subscribe(MODEL_SWITCH_TOPIC, run.switches.append)
    return run


@pytest.fixture
def walks(random_walk):
    return {A: random_walk(1, DAYS), B: random_walk(2, DAYS)}


def played(system, script, walks, actors, orders=None, days=slice(None)):
    run = hear(system())
    for name, closes in walks.items():
        run.add(name, closes[days], first_day=1 + (days.start or 0))
    return run.run(actors, [script(orders or {A: {1: 100}, B: {1: -40}})])


def facts(verdicts):
    """All that a verdict says but when it was made and how long it took."""
    rows = [verdict.to_dict() for verdict in verdicts]
    return [{name: row[name] for name in row if name not in ("milliseconds", "ts_init")} for row in rows]


def by_hand(reports, walks):
    """P&L, VaR and ES by day from the report's room, which the demo's page is made by."""
    series = collect(reports)[0]
    ts = np.arange(1, DAYS + 1) * DAY
    pnl = clean_pnl(series, ts, list(walks), np.column_stack(list(walks.values())))
    return pnl, series.var[pnl.row], series.es[pnl.row]


def test_verdicts_are_those_of_the_report_history(system, script, walks):
    run = played(system, script, walks, [risk(A, B), validation()], {A: {1: 100, 60: -250}, B: {1: -40, 90: 40}})
    pnl, var, es = by_hand(run.reports, walks)
    assert [verdict.ts_event for verdict in run.verdicts] == pnl.ts.tolist()
    np.testing.assert_allclose([verdict.pnl for verdict in run.verdicts], pnl.total, rtol=1e-12)
    last = run.verdicts[-1]
    assert last.since == run.reports[pnl.row[0]].ts_event
    for column, level in enumerate(SMALL["levels"]):
        row, whole = last.levels[format(level, "g")], score(pnl.total, var[:, column], level)
        paths = e_process(pnl.total, var[:, column], es[:, column], level)
        wealth = [verdict.levels[format(level, "g")]["log_wealth"] for verdict in run.verdicts]
        np.testing.assert_allclose(wealth, paths, atol=1e-12)
        assert (row["days"], row["exceptions"]) == (whole.days, whole.exceptions)
        assert row["recent_days"] == row["tested_days"] == 20
        assert (row["var"], row["es"]) == (var[-1, column], es[-1, column])
    assert last.uncovered_days == sum(not report.levels for report in run.reports[:-1])
    assert last.next_model == last.comment == ""


def test_an_empty_book_is_counted_and_not_scored(system, script, walks):
    run = played(system, script, walks, [risk(A, B), validation()], {A: {40: 10, 60: -10}})
    last = run.verdicts[-1]
    assert (last.days, last.unknown_days) == (20, 0)
    assert last.empty_days == 39  # days 1 to 39; those after the sale have brought no verdict


def test_actual_profit_is_the_change_in_equity(system, script, walks):
    """The same as the clean one on days without trades; a stock bought low and sold higher on one day adds to it."""
    run = played(system, script, walks, [risk(A, B), validation(actual_pnl=True)])
    assert len(run.verdicts) > 80
    for verdict in run.verdicts:
        assert verdict.actual_pnl == pytest.approx(verdict.pnl, abs=0.011)
    assert run.verdicts[-1].levels["0.9"]["actual_days"] == run.verdicts[-1].days
    plain = played(system, script, walks, [risk(A, B), validation()])
    assert {verdict.actual_pnl for verdict in plain.verdicts} == {None}


def test_a_position_without_a_new_price_makes_the_day_unknown(system, script, walks, make_bars, make_equity):
    """B pauses on two days: both, and they alone, are unknown, with the reason; never a profit of zero."""
    run = hear(system()).add(A, walks[A])
    instrument = make_equity(B)
    run.engine.add_instrument(instrument)
    run.engine.add_data([bar for bar in make_bars(instrument, walks[B]) if bar.ts_event // DAY not in (80, 90)])
    run.run([risk(A, B), validation()], [script({A: {1: 100}, B: {1: -40}})])
    unknown = [verdict for verdict in run.verdicts if verdict.pnl is None]
    assert [verdict.ts_event // DAY for verdict in unknown] == [80, 90]
    assert [verdict.unknown for verdict in unknown] == [{B: "no price of that close"}] * 2
    assert (run.verdicts[-1].unknown_days, run.verdicts[-1].days) == (2, len(run.verdicts) - 2)
    assert [verdict.ts_event for verdict in run.verdicts] == sorted(verdict.ts_event for verdict in run.verdicts)


def test_an_alarm_switches_once_for_each_model_and_says_when_there_is_no_other(system, script, walks):
    """Losses that no model of 40 calm days expects: one alarm a model, the score begins anew with the next."""
    wild = {A: walks[A].copy()}
    wild[A][60:] = np.round(wild[A][59] * 0.97 ** np.arange(1, DAYS - 59), 2)
    actors = [risk(A, var_limit={0.95: 1.0}), validation(switch=("student_t", "historical"), alarm_bound=5.0)]
    run = played(system, script, wild, actors, {A: {1: 100}})
    switched = [verdict for verdict in run.verdicts if verdict.next_model]
    assert [(switch.before, switch.model) for switch in run.switches] == [
        ("normal", "student_t"),
        ("student_t", "historical"),
    ]
    assert [verdict.model for verdict in switched] == ["normal", "student_t"]
    assert all(verdict.alarm and "the bound" in verdict.comment for verdict in switched)
    for verdict, switch in zip(switched, run.switches, strict=True):
        later = [report for report in run.reports if report.ts_event > verdict.ts_event]
        assert later[0].model == switch.model
        following = [one for one in run.verdicts if one.ts_event > verdict.ts_event]
        assert (following[0].model, following[0].days, following[0].since) == (switch.model, 1, later[0].ts_event)
    models = [report.model for report in run.reports]
    assert models == sorted(models, key=["normal", "student_t", "historical"].index)
    last = [verdict for verdict in run.verdicts if verdict.model == "historical" and verdict.alarm]
    assert last[0].comment.endswith("is the last model of `switch` and stays")
    assert {verdict.comment for verdict in last[1:]} == {""}
    assert [breach.state for breach in run.breaches] == ["breach"]  # limits go on over the switches


def test_a_user_may_switch_and_a_reset_goes_back(system, script, walks):
    one = risk(A, B)
    run = played(system, script, walks, [one, validation()])
    with pytest.raises(InputError, match="`model` must be one of"):
        one.use_model("nope")
    with pytest.raises(InputError, match="`x` is no option of the model normal"):
        one.use_model("normal", {"x": 1})
    with pytest.raises(InputError, match="`covariance` must be one of"):
        one.use_model("normal", {"covariance": "nope"})
    assert (one.model, run.switches) == ("normal", [])
    one.use_model("normal", {"covariance": "ewma"}, "it is wild outside")
    assert (one.model, one.model_options) == ("normal", {"covariance": "ewma"})
    assert run.switches[0].reason == "it is wild outside"
    again = risk(A, B)
    system().engine.add_actor(again)
    again.on_load(one.on_save())
    assert again.model_options == {"covariance": "ewma"}
    other = risk(A, B, model="student_t")
    system().engine.add_actor(other)
    other.on_load(one.on_save())
    assert (other.model, other.model_options) == ("student_t", {})
    run.engine.reset()
    assert one.model_options == {}


@pytest.mark.parametrize("route", ["host", "file"])
def test_a_restart_goes_on_without_gap_or_double_count(system, script, walks, tmp_path, route):
    kept = [{"state_path": str(tmp_path / name)} if route == "file" else {} for name in ("risk", "verdicts")]
    whole = played(system, script, walks, [risk(A, B), validation()])
    before, after = ([risk(A, B, **kept[0]), validation(**kept[1])] for _ in range(2))
    first = played(system, script, walks, before, days=slice(0, CUT))
    if route == "host":
        for old, new in zip(before, after, strict=True):
            new.on_load(old.on_save())
    second = played(system, script, walks, after, days=slice(CUT, DAYS))
    assert facts(first.verdicts + second.verdicts) == facts(whole.verdicts)
    assert second.verdicts[0].ts_event == (CUT + 1) * DAY


def rewritten(data, **changes):
    _, memory = _ENVELOPE.unpack(data)
    return _ENVELOPE.pack({}, memory | changes)


BROKEN = {
    "something else": (lambda data: b"something else", "must be a ValidationActor's"),
    "damaged": (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "checksum"),
    "of other rules": (lambda data: rewritten(data, rules={"window": 3}), "must be of"),
    "of something else inside": (lambda data: rewritten(data, tracks={"RiskActor": {}}), "on trial"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_foreign_or_damaged_state_is_refused(system, script, walks, case):
    spoil, words = BROKEN[case]
    before, after = validation(), validation()
    played(system, script, walks, [risk(A, B), before], days=slice(0, CUT))
    spoiled = spoil(before.on_save()[before.state_key])
    system().engine.add_actor(after)
    after.on_load({after.state_key: spoiled})
    assert after._tracks == {}
    with pytest.raises(InputError, match=words):
        after._restore(spoiled)


def test_a_score_of_another_model_is_not_continued(system, script, walks):
    before, after = validation(), validation()
    played(system, script, walks, [risk(A, B), before], days=slice(0, CUT))
    after.on_load(before.on_save())
    run = played(system, script, walks, [risk(A, B, model="student_t"), after], days=slice(CUT, DAYS))
    assert (run.verdicts[0].model, run.verdicts[0].days) == ("student_t", 1)


def test_reset_and_a_second_run_give_the_same_verdicts(system, script, walks):
    run = played(system, script, walks, [risk(A, B), validation()])
    first = facts(run.verdicts)
    run.verdicts.clear()
    run.engine.reset()
    run.engine.run()
    assert facts(run.verdicts) == first


def test_every_other_day_and_only_the_chosen_actor(system, script, walks):
    actors = [risk(A, B, component_id="ONE"), risk(A, component_id="TWO")]
    chosen = validation(risk_actors=("TWO",), publish_every=2)
    run = played(system, script, walks, [*actors, chosen])
    assert {verdict.risk_actor for verdict in run.verdicts} == {"TWO"}
    assert {verdict.days % 2 for verdict in run.verdicts} == {0}
    assert chosen.last_verdicts["TWO"] is run.verdicts[-1]


def test_a_node_runs_it_from_importable_configuration(system, script, walks, tmp_path, make_equity, make_bars):
    store, kinds = ParquetDataCatalog(str(tmp_path)), [str(bar_type(name)) for name in walks]
    for name, closes in walks.items():
        store.write_data([make_equity(name)])
        store.write_data(make_bars(make_equity(name), closes))
    room, settings = "nautilus_metal.actors:", {"RiskActor": SMALL | {"bar_types": kinds, "warm_up": False}}
    settings["ValidationActor"] = QUICK | {"switch": ["student_t"], "switch_options": {"student_t": {"degrees": 5.0}}}
    actors = [ImportableActorConfig(room + name, f"{room}{name}Config", own) for name, own in settings.items()]
    config = BacktestRunConfig(
        engine=BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True), actors=actors, run_analysis=False),
        venues=[BacktestVenueConfig("XNYS", "NETTING", "MARGIN", ["10_000_000 USD"])],
        data=[BacktestDataConfig(catalog_path=str(tmp_path), data_cls=Bar, bar_types=kinds)],
        chunk_size=7,
        dispose_on_completion=False,
        raise_exception=True,
    )
    node = BacktestNode([config])
    node.build()
    engine, verdicts = node.get_engine(config.id), []
    engine.kernel.msgbus.subscribe(MODEL_VERDICT_TOPIC, verdicts.append)
    engine.add_strategy(script({A: {1: 100}, B: {1: -40}}))
    node.run()
    node.dispose()
    assert facts(verdicts) == facts(played(system, script, walks, [risk(A, B), validation()]).verdicts)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"day_end": "25:00"}, "`day_end` must be a time like 17:00, was '25:00'"),
        ({"time_zone": "Mars"}, "`time_zone` must be a name like Europe/London, was 'Mars'"),
        ({"window": 3}, "`window` must be at least 8 days, was 3"),
        ({"alarm_bound": 1.0}, "`bound` must be above 1, was 1.0"),
        ({"figure": "guess"}, "`figure` must be one of"),
        ({"publish_every": 0}, "`publish_every` must be at least 1, was 0"),
        ({"switch": ("nope",)}, "`model` must be one of"),
        ({"switch": ("normal",), "switch_options": {"normal": {"x": 1}}}, "`x` is no option of the model normal"),
        ({"switch_options": {"normal": {}}}, "`switch_options` must be of models in `switch`, was of 'normal'"),
        ({"switch": ("normal", "normal")}, "`switch` must name each model once"),
    ],
)
def test_a_wrong_setting_is_refused_at_construction(options, words):
    with pytest.raises(InputError, match=words):
        validation(**options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"risk_actors": ("NOBODY",)}, "`risk_actors` must be RiskActors of the system, NOBODY is none"),
        ({"switch": ("normal",), "switch_options": {"normal": {"covariance": "no"}}}, "`covariance` must be one of"),
        ({"switch": ("historical",)}, "`levels`: 0.99 needs at least 100 scenarios"),
    ],
)
def test_a_model_that_cannot_be_used_stops_the_start(system, script, walks, options, words):
    with pytest.raises(InputError, match=words):
        played(system, script, walks, [risk(A, B, levels=(0.99,)), validation(**options)])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "first", "last", "wrong"),
    [
        ("normal", date(2004, 1, 1), date(2008, 3, 31), True),  # years of calm, then the crisis begins
        ("filtered_historical", date(2011, 1, 1), date(2013, 12, 31), False),
    ],
)
def test_on_real_prices_a_calm_model_is_found_out_and_a_right_one_is_not(system, script, model, first, last, wrong):
    """Nasdaq and S&P 500. Wealth and exceptions are those of the report history, before and after a switch."""
    market = us_indices(first, last)
    walks = dict(zip((A, B), market.close.T, strict=True))
    shared = {"window": 1000, "min_observations": 250, "levels": (0.95, 0.99), "scenarios": 1_000}
    actors = [
        risk(A, B, model=model, **shared),
        validation(window=250, switch=("student_t", "filtered_historical"), publish_every=100),
    ]
    run = played(system, script, walks, actors, {A: {1: 100}, B: {1: 50}})
    assert bool(run.switches) is wrong
    assert any(verdict.alarm for verdict in run.verdicts) is wrong
    assert run.reports[-1].model == (run.switches[-1].model if wrong else model)
    ts = np.arange(1, len(market.ts) + 1) * DAY
    for verdict in run.verdicts:
        heard = [r for r in run.reports if verdict.since <= r.ts_event <= verdict.ts_event]
        series = collect([r for r in heard if r.model == verdict.model or r.ts_event == verdict.ts_event])[0]
        pnl = clean_pnl(series, ts, [A, B], market.close)
        kept = pnl.ts <= verdict.ts_event
        profit, rows = pnl.total[kept], pnl.row[kept]
        for column, level in enumerate(series.levels):
            found, var, es = verdict.levels[format(level, "g")], series.var[rows, column], series.es[rows, column]
            assert found["exceptions"] == score(profit, var, level).exceptions
            assert found["log_wealth"] == pytest.approx(e_process(profit, var, es, level)[-1], abs=1e-9)
    if not wrong:
        assert {run.verdicts[-1].levels[level]["zone"] for level in ("0.95", "0.99")} == {"green"}
