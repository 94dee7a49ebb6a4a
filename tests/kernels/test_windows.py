"""Window moments equal plain float64 loops: as a batch, a step, and a vector of steps, at any price level."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus_metal.kernels.windows import WindowSeries, WindowState, window_moments


def loop(x: np.ndarray, period: int) -> np.ndarray:
    """Mean less the window's first price, population variance, last deviation; all free of the price level."""
    out = []
    for t in range(len(x)):
        window = x[max(0, t - period + 1) : t + 1]
        shifted = window - window[0]
        mean = shifted.mean()
        out.append((mean + window[0], np.square(shifted - mean).mean(), shifted[-1] - mean))
    return np.array(out).T


def stepped(x: np.ndarray, period: int) -> np.ndarray:
    return np.array(list(map(WindowState(period).update_raw, x.tolist()))).T


def vector_stepped(x: np.ndarray, period: int) -> np.ndarray:
    state, rows = WindowSeries(1, period), np.arange(1)
    out = []
    for price in x:
        state.update(np.array([price]), rows)
        out.append([moment[0] for moment in state.moments(rows)])
    return np.array(out).T


def batch(x: np.ndarray, period: int) -> np.ndarray:
    return torch.stack(window_moments(torch.from_numpy(x), period)).numpy()


WAYS = pytest.mark.parametrize("way", [batch, stepped, vector_stepped])


@WAYS
@pytest.mark.parametrize("period", [1, 2, 3, 20, 200, 700])
@pytest.mark.parametrize(("level", "move"), [(0.0, 1.0), (1e5, 1.0), (1e5, 1e-3), (-1e7, 1e-3), (1e-6, 1e-9)])
def test_equals_the_loop(way, period, level, move):
    noise = np.random.default_rng(period).normal(size=600)
    x = level + move * (noise if period % 2 else noise.cumsum())
    mean, variance, deviation = loop(x, period)
    got = way(x, period)
    np.testing.assert_allclose(got[0], mean, rtol=1e-13, atol=1e-13 * move)
    np.testing.assert_allclose(got[1], variance, rtol=1e-11)
    np.testing.assert_allclose(got[2], deviation, rtol=1e-11, atol=1e-12 * move)


@WAYS
def test_a_spike_leaves_no_trace(way):
    x = 100.0 + 1e-6 * np.random.default_rng(0).normal(size=400)
    x[100] = 1e9
    np.testing.assert_allclose(way(x, 20)[1], loop(x, 20)[1], rtol=1e-10)


@WAYS
def test_a_flat_window_has_exactly_no_variance(way):
    x = np.concatenate([np.random.default_rng(0).normal(size=50), np.full(60, 0.1)])
    assert (way(x, 20)[1][70:] == 0.0).all()


@pytest.mark.slow
def test_nothing_drifts_over_a_long_run():
    x = 1e5 + 1e-2 * np.random.default_rng(0).normal(size=200_000).cumsum()
    state = WindowState(20)
    for price in x.tolist():
        found = state.update_raw(price)
    np.testing.assert_allclose(found, loop(x[-20:], 20)[:, -1], rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(x=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), period=st.integers(1, 70))
def test_the_three_ways_agree(x, period):
    prices = np.array(x)
    scale = max(1e-300, float(np.ptp(prices)) ** 2)
    one, two, three = (way(prices, period) for way in (batch, stepped, vector_stepped))
    np.testing.assert_allclose(two, one, rtol=1e-9, atol=1e-12 * scale)
    np.testing.assert_allclose(three, one, rtol=1e-9, atol=1e-12 * scale)


def test_series_of_different_ages_do_not_mix():
    x = np.random.default_rng(0).normal(size=(3, 100))
    state = WindowSeries(3, 7)
    for t in range(100):
        rows = np.flatnonzero([True, t % 2 == 0, t > 40])
        state.update(x[rows, t], rows)
    got = np.array(state.moments(np.arange(3))).T
    for row, fed in enumerate((x[0], x[1, ::2], x[2, 41:])):
        np.testing.assert_allclose(got[row], loop(fed, 7)[:, -1], rtol=1e-12)
