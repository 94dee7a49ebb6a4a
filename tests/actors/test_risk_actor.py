"""The RiskActor in real backtests: right snapshot, right numbers, nothing lost."""

import math

import numpy as np
import pytest
from nautilus_trader.model.currencies import EUR, USD
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.identifiers import InstrumentId, Symbol
from nautilus_trader.model.instruments import CurrencyPair
from nautilus_trader.model.objects import Price, Quantity

from nautilus_metal.actors import RiskActor, RiskActorConfig
from nautilus_metal.errors import InputError
from nautilus_metal.risk import Book, assess

A, B, C = "AAA.XNYS", "BBB.XNYS", "CCC.XNYS"
DAYS = 60
SMALL = {"window": 40, "min_observations": 20, "levels": (0.95,), "model": "normal", "scenarios": 2_000}


def actor(*names, daily, **options):
    return RiskActor(RiskActorConfig(bar_types=tuple(daily(name) for name in names), **{**SMALL, **options}))


def test_a_report_equals_assess_on_the_same_snapshot(system, script, random_walk, daily):
    """Positions of two strategies, one of them short, against the risk room called by hand on the last day."""
    closes = {A: random_walk(1, DAYS), B: random_walk(2, DAYS)}
    run = system()
    for name, prices in closes.items():
        run.add(name, prices)
    run.run([actor(A, B, daily=daily)], [script({A: {5: 100}, B: {6: -40}}, "001"), script({A: {7: -30}}, "002")])

    book = Book.linear(quantities=[70, -40], prices=[closes[A][-1], closes[B][-1]])
    history = np.diff(np.log(np.column_stack([closes[A], closes[B]])), axis=0)[-40:]
    expected = assess(book, history, "normal", (0.95,), scenarios=2_000)
    last = run.reports[-1]
    assert last.var(0.95) == expected.var[0.95]
    assert last.es(0.95) == expected.es[0.95]
    assert last.value == pytest.approx(book.value)
    assert [last.positions[name]["quantity"] for name in (A, B)] == [70, -40]
    components = [row["component_var"]["0.95"] for row in last.positions.values()]
    assert math.fsum(components) == pytest.approx(last.var(0.95), rel=1e-5)


def test_one_report_for_each_time_stamp_with_the_fills_of_that_time_stamp(system, script, random_walk, daily):
    run = system().add(A, random_walk(1, DAYS)).add(B, random_walk(2, DAYS))
    run.run([actor(A, B, daily=daily)], [script({B: {30: 10}})])
    times = [report.ts_event for report in run.reports]
    assert len(times) == DAYS
    assert times == sorted(set(times))
    assert [bool(report.positions) for report in run.reports] == [False] * 29 + [True] * 31


def test_an_empty_book_has_no_risk_and_says_so(system, random_walk, daily):
    run = system().add(A, random_walk(1, DAYS)).run([actor(A, daily=daily)])
    assert {(report.var(0.95), report.value, len(report.uncovered)) for report in run.reports} == {(0.0, 0.0, 0)}


def test_too_little_history_is_uncovered_never_zero_risk(system, script, random_walk, daily):
    run = system().add(A, random_walk(1, DAYS)).add(B, random_walk(2, 15), first_day=DAYS - 14)
    run.run([actor(A, B, daily=daily)], [script({A: {2: 10}, B: {2: 10}})])
    early, last = run.reports[5], run.reports[-1]
    assert early.uncovered == {A: "5 of 20 returns of history"}
    with pytest.raises(InputError, match="report is empty"):
        early.var(0.95)
    assert last.uncovered == {B: "14 of 20 returns of history"}
    assert list(last.positions) == [A]
    assert last.var(0.95) > 0


def test_a_currency_without_a_rate_is_uncovered(system, script, random_walk, daily):
    run = system().add(A, random_walk(1, DAYS)).add(B, random_walk(2, DAYS), currency=EUR)
    run.run([actor(A, B, daily=daily)], [script({A: {2: 10}, B: {2: 10}})])
    assert run.reports[-1].uncovered == {B: "no exchange rate from EUR to USD"}
    assert list(run.reports[-1].positions) == [A]


def test_amounts_are_in_the_base_currency(system, script, random_walk, daily):
    """A quoted pair converts a euro stock; VaR scales with the rate."""
    closes = random_walk(2, DAYS)
    pair = _pair()
    run = system().add(B, closes, currency=EUR)
    run.engine.add_instrument(pair)
    one = Quantity.from_int(1)
    run.engine.add_data([QuoteTick(pair.id, Price.from_str("1.24999"), Price.from_str("1.25001"), one, one, 1, 1)])
    run.run([actor(B, daily=daily)], [script({B: {2: 10}})])
    assert run.reports[-1].uncovered == {}
    assert run.reports[-1].value == pytest.approx(10 * closes[-1] * 1.25)


def _pair():
    return CurrencyPair(
        instrument_id=InstrumentId.from_str("EUR/USD.XNYS"),
        raw_symbol=Symbol("EUR/USD"),
        base_currency=EUR,
        quote_currency=USD,
        price_precision=5,
        size_precision=0,
        price_increment=Price.from_str("0.00001"),
        size_increment=Quantity.from_int(1),
        ts_event=0,
        ts_init=0,
    )


def test_only_the_chosen_instruments_are_in_the_book(system, script, random_walk, daily):
    run = system().add(A, random_walk(1, DAYS)).add(B, random_walk(2, DAYS))
    chosen = (InstrumentId.from_str(B),)
    run.run([actor(A, B, daily=daily, instruments=chosen)], [script({A: {2: 10}, B: {2: 10}})])
    assert list(run.reports[-1].positions) == [B]
    assert run.reports[-1].uncovered == {}


def test_whatever_is_held_gets_its_bars_by_itself(system, script, random_walk):
    run = system().add(A, random_walk(1, DAYS))
    held = RiskActor(RiskActorConfig(on_bar=True, on_fill=True, **SMALL))
    run.run([held], [script({A: {2: 10}})])
    assert list(run.reports[-1].positions) == [A]
    assert run.reports[-1].var(0.95) > 0


def test_limits_speak_once_at_each_crossing(system, script, random_walk, daily):
    """The position is opened, then closed: one breach, one all-clear."""
    run = system().add(A, random_walk(1, DAYS))
    limited = actor(A, daily=daily, var_limit={0.95: 10.0}, es_limit={0.95: 1e9})
    run.run([limited], [script({A: {30: 1000, 40: -1000}})])
    assert [(b.state, b.measure, b.level, b.limit) for b in run.breaches] == [
        ("breach", "var", 0.95, 10.0),
        ("clear", "var", 0.95, 10.0),
    ]
    assert run.breaches[0].value > 10.0
    assert run.breaches[0].ts_event == run.reports[29].ts_event


def test_a_missing_bar_counts_as_no_change(system, script, random_walk, daily):
    """A stock that pauses for ten days keeps its price, and its history stays aligned with the others."""
    whole = random_walk(2, DAYS)
    run = system().add(A, random_walk(1, DAYS)).add(B, whole[:30]).run(
        [actor(A, B, daily=daily)], [script({A: {2: 10}, B: {2: 10}})]
    )
    last = run.reports[-1]
    assert last.uncovered == {}
    assert last.positions[B]["price"] == whole[29]


def test_reset_and_a_second_run_give_the_same_reports(system, script, random_walk, daily):
    run = system().add(A, random_walk(1, DAYS)).run([actor(A, daily=daily)], [script({A: {2: 10}})])
    first = [report.levels for report in run.reports]
    run.reports.clear()
    run.engine.reset()
    run.engine.run()
    assert [report.levels for report in run.reports] == first


def test_a_second_run_hears_fills_and_greeks_once(system, script, random_walk, daily):
    run = system().add(A, random_walk(1, DAYS))
    run.engine.add_actor(actor(A, daily=daily, on_bar=False, on_fill=True))
    run.engine.add_strategy(script({A: {30: 10, 40: -10}}))
    counts, bus = [], run.engine.kernel.msgbus
    for _ in range(2):
        run.engine.run()
        counts.append((len(run.reports), len(bus.subscriptions())))
        run.engine.reset()
    assert [reports for reports, _ in counts] == [2, 4]
    assert counts[0][1] == counts[1][1]


def test_a_timer_makes_reports_without_bars(system, script, random_walk, daily):
    run = system().add(A, random_walk(1, 10))
    run.run([actor(A, daily=daily, on_bar=False, timer_seconds=3600.0)], [script({A: {2: 10}})])
    assert len(run.reports) == 9 * 24


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"instruments": "all"}, "instruments"),
        ({"window": 10, "min_observations": 20}, "min_observations"),
        ({"min_observations": 1}, "min_observations"),
        ({"model": "nope"}, "model"),
        ({"model": "historical", "model_options": {"decay": 0.9}}, "decay"),
        ({"levels": (0.95, 1.2)}, "levels"),
        ({"levels": ()}, "levels"),
        ({"model": "historical", "levels": (0.999,), "min_observations": 100, "window": 100}, "levels"),
        ({"scenarios": 0}, "scenarios"),
        ({"sampler": "dice"}, "sampler"),
        ({"horizon": 0}, "horizon"),
        ({"timer_seconds": 0.0}, "timer_seconds"),
        ({"var_limit": {0.99: 1.0}, "levels": (0.95,)}, "var_limit"),
        ({"es_limit": {0.95: -1.0}}, "es_limit"),
    ],
)
def test_a_wrong_setting_is_refused_at_construction(options, argument):
    with pytest.raises(InputError, match=f"`{argument}"):
        RiskActor(RiskActorConfig(**options))
