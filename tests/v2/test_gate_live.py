"""The RiskGate and the RiskController in a live node of v2, in a process of its own."""

import json

from tests.v2.test_live import child


def test_orders_are_trimmed_denied_and_halted_in_a_live_node():
    done = child(module="tests.v2.live_gate")
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    by_order = [[event[1:] for event in seen["events"] if event[0] == number] for number in range(5)]
    kinds = [[kind for kind, _ in events] for events in by_order]
    whole = ["OrderInitialized", "OrderSubmitted", "OrderFilled"]
    assert kinds[0] == ["OrderInitialized", "OrderUpdated", "OrderSubmitted", "OrderFilled"]
    assert 0 < by_order[0][1][1] == by_order[0][-1][1] < 1_000
    assert kinds[1] == ["OrderInitialized", "OrderDenied"], "the first order counts before it is filled"
    assert by_order[1][1][1].endswith("limit 200; at most 0 of 1,000")
    assert (kinds[2], by_order[2][-1][1]) == (whole, 5_000.0)
    assert [events[-1] for events in by_order[3:]] == [["OrderDenied", "TradingState.HALTED"]] * 2
    assert (seen["denied"], seen["trimmed"]) == (1, 1)


def test_a_strategy_in_rust_ends_the_run():
    done = child("unguarded", module="tests.v2.live_gate")
    assert done.returncode == 1
    assert "HostError: orders cannot be checked in a system with add_builtin_strategy(EmaCross)" in done.stderr
