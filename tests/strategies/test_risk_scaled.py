"""The risk-scaled strategy keeps the book's VaR within its budget, and adds no risk on what it cannot trust."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus_metal.errors import InputError
from nautilus_metal.host import Actor, after_time_stamp, publish
from nautilus_metal.messages import RiskReport
from strategies.risk_scaled import RiskScaled, RiskScaledConfig, scale_to_budget
from tests.strategies.conftest import DAY, bar_type_of

NAMES = ("AAA", "BBB", "CCC")
BAR_TYPES = tuple(map(bar_type_of, NAMES))
DAYS = 120
RISK_PER_UNIT = 0.03


class Reporter(Actor):
    """Publishes a report after each day; its VaR is a fixed fraction of the gross value held. A test may alter it."""

    def __init__(self, alter: Any = None) -> None:
        super().__init__()
        self.alter = alter or (lambda report, day: report)
        self.reports: list[RiskReport] = []
        self.last: dict[str, float] = {}

    def on_start(self) -> None:
        for bar_type in BAR_TYPES:
            self.subscribe_bars(bar_type)

    def on_bar(self, bar: Any) -> None:
        self.last[str(bar.bar_type.instrument_id)] = bar.close.as_double()
        if bar.bar_type == BAR_TYPES[-1]:
            after_time_stamp(self, "report", lambda: self.report(bar.ts_event))

    def report(self, ts: int) -> None:
        lines: dict[str, dict[str, Any]] = {}
        for position in self.cache.positions_open():
            name = str(position.instrument_id)
            line = lines.setdefault(name, {"quantity": 0.0, "price": self.last[name]})
            line["quantity"] += float(position.signed_qty)
        for line in lines.values():
            line["value"] = line["quantity"] * line["price"]
            line["component_var"] = {"0.99": RISK_PER_UNIT * abs(line["value"])}
        var = sum(line["component_var"]["0.99"] for line in lines.values())
        made = RiskReport(
            ts, ts, "REPORTER", "normal", "pseudo", "cpu", 0, 100, 1, "USD", 0.0,
            {"0.99": {"var": var, "es": var, "var_se": 0.0, "es_se": 0.0}}, lines, {}, var, 0.0, 1.0, 1.0, ts, 0.0, 0,
        )  # fmt: skip
        altered = self.alter(made, ts // DAY - 1)
        if altered is not None:
            self.reports.append(altered)
            publish(self, altered)


def rising(seed: int = 0) -> dict[str, np.ndarray]:
    """Three instruments in an upward trend with noise."""
    rng = np.random.default_rng(seed)
    return {name: np.round(100 * np.exp(np.cumsum(rng.normal(0.004, 0.005, DAYS))), 4) for name in NAMES}


def config(**changes: Any) -> RiskScaledConfig:
    settings = {"bar_types": BAR_TYPES, "notional": 200_000.0, "var_budget": 3_000.0, "fast": 5, "slow": 10}
    return RiskScaledConfig(**(settings | {"flatten_on_stop": False} | changes))


def start(bench: Any, prices: Any = None, alter: Any = None, **changes: Any) -> tuple[Any, RiskScaled, Reporter]:
    made, strategy, reporter = bench(prices or rising()), RiskScaled(config(**changes)), Reporter(alter)
    made.engine.add_actor(reporter)
    return made.run(strategy), strategy, reporter


def gross_by_day(made: Any, prices: dict[str, np.ndarray]) -> np.ndarray:
    return sum(np.abs(made.held_by_day(name, DAYS)) * prices[name] for name in NAMES)


def test_var_comes_to_the_budget_and_stays_there(bench):
    _, strategy, reporter = start(bench)
    var = np.array([report.var(0.99) for report in reporter.reports])
    assert var[:9].max() == 0.0
    late = var[40:]
    assert late.max() <= 3_000.0 * 1.05  # prices may move a report's VaR over the budget for one day
    assert late.min() >= 3_000.0 * 0.75
    assert strategy.reports_used == len(reporter.reports) == DAYS - 1  # the last day's comes after the run


def test_a_lower_budget_means_less(bench):
    prices = rising()
    runs = [start(bench, prices, var_budget=budget)[0] for budget in (1_000.0, 3_000.0)]
    gross = [gross_by_day(made, prices)[60:].mean() for made in runs]
    assert gross[1] / gross[0] == pytest.approx(3.0, rel=0.1)


def test_notional_is_the_most_per_instrument(bench):
    prices = rising()
    made, _, _ = start(bench, prices, notional=5_000.0)
    for name in NAMES:
        bought = [quantity * price for _, traded, quantity, price in made.fills if traded == name]
        assert max(bought) <= 5_000.0
        assert (made.held_by_day(name, DAYS) * prices[name]).max() <= 5_000.0 * 1.3  # grown, never topped up over it


def test_no_report_no_position(bench):
    made, _, _ = start(bench, alter=lambda report, day: None)
    assert made.fills == []


def test_when_reports_stop_nothing_is_added(bench):
    made, _, _ = start(bench, alter=lambda report, day: report if day < 30 else None)
    assert any(day < 30 for day, *_ in made.fills)
    assert not [fill for fill in made.fills if fill[0] >= 30 and fill[2] > 0]


def test_ended_trends_are_closed_without_any_report(bench):
    prices = rising()
    prices["AAA"][60:] = np.round(prices["AAA"][59] * 0.98 ** np.arange(1, DAYS - 59), 4)
    made, _, _ = start(bench, prices, alter=lambda report, day: report if day < 50 else None)
    assert made.held_by_day("AAA", DAYS)[50] > 0
    assert made.held_by_day("AAA", DAYS)[-1] == 0
    assert made.held_by_day("BBB", DAYS)[-1] > 0


def altered(**changes: Any) -> Any:
    """Change fields of each report from day 30 on."""

    def alter(report: RiskReport, day: int) -> RiskReport:
        if day >= 30:
            for name, value in changes.items():
                setattr(report, name, value)
        return report

    return alter


def made_stale(report: RiskReport, day: int) -> RiskReport:
    if day < 30:
        return report
    old = report.to_dict() | {"ts_event": report.ts_event - 8 * DAY}
    return RiskReport.from_dict(old)


NAN_LEVELS = {"0.99": {"var": float("nan"), "es": 1.0, "var_se": 0.0, "es_se": 0.0}}
NEGATIVE = {"0.99": {"var": -5.0, "es": 1.0, "var_se": 0.0, "es_se": 0.0}}
LOW = {"0.99": {"var": 10.0, "es": 10.0, "var_se": 0.0, "es_se": 0.0}}


@pytest.mark.parametrize(
    "alter",
    [
        pytest.param(made_stale, id="stale"),
        pytest.param(altered(levels=NAN_LEVELS), id="not a number"),
        pytest.param(altered(levels=NEGATIVE), id="negative"),
        pytest.param(altered(levels={}), id="no level"),
        pytest.param(altered(levels=LOW, uncovered={"AAA.SIM": "no price"}), id="uncovered"),
        pytest.param(altered(levels=LOW, source="SOMEBODY"), id="other source"),
        pytest.param(altered(levels=LOW, model="historical"), id="other model"),
    ],
)
def test_a_report_that_cannot_be_trusted_adds_nothing(bench, alter):
    made, _, _ = start(bench, alter=alter, source="REPORTER", model="normal", notional=100_000.0)
    assert sum(made.held_by_day(name, DAYS)[29] for name in NAMES) > 0
    assert not [fill for fill in made.fills if fill[0] >= 30 and fill[2] > 0]


def test_risk_of_others_is_counted(bench):
    def with_others(report: RiskReport, day: int) -> RiskReport:
        report.levels["0.99"]["var"] += 2_000.0
        return report

    prices = rising()
    made, _, _ = start(bench, prices, alter=with_others)
    own = gross_by_day(made, prices)[60:] * RISK_PER_UNIT
    assert own.max() <= 1_000.0 * 1.1
    assert own.mean() == pytest.approx(700.0, rel=0.2)  # budget 3,000 less band less the others' 2,000


def test_others_over_the_budget_take_everything(bench):
    def breach(report: RiskReport, day: int) -> RiskReport:
        if day >= 60:
            report.levels["0.99"]["var"] += 5_000.0
        return report

    made, _, _ = start(bench, alter=breach)
    for name in NAMES:
        held = made.held_by_day(name, DAYS)
        assert held[59] > 0
        assert held[60:].max() == 0.0


positive = st.floats(1e-3, 1e9)


@given(positive, st.floats(0.01, 1.0), positive, st.floats(1.01, 5.0))
def test_scale_brings_a_homogeneous_book_to_its_aim(var, share, aim, max_step):
    own = share * var
    factor = scale_to_budget(var, own, aim, max_step)
    assert 0.0 <= factor <= max_step
    if 0.0 < factor < max_step:
        assert var + (factor - 1.0) * own == pytest.approx(aim, rel=1e-6)


@pytest.mark.parametrize("own", [0.0, -5.0])
def test_a_hedge_is_left_alone(own):
    assert scale_to_budget(100.0, own, 50.0, 2.0) == 1.0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"var_budget": 0.0}, "`var_budget` must be finite and above 0, was 0.0"),
        ({"var_budget": float("inf")}, "`var_budget` must be finite"),
        ({"level": 99.0}, "`level` must be between 0 and 1, was 99.0"),
        ({"start_notional": 1e9}, "`start_notional` must be above 0 and at most"),
        ({"band": 0.5}, "`band` must be at least 0 and under 0.5"),
        ({"max_step": 1.0}, "`max_step` must be above 1, was 1.0"),
        ({"max_report_age_days": 0.0}, "`max_report_age_days` must be above 0 days"),
        ({"slow": 5}, "`slow` must be above `fast`"),
    ],
)
def test_bad_settings_are_refused_in_words(settings, words):
    with pytest.raises(InputError, match=words):
        config(**settings)
