"""Orders before a RiskGate and a RiskController, under either version of NautilusTrader.

``python -m tests.parity.gate`` under v1 writes `log_gate_v1.json`, with which the test compares the installed host.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nautilus_metal.actors import (
    MetalEngineActor,
    MetalEngineConfig,
    RiskActor,
    RiskActorConfig,
    RiskController,
    RiskControllerConfig,
    RiskGate,
    RiskGateConfig,
)
from nautilus_metal.actors.gate_messages import GATE_DECISION_TOPIC
from nautilus_metal.host import InstrumentId, OrderSide, Strategy, StrategyConfig
from tests.hosts import MAJOR
from tests.parity.demo import Market, daily, walks

if MAJOR == 1:
    from tests.parity.host_v1_orders import TriggerType, cancel, change, send_list
else:
    from tests.parity.host_v2_orders import TriggerType, cancel, change, send_list

FILE = Path(__file__).with_name("log_gate_v1.json")
A, B, TWIN = (f"{name}.XNYS" for name in ("AAA", "BBB", "TWN"))
NAMES = (A, B, TWIN)
DAYS, LEVEL, LIMIT = 80, 0.95, 5_000.0
SHOWN = ("reason", "quantity", "last_qty", "last_px")
Step = Callable[["Desk"], Any]


class Desk(Strategy):
    """Does what a script says at bar number n of its first instrument, and notes what comes of it."""

    def __init__(self, config: StrategyConfig, log: list[list[Any]], script: Mapping[int, Step]) -> None:
        super().__init__(config)
        self.log_rows, self.script, self.count = log, script, 0
        self.name = f"Desk-{config.order_id_tag}"  # in v2 not to be asked while it submits an order
        self.sent: list[Any] = []

    def on_start(self) -> None:
        for name in NAMES:
            self.subscribe_bars(daily(name))
        self.msgbus.subscribe(GATE_DECISION_TOPIC, self.on_decision)

    def on_bar(self, bar: Any) -> None:
        if str(bar.bar_type.instrument_id) == A:
            self.count += 1
            if self.count in self.script:
                self.script[self.count](self)

    def on_decision(self, decision: Any) -> None:
        self.log_rows.append([decision.ts_init, f"{self.name} hears", decision.to_dict()])

    def on_order_event(self, event: Any) -> None:
        if "Pending" in type(event).__name__:  # which v2 leaves out where its venue answers at once
            return
        shown = {name: getattr(event, name, None) for name in SHOWN}
        if type(event).__name__ == "OrderRejected":  # by the venue, in each host's words
            del shown["reason"]
        facts = {name: str(value) for name, value in shown.items() if value is not None}
        what = [str(event.client_order_id), type(event).__name__, facts]
        self.log_rows.append([event.ts_event, self.name, what])

    def make(self, kind: str, quantity: float, name: str = A, share: float = 1.0, **options: Any) -> Any:
        """Make an order, signed, at a share of the last close: on odd cents, so that no bar ends on it.

        The hosts differ in whether a price that is touched fills.
        """
        instrument = self.cache.instrument(InstrumentId.from_str(name))
        side = OrderSide.BUY if quantity > 0 else OrderSide.SELL
        prices = [] if kind == "market" else [instrument.make_price(_even(share * float(self.close(name))) + 0.01)]
        size = instrument.make_qty(abs(quantity))
        return getattr(self.order_factory, kind)(instrument.id, side, size, *prices, **options)

    def trade(self, quantity: float, name: str = A, kind: str = "market", share: float = 1.0, **options: Any) -> Any:
        """Make an order and submit it."""
        self.sent.append(self.make(kind, quantity, name, share, **options))
        self.submit_order(self.sent[-1])

    def change(self, quantity: float, which: int = -1) -> None:
        """Change the quantity of an order, by default of the one that was submitted last."""
        instrument = self.cache.instrument(self.sent[which].instrument_id)
        change(self, self.sent[which], instrument.make_qty(quantity))

    def cancel(self) -> None:
        """Cancel that order."""
        cancel(self, self.sent[-1])

    def pair(self, quantity: float) -> None:
        """Buy a stock and sell its twin, in a list."""
        send_list(self, [self.make("market", quantity), self.make("market", -quantity, TWIN)])

    def bracket(self, quantity: float) -> None:
        """Buy with a target and a stop."""
        instrument, close = self.cache.instrument(InstrumentId.from_str(A)), float(self.close(A))
        target, stop = instrument.make_price(2.0 * close), instrument.make_price(0.5 * close)
        size = instrument.make_qty(quantity)
        made = self.order_factory.bracket(instrument.id, OrderSide.BUY, size, tp_price=target, sl_trigger_price=stop)
        self.submit_order_list(made)

    def flatten(self) -> None:
        """Close what this strategy holds in the first stock."""
        self.close_all_positions(InstrumentId.from_str(A))

    def close(self, name: str) -> Any:
        return self.cache.bar(daily(name)).close


def _even(prices: Any) -> Any:
    return np.round(np.round(prices * 50.0) / 50.0, 2)


def closes() -> list[np.ndarray]:
    """Two walks, and one that goes with the first, on even cents."""
    first, second, noise = walks(21, DAYS, 0.01, 0.015, 0.001)
    return [_even(first), _even(second), _even(first * noise / 100.0)]


def play(
    scripts: Mapping[str, Mapping[int, Step]],
    gate: Mapping[str, Any] | None = None,
    controller: Mapping[str, Any] | None = None,
) -> list[list[Any]]:
    """Run desks by their tags, with a gate, a controller, or both; return what they note."""
    log: list[list[Any]] = []
    market = Market()
    for name, prices in zip(NAMES, closes(), strict=True):
        market.stock(name, prices)
    risk = RiskActorConfig(
        bar_types=tuple(map(daily, NAMES)),
        window=40,
        min_observations=20,
        levels=(LEVEL,),
        model="normal",
        scenarios=2_048,
        keep_scenarios=True,
        var_limit={LEVEL: LIMIT},
    )
    actors = [MetalEngineActor(MetalEngineConfig(device="cpu")), RiskActor(risk)]
    if gate is not None:
        actors.append(RiskGate(RiskGateConfig(**gate)))
    if controller is not None:
        trader = getattr(getattr(market, "engine", None), "trader", None)
        actors.append(RiskController(trader, RiskControllerConfig(**controller)))
    configs = {tag: StrategyConfig(strategy_id="Desk", order_id_tag=tag) for tag in scripts}
    market.run(actors, [Desk(configs[tag], log, script) for tag, script in scripts.items()], log)
    return sorted(map(_without_time, log), key=_place)


def _place(row: list[Any]) -> tuple[Any, ...]:
    """Each order's own events stay in their order; v2 sends what v1 sends at once after the callback."""
    ts, kind, what = row
    return (ts, kind, what[0] if isinstance(what, list) else what["order_id"])


def _without_time(row: list[Any]) -> list[Any]:
    """An order's last event is not the same: in v2 a modification that is rejected here is not among them."""
    return [0, *row[1:]] if row[1] == "order" else row


def judged() -> dict[int, Step]:
    """One order of each kind that a gate treats in its own way."""
    return {
        5: lambda desk: desk.trade(10),
        30: lambda desk: desk.trade(1_000),
        31: lambda desk: desk.trade(9_000),
        32: lambda desk: [desk.trade(600) for _ in range(6)],
        33: lambda desk: desk.flatten(),
        34: lambda desk: desk.change(20, 1),
        35: lambda desk: [desk.change(5, 1), desk.trade(1_000), desk.trade(-3_000)],
        36: lambda desk: desk.trade(-9_000),
        37: lambda desk: desk.flatten(),
        38: lambda desk: [desk.trade(5_000, B), desk.pair(5_000)],
        39: lambda desk: [desk.trade(-5_000, reduce_only=True), desk.trade(5_000, TWIN)],
        40: lambda desk: desk.bracket(100_000),
        41: lambda desk: desk.bracket(500),
        43: lambda desk: desk.trade(-500),
        45: lambda desk: desk.trade(1_500, kind="limit", share=0.5),
        46: lambda desk: [desk.trade(1_800), desk.change(90_000), desk.change(1_000)],
        47: lambda desk: desk.trade(1_500, B, "limit", 0.5),
        48: lambda desk: [desk.change(80_000), desk.change(1_600), desk.change(100)],
        49: lambda desk: desk.cancel(),
        50: lambda desk: desk.trade(2_000, kind="stop_market", share=3.0),
        51: lambda desk: desk.trade(100_000, kind="limit", share=0.5, emulation_trigger=TriggerType.LAST_PRICE),
        52: lambda desk: desk.trade(800, kind="limit", share=0.5, emulation_trigger=TriggerType.LAST_PRICE),
        53: lambda desk: desk.trade(1_000_000, quote_quantity=True),
        55: lambda desk: desk.trade(3_000, B, tags=["hedge"]),
        56: lambda desk: desk.trade(20_000, B, tags=["other"]),
        60: lambda desk: desk.flatten(),
    }


def states() -> dict[int, Step]:
    """Too much, then what is tried while trading is reducing and halted, and after it."""
    return {
        5: lambda desk: [desk.trade(4_000), desk.trade(10, kind="limit", share=0.5)],
        30: lambda desk: [desk.trade(10), desk.trade(-10), desk.trade(10, B), desk.pair(5)],
        31: lambda desk: [desk.trade(10, kind="limit", share=0.5), desk.change(20, 1)],
        32: lambda desk: [desk.trade(-9_000, kind="limit", share=2.0), desk.change(9_500)],
        33: lambda desk: desk.cancel(),
        34: lambda desk: desk.change(20, 1),
        35: lambda desk: [desk.change(5, 1), desk.trade(-100), desk.trade(100), desk.flatten()],
        36: lambda desk: [desk.trade(-100, reduce_only=True), desk.bracket(10)],
    }


def random(seed: int) -> dict[int, Step]:
    """Orders of all kinds and sizes."""
    source, script = np.random.default_rng(seed), {}
    for day in range(25, 60):
        steps: list[Step] = []
        for _ in range(source.integers(1, 4)):
            size, name = int(source.integers(1, 4_000)) * int(source.choice([-1, 1])), str(source.choice(NAMES))
            kind = str(source.choice(["market", "market", "limit", "stop_market"]))
            share = {"limit": 1 - 0.01 * np.sign(size), "stop_market": 1 + 0.01 * np.sign(size)}.get(kind, 1.0)
            steps.append(lambda desk, a=(size, name, kind, share): desk.trade(*a))
        if day % 10 == 0:
            steps.append(lambda desk: desk.flatten())
        script[day] = lambda desk, steps=tuple(steps): [step(desk) for step in steps]
    return script


SLOW = {"halt_after_reports": 12, "clear_after_reports": 2}
PLAYS: dict[str, Callable[[], list[list[Any]]]] = {
    "deny": lambda: play({"001": judged()}, {"hedge_tags": ("hedge",)}),
    "trim": lambda: play({"001": judged()}, {"hedge_tags": ("hedge",), "trim": True}),
    "allow": lambda: play({"001": judged()}, {"on_stale": "allow", "es_limit": {LEVEL: 2_000.0}}),
    "states": lambda: play({"001": states()}, None, SLOW),
    "gated states": lambda: play({"001": states()}, {"on_stale": "allow", "var_limit": {LEVEL: 1e6}}, SLOW),
    "hedging states": lambda: play(
        {"001": states(), "002": {29: lambda desk: desk.trade(-100, TWIN), 33: lambda desk: desk.trade(-100, TWIN)}},
        {"on_stale": "allow", "hedge_strategies": ("Desk-002",)},
        SLOW,
    ),
    # of one desk: in v2 two strategies have a bar in no fixed order, and the first one's order counts
    "random, trimmed": lambda: play({"001": random(1)}, {"trim": True}, {"clear_after_reports": 1}),
    "random, denied": lambda: play({"001": random(2)}, {}, {"reduce_after_reports": 3, "halt_after_reports": 8}),
}


def run(name: str) -> list[list[Any]]:
    """Run a play on the installed host; return its log as JSON has it."""
    log: list[list[Any]] = json.loads(json.dumps(PLAYS[name]()))
    return log


def main() -> None:
    """Write the logs of v1."""
    assert MAJOR == 1, "the log that others are compared with is made under NautilusTrader v1"
    logs = {name: ",\n".join(json.dumps(row, sort_keys=True) for row in run(name)) for name in PLAYS}
    parts = ",\n".join(f'"{name}": [\n{rows}\n]' for name, rows in logs.items())
    FILE.write_text(f"{{\n{parts}\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
