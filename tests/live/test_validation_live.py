"""The ValidationActor in real TradingNodes: tests beside the loop, an alarm that switches, a restart that goes on."""

import threading
from itertools import pairwise

import pytest
from nautilus_trader.config import ImportableActorConfig

from nautilus_metal.actors import ValidationActor, ValidationActorConfig
from nautilus_metal.engine import shared_engine
from nautilus_metal.live import live_config
from nautilus_metal.messages import MODEL_SWITCH_TOPIC, MODEL_VERDICT_TOPIC
from nautilus_metal.risk.validation import ModelScore
from tests.live.test_gate import Desk, always

SLOW = {"speed": 2.0}  # bars of 50 ms


@pytest.fixture(autouse=True, scope="module")
def laws():
    """Simulate the laws of the tests beforehand, which takes longer than the replay."""
    score = ModelScore.start((0.95, 0.99), window=8)
    for _ in range(8):
        score = score.update(0.0, dict.fromkeys((0.95, 0.99), (1.0, 2.0)))
        score.verdict(shared_engine("cpu"))


def validation(**settings) -> ImportableActorConfig:
    path = "nautilus_metal.actors:ValidationActor"
    return ImportableActorConfig(path, f"{path}Config", {"window": 8} | settings)


def trading(market):
    return Desk(market, (3, always, lambda desk: desk.trade(1_000)))


def listening(verdicts, switches, bars):
    def prepare(heard):
        heard.node.hear(MODEL_VERDICT_TOPIC, verdicts.append)
        heard.node.hear(MODEL_SWITCH_TOPIC, switches.append)
        heard.node.hear("data.bars.*", bars.append)

    return prepare


def test_each_verdict_is_of_the_closes_that_came(live_run, make, market, monkeypatch):
    verdicts, switches, bars, threads = [], [], [], set()
    judge = ModelScore.verdict
    monkeypatch.setattr(
        ModelScore, "verdict", lambda *args: (threads.add(threading.current_thread()), judge(*args))[1]
    )
    heard = live_run(
        [make.risk_actor(), validation()],
        [trading(market)],
        replay=SLOW,
        prepare=listening(verdicts, switches, bars),
        until=lambda _: len(verdicts) > 20,
    )
    assert heard.in_time
    assert threading.main_thread() not in threads
    closes = {(str(bar.bar_type.instrument_id), bar.ts_event): float(bar.close) for bar in bars}
    times = sorted({ts for _, ts in closes})
    after = dict(pairwise(times))
    reports = {after[report.ts_event]: report for report in heard.reports if report.ts_event in after}
    known = [verdict for verdict in verdicts if verdict.pnl is not None]
    assert len(known) > 15
    for verdict in known:
        rows = reports[verdict.ts_event].positions
        profit = sum(row["quantity"] * (closes[name, verdict.ts_event] - row["price"]) for name, row in rows.items())
        assert verdict.pnl == pytest.approx(profit, abs=1e-6)
    assert [verdict.days for verdict in verdicts] == sorted(verdict.days for verdict in verdicts)
    assert switches == []


def test_an_alarm_switches_the_model_of_a_running_node(live_run, make, market):
    """A volatility of three bars is soon too low for a bound just over one: the next ticks are by another model."""
    verdicts, switches, bars = [], [], []
    wrong = {"model": "normal", "model_options": {"covariance": "ewma", "decay": 0.3}, "levels": [0.95]}
    heard = live_run(
        [make.risk_actor(**wrong), validation(alarm_bound=1.0001, switch=["student_t"])],
        [trading(market)],
        replay=SLOW,
        prepare=listening(verdicts, switches, bars),
        until=lambda heard: bool(heard.reports) and any(one.model == "student_t" for one in verdicts),
    )
    assert heard.in_time
    assert [(switch.before, switch.model) for switch in switches] == [("normal", "student_t")]
    raised = [verdict for verdict in verdicts if verdict.next_model]
    assert [(verdict.model, verdict.alarm) for verdict in raised] == [("normal", True)]
    for report in heard.reports:
        assert report.model == ("student_t" if report.ts_snapshot >= switches[0].ts_init else "normal")
    assert next(one for one in verdicts if one.model == "student_t").days == 1
    assert heard.stale == []


def test_a_node_goes_on_with_the_score_of_the_last_one(live_run, make, market, tmp_path):
    kept = [{"state_path": str(tmp_path / name)} for name in ("risk", "verdicts")]
    counts = []
    for _ in range(2):
        verdicts = []
        heard = live_run(
            [make.risk_actor(**kept[0]), validation(**kept[1])],
            [trading(market)],
            replay=SLOW,
            prepare=listening(verdicts, [], []),
            until=lambda _, verdicts=verdicts: len(verdicts) > 5,
        )
        assert heard.in_time
        counts.append([verdict.days + verdict.unknown_days for verdict in verdicts])
    assert counts[1][0] in (counts[0][-1] + 1, counts[0][-1] + 2)  # one may have closed without its verdict


def test_it_stands_behind_the_risk_actors_in_a_node_s_config():
    parts = live_config(risk={"levels": [0.99]}, validation={"switch": ["student_t"], "alarm_bound": 100.0})
    names = [importable.actor_path.partition(":")[2] for importable in parts["actors"]]
    assert names == ["MetalEngineActor", "RiskActor", "ValidationActor"]
    made = ValidationActor(ValidationActorConfig.parse(ValidationActorConfig(**parts["actors"][2].config).json()))
    assert (made.config.switch, made.config.alarm_bound) == (("student_t",), 100.0)
