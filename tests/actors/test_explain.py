"""A RiskActor's assessments at two moments of a backtest, explained, and its worst scenarios."""

import pytest

from nautilus_metal.actors import RiskActor, RiskActorConfig
from nautilus_metal.messages import RISK_REPORT_TOPIC
from nautilus_metal.risk import explain_change, worst_scenarios
from tests.actors.conftest import Script
from tests.small_system import bar_type, walk

NAMES = ("AAA.XNYS", "BBB.XNYS")
DAYS, TRADED = 120, 110


@pytest.mark.parametrize("model", ["student_t", "filtered_historical"])
def test_any_two_reports_of_a_backtest_are_explained(system, model):
    made, kept = system(), {}
    for seed, name in enumerate(NAMES):
        made.add(name, walk(seed, DAYS))
    kinds = tuple(bar_type(name) for name in NAMES)
    actor = RiskActor(RiskActorConfig(bar_types=kinds, model=model, min_observations=40, window=60, levels=(0.95,)))
    made.engine.kernel.msgbus.subscribe(
        RISK_REPORT_TOPIC, lambda report: kept.update({len(kept): (report, actor.last_assessment)})
    )
    made.run([actor], [Script({NAMES[0]: {5: 100, TRADED: 200}, NAMES[1]: {5: 50}})])
    (first, before), (last, after) = kept[len(kept) - 30], kept[len(kept) - 1]
    change = explain_change(before, after)[0.95]
    assert change.change == pytest.approx(last.var(0.95) - first.var(0.95))
    assert sum(change.parts.values()) == pytest.approx(change.change, rel=1e-9)
    assert change.parts["positions"] > 0.5 * before.var[0.95]  # three times as much of one of two
    assert change.parts["model"] == 0
    worst = worst_scenarios(after, 3)
    assert worst.losses[0] == pytest.approx(last.worst_loss, rel=1e-5)
    assert worst.position_losses.sum(axis=0) == pytest.approx(worst.losses)
