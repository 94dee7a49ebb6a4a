"""Own the trends, as much of them as a VaR budget allows: positions sized by the RiskReport that it hears."""

from math import isfinite
from typing import Any

from nautilus_metal.errors import InputError
from nautilus_metal.indicators import MetalMACD
from nautilus_metal.messages import RISK_REPORT_TOPIC, RiskReport, level_key
from strategies.positions import PositionConfig, PositionStrategy, Slot, require

NANOSECONDS_PER_DAY = 86_400_000_000_000


class RiskScaledConfig(PositionConfig, frozen=True, kw_only=True):
    """Settings of `RiskScaled`; `notional` is the most that one instrument may get.

    Parameters
    ----------
    var_budget : float
        The value at risk, in the report's base currency, that the whole book may have.
    level : float
        The confidence level of the budget.
    source, model : str, optional
        Listen only to reports of this actor, or of this scenario model.
    start_notional : float
        Size per instrument of a first position, before any report measures it.
    band : float
        No-trade band as a fraction: the book's VaR is brought to `budget * (1 - band)` when it is above the budget
        or under `budget * (1 - 2 * band)`, and an instrument is topped up only if off by more than the band.
    max_step : float
        The most by which one report may multiply the positions.
    max_report_age_days : float
        An older report adds no risk: positions are only closed until a new one is heard.
    fast, slow : int
        Bars of the two averages whose difference (the MACD's line) is the trend; held while it is positive.
    """

    var_budget: float
    level: float = 0.99
    source: str | None = None
    model: str | None = None
    start_notional: float = 1_000.0
    band: float = 0.1
    max_step: float = 1.5
    max_report_age_days: float = 7.0
    fast: int = 20
    slow: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        budget = self.var_budget
        require(isfinite(budget) and budget > 0.0, "var_budget", "finite and above 0", budget)
        require(0.0 < self.level < 1.0, "level", "between 0 and 1", self.level)
        start = self.start_notional
        require(0.0 < start <= self.notional, "start_notional", f"above 0 and at most {self.notional}", start)
        require(0.0 <= self.band < 0.5, "band", "at least 0 and under 0.5", self.band)
        require(self.max_step > 1.0, "max_step", "above 1", self.max_step)
        require(self.max_report_age_days > 0, "max_report_age_days", "above 0 days", self.max_report_age_days)
        require(self.fast >= 1, "fast", "at least 1 bar", self.fast)
        require(self.slow > self.fast, "slow", f"above `fast` ({self.fast})", self.slow)


def scale_to_budget(var: float, own: float, aim: float, max_step: float) -> float:
    """Return the factor for one's own positions that brings the book's VaR to `aim`, to first order.

    Parameters
    ----------
    var : float
        The whole book's VaR.
    own : float
        The part of it that one's own positions contribute (Euler's components: they add up to `var`).
    aim : float
        The VaR to come to.
    max_step : float
        The largest factor.

    Returns
    -------
    float
        Between 0 and `max_step`; 1 where one's own positions lower the book's risk, which scaling cannot mend.

    Notes
    -----
    VaR of a linear book is homogeneous of degree one, so with everybody else unchanged the VaR after scaling by `s`
    is `var + (s - 1) * own` to first order.

    Examples
    --------
    >>> scale_to_budget(var=100.0, own=40.0, aim=80.0, max_step=2.0)
    0.5
    """
    if own <= 0.0:
        return 1.0
    return min(max((aim - (var - own)) / own, 0.0), max_step)


class RiskScaled(PositionStrategy):
    """Long the instruments in an upward trend, all of one size, that size steered by the book's VaR.

    Positions are opened and enlarged only when a report is heard that is valid, covers every instrument held here and
    shows VaR within budget. Without one (missing, stale, of another source or model, without the level, not a number)
    nothing is added; trends that end are always closed.
    """

    def __init__(self, config: RiskScaledConfig) -> None:
        super().__init__(config)
        self._key = level_key(config.level)
        self.reports_used = 0
        self.reports_refused = 0
        self._last_problem: str | None = None

    def make_indicator(self) -> MetalMACD:
        """Make the trend of one instrument: the difference of two averages."""
        return MetalMACD(self.config.fast, self.config.slow, 1)

    def on_start(self) -> None:
        """Subscribe to bars and to risk reports."""
        super().on_start()
        self.msgbus.subscribe(RISK_REPORT_TOPIC, self.on_risk_report)

    def on_stop(self) -> None:
        """Stop listening to risk reports, then as the base does."""
        self.msgbus.unsubscribe(RISK_REPORT_TOPIC, self.on_risk_report)
        super().on_stop()

    def on_reset(self) -> None:
        """Forget everything heard."""
        super().on_reset()
        self.reports_used = self.reports_refused = 0

    def on_bar(self, bar: Any) -> None:
        """Note the price; close the position when its trend ends. Opening waits for a report."""
        slot = self.slots[bar.bar_type]
        slot.price = bar.close.as_double()
        if slot.quantity != 0.0 and not in_trend(slot):
            self.move(slot, 0.0, "trend-ended")

    def on_risk_report(self, report: RiskReport) -> None:
        """Bring the book's VaR back within the band under the budget."""
        config = self.config
        if (config.source and report.source != config.source) or (config.model and report.model != config.model):
            return
        problem = self._problem(report)
        if problem is not None:
            self.reports_refused += 1
            if problem != self._last_problem:
                self.log.warning(f"Report of {report.source} adds no risk: {problem}")
            self._last_problem = problem
            return
        self.reports_used += 1
        self._last_problem = None
        var = report.var(config.level)
        aim = config.var_budget * (1.0 - config.band)
        factor = 1.0
        if var > config.var_budget or var < config.var_budget * (1.0 - 2.0 * config.band):
            factor = scale_to_budget(var, self._own_share(report), aim, config.max_step)
        self._resize(factor, var, report)

    def _problem(self, report: RiskReport) -> str | None:
        """Say why a report is no ground to trade on, or None."""
        try:
            var = report.var(self.config.level)
        except InputError as error:
            return str(error)
        if not isfinite(var) or var < 0.0:
            return f"its VaR is {var}"
        age = (self.clock.timestamp_ns() - report.ts_event) / NANOSECONDS_PER_DAY
        if age > self.config.max_report_age_days:
            return f"it is {age:.1f} days old"
        return None

    def _own_share(self, report: RiskReport) -> float:
        """Return the part of the report's VaR that comes from this strategy's positions."""
        share = 0.0
        for slot in self.slots.values():
            line = report.positions.get(str(slot.instrument.id))
            if line is not None and slot.quantity != 0.0 and line["quantity"] != 0.0:
                share += line["component_var"][self._key] * slot.quantity / line["quantity"]
        return share

    def _resize(self, factor: float, var: float, report: RiskReport) -> None:
        """Spread `factor` times what is held equally over the instruments in trend."""
        config = self.config
        held = [slot for slot in self.slots.values() if slot.quantity != 0.0]
        value = sum(abs(slot.quantity) * slot.price * float(slot.instrument.multiplier) for slot in held)
        trending = sum(in_trend(slot) for slot in self.slots.values())
        size = factor * value / max(trending, 1)
        may_add = var <= config.var_budget and not any(str(slot.instrument.id) in report.uncovered for slot in held)
        if may_add and var < config.var_budget * (1.0 - 2.0 * config.band):
            size = max(size, config.start_notional)
        size = min(size, config.notional)
        for slot in self.slots.values():
            if slot.price > 0.0:
                self._resize_one(slot, size, may_add, factor)

    def _resize_one(self, slot: Slot, size: float, may_add: bool, factor: float) -> None:
        target = self.quantity_for(slot, size, slot.price) if in_trend(slot) else 0.0
        change = target - slot.quantity
        if change > 0.0 and not may_add:
            return
        if target > 0.0 and factor >= 1.0 and abs(change) <= self.config.band * target:
            return
        self.move(slot, target, "var-up" if change > 0.0 else "var-down")


def in_trend(slot: Slot) -> bool:
    """Return whether the instrument's faster average is above its slower one."""
    return slot.indicator.initialized and slot.indicator.value > 0.0
