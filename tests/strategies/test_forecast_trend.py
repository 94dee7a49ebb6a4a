"""ForecastTrend in a real engine: with forecast and trend, out when either goes."""

import math

import numpy as np
import pytest

from nautilus_metal.errors import InputError
from nautilus_metal.host import broadcast
from nautilus_metal.messages import Forecast
from strategies.forecast_trend import ForecastTrend, ForecastTrendConfig
from tests.strategies.conftest import DAY, bar_type_of

UP = 100.0 * 1.01 ** np.arange(40)
DOWN = 100.0 * 0.99 ** np.arange(40)
NAME = "A.SIM"


class Scripted(ForecastTrend):
    """Hears, after each bar, the forecast of its script: strength in standard deviations, None for nothing."""

    def __init__(self, script, uncovered=(), sender="F", **settings):
        super().__init__(ForecastTrendConfig(**{"bar_types": (bar_type_of("A"),), "fast": 2, "slow": 4} | settings))
        self.script, self.uncovered, self.sender = script, uncovered, sender

    def on_bar(self, bar):
        super().on_bar(bar)
        day, ts = bar.ts_event // DAY - 1, bar.ts_event
        rows, gaps = {}, {NAME: "too short"} if day in self.uncovered else {}
        strength = self.script(day)
        if not gaps and strength is not None:
            row = {"value": 0.02 * strength, "volatility": 0.02, "price": bar.close.as_double(), "closed_at": ts}
            rows[NAME] = row
        broadcast(self.msgbus, Forecast(ts, ts, self.sender, "lstm", "0" * 16, "cpu", 1, rows, gaps, 1.0))


def sides(bench, closes, **options):
    run = bench({"A": closes}).run(Scripted(flatten_on_stop=False, **options))
    return np.sign(run.held_by_day("A", len(closes))).astype(int).tolist()


@pytest.mark.parametrize(
    ("closes", "strength", "allow_short", "expected"),
    [
        (UP, 1.0, True, 1),
        (UP, -1.0, True, 0),
        (DOWN, -1.0, True, -1),
        (DOWN, -1.0, False, 0),
        (DOWN, 1.0, True, 0),
        (UP, 0.01, True, 0),
        (UP, math.nan, True, 0),
        (UP, None, True, 0),
    ],
)
def test_a_position_needs_forecast_and_trend(bench, closes, strength, allow_short, expected):
    held = sides(bench, closes, script=lambda day: strength, allow_short=allow_short)
    assert held[:3] == [0, 0, 0]  # the averages have no value yet
    assert held[5:] == [expected] * 35


def test_it_holds_through_weak_forecasts_and_leaves_when_the_sign_turns(bench):
    held = sides(bench, UP, script=lambda day: 1.0 if day < 10 else 0.01 if day < 20 else -0.01)
    assert held[6:20] == [1] * 14
    assert held[20:] == [0] * 20


def test_an_uncovered_instrument_is_left(bench):
    held = sides(bench, UP, script=lambda day: 1.0, uncovered=range(15, 20))
    assert (held[14], held[15:20], held[20]) == (1, [0] * 5, 1)


def test_a_position_that_no_forecast_stands_behind_is_closed(bench):
    held = sides(bench, UP, script=lambda day: 1.0 if day < 10 else None, max_age_days=3.0)
    assert held[9:13] == [1] * 4
    assert held[13:] == [0] * 27


@pytest.mark.parametrize(("source", "expected"), [("F", 1), ("OTHER", 0), (None, 1)])
def test_only_the_chosen_actors_forecasts_are_followed(bench, source, expected):
    assert sides(bench, UP, script=lambda day: 1.0, source=source)[-1] == expected


@pytest.mark.parametrize(
    ("settings", "argument"),
    [
        ({"enter": -0.1}, "enter"),
        ({"enter": math.inf}, "enter"),
        ({"fast": 0}, "fast"),
        ({"fast": 5, "slow": 5}, "slow"),
        ({"max_age_days": 0.0}, "max_age_days"),
        ({"notional": 0.0}, "notional"),
    ],
)
def test_a_wrong_setting_is_refused(settings, argument):
    with pytest.raises(InputError, match=f"`{argument}` must be"):
        ForecastTrendConfig(**{"bar_types": (bar_type_of("A"),)} | settings)
