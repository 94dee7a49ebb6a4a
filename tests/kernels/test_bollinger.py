"""Bollinger bands: batch, step and vector step equal TA-Lib's, and plain loops where TA-Lib's own sums cancel."""

import numpy as np
import pytest
import talib
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus_metal.errors import InputError
from nautilus_metal.kernels.bollinger import (
    BollingerSeries,
    bollinger_bands,
    bollinger_moments,
    bollinger_moments_of_averages,
)
from nautilus_metal.kernels.windows import WindowState

ROWS = np.arange(1)


def batch(x: np.ndarray, period: int, k: float) -> np.ndarray:
    moments = bollinger_moments(torch.from_numpy(x), period)
    return np.stack(bollinger_bands(*(moment.numpy() for moment in moments), k))


def stepped(x: np.ndarray, period: int, k: float) -> np.ndarray:
    mean, variance, deviation = np.array(list(map(WindowState(period).update_raw, x.tolist()))).T
    mean[: period - 1] = np.nan
    return np.stack(bollinger_bands(mean, np.sqrt(variance), deviation, k)) + 0 * mean


def vector_stepped(x: np.ndarray, period: int, k: float) -> np.ndarray:
    state = BollingerSeries(1, period, k)
    out = []
    for price in x:
        state.update(np.array([price]), ROWS)
        out.append([output[0] for output in state.values(ROWS)])
    return np.array(out).T


WAYS = pytest.mark.parametrize("way", [batch, stepped, vector_stepped])


@WAYS
@pytest.mark.parametrize("period", [2, 3, 20, 50, 200])
@pytest.mark.parametrize(("level", "move"), [(100.0, 1.0), (1e5, 1.0), (1e5, 1e-3)])
def test_equals_talib(way, period, level, move):
    x = level + move * np.random.default_rng(period).normal(size=1500).cumsum()
    expected = talib.BBANDS(x, period, 2.0, 2.0)
    np.testing.assert_allclose(way(x, period, 2.0)[:3], expected, rtol=1e-9, atol=1e-10)


def test_every_period_that_talib_takes():
    x = 100.0 + np.random.default_rng(0).normal(size=400).cumsum()
    for period in range(2, 201):
        np.testing.assert_allclose(batch(x, period, 1.5)[:3], talib.BBANDS(x, period, 1.5, 1.5), rtol=1e-9)


@WAYS
@pytest.mark.parametrize(("level", "move"), [(1e5, 1e-3), (1e7, 1e-4)])
def test_width_and_place_keep_their_digits_at_any_level(way, level, move):
    x = level + move * np.random.default_rng(5).normal(size=300)
    windows = np.lib.stride_tricks.sliding_window_view(x - x[0], 20)
    sigma, deviation = windows.std(axis=1), windows[:, -1] - windows.mean(axis=1)
    _, middle, _, bandwidth, percent_b = way(x, 20, 2.0)
    np.testing.assert_allclose((bandwidth * middle)[19:], 4.0 * sigma, rtol=1e-9)
    np.testing.assert_allclose(percent_b[19:], 0.5 + deviation / (4.0 * sigma), rtol=1e-9, atol=1e-9)


@WAYS
def test_flat_prices_have_no_place_between_bands_that_meet(way):
    upper, middle, lower, bandwidth, percent_b = way(np.full(30, 5.0), 20, 2.0)
    assert (upper[19:] == 5.0).all()
    assert (middle[19:] == 5.0).all()
    assert (lower[19:] == 5.0).all()
    assert (bandwidth[19:] == 0.0).all()
    assert np.isnan(percent_b).all()


@WAYS
def test_a_middle_of_zero_has_no_bandwidth(way):
    bandwidth = way(np.array([-1.0, 1.0, -1.0, 1.0]), 2, 2.0)[3]
    assert np.isnan(bandwidth).all()


@pytest.mark.parametrize("length", [0, 1, 19])
def test_a_history_without_a_value_is_all_nan(length):
    got = bollinger_moments(torch.zeros(2, length, dtype=torch.float64), 20)
    assert all(moment.shape == (2, length) and moment.isnan().all() for moment in got)


def test_every_device_equals_talib(engine):
    x = 100.0 + np.random.default_rng(3).normal(size=(5, 3000)).cumsum(axis=1)
    tensor = engine.upload(x - x[:, :1], dtype=engine.exact_dtype)
    middle, sigma, _ = map(engine.download, bollinger_moments(tensor, 20))
    expected = np.stack([np.stack(talib.BBANDS(row, 20, 2.0, 2.0)) for row in x], axis=1)
    tolerance = 1e-9 if engine.exact_dtype == torch.float64 else 1e-3
    np.testing.assert_allclose(x[:, :1] + middle + 2.0 * sigma, expected[0], atol=tolerance)
    np.testing.assert_allclose(x[:, :1] + middle, expected[1], atol=tolerance)


def test_float32_stays_within_its_tolerance():
    x = np.random.default_rng(3).normal(size=3000).cumsum()
    middle, sigma, _ = (m.double().numpy() for m in bollinger_moments(torch.from_numpy(x).float(), 20))
    upper, centre, _ = talib.BBANDS(x, 20, 2.0, 2.0)
    np.testing.assert_allclose(middle, centre, atol=1e-4)
    np.testing.assert_allclose(middle + 2.0 * sigma, upper, atol=1e-4)


@settings(max_examples=50, deadline=None)
@given(x=st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=80), period=st.integers(1, 40), k=st.floats(0.1, 5.0))
def test_bands_are_in_order(x, period, k):
    for way in (batch, stepped, vector_stepped):
        upper, middle, lower, _, _ = way(np.array(x), period, k)[:, period - 1 :]
        assert (lower <= middle).all()
        assert (middle <= upper).all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.sampled_from([0.5, 8.0]), shift=st.integers(-1000, 1000))
def test_bands_move_and_stretch_with_the_price(seed, scale, shift):
    x = np.random.default_rng(seed).integers(-50, 50, size=60).astype(float)
    plain, moved = batch(x, 7, 2.0), batch(scale * x + shift, 7, 2.0)
    np.testing.assert_allclose(moved[:3], scale * plain[:3] + shift, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(moved[4], plain[4], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("period", [0, -1, 2.0, None])
@pytest.mark.parametrize(
    "make", [lambda p: BollingerSeries(1, p, 2.0), lambda p: bollinger_moments(torch.zeros(5), p)]
)
def test_bad_periods(make, period):
    with pytest.raises(InputError, match="`period` must be"):
        make(period)


@pytest.mark.parametrize("k", [0.0, -1.0, float("nan"), float("inf"), "wide"])
def test_bad_widths(k):
    with pytest.raises(InputError, match="`k` must be"):
        BollingerSeries(1, 5, k)
    with pytest.raises(InputError, match="`k` must be"):
        bollinger_bands(*np.zeros((3, 4)), k)


def test_an_unknown_average_is_named():
    with pytest.raises(InputError, match="`average`"):
        bollinger_moments_of_averages(torch.zeros(5), 3, "KAMA")


def test_bands_of_tensors_are_those_of_arrays():
    middle = np.array([100.0, 0.0, -3.0, np.nan, 5.0])
    sigma, deviation = np.array([1.5, 2.0, 0.0, np.nan, 1e-300]), np.array([-1.0, 0.0, 0.0, np.nan, 1e-300])
    arrays = bollinger_bands(middle, sigma, deviation, 2.0)
    tensors = bollinger_bands(*map(torch.from_numpy, (middle, sigma, deviation)), 2.0)
    np.testing.assert_array_equal(np.stack(arrays), torch.stack(tuple(tensors)).numpy())
    assert np.isnan(arrays.bandwidth[[1, 3]]).all()
    assert np.isnan(arrays.percent_b[[2, 3]]).all()
