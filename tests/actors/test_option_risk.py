"""The RiskActor with options in real backtests: stock, future, currency and coin beside their options."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from nautilus_trader.model.currencies import BTC, EUR, USD
from nautilus_trader.model.data import OptionGreeks, TradeTick
from nautilus_trader.model.enums import AggressorSide, AssetClass
from nautilus_trader.model.greeks_data import YieldCurveData
from nautilus_trader.model.identifiers import InstrumentId, Symbol, TradeId
from nautilus_trader.model.instruments import CurrencyPair, FuturesContract
from nautilus_trader.model.objects import Price, Quantity

from nautilus_metal.actors import RiskActor, RiskActorConfig
from nautilus_metal.errors import InputError
from nautilus_metal.risk import Book, Option, Position, assess
from nautilus_metal.risk.greeks import book_greeks
from nautilus_metal.risk.stress import stress, stress_grid
from tests.actors.option_cases import DAYS, EXPIRY, ONE, STOCK, Desk, coin_option, contract, premium, quote
from tests.small_system import DAY, bar_type, bars, walk

CALL, PUT = "AAA-C105.XNYS", "AAA-P95.XNYS"
BOOK = {30: [(STOCK, 100), (CALL, -2), (PUT, 3)]}


def hedged(make: Callable) -> Desk:
    return make().option(CALL, "call", 105.0).option(PUT, "put", 95.0, volatility=0.3)


def option(kind: str, strike: float, volatility: float, spot: float, day: int) -> Option:
    return Option(STOCK, kind, strike, (EXPIRY - day) / 365.25, volatility, spot, 0.03)


def test_a_report_equals_assess_on_the_same_book(desk):
    """Volatilities come back from the quotes; VaR, its expansion and its split are those of the risk room."""
    law = {"vol_of_vol": 0.04, "spot_vol_correlation": -0.5}
    run = hedged(desk).trade(BOOK, **law)
    spot = run.closes[-1]
    call, put = option("call", 105.0, 0.25, spot, DAYS), option("put", 95.0, 0.3, spot, DAYS)
    prices = [premium("call", 105.0, spot, DAYS, 0.25), premium("put", 95.0, spot, DAYS, 0.3)]
    positions = [
        Position(STOCK, 100, spot),
        Position(CALL, -2, prices[0], 100, option=call),
        Position(PUT, 3, prices[1], 100, option=put),
    ]
    history = np.diff(np.log(run.closes))[-40:, None]
    expected = assess(Book(positions), history, "normal", (0.95,), scenarios=2_000, **law)
    last = run.reports[-1]
    assert last.uncovered == {}
    assert last.var(0.95) == pytest.approx(expected.var[0.95], rel=1e-4)
    assert last.levels["0.95"]["var_delta_gamma"] == pytest.approx(expected.delta_gamma_var[0.95], rel=1e-4)
    assert last.levels["0.95"]["es_delta_gamma"] == pytest.approx(expected.delta_gamma_es[0.95], rel=1e-4)
    assert last.value == pytest.approx(expected.value, rel=1e-6)
    for i, name in enumerate((STOCK, CALL, PUT)):
        component = last.positions[name]["component_var"]["0.95"]
        assert component == pytest.approx(expected.component_var[0.95][i], rel=1e-3)
    row = last.positions[CALL]
    assert row["volatility"] == pytest.approx(0.25, abs=1e-5)
    assert (row["volatility_source"], row["volatility_age"], row["underlying"]) == ("quote", pytest.approx(0), STOCK)
    assert row["delta"] == pytest.approx(book_greeks(Book(positions)).delta[1], rel=1e-4)
    assert "volatility" not in last.positions[STOCK]


def test_without_options_nothing_is_added(desk):
    run = desk().trade({30: [(STOCK, 100)]})
    assert run.greeks == []
    assert "var_delta_gamma" not in run.reports[-1].levels["0.95"]
    also = desk().trade({30: [(STOCK, 100)]}, publish_greeks=True)
    assert len(also.greeks) == DAYS
    assert also.greeks[-1].totals["delta"] == 100
    assert [r.levels for r in also.reports] == [r.levels for r in run.reports]


def test_the_last_good_volatility_is_used_with_its_age_until_it_is_too_old(desk):
    run = desk().option(CALL, "call", 105.0, days=range(1, 41))
    run.trade({30: [(CALL, 1)]}, volatility_max_age_seconds=3.5 * 86_400)
    by_day = {report.ts_event // DAY: report for report in run.reports}
    assert by_day[40].positions[CALL]["volatility_source"] == "quote"
    row = by_day[43].positions[CALL]
    assert row["volatility_source"] == "last good"
    assert row["volatility_age"] == pytest.approx(3 * 86_400)
    assert row["volatility"] == pytest.approx(0.25, abs=1e-5)
    assert row["price"] == pytest.approx(premium("call", 105.0, run.closes[42], 43, 0.25), rel=1e-4)
    assert by_day[44].uncovered == {CALL: "its volatility is 345600 s old, 302400 s are allowed"}
    with pytest.raises(InputError, match="report is empty"):
        by_day[44].var(0.95)


def test_a_price_without_a_volatility_is_uncovered_with_the_reason(desk):
    """A quote below the option's intrinsic value."""
    run = desk()
    deep = contract(CALL, "call", 20.0)
    run.engine.add_instrument(deep)
    run.engine.add_data([quote(deep, 10.0, day) for day in range(1, DAYS + 1)])
    run.trade({30: [(CALL, 1)]})
    expected = "no volatility: the price is below its lower no-arbitrage bound"
    assert run.reports[-1].uncovered == {CALL: expected}
    assert run.reports[-1].levels == {}


@pytest.mark.parametrize(("half", "covered"), [(0.30, True), (0.05, False)])
def test_deep_in_the_money_a_quote_around_the_payoff_is_no_volatility(desk, half, covered):
    """Its middle lies 10 cents below what the option is worth at least: within the spread, or not."""
    run = desk()
    deep = contract(CALL, "call", 20.0)
    run.engine.add_instrument(deep)
    for day in range(1, DAYS + 1):
        least = run.closes[day - 1] - 20.0 * math.exp(-0.03 * (EXPIRY - day) / 365.25)
        run.engine.add_data([quote(deep, least - 0.1, day, half)])
    run.trade({30: [(CALL, 1)]})
    assert (run.reports[-1].uncovered == {}) == covered
    if covered:
        row = run.reports[-1].positions[CALL]
        assert (row["volatility"], row["volatility_source"]) == (0.0, "quote")
        assert row["delta"] == pytest.approx(100.0)
        history = np.diff(np.log(run.closes))[-40:, None]
        shares = assess(Book([Position(STOCK, 100, run.closes[-1])]), history, "normal", (0.95,), scenarios=2_000)
        assert run.reports[-1].var(0.95) == pytest.approx(shares.var[0.95], rel=0.02)


def test_an_underlying_that_is_not_found_is_said_and_can_be_named(desk):
    name = "WEIRD-C.XNYS"
    lost = desk().option(name, "call", 105.0, underlying="ZZZ").trade({30: [(name, 1)]})
    assert lost.reports[-1].uncovered == {name: "its underlying ZZZ was not found: name it in `underlyings`"}
    found = desk().option(name, "call", 105.0, underlying="ZZZ").trade({30: [(name, 1)]}, underlyings={"ZZZ": STOCK})
    assert found.reports[-1].uncovered == {}
    assert found.reports[-1].positions[name]["underlying"] == STOCK


def test_an_underlying_without_history_leaves_the_option_uncovered(desk):
    run = desk().option(CALL, "call", 105.0).trade({3: [(CALL, 1)]})
    assert run.reports[10].uncovered == {CALL: f"its underlying {STOCK}: 10 of 20 returns of history"}
    assert run.reports[-1].uncovered == {}


def test_an_option_leaves_the_book_when_it_expires(desk):
    run = desk().option(CALL, "call", 105.0, expiry=50, days=range(1, 50)).trade({30: [(CALL, 1)]})
    by_day = {report.ts_event // DAY: report for report in run.reports}
    assert CALL in by_day[49].positions
    assert by_day[49].positions[CALL]["expiry"] == pytest.approx(1 / 365.25)
    assert CALL not in by_day[51].positions


def test_an_option_that_nobody_settles_is_said_to_have_expired(desk):
    """The venue does not know its underlying, the actor was told."""
    name = "WEIRD-C.XNYS"
    run = desk().option(name, "call", 105.0, underlying="ZZZ", expiry=50, days=range(1, 50))
    run.trade({30: [(name, 1)]}, underlyings={"ZZZ": STOCK})
    assert run.reports[-1].uncovered == {name: "expired, and not settled yet"}


def test_a_trade_gives_the_volatility_where_there_is_no_later_quote(desk):
    """One quote to trade on, then a trade of the option itself."""
    run = desk().option(CALL, "call", 105.0, days=range(30, 31))
    instrument, day = contract(CALL, "call", 105.0), DAYS
    paid = instrument.make_price(premium("call", 105.0, run.closes[-1], day, 0.35))
    trade = TradeTick(instrument.id, paid, ONE, AggressorSide.BUYER, TradeId("1"), day * DAY, day * DAY)
    run.engine.add_data([trade])
    run.trade({30: [(CALL, 1)]}, volatility_max_age_seconds=86_400.0)
    row = run.reports[-1].positions[CALL]
    assert (row["volatility_source"], row["volatility"]) == ("trade", pytest.approx(0.35, abs=1e-5))
    assert run.reports[-2].uncovered


def test_rates_and_yields_come_from_the_caches_curves_where_not_set(desk):
    run = desk().option(CALL, "call", 105.0)
    for name, rate in (("USD", 0.05), (STOCK, 0.02)):
        run.engine.kernel.cache.add_yield_curve(_curve(name, [rate] * 3))
    run.trade({30: [(CALL, 1)]}, rate=None)
    terms = run.actor.last_assessment.book.positions[0].option
    assert (terms.rate, terms.dividend_yield) == (pytest.approx(0.05), pytest.approx(0.02))


def test_a_curve_that_fails_leaves_the_option_uncovered(desk):
    """The host's interpolation reads three tenors, whatever the curve has."""
    run = desk().option(CALL, "call", 105.0)
    run.engine.kernel.cache.add_yield_curve(_curve("USD", [0.05, 0.05]))
    run.trade({30: [(CALL, 1)]}, rate=None)
    assert "the yield curve of USD failed" in run.reports[-1].uncovered[CALL]


def _curve(name: str, rates: list[float]) -> YieldCurveData:
    return YieldCurveData(0, 0, name, np.linspace(0.1, 1.0, len(rates)), np.array(rates))


def test_the_venues_own_volatility_comes_first(desk):
    run = desk().option(CALL, "call", 105.0)
    instrument_id = InstrumentId.from_str(CALL)
    greeks = [
        OptionGreeks(instrument_id, *[0.0] * 5, volatility, None, None, 100.0, None, day * DAY, day * DAY)
        for day, volatility in ((45, 0.4), (46, None), (47, 44.0))
    ]
    run.engine.add_data(greeks)
    run.trade({30: [(CALL, 1)]}, option_data=("quotes", "greeks"), volatility_max_age_seconds=5.5 * 86_400)
    by_day = {report.ts_event // DAY: report.positions[CALL] for report in run.reports if CALL in report.positions}
    sources = [by_day[day]["volatility_source"] for day in (44, 45, 50, 51)]
    assert sources == ["quote", "venue", "venue", "quote"]
    assert by_day[50]["volatility"] == 0.4
    assert by_day[50]["spot"] == run.closes[49]


def test_everything_side_by_side_in_one_currency(desk):
    """Stock and option, future and option on it in euros, a currency and an option on it, a coin's option."""
    run = desk()
    future, rate = "FUT.XNYS", walk(3, DAYS, 1.1, 0.004).round(4)
    curve, coin = walk(2, DAYS, 50.0), walk(4, DAYS, 40_000.0, 0.02).round(2)
    fut = FuturesContract(
        InstrumentId.from_str(future), Symbol("FUT"), AssetClass.INDEX, EUR, 2, Price.from_str("0.01"),
        Quantity.from_int(10), ONE, "IDX", 0, 300 * DAY, 0, 0,
    )  # fmt: skip
    pair, bitcoin = _pair("EUR/USD", EUR, 4), _pair("BTC/USD", BTC, 2)
    on_future = contract("FUT-P50.XNYS", "put", 50.0, "FUT", currency=EUR, multiplier=10)
    on_pair = contract("EURO-C.XNYS", "call", 1.1, "EUR/USD", multiplier=1000)
    on_coin = coin_option()
    run.engine.add_instrument(fut)
    for one in (pair, bitcoin, on_future, on_pair, on_coin):
        run.engine.add_instrument(one)
    for instrument, closes in ((fut, curve), (pair, rate), (bitcoin, coin)):
        run.engine.add_data(bars(instrument, closes))
    for day in range(1, DAYS + 1):
        i = day - 1
        run.engine.add_data([
            quote(on_future, premium("put", 50.0, curve[i], day, 0.2, dividend_yield=0.03), day),
            quote(on_pair, premium("call", 1.1, rate[i], day, 0.1, dividend_yield=0.02), day, 1e-6),
            quote(on_coin, premium("call", 45_000.0, coin[i], day, 0.6) / coin[i], day, 1e-8),
            quote(pair, rate[i], day, 1e-9),
        ])  # fmt: skip
    run.option(CALL, "call", 105.0)
    run.trade(
        {30: [(STOCK, 10), (CALL, -1), (future, 2), (str(on_future.id), 3), ("EUR/USD.XNYS", 500)]}
        | {31: [(str(on_pair.id), 2), (str(on_coin.id), 1)]},
        bar_types=tuple(bar_type(name) for name in (STOCK, future, "EUR/USD.XNYS", "BTC/USD.XNYS")),
        dividend_yields={"EUR/USD.XNYS": 0.02},
    )
    last = run.reports[-1]
    assert last.uncovered == {}
    volatilities = {name: row["volatility"] for name, row in last.positions.items() if "volatility" in row}
    expected = {CALL: 0.25, str(on_future.id): 0.2, str(on_pair.id): 0.1, str(on_coin.id): 0.6}
    assert volatilities == {name: pytest.approx(number, rel=1e-3) for name, number in expected.items()}
    assert last.positions[str(on_coin.id)]["underlying"] == "BTC/USD.XNYS"
    coin_value = premium("call", 45_000.0, coin[-1], DAYS, 0.6)
    assert last.positions[str(on_coin.id)]["value"] == pytest.approx(coin_value, rel=1e-4)
    future_value = 3 * 10 * rate[-1] * premium("put", 50.0, curve[-1], DAYS, 0.2, dividend_yield=0.03)
    assert last.positions[str(on_future.id)]["value"] == pytest.approx(future_value, rel=1e-3)
    assert set(run.greeks[-1].underlyings) == {STOCK, future, "EUR/USD.XNYS", "BTC/USD.XNYS"}
    components = [row["component_var"]["0.95"] for row in last.positions.values()]
    assert math.fsum(components) == pytest.approx(last.var(0.95), rel=1e-4)


def _pair(symbol: str, base, precision: int) -> CurrencyPair:
    step = Price.from_str(f"{10**-precision:.{precision}f}")
    return CurrencyPair(
        InstrumentId.from_str(f"{symbol}.XNYS"), Symbol(symbol), base, USD, precision, 0, step, ONE, 0, 0
    )  # fmt: skip


def test_stress_with_each_report_and_on_demand(desk):
    run = hedged(desk).trade(
        BOOK,
        stresses=("crash -20% / vol +50%",),
        stress_spots=(-0.1, 0.1),
        stress_volatilities=(0.0, 0.5),
        stress_days=(0.0, 5.0),
    )
    assert len(run.stresses) == DAYS
    last, book = run.stresses[-1], run.actor.last_assessment.book
    assert last.stresses["crash -20% / vol +50%"]["profit"] == pytest.approx(stress(book, "crash -20% / vol +50%"))
    expected = stress_grid(book, (-0.1, 0.1), (0.0, 0.5), (0.0, 5.0))
    np.testing.assert_allclose(last.grid["profits"], expected)
    assert last.stresses["crash -20% / vol +50%"]["volatility"] == 0.5
    assert run.actor.last_stress is last


def test_a_volatility_index_sets_the_law(desk):
    """Its log changes go against the stock's returns, which the actor estimates from its bars."""
    closes = walk(1, DAYS)
    rng = np.random.default_rng(5)
    steps = -4.0 * np.diff(np.log(closes), prepend=np.log(closes[0])) + rng.normal(scale=0.01, size=DAYS)
    index = np.round(20.0 * np.exp(np.cumsum(steps)), 2)
    run = hedged(desk)
    run.add("VIX.XNYS", index)
    bar_types = (bar_type(STOCK), bar_type("VIX.XNYS"))
    run.trade(BOOK, volatility_indices={STOCK: "VIX.XNYS"}, bar_types=bar_types)
    details = run.actor.last_assessment.model_details
    changes = np.diff(np.log(index))[-40:]
    assert details["vol_of_vol"][STOCK] == pytest.approx(changes.std(ddof=1), rel=1e-6)
    assert details["spot_vol_correlation"][STOCK] < -0.9


def test_stress_can_be_asked_for_at_any_time(desk):
    run, asked = hedged(desk), []
    run.engine.kernel.msgbus.subscribe("data.RiskReport*", lambda _report: asked.append(run.actor.stress()))
    run.trade(BOOK)
    assert len(run.stresses) == DAYS
    assert len(asked[-1].stresses) > 5
    assert asked[-1].grid == {}


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"option_data": ("chains",)}, "option_data"),
        ({"rate": math.nan}, "rate"),
        ({"dividend_yields": {"A.X": math.inf}}, "dividend_yields"),
        ({"underlyings": {"A": "B"}}, "underlyings"),
        ({"volatility_indices": {"A.X": "VIX"}}, "volatility_indices"),
        ({"volatility_max_age_seconds": 0.0}, "volatility_max_age_seconds"),
        ({"periods_per_year": -1.0}, "periods_per_year"),
        ({"vol_of_vol": -1.0}, "vol_of_vol"),
        ({"spot_vol_correlation": {"A.X": 2.0}}, "spot_vol_correlation"),
        ({"stresses": ("boom",)}, "name"),
        ({"stress_spots": (-2.0,)}, "spot"),
        ({"stress_days": (-2.0,)}, "days"),
    ],
)
def test_a_wrong_setting_is_refused_at_construction(options, argument):
    with pytest.raises(InputError, match=f"`{argument}"):
        RiskActor(RiskActorConfig(**options))
