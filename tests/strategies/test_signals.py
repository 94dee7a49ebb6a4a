"""The signal strategies are where their indicator says, in the size asked for, and nowhere else."""

import numpy as np
import pytest

from nautilus_metal.errors import InputError
from nautilus_metal.indicators import MetalBollingerBands, MetalMACD, MetalRSI
from strategies.bollinger_reversion import BollingerReversion, BollingerReversionConfig
from strategies.macd_trend import MACDTrend, MACDTrendConfig
from strategies.rsi_reversion import RSIReversion, RSIReversionConfig
from tests.strategies.conftest import bar_type_of

RSI = (RSIReversion, RSIReversionConfig)
MACD = (MACDTrend, MACDTrendConfig)
BOLLINGER = (BollingerReversion, BollingerReversionConfig)
ALL = [pytest.param(*pair, id=pair[0].__name__) for pair in (RSI, MACD, BOLLINGER)]
DAYS = 400


def wave(days: int = DAYS, seed: int = 0) -> np.ndarray:
    """Prices with trends and excursions, rounded as the instrument has them."""
    rng = np.random.default_rng(seed)
    drift = 0.01 * np.sin(np.arange(days) / 15)
    return np.round(100 * np.exp(np.cumsum(drift + rng.normal(scale=0.01, size=days))), 4)


def rsi_sides(closes):
    """Sides by the rule in plain words, from the indicator's own values."""
    indicator, side, sides = MetalRSI(14), 0, []
    for close in closes:
        indicator.update_raw(close)
        if indicator.initialized:
            if indicator.value < 30:
                side = 1
            elif indicator.value > 70:
                side = -1
            elif (side == 1 and indicator.value >= 50) or (side == -1 and indicator.value <= 50):
                side = 0
        sides.append(side)
    return np.array(sides)


def macd_sides(closes):
    indicator, side, sides = MetalMACD(12, 26, 9), 0, []
    for close in closes:
        indicator.update_raw(close)
        if indicator.initialized:
            if indicator.value > 0 and indicator.histogram > 0:
                side = 1
            elif indicator.value < 0 and indicator.histogram < 0:
                side = -1
            elif np.sign(indicator.histogram) == -side:
                side = 0
        sides.append(side)
    return np.array(sides)


def bollinger_sides(closes):
    indicator, side, sides = MetalBollingerBands(20, 2.0), 0, []
    for close in closes:
        indicator.update_raw(close)
        if indicator.initialized:
            if close < indicator.lower:
                side = 1
            elif close > indicator.upper:
                side = -1
            elif (side == 1 and close >= indicator.middle) or (side == -1 and close <= indicator.middle):
                side = 0
        sides.append(side)
    return np.array(sides)


@pytest.mark.parametrize(
    ("strategy", "config", "oracle"),
    [(*RSI, rsi_sides), (*MACD, macd_sides), (*BOLLINGER, bollinger_sides)],
    ids=["rsi", "macd", "bollinger"],
)
def test_it_is_where_its_signal_says(bench, strategy, config, oracle):
    closes = {"AAA": wave(), "BBB": wave(seed=1)}
    settings = config(bar_types=tuple(map(bar_type_of, closes)), notional=50_000.0, flatten_on_stop=False)
    made = bench(closes).run(strategy(settings))
    for name, series in closes.items():
        held, sides = made.held_by_day(name, DAYS), oracle(series)
        np.testing.assert_array_equal(np.sign(held), sides)
        assert {-1, 0, 1} <= set(sides.tolist())
        entered = np.flatnonzero((sides != 0) & (np.diff(sides, prepend=0) != 0))
        np.testing.assert_array_equal(np.abs(held[entered]), np.floor(50_000.0 / series[entered] + 1e-9))
    assert all(price == closes[name][day] for day, name, _, price in made.fills)


@pytest.mark.parametrize(("strategy", "config"), ALL)
def test_without_shorts_it_is_long_or_flat(bench, strategy, config):
    settings = config(bar_types=(bar_type_of("AAA"),), allow_short=False)
    held = bench({"AAA": wave()}).run(strategy(settings)).held_by_day("AAA", DAYS)
    assert held.min() == 0.0
    assert held.max() > 0.0


@pytest.mark.parametrize("flatten", [True, False])
def test_stop_flattens_as_configured(bench, flatten):
    closes = wave()[:130]  # ends in a position
    settings = MACDTrendConfig(bar_types=(bar_type_of("AAA"),), flatten_on_stop=flatten)
    made = bench({"AAA": closes}).run(MACDTrend(settings))
    assert macd_sides(closes)[-1] != 0
    assert (made.quantity("AAA") == 0.0) == flatten


@pytest.mark.parametrize(("strategy", "config"), ALL)
@pytest.mark.parametrize("prices", [[], [100.0], np.full(60, 42.0)], ids=["none", "one", "still"])
def test_too_little_or_unmoving_data_trades_nothing(bench, strategy, config, prices):
    names = ("AAA", "BBB")
    made = bench({"AAA": prices, "BBB": [1.0, 1.0]})
    made.run(strategy(config(bar_types=tuple(map(bar_type_of, names)))))
    assert made.fills == []


def test_an_unknown_instrument_is_left_out(bench):
    settings = MACDTrendConfig(bar_types=(bar_type_of("NOPE"), bar_type_of("AAA")))
    made = bench({"AAA": wave()}).run(MACDTrend(settings))
    assert made.fills


def test_a_price_above_the_notional_is_not_traded(bench):
    settings = MACDTrendConfig(bar_types=(bar_type_of("AAA"),), notional=1.0)
    assert bench({"AAA": wave()}).run(MACDTrend(settings)).fills == []


def test_a_refused_order_is_not_counted_as_held(bench):
    made = bench({"AAA": wave()})
    strategy = MACDTrend(MACDTrendConfig(bar_types=(bar_type_of("AAA"),), notional=1e10))  # beyond the margin account
    made.engine.add_strategy(strategy)
    made.engine.run()
    slot = next(iter(strategy.slots.values()))
    assert slot.quantity == made.quantity("AAA")


def test_two_strategies_keep_their_own_positions(bench):
    closes = {"AAA": wave()}
    first = MACDTrendConfig(bar_types=(bar_type_of("AAA"),), order_id_tag="A", flatten_on_stop=False)
    second = RSIReversionConfig(bar_types=(bar_type_of("AAA"),), order_id_tag="B", flatten_on_stop=False)
    both = bench(closes).run(MACDTrend(first), RSIReversion(second)).held_by_day("AAA", DAYS)
    alone = [bench(closes).run(part).held_by_day("AAA", DAYS) for part in (MACDTrend(first), RSIReversion(second))]
    np.testing.assert_array_equal(both, alone[0] + alone[1])


def test_a_second_run_after_reset_is_the_same(bench):
    made = bench({"AAA": wave()})
    made.run(MACDTrend(MACDTrendConfig(bar_types=(bar_type_of("AAA"),))))
    first, made.fills = made.fills, []
    made.engine.reset()
    made.run()
    assert first
    assert made.fills == first


@pytest.mark.parametrize(
    ("config", "settings", "words"),
    [
        (RSIReversionConfig, {"bar_types": ()}, "`bar_types` must be at least one bar type"),
        (RSIReversionConfig, {"bar_types": (bar_type_of("AAA"), bar_type_of("AAA"))}, "several for AAA.SIM"),
        (RSIReversionConfig, {"notional": 0.0}, "`notional` must be finite and above 0, was 0.0"),
        (RSIReversionConfig, {"notional": float("nan")}, "`notional` must be finite and above 0, was nan"),
        (RSIReversionConfig, {"period": 0}, "`period` must be at least 1 bar, was 0"),
        (RSIReversionConfig, {"oversold": 60.0}, "`oversold, middle, overbought` must be ascending"),
        (RSIReversionConfig, {"overbought": 101.0}, "within 0 to 100"),
        (MACDTrendConfig, {"fast": 26}, "`slow` must be above `fast`"),
        (MACDTrendConfig, {"fast": 0}, "`fast` must be at least 1 bar, was 0"),
        (MACDTrendConfig, {"signal": 0}, "`signal` must be at least 1 bar, was 0"),
        (BollingerReversionConfig, {"period": 1}, "`period` must be at least 2 bars, was 1"),
        (BollingerReversionConfig, {"k": -1.0}, "`k` must be finite and above 0, was -1.0"),
    ],
)
def test_bad_settings_are_refused_in_words(config, settings, words):
    with pytest.raises(InputError, match=words.replace("(", r"\(")):
        config(**({"bar_types": (bar_type_of("AAA"),)} | settings))
