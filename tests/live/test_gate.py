"""The RiskGate and the RiskController in real TradingNodes: commands queue, fills come later, decisions hold."""

import re
from decimal import Decimal

import pytest
from nautilus_trader.config import ImportableControllerConfig
from nautilus_trader.model.enums import OrderSide, TradingState
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.objects import Quantity
from nautilus_trader.trading.config import StrategyConfig
from nautilus_trader.trading.strategy import Strategy

from nautilus_metal.actors import RiskGate, RiskGateConfig

LIMIT = 20_000.0
FAST = {"speed": 4.0}  # bars of 25 ms


class Desk(Strategy):
    """Takes steps, one a bar at most: each an earliest bar, what must hold by then, and what is done."""

    def __init__(self, market, *steps):
        super().__init__(StrategyConfig(strategy_id="Desk", order_id_tag="001"))
        self.kind, self.name = market.bars[0], InstrumentId.from_str(market.instruments[0])
        self.steps, self.count, self.seen, self.told = list(steps), 0, [], []

    def on_start(self):
        self.msgbus.subscribe("data.GateDecision*", self.told.append)
        self.subscribe_quote_ticks(self.name)
        self.subscribe_bars(self.kind)

    def on_bar(self, bar):
        self.count += 1
        if self.steps and self.count >= self.steps[0][0] and self.steps[0][1](self):
            self.steps.pop(0)[2](self)

    def on_order_event(self, event):
        self.seen.append(event)

    def trade(self, quantity):
        side = OrderSide.BUY if quantity > 0 else OrderSide.SELL
        order = self.order_factory.market(self.name, side, Quantity.from_int(abs(int(quantity))))
        self.submit_order(order)
        return order

    def reasons(self):
        return [event.reason for event in self.seen if type(event).__name__ == "OrderDenied"]

    def fills(self):
        return [float(event.last_qty) for event in self.seen if type(event).__name__ == "OrderFilled"]


def always(_):
    return True


def largest(reason):
    return int(re.search(r"at most ([\d,]+) of", reason)[1].replace(",", ""))


@pytest.mark.parametrize("account", ["MARGIN", "CASH"])
def test_orders_that_wait_in_the_queue_count_and_closing_passes(live_run, make, market, account):
    asked = {}

    def many(desk):
        desk.trade(10_000_000)
        asked["most"] = most = largest(desk.told[-1].reason)
        for _ in range(10):
            desk.trade(most // 4)

    flatten = (20, lambda desk: len(desk.fills()) == 4, lambda desk: desk.trade(-sum(desk.fills())))
    desk, gate = Desk(market, (15, always, many), flatten), RiskGate(RiskGateConfig(var_limit={0.99: LIMIT}))
    heard = live_run(
        [make.risk_actor(keep_scenarios=True, levels=[0.95, 0.99]), gate],
        [desk],
        replay=FAST,
        sandbox={"account_type": account, "starting_balances": ["1_000_000_000 USD"], "default_leverage": Decimal(1)},
        until=lambda told: len(desk.fills()) == 5,
    )
    assert heard.in_time
    quarter = float(asked["most"] // 4)
    assert desk.fills() == [quarter] * 4 + [4 * quarter]
    assert len(desk.reasons()) == 7
    assert all(reason.startswith("RISK_GATE: 99% VaR would be ") for reason in desk.reasons())
    assert heard.cached["open"] == 0
    assert gate.denied == 7
    assert gate.passed == 5


def test_a_trimmed_order_fills_at_its_new_size(live_run, make, market):
    desk = Desk(market, (15, always, lambda desk: desk.trade(10_000_000)))
    gate = RiskGate(RiskGateConfig(trim=True))
    heard = live_run(
        [make.risk_actor(keep_scenarios=True, levels=[0.95, 0.99], var_limit={"0.99": LIMIT}), gate],
        [desk],
        replay=FAST,
        sandbox={"starting_balances": ["1_000_000_000 USD"]},
        until=lambda told: bool(desk.fills()) and bool(told.reports) and bool(told.reports[-1].positions),
    )
    assert heard.in_time
    names = [type(event).__name__ for event in desk.seen]
    assert names[:3] == ["OrderInitialized", "OrderUpdated", "OrderSubmitted"]
    assert sum(desk.fills()) == float(desk.seen[1].quantity) < 10_000_000
    assert heard.reports[-1].var(0.99) == pytest.approx(LIMIT, rel=0.5)
    assert (gate.trimmed, gate.denied) == (1, 0)


def test_without_a_risk_report_it_fails_closed(live_run, make, market):
    desk = Desk(market, (3, always, lambda desk: desk.trade(10)))
    short = make.risk_actor(keep_scenarios=True, warm_up=False, var_limit={"0.99": LIMIT})
    heard = live_run([short, RiskGate()], [desk], replay=FAST, until=lambda told: bool(desk.reasons()))
    assert heard.in_time
    assert desk.reasons()[0].startswith("RISK_GATE: risk is unknown, ")
    assert not heard.fills


def test_a_breach_reduces_a_node_and_selling_brings_it_back(live_run, make, market):
    path = "nautilus_metal.actors:RiskController"
    states = []
    desk = Desk(market, (10, always, lambda desk: desk.trade(5_000)),
                (12, lambda _: states, lambda desk: desk.trade(100)),
                (14, lambda desk: desk.reasons(), lambda desk: desk.trade(-4_990)))  # fmt: skip
    heard = live_run(
        [make.risk_actor(var_limit={"0.99": 1_000.0}, levels=[0.99])],
        [desk],
        replay=FAST,
        controller=ImportableControllerConfig(path, path + "Config", {"reduce_after_reports": 2}),
        prepare=lambda told: told.node.hear("events.risk", states.append),
        until=lambda told: len(told.risk) == 2,
    )
    assert heard.in_time
    assert [TradingState(event.state).name for event in heard.risk] == ["REDUCING", "ACTIVE"]
    assert desk.reasons() == [f"BUY when TradingState.REDUCING and LONG {desk.name}"]
    assert desk.fills() == [5_000.0, 4_990.0]
