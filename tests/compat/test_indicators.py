"""Indicators of the function API against TA-Lib, their signals and their confidence."""

import asyncio

import numpy as np
import pytest
import talib

from nautilus_metal import (
    calculate_bollinger_bands_metal,
    calculate_macd_metal,
    calculate_rsi_metal,
    initialize_metal_acceleration,
    optimize_for_technical_indicators,
)
from nautilus_metal.engine import fused, shared_engine
from nautilus_metal.errors import InputError
from nautilus_metal.indicators import MetalBollingerBands, MetalMACD, MetalRSI

ALL = (calculate_rsi_metal, calculate_macd_metal, calculate_bollinger_bands_metal)


def close(found, wanted, scale: float, exact: bool) -> None:
    np.testing.assert_allclose(found, wanted, rtol=0, atol=(1e-8 if exact else 1e-3) * scale)


def test_rsi(prices, exact, device):
    found = asyncio.run(calculate_rsi_metal(prices, period=14, overbought_threshold=65, oversold_threshold=35))
    wanted = talib.RSI(prices, 14)
    close(found.values, wanted, 5.0, exact)
    safe = ~(np.abs(np.nan_to_num(wanted, nan=50.0)[:, None] - [35.0, 65.0]) < 0.01).any(1)
    rule = np.where(wanted < 35, "buy", np.where(wanted > 65, "sell", "hold"))
    assert (found.signals == rule)[safe].all()
    assert set(found.signals) == {"buy", "sell", "hold"}
    assert found.confidence == pytest.approx(abs(wanted[-1] - 50) / 50, abs=1e-4)
    assert (found.lookback_period, found.device, found.metal_accelerated) == (14, device, device != "cpu")
    assert "35" in found.signal_rule


def test_macd(prices, exact):
    found = asyncio.run(calculate_macd_metal(prices=prices, fast_period=12, slow_period=26, signal_period=9))
    lines = talib.MACD(prices, 12, 26, 9)
    for ours, wanted in zip((found.values, found.signal_line, found.histogram), lines, strict=True):
        close(ours, wanted, 1.0, exact)
    before = np.concatenate([[np.nan], found.histogram[:-1]])
    crossed = (found.signals == "buy").nonzero()[0]
    assert len(crossed) > 50
    assert (found.histogram[crossed] > 0).all()
    assert (before[crossed] <= 0).all()
    largest = np.nanmax(np.abs(found.histogram))
    assert found.confidence == pytest.approx(abs(found.histogram[-1]) / largest)
    assert found.lookback_period == 26


def test_bollinger_bands(prices, exact):
    found = asyncio.run(calculate_bollinger_bands_metal(prices, period=20, std_dev_multiplier=2.0))
    upper, middle, lower = talib.BBANDS(prices, 20, 2.0, 2.0, 0)
    close(found.upper_band, upper, 10.0, exact)
    close(found.middle_band, middle, 10.0, exact)
    close(found.lower_band, lower, 10.0, exact)
    np.testing.assert_array_equal(found.values, found.middle_band)
    np.testing.assert_array_equal(found.signals == "sell", prices > found.upper_band)
    np.testing.assert_array_equal(found.signals == "buy", prices < found.lower_band)
    half = found.upper_band[-1] - found.middle_band[-1]
    assert found.confidence == pytest.approx(min(1, abs(prices[-1] - found.middle_band[-1]) / half), abs=1e-3)


@pytest.mark.parametrize("indicator", ALL)
@pytest.mark.parametrize("bars", [0, 1, 5])
def test_too_few_prices_give_no_values_and_no_confidence(indicator, bars):
    found = asyncio.run(indicator(np.linspace(1.0, 2.0, bars)))
    assert found.values.shape == found.signals.shape == (bars,)
    assert np.isnan(found.values).all()
    assert (found.signals == "hold").all()
    assert found.confidence is None


@pytest.mark.parametrize("indicator", ALL)
def test_constant_prices_give_no_signal(indicator):
    found = asyncio.run(indicator(np.full(100, 50.0)))
    if indicator is calculate_rsi_metal:  # neither gains nor losses: 0 by TA-Lib's convention
        assert found.values[-1] == talib.RSI(np.full(100, 50.0), 14)[-1]
    else:
        assert (found.signals == "hold").all()
        assert found.confidence is None


@pytest.mark.parametrize("indicator", ALL)
def test_a_list_is_as_good_as_an_array(indicator, prices):
    many = np.tile(prices, 4)  # longer than what is converted at a time
    found, wanted = asyncio.run(indicator(many.tolist())), asyncio.run(indicator(many))
    np.testing.assert_array_equal(found.values, wanted.values)
    np.testing.assert_array_equal(found.signals, wanted.signals)


@pytest.mark.parametrize(
    ("indicator", "arguments", "words"),
    [
        (calculate_rsi_metal, {"prices": [[1.0, 2.0]]}, "`prices` must be of shape"),
        (calculate_rsi_metal, {"prices": [1.0, np.nan]}, "`prices` must be finite, was nan at bar 1"),
        (calculate_rsi_metal, {"prices": ["a"]}, "`prices` must be numbers"),
        (calculate_rsi_metal, {"period": 0}, "`period` must be at least 1 bar, was 0"),
        (calculate_rsi_metal, {"oversold_threshold": 80}, "`oversold_threshold` must be below"),
        (calculate_rsi_metal, {"overbought_threshold": "high"}, "`overbought_threshold`"),
        (calculate_macd_metal, {"fast_period": 30}, "`fast` must be below `slow`"),
        (calculate_bollinger_bands_metal, {"std_dev_multiplier": 0.0}, "`k` must be above 0"),
    ],
)
def test_bad_input_is_refused_by_name(indicator, arguments, words):
    with pytest.raises(InputError, match=words):
        asyncio.run(indicator(**{"prices": [1.0, 2.0, 3.0], **arguments}))


def test_optimizing_for_indicators_changes_the_type(prices, exact):
    plain = asyncio.run(calculate_rsi_metal(prices))
    returned = optimize_for_technical_indicators()
    quick = asyncio.run(calculate_rsi_metal(prices))
    assert (plain.precision, quick.precision) == ("float64" if exact else "float32", returned["precision"])
    assert returned["precision"] == "float32"
    np.testing.assert_allclose(quick.values, plain.values, atol=5e-3)
    assert exact == bool((quick.values[20:] != plain.values[20:]).any())


def test_compiled_loops_are_used_once_they_are_prepared(prices, monkeypatch):
    """No call compiles one beside a running loop; after the start all use them, with the indicator classes' bits."""
    pytest.importorskip("numba")
    monkeypatch.setenv("FORCE_CPU_FALLBACK", "1")
    monkeypatch.delenv(fused.SWITCH, raising=False)
    monkeypatch.setattr(fused, "_kernels", {})
    prices.flags.writeable = False  # as of a column of a frame
    eager = [asyncio.run(indicator(prices)) for indicator in ALL]
    assert fused._kernels["numba"].verdicts == {}
    initialize_metal_acceleration(enable_logging=False)
    assert fused._kernels["numba"].verdicts == {"rsi": True, "macd": True, "bollinger": True}
    cpu = shared_engine("cpu")
    rsi, macd, bands = (asyncio.run(indicator(prices)) for indicator in ALL)
    np.testing.assert_array_equal(rsi.values, MetalRSI(14).compute(prices, cpu))
    np.testing.assert_array_equal([macd.values, macd.signal_line, macd.histogram], MetalMACD().compute(prices, cpu))
    np.testing.assert_array_equal(bands.upper_band, MetalBollingerBands().compute(prices, cpu).upper)
    for before, after in zip(eager, (rsi, macd, bands), strict=True):
        np.testing.assert_allclose(after.values, before.values, rtol=0, atol=1e-8)
        np.testing.assert_array_equal(after.signals, before.signals)
