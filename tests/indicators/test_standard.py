"""The standard convention gives TA-Lib's numbers: streaming, in batch, from every kind of market data."""

import math

import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus_metal.errors import InputError
from nautilus_metal.indicators import BollingerValues, MacdValues, MetalBollingerBands, MetalMACD, MetalRSI, base

OUTPUTS = {
    MetalRSI: ("value",),
    MetalMACD: ("value", "signal", "histogram"),
    MetalBollingerBands: ("upper", "middle", "lower", "bandwidth", "percent_b"),
}
CLASSES = pytest.mark.parametrize("cls", OUTPUTS)
CONVENTIONS = pytest.mark.parametrize("convention", ["standard", "nautilus_v1"])


def read(indicator):
    return tuple(getattr(indicator, name) for name in OUTPUTS[type(indicator)])


def streamed(indicator, prices):
    out = []
    for price in prices:
        indicator.update_raw(price)
        out.append(read(indicator))
    return np.array(out).T


def computed(indicator, prices, engine=None):
    outputs = indicator.compute(prices, engine=engine)
    return np.stack([outputs] if isinstance(outputs, np.ndarray) else outputs)


def walk(level=100.0, move=1.0, bars=600, seed=0):
    return level + move * np.random.default_rng(seed).normal(size=bars).cumsum()


def named(part: object) -> str | None:
    """Name a test by what is the same in every process, which a function's address is not."""
    return None if callable(part) else repr(part)


REFERENCES = [
    (MetalRSI(), lambda x: [talib.RSI(x, 14)], 14),
    (MetalRSI(5), lambda x: [talib.RSI(x, 5)], 5),
    (MetalMACD(), lambda x: talib.MACD(x), 33),
    (MetalMACD(3, 10, 4), lambda x: talib.MACD(x, 3, 10, 4), 12),
    (MetalBollingerBands(), lambda x: talib.BBANDS(x, 20, 2.0, 2.0), 19),
    (MetalBollingerBands(50, 2.5), lambda x: talib.BBANDS(x, 50, 2.5, 2.5), 49),
]


@pytest.mark.parametrize(("indicator", "reference", "first"), REFERENCES, ids=named)
@pytest.mark.parametrize(("level", "move"), [(100.0, 1.0), (0.0, 1.0), (1e5, 1e-2)])
def test_equals_talib(indicator, reference, first, level, move, cpu):
    x = walk(level, move)
    expected = np.stack(reference(x))
    atol = 1e-12 * max(level, 1.0)  # TA-Lib's own rounding, at the price level, of a MACD near zero
    for got in (streamed(indicator, x.tolist()), computed(indicator, x, cpu)):
        np.testing.assert_allclose(got[: len(expected)], expected, rtol=1e-9, atol=atol)
    indicator.reset()
    for bar, price in enumerate(x[: first + 1].tolist()):
        assert not indicator.initialized, bar
        indicator.update_raw(price)
    assert indicator.initialized
    assert all(math.isfinite(value) for value in read(indicator))
    indicator.reset()


@CLASSES
@CONVENTIONS
def test_batch_equals_step_on_every_device(cls, convention, engine):
    x = np.stack([walk(seed=seed, bars=400) for seed in range(3)])
    expected = np.stack([streamed(cls(convention=convention), row.tolist()) for row in x], axis=1)
    exact = engine.device.type != "mps"
    got = computed(cls(convention=convention), x, engine)
    np.testing.assert_allclose(got, expected, rtol=1e-9 if exact else 1e-3, atol=1e-9 if exact else 5e-3)
    np.testing.assert_allclose(computed(cls(convention=convention), x[1], engine), got[:, 1], rtol=1e-9, atol=1e-9)


@CLASSES
@CONVENTIONS
@settings(max_examples=25, deadline=None)
@given(x=st.lists(st.floats(-1e4, 1e4), max_size=80), before=st.lists(st.floats(-1e4, 1e4), max_size=5))
def test_warming_up_is_feeding_bit_for_bit(cls, convention, x, before):
    fed, warmed = cls(convention=convention), cls(convention=convention)
    for price in [*before, *x]:
        fed.update_raw(price)
    for price in before:
        warmed.update_raw(price)
    warmed.warm_up(x)
    for price in (1.0, 2.5, -3.0):
        assert repr(read(warmed)) == repr(read(fed))  # NaN equals NaN, and 0.0 is not -0.0
        assert (warmed.initialized, warmed.has_inputs) == (fed.initialized, fed.has_inputs)
        fed.update_raw(price)
        warmed.update_raw(price)


@CLASSES
@CONVENTIONS
@settings(max_examples=25, deadline=None)
@given(
    x=st.lists(st.one_of(st.floats(-1e4, 1e4), st.sampled_from([math.nan, math.inf, -math.inf])), max_size=80)
)
def test_bad_prices_are_skipped_and_counted(cls, convention, x):
    whole, filtered = cls(convention=convention), cls(convention=convention)
    for price in x:
        whole.update_raw(price)
        if math.isfinite(price):
            filtered.update_raw(price)
    assert repr(read(whole)) == repr(read(filtered))
    assert whole.rejected == sum(not math.isfinite(price) for price in x)
    assert (whole.initialized, whole.has_inputs) == (filtered.initialized, filtered.has_inputs)


@CLASSES
def test_rejection_is_logged_once(cls, monkeypatch):
    lines = []
    monkeypatch.setattr(base, "log_warning", lambda source, message: lines.append((source, message)))
    indicator = cls()
    for price in (math.nan, math.inf, np.float64("nan")):
        indicator.update_raw(price)
    assert indicator.rejected == 3
    assert len(lines) == 1
    assert "nan" in lines[0][1]
    indicator.reset()
    assert indicator.rejected == 0


@CLASSES
@CONVENTIONS
def test_reset_restores_everything(cls, convention):
    indicator = cls(convention=convention)
    first = streamed(indicator, walk(bars=120).tolist())
    indicator.update_raw(math.nan)
    indicator.reset()
    assert not indicator.initialized
    assert not indicator.has_inputs
    assert indicator.rejected == 0
    assert repr(read(indicator)) == repr(read(cls(convention=convention)))
    np.testing.assert_array_equal(streamed(indicator, walk(bars=120).tolist()), first)


@CLASSES
def test_numpy_numbers_count_in_full_precision(cls):
    x = walk(bars=80)
    np.testing.assert_array_equal(streamed(cls(), x), streamed(cls(), x.tolist()))
    narrow = x.astype(np.float32)
    np.testing.assert_array_equal(streamed(cls(), narrow), streamed(cls(), narrow.astype(float).tolist()))


@CLASSES
@CONVENTIONS
def test_compute_leaves_the_streaming_state_alone(cls, convention):
    indicator = cls(convention=convention)
    indicator.warm_up(walk(bars=60))
    before = read(indicator)
    indicator.compute(walk(bars=100, seed=9))
    assert read(indicator) == before


@CLASSES
@CONVENTIONS
@pytest.mark.parametrize("shape", [(0,), (1,), (3, 0), (3, 2), (0, 5)])
def test_short_histories(cls, convention, shape):
    got = computed(cls(convention=convention), np.ones(shape))
    assert got.shape[1:] == shape
    if convention == "standard":
        assert np.isnan(got).all()


def test_outputs_are_named():
    x = walk(bars=60)
    assert isinstance(MetalRSI().compute(x), np.ndarray)
    assert isinstance(MetalMACD().compute(x), MacdValues)
    assert isinstance(MetalBollingerBands().compute(x), BollingerValues)


@CLASSES
def test_market_data(cls, make_bar, make_quote, make_trade):
    closes = [round(price, 2) for price in walk(bars=60).tolist()]
    plain, bars, quotes, trades = cls(), cls(), cls(), cls()
    for ts, close in enumerate(closes):
        plain.update_raw(close)
        bars.handle_bar(make_bar(close, ts, close + 1.0, close - 2.0))
        quotes.handle_quote_tick(make_quote(close - 0.5, close + 0.5, ts))
        trades.handle_trade_tick(make_trade(close, ts))
    for indicator in (bars, trades):
        assert read(indicator) == read(plain)
    np.testing.assert_allclose(read(quotes), read(plain), rtol=1e-9, atol=1e-9)
    assert plain.initialized
    assert bars.initialized
    assert quotes.initialized
    assert trades.initialized


@CLASSES
@CONVENTIONS
def test_a_call_that_failed_leaves_the_indicator_as_it_was(cls, convention, make_bar):
    failing, plain = cls(convention=convention), cls(convention=convention)
    for ts, close in enumerate(walk(bars=120).round(2).tolist()):
        if ts in (0, 5, 60):
            with pytest.raises(AttributeError, match="no attribute"):
                failing.handle_bar("a bar")
            with pytest.raises(AttributeError, match="no attribute"):
                failing.handle_quote_tick(None)
            with pytest.raises(ValueError, match="could not convert"):
                failing.update_raw("a price")
        failing.handle_bar(make_bar(close, ts, close + 1.0, close - 2.0))
        plain.handle_bar(make_bar(close, ts, close + 1.0, close - 2.0))
        assert repr(read(failing)) == repr(read(plain))
    assert failing.initialized


@CLASSES
def test_a_handler_that_is_held_goes_on_after_a_reset(cls, make_bar):
    indicator = cls()
    handle = indicator.handle_bar
    for run in range(2):
        plain = cls()
        for ts, close in enumerate(walk(bars=120, seed=run).round(2).tolist()):
            handle(make_bar(close, ts))
            plain.update_raw(close)
        assert read(indicator) == read(plain)
        indicator.reset()


@CLASSES
def test_a_subclass_may_handle_bars_in_its_own_way(cls, make_bar):
    class EverySecond(cls):
        seen = 0

        def handle_bar(self, bar):
            self.seen += 1
            if self.seen % 2:
                super().handle_bar(bar)

    own, plain = EverySecond(), cls()
    for run in range(2):
        for ts, close in enumerate(walk(bars=120, seed=run).round(2).tolist()):
            own.handle_bar(make_bar(close, ts))
            if ts % 2 == 0:
                plain.update_raw(close)
        assert [getattr(own, name) for name in OUTPUTS[cls]] == list(read(plain))
        own.reset()
        plain.reset()


@CLASSES
@pytest.mark.parametrize(("price_type", "side"), [("BID", 0), ("ask", 1)])
def test_quotes_at_another_price(cls, price_type, side, make_quote):
    quoted, plain = cls(price_type=price_type), cls()
    for price in walk(bars=60).round(2).tolist():
        sides = (round(price - 0.25, 2), round(price + 0.25, 2))
        quoted.handle_quote_tick(make_quote(*sides))
        plain.update_raw(sides[side])
    assert read(quoted) == read(plain)


def test_zones():
    rsi = MetalRSI(2, overbought=80.0, oversold=25.0)
    seen = [rsi.zone]
    for price in (10.0, 11.0, 12.0, 11.5, 11.0, 9.0):
        rsi.update_raw(price)
        seen.append(rsi.zone)
    assert seen == [None, None, None, "overbought", "neutral", "neutral", "oversold"]
    v1 = MetalRSI(2, "nautilus_v1")
    v1.warm_up([1.0, 2.0, 3.0])
    assert (v1.value, v1.zone) == (1.0, "overbought")
    v1.warm_up([2.0, 1.0, 0.0])
    assert v1.zone == "oversold"


@CLASSES
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_bad_history_names_the_place(cls, bad):
    x = np.ones((3, 50))
    x[1, 17] = bad
    with pytest.raises(InputError, match=f"`prices` must be finite, was {bad} at series 1, bar 17"):
        cls().compute(x)
    with pytest.raises(InputError, match=f"`prices` must be finite, was {bad} at bar 17"):
        cls().compute(x[1])
    indicator = cls()
    with pytest.raises(InputError, match="at bar 17"):
        indicator.warm_up(x[1])
    assert not indicator.has_inputs


@CLASSES
def test_histories_of_another_shape(cls):
    for prices in (1.0, np.ones((2, 3, 4)), ["a", "b"], [[1.0, 2.0], [3.0]]):
        with pytest.raises(InputError, match="`prices` must be"):
            cls().compute(prices)
    with pytest.raises(InputError, match=r"`prices` must be of shape \(bars,\)"):
        cls().warm_up(np.ones((2, 5)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MetalRSI(0), "`period` must be at least 1 bar, was 0"),
        (lambda: MetalRSI(14.0), "`period` must be a whole number of bars, was 14.0"),
        (lambda: MetalRSI(period="14"), "`period` must be a whole number of bars, was '14'"),
        (lambda: MetalRSI(True), "`period` must be a whole number"),
        (lambda: MetalRSI(convention="talib"), "`convention` must be one of 'standard', 'nautilus_v1', was 'talib'"),
        (lambda: MetalRSI(convention=None), "`convention` must be one of"),
        (lambda: MetalRSI(overbought=30, oversold=70), "`oversold` and `overbought` must be rising"),
        (lambda: MetalRSI(overbought=120), "`oversold` and `overbought` must be"),
        (lambda: MetalRSI(ma_type="WILDER"), "`ma_type` must be left out with convention 'standard'"),
        (lambda: MetalRSI(price_type="LOW"), "`price_type` must be a PriceType"),
        (lambda: MetalMACD(26, 12), "`fast` must be below `slow` = 12 bars, was 26"),
        (lambda: MetalMACD(12, 12), "`fast` must be below"),
        (lambda: MetalMACD(fast_period=0), "`fast` must be at least 1 bar"),
        (lambda: MetalMACD(signal=0), "`signal` must be at least 1 bar, was 0"),
        (lambda: MetalBollingerBands(-1), "`period` must be at least 1 bar, was -1"),
        (lambda: MetalBollingerBands(20, 0.0), "`k` must be above 0 standard deviations, was 0.0"),
        (lambda: MetalBollingerBands(20, math.nan), "`k` must be above 0"),
        (lambda: MetalBollingerBands(20, "two"), "`k` must be a number"),
        (lambda: MetalBollingerBands().update_raw(1.0, 2.0), "`low` and `close` must come together"),
    ],
)
def test_bad_parameters(make, message):
    with pytest.raises(InputError, match=message):
        make()
