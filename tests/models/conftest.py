"""Histories for the models."""

import numpy as np
import pytest


@pytest.fixture
def make_bars():
    """Make bars of shape (series, 5, time): geometric random walks with a range around the close."""

    def make(series: int = 3, time: int = 200, seed: int = 0, returns=None) -> np.ndarray:
        draw = np.random.default_rng(seed)
        steps = draw.normal(scale=0.01, size=(series, time)) if returns is None else returns
        close = 100.0 * np.exp(np.cumsum(steps, -1))
        spread = np.exp(np.abs(draw.normal(scale=0.005, size=(2, *close.shape))))
        opened = close * np.exp(draw.normal(scale=0.002, size=close.shape))
        high, low = np.maximum(opened, close) * spread[0], np.minimum(opened, close) / spread[1]
        return np.stack([opened, high, low, close, draw.uniform(1e5, 1e6, close.shape)], axis=1)

    return make
