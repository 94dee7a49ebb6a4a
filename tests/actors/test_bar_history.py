"""Histories from bars: requested ones behind live ones, and the changes of a volatility index beside returns."""

import numpy as np
import pytest

from nautilus_metal.actors.bar_history import BarHistory
from tests.small_system import DAY, bars, equity, walk

STOCK, INDEX = "AAA.XNYS", "VIX.XNYS"


@pytest.fixture
def closes() -> dict[str, np.ndarray]:
    return {STOCK: walk(1, 40), INDEX: walk(2, 40, 20.0, 0.05)}


def made(closes, first: int, last: int):
    """Bars of both, in order of time."""
    kept = [bars(equity(name), row[first:last], first + 1) for name, row in closes.items()]
    return sorted((bar for one in kept for bar in one), key=lambda bar: bar.ts_event)


def test_requested_bars_stand_before_live_ones_whenever_they_come(closes):
    late, plain = BarHistory(100), BarHistory(100)
    for bar in made(closes, 0, 40):
        plain.observe(bar)
    for bar in made(closes, 30, 40):
        late.observe(bar)
    for name in reversed(closes):  # one instrument after the other, after the first live bars
        for bar in made({name: closes[name]}, 0, 31):
            late.take(bar)
    names = list(closes)
    expected = np.diff(np.log([closes[name] for name in names]), axis=1).T
    np.testing.assert_allclose(plain.window.returns(names), expected)
    np.testing.assert_allclose(late.window.returns(names), expected)
    assert late.closed_at == plain.closed_at == dict.fromkeys(names, 40 * DAY)


def test_changes_of_a_volatility_index_are_those_of_the_same_periods(closes):
    history = BarHistory(100)
    for bar in made(closes, 0, 20):
        history.observe(bar)
    assert history.volatility_changes({STOCK: INDEX}, [STOCK], 30) == {}
    for bar in made(closes, 20, 22):
        history.observe(bar)
    found = history.volatility_changes({STOCK: INDEX, "BBB.XNYS": INDEX}, [STOCK], 30)
    assert list(found) == [STOCK]
    np.testing.assert_allclose(found[STOCK], np.diff(np.log(closes[INDEX][:22])))
    history.reset()
    assert history.volatility_changes({STOCK: INDEX}, [STOCK], 2) == {}
    assert history.closed_at == {}
