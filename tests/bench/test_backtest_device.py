"""The backtest that placement is held against: its reports, its check, and where it crosses."""

from dataclasses import replace

import pytest

from nautilus_metal.bench.case import Result, Spread
from nautilus_metal.bench.cases import backtest_device
from nautilus_metal.bench.cases.backtest_device import ASSETS, CASES, ON_CPU, ON_DEVICE, crossing, gains


def test_every_day_is_reported_the_same_in_each_run_and_a_missing_report_is_noticed():
    (case,) = CASES
    problem = {name: backtest_device.backtest("cpu", reports=3, scenarios=500) for name in ("auto", ON_CPU)}
    try:
        ours, theirs = case.ours(problem), case.peers[ON_CPU](problem)
        case.check(problem, ours, theirs)
        assert [len(report.positions) for report in ours] == [ASSETS] * 3
        assert all(row["var"] > 0 for report in ours for row in report.levels.values())
        case.check(problem, case.ours(problem), theirs)  # a second run of the same engine
        with pytest.raises(AssertionError, match="the reports cover"):
            case.check(problem, ours, theirs[1:])
        levels = {level: {**row, "es": 1.001 * row["es"]} for level, row in theirs[0].levels.items()}
        with pytest.raises(AssertionError, match="Not equal"):
            case.check(problem, ours, [_with(theirs[0], levels), *theirs[1:]])
    finally:
        case.finish(problem)


def _with(report, levels):
    return type("Changed", (), {"levels": levels, "positions": report.positions})


@pytest.mark.parametrize(
    ("gained", "expected"),
    [
        ({1: 0.5, 10: 0.5, 100: 2.0}, 10**1.5),
        ({1: 2.0, 10: 0.5, 100: 2.0}, 10**1.5),
        ({1: 0.5, 10: 0.125, 100: 2.0, 1000: 4.0}, 10**1.75),
        ({1: 1.5, 10: 2.0}, 1.0),
        ({1: 1.5, 10: 0.9}, None),
        ({}, None),
    ],
)
def test_the_crossing_is_where_the_device_is_ahead_for_good(gained, expected):
    rows = []
    for size, gain in reversed(gained.items()):
        for peer, seconds in ((ON_CPU, gain), (ON_DEVICE, 1.0)):
            plain = Result("placement_backtest", peer, {"reports": 1, "scenarios": size}, "cuda:0")
            rows.append(replace(plain, theirs=Spread(seconds, seconds, seconds)))
    assert gains(rows) == gained
    assert crossing(gained) == (None if expected is None else pytest.approx(expected))
