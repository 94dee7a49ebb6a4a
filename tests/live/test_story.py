"""A live node's story: it trades, breaches, is denied, survives its device, restarts from its state, stops clean."""

import threading

from nautilus_metal.actors import RiskGate, RiskGateConfig
from tests.actors.pretender import Pretender
from tests.live.test_gate import Desk, always

LIMIT = 20_000.0


def test_a_node_from_the_first_order_to_a_restart(live_run, make, market, tmp_path):
    threads = threading.active_count()
    kept = {
        "state_path": str(tmp_path / "risk.state"),
        "keep_scenarios": True,
        "levels": [0.95, 0.99],
        "var_limit": {"0.99": LIMIT},
    }
    account = {"starting_balances": ["1_000_000_000 USD"]}
    broken = [False]

    def trouble():
        if broken[0]:
            raise RuntimeError("CUDA error: device-side assert triggered")

    def prepare(heard):
        heard.node.node.trader.actors()[0].engine._compute = Pretender(trouble)

    def breach(desk):  # past the gate
        gate.stop()
        desk.trade(100_000)

    def denied(desk):
        gate.resume()
        desk.trade(100_000)

    steps = [
        (5, always, lambda desk: desk.trade(1_000)),
        (8, lambda desk: bool(desk.fills()), breach),
        (10, lambda desk: len(desk.fills()) > 1, denied),
        (12, lambda desk: bool(desk.reasons()), lambda desk: broken.__setitem__(0, True)),
        (14, lambda desk: bool(first.engine), lambda desk: broken.__setitem__(0, False)),
    ]
    desk, gate = Desk(market, *steps), RiskGate(RiskGateConfig())
    first = None

    def until(heard) -> bool:
        nonlocal first
        first = heard
        return len(heard.engine) == 2 and heard.reports[-1].device == "cuda:0"

    heard = live_run(
        [make.risk_actor(**kept), gate],
        [desk],
        replay={"speed": 2.0},
        sandbox=account,
        until=until,
        prepare=prepare,
        timeout=30.0,
    )
    assert heard.in_time
    assert [breach.state for breach in heard.breaches] == ["breach"]
    assert len(desk.reasons()) == 1
    assert desk.reasons()[0].startswith("RISK_GATE: 99% VaR would be ")
    assert [event.state for event in heard.engine] == ["degraded", "restored"]
    devices = [report.device for report in heard.reports if report.positions]
    assert devices[0] == devices[-1] == "cuda:0"
    assert "cpu" in devices
    assert heard.stale == []
    assert heard.cached["open"] == 1
    assert threading.active_count() <= threads

    # without a warm-up, history can only be from the state, and so can the breach that an empty book clears
    again = live_run(
        [make.risk_actor(warm_up=False, **kept)],
        [Desk(market, (1, always, lambda desk: desk.trade(101_000)))],
        sandbox=account,
        replay={"speed": 2.0},
        until=lambda heard: bool(heard.reports) and bool(heard.reports[-1].positions),
    )
    assert again.in_time
    assert again.reports[-1].uncovered == {}
    assert again.reports[-1].var(0.99) > LIMIT
    assert again.breaches[0].state == "clear"
    assert threading.active_count() <= threads
