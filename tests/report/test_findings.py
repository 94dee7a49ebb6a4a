"""Reports made again from prices: explained, and their worst scenarios dated; what does not agree is left out."""

from dataclasses import replace

import numpy as np
import pytest

from nautilus_metal.report.findings import Remaker, explained, largest_changes, worst_of
from nautilus_metal.report.series import collect
from nautilus_metal.risk import Book, assess
from tests.report.conftest import DAY, START, make_report
from tests.risk.cases import history

DAYS, WINDOW, NAMES = 140, 100, ("AAA.SIM", "BBB.SIM", "CCC.SIM")
CLOSES = 100 * np.exp(np.cumsum(history(assets=3, periods=DAYS), axis=0))
TS = START + np.arange(DAYS) * DAY
HELD = [{"AAA.SIM": 10.0, "CCC.SIM": -5.0}] * 4 + [{"AAA.SIM": 30.0, "BBB.SIM": 4.0}] * 4


def report(day, quantities, **model):
    """What a risk actor says of these positions on that day, from the same window."""
    columns = [NAMES.index(name) for name in quantities]
    prices = CLOSES[day, columns]
    book = Book.linear(quantities=list(quantities.values()), prices=prices, instruments=list(quantities))
    returns = np.diff(np.log(CLOSES[day - WINDOW : day + 1][:, columns]), axis=0)
    risk = assess(book, returns, **model)
    made = make_report(day, dict(zip(quantities, zip(quantities.values(), prices, strict=True), strict=True)))
    made.levels = {format(x, "g"): {"var": risk.var[x], "es": risk.es[x]} for x in risk.levels}
    made.model, made.sampler, made.seed, made.scenarios = risk.model, risk.sampler, risk.seed, risk.scenarios
    return made


@pytest.fixture(scope="module", params=["normal", "filtered_historical"])
def series(request):
    days = range(DAYS - len(HELD), DAYS)
    return collect(report(day, held, model=request.param) for day, held in zip(days, HELD, strict=True))[0]


def test_the_largest_changes_are_explained(series):
    found = explained(series, TS, NAMES, CLOSES, WINDOW)["explained"]
    var = series.var[:, series.levels.index(0.99)]
    assert [entry["change"] for entry in found] == pytest.approx(np.diff(var).tolist(), rel=1e-6, abs=1e-6)
    for entry in found:
        assert sum(entry["parts"].values()) == pytest.approx(entry["change"], rel=1e-9, abs=1e-9)
    step = found[3]  # the day on which positions changed
    assert abs(step["parts"]["positions"]) > 0.7 * abs(step["change"])
    remaker = Remaker(series, TS, NAMES, CLOSES, WINDOW)
    assert len(largest_changes(remaker, 0.99, count=2)) == 2


def test_worst_scenarios_are_those_of_the_last_report(series):
    found = worst_of(Remaker(series, TS, NAMES, CLOSES, WINDOW))
    assert len(found["scenarios"]) == 10
    for entry in found["scenarios"]:
        assert sum(entry["positions"].values()) == pytest.approx(entry["loss"])
        assert (entry["date"] is None) == (series.model == "normal")


def test_what_is_not_made_again_is_not_explained(series):
    wrong = Remaker(replace(series, var=series.var * 1.01), TS, NAMES, CLOSES, WINDOW)
    assert wrong.assessment(3) is None
    assert largest_changes(wrong, 0.99) == []
    assert worst_of(wrong) is None


def test_nothing_held_has_no_finding():
    empty = collect([make_report(day, {}) for day in range(5)])[0]
    assert worst_of(Remaker(empty, TS, NAMES, CLOSES, WINDOW)) is None
    assert largest_changes(Remaker(empty, TS, NAMES, CLOSES, WINDOW), 0.99) == []
