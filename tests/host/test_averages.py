"""The averages, RSI and MACD that stand in for NautilusTrader v1's where v2 is installed, against the originals."""

import numpy as np
import pytest
from nautilus_trader.indicators import (
    MovingAverageConvergenceDivergence,
    MovingAverageFactory,
    MovingAverageType,
    RelativeStrengthIndex,
)

from nautilus_metal.host import v2_averages

NAMES = ("SIMPLE", "EXPONENTIAL", "DOUBLE_EXPONENTIAL", "WILDER", "HULL", "WEIGHTED")
PRICES = np.round(100.0 * np.exp(np.cumsum(np.random.default_rng(3).normal(scale=0.01, size=120))), 2)
PRICES[60:70] = PRICES[60]  # no moves for a while


def pairs(name):
    ours, theirs = v2_averages.MovingAverageType[name], MovingAverageType[name]
    yield v2_averages.moving_average(9, ours), MovingAverageFactory.create(9, theirs)
    yield v2_averages.RelativeStrengthIndex(14, ours), RelativeStrengthIndex(14, theirs)
    line = v2_averages.MovingAverageConvergenceDivergence(5, 13, ours)
    yield line, MovingAverageConvergenceDivergence(5, 13, theirs)


@pytest.mark.parametrize("name", NAMES)
def test_each_step_is_the_originals(name):
    for ours, theirs in pairs(name):
        for price in PRICES.tolist():
            ours.update_raw(price)
            theirs.update_raw(price)
            assert ours.value == pytest.approx(theirs.value, rel=1e-13, abs=1e-13), type(theirs).__name__
            assert ours.initialized == theirs.initialized, (type(theirs).__name__, name)
