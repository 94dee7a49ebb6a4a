"""MACD: batch, step and vector step equal TA-Lib's; small moves on a large price lose nothing."""

import numpy as np
import pytest
import talib
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus_metal.errors import InputError
from nautilus_metal.kernels.macd import MacdSeries, MacdState, macd, macd_of_averages

ROWS = np.arange(1)
PERIODS = [(2, 3, 1), (2, 3, 2), (12, 26, 9), (5, 35, 5), (26, 200, 40)]


def batch(x: np.ndarray, periods: tuple[int, int, int]) -> np.ndarray:
    return torch.stack(macd(torch.from_numpy(x), periods)).numpy()


def stepped(x: np.ndarray, periods: tuple[int, int, int]) -> np.ndarray:
    state = MacdState(*periods)
    out = []
    for price in x.tolist():
        value, signal = state.update_raw(price)
        assert state.initialized == (not np.isnan(value))
        out.append((value, signal, value - signal))
    return np.array(out).T


def vector_stepped(x: np.ndarray, periods: tuple[int, int, int]) -> np.ndarray:
    state = MacdSeries(1, *periods)
    out = []
    for price in x:
        state.update(np.array([price]), ROWS)
        out.append([output[0] for output in state.values(ROWS)])
    return np.array(out).T


def plain_loop(x: np.ndarray, periods: tuple[int, int, int]) -> np.ndarray:
    """TA-Lib's definition written out, on prices less the first one."""
    fast, slow, signal = periods

    def ema(values: np.ndarray, period: int, first: int, last: int) -> np.ndarray:
        out = np.full(len(values), np.nan)
        out[last] = values[first : last + 1].mean()
        for t in range(last + 1, len(values)):
            out[t] = out[t - 1] + 2.0 / (period + 1) * (values[t] - out[t - 1])
        return out

    shifted = x - x[0]
    line = ema(shifted, fast, slow - fast, slow - 1) - ema(shifted, slow, 0, slow - 1)
    smooth = ema(line, signal, slow - 1, slow + signal - 2)
    return np.where(np.isnan(smooth), np.nan, np.stack([line, smooth, line - smooth]))


WAYS = pytest.mark.parametrize("way", [batch, stepped, vector_stepped])


@WAYS
@pytest.mark.parametrize("periods", PERIODS)
@pytest.mark.parametrize(("level", "move"), [(100.0, 1.0), (0.0, 1.0), (1e5, 1.0), (1e5, 1e-3)])
def test_equals_talib(way, periods, level, move):
    x = level + move * np.random.default_rng(0).normal(size=2000).cumsum()
    expected = np.stack(talib.MACD(x, *periods))
    # A MACD crosses zero and TA-Lib's averages carry the price level: the error is relative to the price.
    np.testing.assert_allclose(way(x, periods), expected, rtol=1e-9, atol=1e-13 * max(level, 100.0 * move))


@WAYS
@pytest.mark.parametrize("periods", PERIODS)
@pytest.mark.parametrize(("level", "move"), [(100.0, 1.0), (1e5, 1e-3), (1e7, 1e-3)])
def test_equals_the_plain_loop_whatever_the_level(way, periods, level, move):
    x = level + move * np.random.default_rng(1).normal(size=1500).cumsum()
    np.testing.assert_allclose(way(x, periods), plain_loop(x, periods), rtol=1e-9, atol=1e-11 * move)


def test_settings_together_are_as_one_by_one():
    x = 100.0 + np.random.default_rng(2).normal(size=(3, 400)).cumsum(axis=1)
    together = torch.stack(macd(torch.from_numpy(x), PERIODS)).numpy()
    assert together.shape == (3, len(PERIODS), 3, 400)
    for row, periods in enumerate(PERIODS):
        np.testing.assert_allclose(together[:, row], batch(x, periods), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("length", [0, 1, 25, 33])
def test_a_history_without_a_value_is_all_nan(length):
    got = macd(torch.zeros(2, length, dtype=torch.float64), (12, 26, 9))
    assert all(output.shape == (2, length) and output.isnan().all() for output in got)


def test_every_device_equals_talib(engine):
    x = 100.0 + np.random.default_rng(3).normal(size=(5, 3000)).cumsum(axis=1)
    tensor = engine.upload(x - x[:, :1], dtype=engine.exact_dtype)
    got = engine.download(torch.stack(macd(tensor, (12, 26, 9))))
    expected = np.stack([np.stack(talib.MACD(row)) for row in x], axis=1)
    np.testing.assert_allclose(got, expected, atol=1e-9 if engine.exact_dtype == torch.float64 else 1e-3)


def test_float32_stays_within_its_tolerance():
    x = np.random.default_rng(3).normal(size=3000).cumsum()
    got = torch.stack(macd(torch.from_numpy(x).float(), (12, 26, 9))).numpy()
    np.testing.assert_allclose(got, np.stack(talib.MACD(x)), atol=1e-3)


@settings(max_examples=50, deadline=None)
@given(
    x=st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=100),
    fast=st.integers(1, 10),
    more=st.integers(1, 20),
    signal=st.integers(1, 15),
)
def test_the_three_ways_agree(x, fast, more, signal):
    prices, periods = np.array(x), (fast, fast + more, signal)
    expected = stepped(prices, periods)
    np.testing.assert_allclose(batch(prices, periods), expected, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(vector_stepped(prices, periods), expected, rtol=1e-9, atol=1e-10)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.sampled_from([-1.0, 0.5, 8.0]), shift=st.integers(-1000, 1000))
def test_scales_with_the_price_and_ignores_its_level(seed, scale, shift):
    x = np.random.default_rng(seed).integers(-50, 50, size=100).astype(float)
    moved, plain = batch(scale * x + shift, (3, 8, 4)), batch(x, (3, 8, 4))
    np.testing.assert_allclose(moved, scale * plain, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(
    ("periods", "message"),
    [
        ((0, 26, 9), "`fast` must be at least 1 bar, was 0"),
        ((12, 26, 0), "`signal` must be at least 1 bar, was 0"),
        ((26, 26, 9), "`fast` must be below `slow` = 26 bars, was 26"),
        ((30, 26, 9), "`fast` must be below `slow`"),
        ((12, 26.0, 9), "`slow` must be a whole number of bars, was 26.0"),
    ],
)
@pytest.mark.parametrize(
    "make", [lambda p: MacdState(*p), lambda p: MacdSeries(1, *p), lambda p: macd(torch.zeros(5), p)]
)
def test_bad_periods(make, periods, message):
    with pytest.raises(InputError, match=message):
        make(periods)


def test_an_unknown_average_is_named():
    with pytest.raises(InputError, match="`average`"):
        macd_of_averages(torch.zeros(5), 2, 3, 2, "KAMA")
