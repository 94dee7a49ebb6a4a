"""RSI: batch, step and vector step equal TA-Lib's; every device equals the CPU in float64."""

import numpy as np
import pytest
import talib
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus_metal.errors import InputError
from nautilus_metal.kernels.rsi import RsiSeries, RsiState, rsi, rsi_of_averages

ROWS = np.arange(1)


def batch(x: np.ndarray, period: int) -> np.ndarray:
    return rsi(torch.from_numpy(x), period).numpy()


def stepped(x: np.ndarray, period: int) -> np.ndarray:
    state = RsiState(period)
    out = []
    for price in x.tolist():
        value = state.update_raw(price)
        assert state.initialized == (not np.isnan(value))
        out.append(value)
    return np.array(out)


def vector_stepped(x: np.ndarray, period: int) -> np.ndarray:
    state = RsiSeries(1, period)
    out = []
    for price in x:
        state.update(np.array([price]), ROWS)
        out.append(state.values(ROWS)[0])
    return np.array(out)


WAYS = pytest.mark.parametrize("way", [batch, stepped, vector_stepped])


@WAYS
@pytest.mark.parametrize("period", [2, 3, 14, 50, 200])
@pytest.mark.parametrize(("level", "move"), [(100.0, 1.0), (0.0, 1.0), (1e5, 1e-3), (1e-6, 1e-9)])
def test_equals_talib(way, period, level, move):
    x = level + move * np.random.default_rng(period).normal(size=2000).cumsum()
    np.testing.assert_allclose(way(x, period), talib.RSI(x, period), rtol=1e-9)


def test_every_period_that_talib_takes():
    x = 100.0 + np.random.default_rng(0).normal(size=400).cumsum()
    swept = rsi(torch.from_numpy(x), range(2, 201)).numpy()
    for row, period in enumerate(range(2, 201)):
        np.testing.assert_allclose(swept[row], talib.RSI(x, period), rtol=1e-9)


@WAYS
@pytest.mark.parametrize(
    "x",
    [
        np.full(40, 7.0),
        np.arange(40.0),
        -np.arange(40.0),
        np.concatenate([np.arange(20.0), np.full(400, 19.0)]),
        np.concatenate([np.full(20, 5.0), [6.0], np.full(20, 6.0)]),
        np.array([1.0, 2.0] * 20),
        np.zeros(40),
    ],
    ids=["flat", "rising", "falling", "flat after a rise", "one step", "zigzag", "zeros"],
)
def test_edge_cases_equal_talib(way, x):
    np.testing.assert_allclose(way(x, 14), talib.RSI(x, 14), rtol=1e-9)


@WAYS
def test_a_period_of_one_is_the_sign_of_the_last_move(way):
    np.testing.assert_array_equal(way(np.array([1.0, 2.0, 2.0, 1.0, 3.0]), 1), [np.nan, 100.0, 0.0, 0.0, 100.0])


@pytest.mark.parametrize("length", [0, 1, 14])
def test_a_history_without_a_value_is_all_nan(length):
    got = rsi(torch.zeros(2, length, dtype=torch.float64), 14)
    assert got.shape == (2, length)
    assert got.isnan().all()


def test_the_float64_loop_on_every_device(engine):
    x = 1e5 + np.random.default_rng(3).normal(size=(5, 3000)).cumsum(axis=1)
    exact = engine.exact_dtype == torch.float64
    got = engine.download(rsi(engine.upload(x - x[:, :1], dtype=engine.exact_dtype), 14))
    expected = np.stack([talib.RSI(row, 14) for row in x])
    np.testing.assert_allclose(got, expected, atol=1e-9 if exact else 5e-3)


def test_float32_stays_within_its_tolerance():
    x = np.random.default_rng(3).normal(size=(5, 3000)).cumsum(axis=1)
    got = rsi(torch.from_numpy(x).float(), 14).numpy()
    np.testing.assert_allclose(got, np.stack([talib.RSI(row, 14) for row in x]), atol=5e-3)


walks = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=120)


@settings(max_examples=60, deadline=None)
@given(x=walks, period=st.integers(1, 40))
def test_in_range_and_batch_equals_step(x, period):
    prices = np.array(x)
    got = batch(prices, period)
    kept = got[~np.isnan(got)]
    assert ((kept >= 0.0) & (kept <= 100.0 + 1e-12)).all()
    np.testing.assert_allclose(got, stepped(prices, period), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(got, vector_stepped(prices, period), rtol=1e-9, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.sampled_from([0.25, 4.0, 1024.0]), shift=st.integers(-1000, 1000))
def test_scale_shift_and_mirror(seed, scale, shift):
    x = np.random.default_rng(seed).integers(-50, 50, size=100).astype(float)
    plain = batch(x, 10)
    np.testing.assert_allclose(batch(scale * x, 10), plain, rtol=1e-12)
    np.testing.assert_allclose(batch(x + shift, 10), plain, rtol=1e-12)
    np.testing.assert_allclose(batch(-x, 10), 100.0 - plain, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("period", "what"), [(0, "at least 1 bar, was 0"), (-3, "was -3"), (2.5, "whole number"), (True, "whole")]
)
@pytest.mark.parametrize("make", [RsiState, lambda p: RsiSeries(1, p), lambda p: rsi(torch.zeros(5), p)])
def test_bad_periods(make, period, what):
    with pytest.raises(InputError, match=f"`period` must be .*{what}"):
        make(period)


def test_an_unknown_average_is_named():
    with pytest.raises(InputError, match="`average`"):
        rsi_of_averages(torch.zeros(5), 3, "KAMA")
