"""The nautilus_v1 convention is a drop-in for the built-in classes: same numbers at every bar, same start."""

import numpy as np
import pytest
from nautilus_trader.indicators import (
    BollingerBands,
    MovingAverageConvergenceDivergence,
    MovingAverageType,
    RelativeStrengthIndex,
)
from nautilus_trader.model.enums import PriceType

from nautilus_metal.errors import InputError
from nautilus_metal.indicators import MetalBollingerBands, MetalMACD, MetalRSI

V1 = "nautilus_v1"
AVERAGES = [average for average in MovingAverageType if average is not MovingAverageType.ADAPTIVE]
by_average = pytest.mark.parametrize("average", AVERAGES, ids=lambda average: average.name)


def walks():
    noise = np.random.default_rng(0).normal(size=400)
    return {
        "walk": 100.0 + noise.cumsum(),
        "spread around zero": noise,
        "large level": 1e5 + 1e-2 * noise.cumsum(),
        "flat at first": np.concatenate([np.full(40, 5.0), 5.0 + noise.cumsum()]),
        "flat at last": np.concatenate([noise[:40], np.full(200, 1.25)]),
    }


by_walk = pytest.mark.parametrize("x", walks().values(), ids=walks().keys())


def same_start(ours, theirs):
    assert ours.initialized == theirs.initialized
    assert ours.has_inputs == theirs.has_inputs


@by_average
@by_walk
@pytest.mark.parametrize("period", [2, 14])
def test_rsi(average, x, period):
    ours, theirs = MetalRSI(period, V1, ma_type=average), RelativeStrengthIndex(period, ma_type=average)
    assert (ours.value, ours.period) == (theirs.value, theirs.period)
    for price in x.tolist():
        ours.update_raw(price)
        theirs.update_raw(price)
        assert ours.value == theirs.value
        same_start(ours, theirs)


@by_average
@by_walk
def test_macd(average, x):
    ours = MetalMACD(fast_period=3, slow_period=10, ma_type=average, convention=V1)
    theirs = MovingAverageConvergenceDivergence(fast_period=3, slow_period=10, ma_type=average)
    assert (ours.fast_period, ours.slow_period) == (theirs.fast_period, theirs.slow_period)
    assert ours.value == theirs.value
    for price in x.tolist():
        ours.update_raw(price)
        theirs.update_raw(price)
        assert ours.value == theirs.value
        assert ours.histogram == ours.value - ours.signal
        same_start(ours, theirs)


@by_average
@by_walk
@pytest.mark.parametrize("period", [2, 20])
def test_bollinger(average, x, period):
    ours = MetalBollingerBands(period, 2.0, V1, ma_type=average)
    theirs = BollingerBands(period, 2.0, ma_type=average)
    assert (ours.upper, ours.middle, ours.lower) == (0.0, 0.0, 0.0)
    spread = np.random.default_rng(1).uniform(0.0, 0.5, size=(2, len(x)))
    scale = np.abs(x).max()
    for high, low, close in zip((x + spread[0]).tolist(), (x - spread[1]).tolist(), x.tolist(), strict=True):
        ours.update_raw(high=high, low=low, close=close)
        theirs.update_raw(high=high, low=low, close=close)
        expected = (theirs.upper, theirs.middle, theirs.lower)
        got = (ours.upper, ours.middle, ours.lower)
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-13 * scale)
        same_start(ours, theirs)


@by_average
def test_defaults_and_names_of_averages(average):
    assert repr(MetalRSI(5, V1)) == repr(MetalRSI(5, V1, ma_type="EXPONENTIAL"))
    assert repr(MetalMACD(3, 5, convention=V1)) == repr(MetalMACD(3, 5, convention=V1, ma_type="exponential"))
    assert repr(MetalBollingerBands(5, 2.0, V1)) == repr(MetalBollingerBands(5, 2.0, V1, ma_type="SIMPLE"))
    assert average.name in repr(MetalRSI(5, V1, ma_type=average.name))


def test_the_signal_is_an_ema_of_the_line_from_its_first_value():
    macd = MetalMACD(3, 10, 4, V1)
    expected = None
    for price in walks()["walk"].tolist():
        macd.update_raw(price)
        expected = macd.value if expected is None else expected + 0.4 * (macd.value - expected)
        assert macd.signal == pytest.approx(expected, rel=1e-12, abs=1e-15)


@by_average
@pytest.mark.parametrize("cls", [MetalRSI, MetalMACD, MetalBollingerBands])
def test_batch_equals_step(average, cls, cpu):
    x = np.stack([walks()["walk"], 3.0 * walks()["spread around zero"]])
    indicator = cls(convention=V1, ma_type=average)
    outputs = indicator.compute(x, cpu)
    outputs = {"value": outputs} if isinstance(outputs, np.ndarray) else outputs._asdict()
    for row in range(2):
        indicator.reset()
        for bar, price in enumerate(x[row].tolist()):
            indicator.update_raw(price)
            for name, values in outputs.items():
                expected = getattr(indicator, name)
                if name == "percent_b" and indicator.upper - indicator.lower < 1e-9:
                    continue  # a quotient of roundings
                # A Hull average of losses may come near zero, where an RSI is a quotient of roundings.
                assert values[row, bar] == pytest.approx(expected, rel=1e-7, abs=1e-9, nan_ok=True), (name, bar)


def test_bollinger_takes_bars_of_three_prices(cpu):
    x = walks()["walk"]
    high, low = x + 0.5, x - 0.25
    bands, fed = MetalBollingerBands(convention=V1), MetalBollingerBands(convention=V1)
    for row in zip(high.tolist(), low.tolist(), x.tolist(), strict=True):
        fed.update_raw(*row)
    bands.warm_up((high, low, x))
    assert (bands.upper, bands.middle, bands.lower) == (fed.upper, fed.middle, fed.lower)
    assert bands.compute((high, low, x), cpu).upper[-1] == pytest.approx(fed.upper, rel=1e-12)
    standard = MetalBollingerBands()
    np.testing.assert_array_equal(standard.compute((high, low, x)).upper, standard.compute(x).upper)
    with pytest.raises(InputError, match="must be of one shape"):
        bands.compute((high, low, x[1:]))
    with pytest.raises(InputError, match="`low` must be finite, was nan at bar 3"):
        bands.compute((high, np.where(np.arange(len(x)) == 3, np.nan, low), x))


def test_one_plain_price_is_a_bar_of_that_price():
    one, three = MetalBollingerBands(5, 2.0, V1), BollingerBands(5, 2.0)
    for price in walks()["walk"][:30].tolist():
        one.update_raw(price)
        three.update_raw(price, price, price)
    assert one.upper == pytest.approx(three.upper, rel=1e-12)


def test_bars_quotes_and_trades(make_bar, make_quote, make_trade):
    pairs = [
        (MetalRSI(14, V1), RelativeStrengthIndex(14)),
        (
            MetalMACD(convention=V1, price_type=PriceType.MID),
            MovingAverageConvergenceDivergence(12, 26, price_type=PriceType.MID),
        ),
        (MetalBollingerBands(convention=V1), BollingerBands(20, 2.0)),
    ]
    for ours, theirs in pairs:
        kinds = ["handle_bar", "handle_quote_tick", "handle_trade_tick"]
        for kind in kinds[:1] if isinstance(theirs, RelativeStrengthIndex) else kinds:
            ours.reset()
            theirs.reset()
            for ts, price in enumerate(walks()["walk"][:60].round(2).tolist()):
                data = {
                    "handle_bar": lambda p=price, t=ts: make_bar(p, t, p + 1.0, p - 0.5),
                    "handle_quote_tick": lambda p=price, t=ts: make_quote(p - 0.3, p + 0.4, t),
                    "handle_trade_tick": lambda p=price, t=ts: make_trade(p, t),
                }[kind]()
                getattr(ours, kind)(data)
                getattr(theirs, kind)(data)
                for name in ("value", "upper", "middle", "lower"):
                    if hasattr(theirs, name):
                        assert getattr(ours, name) == pytest.approx(getattr(theirs, name), rel=1e-9, abs=1e-12)
                same_start(ours, theirs)


def test_quotes_have_no_last_price(make_quote):
    asked, left_out = MetalMACD(convention=V1, price_type=PriceType.LAST), MetalMACD(convention=V1)
    with pytest.raises(ValueError, match="Cannot extract with PriceType LAST"):
        asked.handle_quote_tick(make_quote(1.0, 2.0))
    left_out.handle_quote_tick(make_quote(1.0, 2.0))
    assert left_out.has_inputs


@pytest.mark.parametrize("cls", [MetalRSI, MetalMACD, MetalBollingerBands])
@pytest.mark.parametrize("average", [MovingAverageType.ADAPTIVE, "ADAPTIVE", "KAMA", 3.5])
def test_averages_that_the_built_in_classes_cannot_make(cls, average):
    with pytest.raises(InputError, match="`ma_type` must be one of SIMPLE, "):
        cls(convention=V1, ma_type=average)


@pytest.mark.parametrize(
    "make", [lambda: MetalRSI(1, V1, ma_type="HULL"), lambda: MetalMACD(1, 5, convention=V1, ma_type="HULL")]
)
def test_a_hull_average_of_one_bar(make):
    with pytest.raises(InputError, match="`period` must be at least 2 bars with ma_type HULL, was 1"):
        make()
