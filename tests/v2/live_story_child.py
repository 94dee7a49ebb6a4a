"""The story of a live node under v2, in a process of its own: ``python -m tests.v2.live_story_child FOLDER``.

It trades, crosses its limit by what its gate lets through as a hedge, is denied more, loses its device and has it
again, stops, and starts anew from its state.
"""

import json
import sys
import threading
from collections.abc import Callable
from typing import Any

from nautilus_trader.model import BarType, InstrumentId, OrderSide, Quantity

from nautilus_metal.host import Strategy, StrategyConfig
from nautilus_metal.host.v2_node import Node
from nautilus_metal.live import LiveNode, node_config
from nautilus_metal.messages import ENGINE_EVENT_TOPIC, RISK_BREACH_TOPIC, RISK_REPORT_TOPIC, RISK_STALE_TOPIC
from tests.actors.pretender import Pretender
from tests.v2.replay_market import BARS, NAMES, settings

LIMIT = 20_000.0
HEARD = {
    "reports": RISK_REPORT_TOPIC,
    "breaches": RISK_BREACH_TOPIC,
    "stale": RISK_STALE_TOPIC,
    "engine": ENGINE_EVENT_TOPIC,
    "fills": "events.fills.*",
    "orders": "events.order.*",
    "risk": "events.risk",
}


class Desk(Strategy):
    """Takes steps, one a bar at most: each an earliest bar, what must hold by then, and what is done."""

    def __init__(self, steps: list[tuple[int, Callable[[], bool], Callable[["Desk"], None]]]) -> None:
        super().__init__(StrategyConfig(strategy_id="Desk", order_id_tag="001"))
        self.steps, self.count = steps, 0

    def on_start(self) -> None:
        self.subscribe_bars(BarType.from_str(BARS[0]))

    def on_bar(self, bar: Any) -> None:
        self.count += 1
        if self.steps and self.count >= self.steps[0][0] and self.steps[0][1]():
            self.steps.pop(0)[2](self)

    def trade(self, quantity: int, **options: Any) -> None:
        side = OrderSide.BUY if quantity > 0 else OrderSide.SELL
        name, size = InstrumentId.from_str(NAMES[0]), Quantity.from_int(abs(quantity))
        self.submit_order(self.order_factory.market(name, side, size, **options))


def live(desk: Desk, until: Callable[[dict[str, list[Any]]], bool], folder: str, **risk: Any) -> dict[str, list[Any]]:
    """Run a node with a desk and a RiskActor until something holds; return what was heard."""
    wanted = settings(strategies=[])
    wanted["data_clients"]["REPLAY"]["config"] |= {"speed": 2.0, "repeat": 3, "shut_down_after": None}
    wanted["exec_clients"]["SIM"]["config"]["starting_balances"] = ["1_000_000_000 USD"]
    limits = {"levels": [0.95, 0.99], "var_limit": {"0.99": LIMIT}}
    wanted["metal"]["risk"] |= limits | {"state_path": f"{folder}/risk.state", "keep_scenarios": True} | risk
    wanted["metal"] |= {"gate": {"var_limit": {"0.99": LIMIT}, "hedge_tags": ["hedge"]}}
    wanted["metal"] |= {"controller": {"var_limit": {"0.99": LIMIT}, "halt_after_reports": 1_000_000}}
    heard: dict[str, list[Any]] = {name: [] for name in HEARD}
    with LiveNode(node_config(wanted)) as node:
        node.node.add_strategy(desk)
        for name, topic in HEARD.items():
            node.hear(topic, heard[name].append)
        heard["in_time"] = [node.run(until=lambda: until(heard), timeout=60.0)]
        heard["open"] = node.node.cache.positions_open()
    return heard


def denied(heard: dict[str, list[Any]]) -> list[str]:
    return [event.reason for event in heard["orders"] if type(event).__name__ == "OrderDenied"]


def main(folder: str) -> None:
    threads, broken, worked = threading.active_count(), [False], set()

    def trouble() -> None:
        worked.add(threading.current_thread().name)
        if broken[0]:
            raise RuntimeError("CUDA error: device-side assert triggered")

    def engine_of(desk: Desk) -> Any:
        node: Node = desk.msgbus.node
        return node.offers["MetalEngine.get"]

    first: dict[str, list[Any]] = {}

    def pretend(desk: Desk) -> None:
        engine_of(desk)._compute = Pretender(trouble)
        desk.trade(1_000)

    def breach(desk: Desk) -> None:
        desk.trade(100_000, tags=["hedge"])

    steps = [
        (5, lambda: bool(first["reports"]), pretend),
        (8, lambda: bool(first["fills"]), breach),
        (10, lambda: bool(first["breaches"]), lambda desk: desk.trade(50_000)),
        (12, lambda: bool(denied(first)), lambda _: broken.__setitem__(0, True)),
        (14, lambda: bool(first["engine"]), lambda _: broken.__setitem__(0, False)),
    ]

    def until(heard: dict[str, list[Any]]) -> bool:
        first.update(heard)
        return len(heard["engine"]) == 2 and heard["reports"][-1].device == "cuda:0"

    first.update({name: [] for name in HEARD})
    heard = live(Desk(steps), until, folder)
    # without a warm-up, history can only be from the state, and so can the breach that an empty book clears
    second: dict[str, list[Any]] = {name: [] for name in HEARD}

    def until_held(heard: dict[str, list[Any]]) -> bool:
        second.update(heard)
        return bool(heard["reports"]) and bool(heard["reports"][-1].positions)

    anew = Desk([(1, lambda: bool(second["reports"]), lambda desk: desk.trade(101_000, tags=["hedge"]))])
    again = live(anew, until_held, folder, warm_up=False)
    devices = [report.device for report in heard["reports"] if report.positions]
    facts = {
        "in_time": [heard["in_time"], again["in_time"]],
        "breaches": [breach.state for breach in heard["breaches"]],
        "engine": [event.state for event in heard["engine"]],
        "devices": [devices[0], devices[-1], *sorted(set(devices))],
        "denied": denied(heard),
        "states": [event.state.name for event in heard["risk"]],
        "stale": len(heard["stale"]),
        "open": len(heard["open"]),
        "fills": [float(fill.last_qty) for fill in heard["fills"]],
        "worked": sorted(worked),
        "uncovered": len(again["reports"][-1].uncovered),
        "var": again["reports"][-1].var(0.99),
        "first": again["breaches"][0].state,
        "threads": threading.active_count() - threads,
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main(sys.argv[-1])
