"""The RiskGate: asks before each order what the book's risk would be with it."""

import math
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from nautilus_metal.actors.gate_book import asked_for, reducing_part
from nautilus_metal.actors.gate_config import RiskGateConfig, check
from nautilus_metal.actors.gate_messages import GateDecision
from nautilus_metal.actors.gate_weighing import ByMeasure, Excess, Weighing
from nautilus_metal.errors import InputError
from nautilus_metal.host import Actor, OrderIntent, OrderRoute, Ruling, Sizes, find, holdings, offer, publish

__all__ = ["RiskGate", "RiskGateConfig"]

ENDPOINT = "RiskGate.get"
_HELD = "held"
_EXACT = 1e-12


class RiskGate(Actor):
    """A pre-trade check on value at risk and expected shortfall: lets an order through, trims it, or denies it.

    It stands in front of the host's own risk engine, in backtests and live alike, whatever the account. An order
    counts with all that is held now and with the orders that may still fill, on the scenarios of the last risk
    report, at the last price, or at its own where that is dearer and it adds to a position. It passes if every limit
    holds then; and in any case if it

    - is reduce-only, closes another order of its list, or only reduces the position that is held,
    - comes from a hedging strategy or carries a hedge's tag, as configured,
    - raises value at risk and expected shortfall at no level.

    Other orders are denied: the strategy sees an ordinary `OrderDenied` (or `OrderModifyRejected`) with a reason that
    names the figure, the limit and the quantity that would pass; a `GateDecision` says the same on the bus. With
    `trim` a single order is cut to that quantity: the strategy sees an `OrderUpdated` before `OrderSubmitted`. A list
    is denied as a whole. Where risk is unknown, only what always passes does, unless `on_stale` is "allow".

    The orders of instruments that the RiskActor was told to leave out are not judged.

    Under NautilusTrader v2 the orders of all strategies in Python are judged, whatever their class, those that close
    positions by name included. What is written in Rust sends its orders past Python: a system with such a strategy is
    refused, and an order for an execution algorithm in Rust is judged whole. The orders by which the host itself ends
    a strategy's positions (`manage_stop`, a controller's `market_exit_strategy`) are not judged, and a modification
    that is rejected is told to the strategy, and is not among the order's events.

    Parameters
    ----------
    config : RiskGateConfig, optional
        The settings.

    Raises
    ------
    InputError
        If a setting is outside its range; when it is added to a system that has a gate.
    """

    checks_orders = True

    def __init__(self, config: RiskGateConfig | None = None) -> None:
        config = config or RiskGateConfig()
        check(config)
        super().__init__(config)
        self.denied = self.trimmed = self.passed = 0
        self._risk: Any = None
        self._route: OrderRoute | None = None

    def register_base(self, portfolio: Any, msgbus: Any, cache: Any, clock: Any) -> None:
        """Register with a trader, as its only gate."""
        super().register_base(portfolio, msgbus, cache, clock)
        other = find(msgbus, ENDPOINT)
        if other is not None:
            raise InputError(f"`RiskGate` must be the only one of its system, there is {other.id}")
        offer(msgbus, ENDPOINT, self)
        self._route = OrderRoute(self, self._judge)

    def on_start(self) -> None:
        """Stand in front of the risk engine."""
        risk = self._risk_actor()
        if risk is not None and not any(self._limits(risk).values()):
            self.log.warning("Neither the RiskGate nor the RiskActor has limits: every order passes")
        if self._route is not None:
            self._route.take()

    def on_resume(self) -> None:
        """Stand there again."""
        self.on_start()

    def on_stop(self) -> None:
        """Let all orders pass again, as those by which strategies flatten when they stop."""
        if self._route is not None:
            self._route.give_back()

    def on_reset(self) -> None:
        """Count from zero."""
        self.denied = self.trimmed = self.passed = 0

    def on_dispose(self) -> None:
        """Leave the system as it was."""
        self.on_stop()

    def _judge(self, intents: Sequence[OrderIntent], working: Sequence[OrderIntent], sizes: Sizes) -> Ruling:
        try:
            ruling = self._ruling(intents, working, sizes)
        except Exception as error:  # an order must get an answer, whatever is wrong here
            self.log.error(f"The risk gate failed\n{traceback.format_exc()}")
            ruling = self._unknown(intents, f"the check failed: {type(error).__name__}: {error}")
        if ruling.reason is None:
            self.passed += 1
        return ruling

    def _ruling(self, intents: Sequence[OrderIntent], working: Sequence[OrderIntent], sizes: Sizes) -> Ruling:
        if all(self._is_hedge(one) for one in intents):
            return Ruling(always=self.config.hedges_pass_reducing)
        risk = self._risk_actor()
        held = {holding.instrument: holding.quantity for holding in holdings(self.cache)}
        judged = [one for one in intents if not (self._is_hedge(one) or _only_reduces(one, held, working))]
        chosen = None if risk is None or risk.config.instruments == _HELD else {*map(str, risk.config.instruments)}
        if chosen is not None:
            held = {name: quantity for name, quantity in held.items() if name in chosen}
            working = [one for one in working if one.instrument in chosen]
            judged = [one for one in judged if one.instrument in chosen]
        if not judged:
            return Ruling()
        missing = self._missing(risk, held, [*working, *judged])
        if missing is not None:
            return self._unknown(judged, missing)
        return self._weighed(Weighing(risk.last_what_if, held, working, judged, self._limits(risk)), sizes)

    def _weighed(self, weighing: Weighing, sizes: Sizes) -> Ruling:
        over, reducing = weighing.excess, self._route is not None and self._route.reducing
        if over is None and not reducing:
            return Ruling()
        rise = weighing.rise
        if rise is None:
            return Ruling(always=self.config.hedges_pass_reducing)
        if over is None:
            return self._refused(weighing.intents, f"trading is reducing, and {rise}")
        allowed = None if reducing else weighing.largest(sizes.lot)
        cut = self.config.trim and sizes.cuttable and allowed is not None and allowed >= max(sizes.lot, sizes.least)
        return self._refused(weighing.intents, str(over), over, allowed, cut)

    def _refused(
        self,
        intents: Sequence[OrderIntent],
        reason: str,
        over: Excess | None = None,
        allowed: float | None = None,
        cut: bool = False,
    ) -> Ruling:
        """Deny orders, or cut one, and say so."""
        first, quantity = intents[0], asked_for(intents)[intents[0].instrument]
        reason = f"RISK_GATE: {reason}"
        if allowed is not None:
            reason += f"; at most {allowed:,.10g} of {abs(quantity):,.10g}"
        if cut:
            self.trimmed += 1
            self.log.warning(f"SubmitOrder for {first.order_id} TRIMMED: {reason}")
        else:
            self.denied += 1
        now, figures = self.clock.timestamp_ns(), ("", None, None, None) if over is None else over[:4]
        names = str(self.id), first.strategy, first.order_id, first.instrument
        publish(self, GateDecision(now, now, *names, "trim" if cut else "deny", reason, quantity, allowed, *figures))
        return Ruling(reason, trim_to=allowed if cut else None)

    def _unknown(self, intents: Sequence[OrderIntent], why: str) -> Ruling:
        if self.config.on_stale == "deny":
            return self._refused(intents, f"risk is unknown, {why}")
        self.log.warning(f"Orders pass unchecked, risk is unknown: {why}")
        return Ruling()

    def _missing(self, risk: Any, held: Mapping[str, float], orders: Sequence[OrderIntent]) -> str | None:
        """Say why nothing can be asked about orders; None where it can."""
        if risk is None:
            return f"there is no RiskActor{f' {self.config.risk_actor}' if self.config.risk_actor else ''}"
        if risk.last_report is None or risk.last_what_if is None:
            return f"{risk.id} has no scenarios" + ("" if risk.config.keep_scenarios else " (set `keep_scenarios`)")
        if risk.is_stale:
            return f"{risk.id} is stale"
        age, most = (self.clock.timestamp_ns() - risk.last_report.ts_snapshot) / 1e9, self.config.max_age_seconds
        if most is not None and age > most:
            return f"its last report is {age:,.1f} s old, {most:,.10g} s are allowed"
        for name in dict.fromkeys([*(one.instrument for one in orders), *held]):
            if not risk.last_what_if.covers(name):
                return f"{name}: {risk.last_report.uncovered.get(name, 'it has no scenarios')}"
        unpriced = [one.instrument for one in orders if math.isnan(one.quantity)]
        return f"{unpriced[0]}: no price for a quantity in quote currency" if unpriced else None

    def _is_hedge(self, intent: OrderIntent) -> bool:
        config = self.config
        return intent.strategy in config.hedge_strategies or not set(config.hedge_tags).isdisjoint(intent.tags)

    def _risk_actor(self) -> Any:
        if self._risk is None:
            chosen = self.config.risk_actor
            self._risk = find(self.msgbus, "RiskActor.get" + (f".{chosen}" if chosen else ""))
        return self._risk

    def _limits(self, risk: Any) -> ByMeasure:
        """Those of the settings, else the RiskActor's."""
        own = {"var": self.config.var_limit, "es": self.config.es_limit}
        for measure, row in own.items():
            for level in row:
                if level not in risk.config.levels:
                    raise InputError(f"`{measure}_limit` must be on a level of {risk.config.levels}, was on {level}")
        return own if any(own.values()) else {"var": risk.config.var_limit, "es": risk.config.es_limit}


def _only_reduces(intent: OrderIntent, held: Mapping[str, float], working: Sequence[OrderIntent]) -> bool:
    part = reducing_part(intent, held.get(intent.instrument, 0.0), working)
    return part >= abs(intent.quantity) * (1 - _EXACT)
