"""A universe shows what single indicators would, however it is fed; its views serve the host's strategies."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nautilus_trader.model.identifiers import InstrumentId

from nautilus_metal.engine import fused_histories, histories
from nautilus_metal.errors import InputError
from nautilus_metal.indicators import IndicatorUniverse, MetalBollingerBands, MetalMACD, MetalRSI, batch, universe
from nautilus_metal.indicators.kinds import canonical, parse

NAMES = ["rsi(5)", "macd(3,6,4)", "bollinger(7,1.5)"]
SINGLES = {
    "rsi(5)": (lambda: MetalRSI(5), ("value",)),
    "macd(3,6,4)": (lambda: MetalMACD(3, 6, 4), ("value", "signal", "histogram")),
    "bollinger(7,1.5)": (
        lambda: MetalBollingerBands(7, 1.5),
        ("upper", "middle", "lower", "bandwidth", "percent_b"),
    ),
}


def walks(series=3, bars=60, seed=0):
    return 100.0 + np.random.default_rng(seed).normal(size=(series, bars)).cumsum(axis=1).round(2)


def ids(series=3):
    return [f"S{row}.XNAS" for row in range(series)]


def outputs(universe, name):
    got = universe.values(name)
    return np.stack([got] if isinstance(got, np.ndarray) else got)


def single(name, prices):
    make, fields = SINGLES[name]
    indicator = make()
    for price in prices:
        indicator.update_raw(price)
    return [getattr(indicator, field) for field in fields], indicator.initialized


def shows_single_indicators(universe, fed):
    for name in universe.names:
        got, ready = outputs(universe, name), universe.initialized(name)
        for row, prices in enumerate(fed):
            expected, initialized = single(name, prices)
            np.testing.assert_allclose(got[:, row], expected, rtol=1e-9, atol=1e-12)
            assert ready[row] == initialized


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), bars=st.integers(0, 40), missing=st.floats(0.0, 0.9))
def test_instruments_without_a_price_stay(seed, bars, missing):
    rng = np.random.default_rng(seed)
    x = walks(4, bars, seed)
    x[rng.uniform(size=x.shape) < missing] = np.nan
    universe = IndicatorUniverse(ids(4), NAMES)
    for column in x.T:
        universe.update(column)
    shows_single_indicators(universe, [row[~np.isnan(row)].tolist() for row in x])
    assert not universe.rejected.any()


def test_infinite_prices_are_skipped_counted_and_logged_once(monkeypatch):
    lines = []
    monkeypatch.setattr(universe, "log_warning", lambda *line: lines.append(line))
    x = walks(2, 20)
    made = IndicatorUniverse(ids(2), NAMES)
    for bar, column in enumerate(x.T):
        made.update(np.where([False, bar in (3, 8)], np.inf, column))
    shows_single_indicators(made, [x[0], np.delete(x[1], [3, 8])])
    assert made.rejected.tolist() == [0, 2]
    assert len(lines) == 1


def test_warming_up_is_feeding():
    x = walks()
    fed, warmed = IndicatorUniverse(ids(), NAMES), IndicatorUniverse(ids(), NAMES)
    for column in x.T:
        fed.update(column)
    warmed.warm_up(x)
    for name in fed.names:
        np.testing.assert_array_equal(outputs(warmed, name), outputs(fed, name))


def test_bars_one_by_one_are_one_step_per_time_stamp(make_bar, monkeypatch):
    x = walks()
    made, steps = IndicatorUniverse(ids(), NAMES), []
    step = made._step
    monkeypatch.setattr(made, "_step", lambda prices, rows: (steps.append(len(rows)), step(prices, rows)))
    for ts, column in enumerate(x.T, start=1):
        for row, price in enumerate(column):
            made.update_bar(make_bar(price, ts, symbol=f"S{row}"))
    made.flush()
    assert steps == [3] * 60
    shows_single_indicators(made, x)


def test_views_feed_each_bar_once_and_show_it_at_once(make_bar):
    x = walks()
    made = IndicatorUniverse(ids(), NAMES)
    views = [made.view(name, indicator) for name in ids() for indicator in NAMES]
    for ts, column in enumerate(x.T, start=1):
        for row, price in enumerate(column):
            bar = make_bar(price, ts, symbol=f"S{row}")
            for view in views[3 * row : 3 * row + 3]:
                view.handle_bar(bar)
            made.update_bar(bar)
            for view in views[3 * row : 3 * row + 3]:
                fields = SINGLES[view.shows][1]
                expected, initialized = single(view.shows, x[row, :ts])
                assert (view.has_inputs, view.initialized) == (True, initialized)
                got = [getattr(view, field) for field in fields]
                np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12)


def test_a_view_follows_a_universe_that_is_fed_elsewhere(make_bar):
    x = walks()
    made = IndicatorUniverse(ids(), NAMES)
    view = made.view(InstrumentId.from_str("S1.XNAS"), "RSI( 5 )")
    assert view is made.view("S1.XNAS", "rsi(5)")
    for ts, column in enumerate(x.T, start=1):
        made.update(column, ts=ts)
        assert view.initialized == (ts > 5)
        view.handle_bar(make_bar(x[1, ts - 1], ts, symbol="S1"))  # registered as well: nothing counts twice
    shows_single_indicators(made, x)
    assert made.view("S0.XNAS", "rsi(5)").initialized


def test_an_update_after_bars_of_its_time_stamp_counts_them_once(make_bar):
    x = walks()
    made = IndicatorUniverse(ids(), NAMES)
    for ts, column in enumerate(x.T, start=1):
        made.update_bar(make_bar(column[1], ts, symbol="S1"))
        made.update(column, ts=ts)
    shows_single_indicators(made, x)


def test_ticks_of_one_time_stamp_all_count(make_trade, make_quote):
    prices = walks(1, 20)[0].tolist()
    trades, quotes = (IndicatorUniverse(["AAPL.XNAS"], ["rsi(5)", "macd(3,6,4)"]) for _ in range(2))
    for price in prices:
        trade, quote = make_trade(price, 7), make_quote(price - 0.5, price + 0.5, 7)
        for name in trades.names:
            trades.view("AAPL.XNAS", name).handle_trade_tick(trade)
            quotes.view("AAPL.XNAS", name).handle_quote_tick(quote)
    shows_single_indicators(trades, [prices])
    shows_single_indicators(quotes, [prices])


def test_resets(make_bar):
    x = walks()
    made = IndicatorUniverse(ids(), NAMES)
    view, other = made.view("S1.XNAS", "rsi(5)"), made.view("S1.XNAS", "bollinger(7,1.5)")
    made.warm_up(x)
    view.reset()
    assert not view.initialized
    assert np.isnan(view.value)
    assert view.zone is None
    assert other.initialized
    for ts, price in enumerate(x[1, :10], start=1):
        view.handle_bar(make_bar(price, ts, symbol="S1"))
        assert view.initialized == (ts > 5)
    assert view.value == pytest.approx(single("rsi(5)", x[1, :10])[0][0], rel=1e-12)
    assert view.zone in ("overbought", "neutral", "oversold")
    made.reset()
    assert not view.initialized
    assert not other.initialized
    made.warm_up(x)
    shows_single_indicators(made, x)


def test_histories_on_every_device(engine):
    x = walks()
    made = IndicatorUniverse(ids(), NAMES, engine=engine)
    computed = made.compute(x)
    tolerance = 1e-9 if engine.device.type != "mps" else 5e-3
    assert list(computed) == list(made.names)
    made.warm_up(x)
    for name, got in computed.items():
        last = np.stack([got] if isinstance(got, np.ndarray) else got)[..., -1]
        np.testing.assert_allclose(last, outputs(made, name), rtol=tolerance, atol=tolerance)


def test_histories_without_an_engine_go_where_placement_puts_all_that_comes_back(cpu, monkeypatch):
    asked = []
    for module in (batch, histories):
        monkeypatch.setattr(module, "placed", lambda engine, *work: asked.append((engine, *work)) or cpu)
    made = IndicatorUniverse(ids(), NAMES)
    made.compute(walks())
    assert asked[0] == (None, "series", 3 * 60 * 9)
    asked.clear()
    made.sweep("macd", prices=walks(), fast=[3, 4, 5], slow=[7, 8, 9])
    assert asked == [(None, "series", 3 * 60 * 3 * 3)]
    asked.clear()
    IndicatorUniverse(ids(), NAMES, engine=cpu).compute(walks())
    assert all(engine is cpu for engine, *_ in asked)


def flat(computed):
    return [array for got in computed.values() for array in ([got] if isinstance(got, np.ndarray) else got)]


@pytest.mark.parametrize("fused", ["1", "0"])
def test_histories_into_arrays_of_an_earlier_call(engine, fused, monkeypatch):
    monkeypatch.setenv("NAUTILUS_METAL_FUSED", fused)
    monkeypatch.setattr(fused_histories, "LEAST", 1)
    x, other = walks(), walks()[::-1] * 2.0
    made = IndicatorUniverse(ids(), NAMES, engine=engine)
    expected = flat(made.compute(x))
    held = made.compute(other)
    arrays = flat(held)
    assert made.compute(x, out=held) is held
    for before, after, right in zip(arrays, flat(held), expected, strict=True):
        assert after is before
        np.testing.assert_array_equal(after, right)
    for name, got in made.compute(other, out=held).items():
        alone = IndicatorUniverse(ids(), [name], engine=engine).compute(other)[name]
        np.testing.assert_array_equal(got, alone)


def test_several_indicators_of_many_series_on_several_threads(cpu, monkeypatch):
    x = walks(3, 700)
    made = IndicatorUniverse(ids(), [*NAMES, "rsi(9)"], engine=cpu)
    expected = made.compute(x)
    monkeypatch.setattr(fused_histories, "_PART", 700)
    monkeypatch.setattr("nautilus_metal.engine.threads.SMALL", 1)
    for name, got in made.compute(x).items():
        np.testing.assert_array_equal(got, expected[name])
        single = MetalRSI(9).compute(x, cpu) if name == "rsi(9)" else got
        np.testing.assert_array_equal(got, single)


def changed(held, field, value):
    return held | {"macd(3,6,4)": held["macd(3,6,4)"]._replace(**{field: value})}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda held: list(held.values()), "`out` must hold rsi.*, was list"),
        (lambda held: {}, "`out` must hold rsi"),
        (lambda held: held | {"rsi(6)": held["rsi(5)"]}, r"`out` must hold rsi.*rsi\(6\)"),
        (lambda held: held | {"macd(3,6,4)": held["rsi(5)"]}, "must hold value, signal, histogram, held 1 arrays"),
        (lambda held: held | {"rsi(5)": held["rsi(5)"][:, :-1]}, r"must be a float64 array of shape \(3, 60\)"),
        (lambda held: held | {"rsi(5)": held["rsi(5)"].astype(np.float32)}, "was float32 of shape"),
        (lambda held: changed(held, "signal", None), r"\(signal\) must be a float64 array.*was NoneType"),
        (lambda held: changed(held, "signal", np.empty((60, 3)).T), "must be C-contiguous and writeable"),
        (lambda held: changed(held, "signal", np.broadcast_to(0.0, (3, 60))), "must be C-contiguous and writeable"),
        (lambda held: changed(held, "signal", held["rsi(5)"]), "share no memory"),
    ],
)
def test_bad_arrays_to_write_into(change, message, cpu):
    made = IndicatorUniverse(ids(), NAMES, engine=cpu)
    x = walks(3, 60)
    with pytest.raises(InputError, match=message):
        made.compute(x, out=change(made.compute(x)))


def test_prices_are_not_written_over(cpu):
    made, x = IndicatorUniverse(ids(), ["rsi"], engine=cpu), walks(3, 60)
    with pytest.raises(InputError, match="share no memory with each other, nor with `prices`"):
        made.compute(x, out={"rsi(14)": x})


@pytest.mark.parametrize("fused", ["1", "0"])
@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_price_that_is_not_finite_is_named_by_whichever_thread_meets_it(bad, again, fused, cpu, monkeypatch):
    monkeypatch.setenv("NAUTILUS_METAL_FUSED", fused)
    monkeypatch.setattr(fused_histories, "LEAST", 1)
    monkeypatch.setattr(fused_histories, "_PART", 60)
    monkeypatch.setattr("nautilus_metal.engine.threads.SMALL", 1)
    made, x = IndicatorUniverse(ids(), NAMES, engine=cpu), walks(3, 60)
    held = made.compute(x) if again else None
    before = [array.copy() for array in flat(held or {})]
    x[1, 40:] = x[2, 3] = bad
    with pytest.raises(InputError, match=f"`prices` must be finite, was {bad} at series 1, bar 40"):
        made.compute(x, out=held)
    for array, kept in zip(flat(held or {}), before, strict=True):
        np.testing.assert_array_equal(array, kept)


@pytest.mark.parametrize("prices", [walks(), walks()[0]], ids=["matrix", "series"])
def test_sweeps_are_as_one_by_one(prices, engine):
    made = IndicatorUniverse(ids(), NAMES, engine=engine)
    rsi = made.sweep("rsi", periods=range(2, 30), prices=prices)
    macd = made.sweep("macd", fast=[2, 3], slow=[6, 9], signal=4, prices=prices)
    bands = made.sweep("bollinger", periods=(5, 9), prices=prices)
    for row in range(28):
        np.testing.assert_allclose(rsi[row], MetalRSI(row + 2).compute(prices, engine), rtol=1e-5)
    for row, pair in enumerate([(2, 6), (3, 9)]):
        expected = MetalMACD(*pair, 4).compute(prices, engine)
        np.testing.assert_allclose([out[row] for out in macd], expected, rtol=1e-4, atol=1e-5)
    for row, period in enumerate((5, 9)):
        np.testing.assert_allclose([out[row] for out in bands], MetalBollingerBands(period).compute(prices, engine))


@pytest.mark.slow
def test_a_long_sweep_is_split_without_a_seam(cpu):
    x = walks(2, 3000)
    swept = IndicatorUniverse(ids(), NAMES, engine=cpu).sweep("rsi", periods=range(2, 201), prices=x)
    assert swept.shape == (199, 2, 3000)
    for period in (2, 22, 23, 24, 100, 200):
        np.testing.assert_allclose(swept[period - 2], MetalRSI(period).compute(x, cpu), rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rsi(14)", "rsi(14)"),
        ("rsi", "rsi(14)"),
        (" MACD ( 12, 26 ) ", "macd(12,26,9)"),
        ("macd()", "macd(12,26,9)"),
        ("bollinger(20,2)", "bollinger(20,2)"),
        ("bollinger(20, 2.0)", "bollinger(20,2)"),
        ("Bollinger(5,1.25)", "bollinger(5,1.25)"),
    ],
)
def test_names(name, expected):
    assert canonical(*parse(name)) == expected


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sma(5)", "`kind` must be one of rsi, macd, bollinger, was 'sma'"),
        ("rsi(14", "`name` must be like"),
        ("rsi 14", "`name` must be like"),
        ("", "`name` must be like"),
        (14, "`name` must be like"),
        ("rsi(x)", "`name` must hold numbers"),
        ("rsi(14,)", "`name` must hold numbers"),
        ("rsi(14,3)", r"`name` must give at most 1 numbers \(period\) to rsi"),
        ("rsi(0)", "`period` must be at least 1 bar, was 0"),
        ("rsi(2.5)", "`period` must be a whole number"),
        ("macd(26,12,9)", "`fast` must be below"),
        ("bollinger(20,-1)", "`k` must be above 0"),
        ("bollinger(20,nan)", "`k` must be above 0"),
    ],
)
def test_bad_names(name, message):
    with pytest.raises(InputError, match=message):
        IndicatorUniverse(ids(), [name])


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda u: IndicatorUniverse([], NAMES), "`instrument_ids` must hold at least one"),
        (lambda u: IndicatorUniverse(["A.X", "B.X", "A.X"], NAMES), "'A.X' came twice"),
        (lambda u: IndicatorUniverse(ids(), []), "`names` must hold at least one"),
        (lambda u: IndicatorUniverse(ids(), ["rsi", "rsi(14)"]), r"'rsi\(14\)' came twice"),
        (lambda u: u.update([1.0, 2.0]), r"`prices` must be of shape \(3,\), was \(2,\)"),
        (lambda u: u.warm_up(np.ones((2, 5))), r"`prices` must be of shape \(3, bars\), was \(2, 5\)"),
        (lambda u: u.compute(np.full((3, 5), np.nan)), "`prices` must be finite, was nan at series 0, bar 0"),
        (lambda u: u.view("MSFT.XNAS", "rsi(5)"), "`instrument_id` must be one of the universe's 3"),
        (lambda u: u.view("S0.XNAS", "rsi(6)"), "`name` must be one of rsi"),
        (lambda u: u.values("macd"), "`name` must be one of rsi"),
        (lambda u: u.sweep("sma", periods=[2], prices=[1.0]), "`kind` must be one of"),
        (lambda u: u.sweep("rsi", periods=[], prices=[1.0]), "sequences of one length"),
        (lambda u: u.sweep("rsi", prices=[1.0]), "sequences of one length"),
        (lambda u: u.sweep("rsi", lengths=[2], prices=[1.0]), "`lengths` must be one of period"),
        (lambda u: u.sweep("rsi", periods=[0], prices=[1.0]), "`period` must be at least 1 bar"),
        (lambda u: u.sweep("macd", fast=[2, 3], slow=[5, 6, 7], prices=[1.0]), "sequences of one length"),
        (lambda u: u.sweep("rsi", periods=[2], prices=[np.inf]), "`prices` must be finite"),
    ],
)
def test_bad_input(act, message):
    with pytest.raises(InputError, match=message):
        act(IndicatorUniverse(ids(), NAMES))


def test_a_bar_of_a_stranger_is_refused(make_bar):
    with pytest.raises(InputError, match="`instrument_id` must be one of the universe's 3"):
        IndicatorUniverse(ids(), NAMES).update_bar(make_bar(1.0, symbol="MSFT"))
