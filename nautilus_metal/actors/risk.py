"""The RiskActor: watches prices and positions of a running system and publishes its risk."""

from collections.abc import Iterable, Mapping
from typing import Any

from nautilus_metal.actors.bar_history import BarHistory
from nautilus_metal.actors.engine import MetalEngine
from nautilus_metal.actors.option_market import OptionMarket
from nautilus_metal.actors.option_marks import Marks
from nautilus_metal.actors.recent_closes import RecentCloses
from nautilus_metal.actors.risk_config import HELD, RiskActorConfig, check, with_model
from nautilus_metal.actors.risk_flow import TickFlow
from nautilus_metal.actors.risk_freshness import Freshness
from nautilus_metal.actors.risk_memory import RiskMemory
from nautilus_metal.actors.risk_messages import Stamp, greeks_report, risk_report, stress_report
from nautilus_metal.actors.risk_tick import Inputs, StressFigures, TickFigures, stress_figures
from nautilus_metal.actors.snapshot import Snapshot, Snapshots
from nautilus_metal.actors.stateful import StatefulActor
from nautilus_metal.host import (
    Bar,
    BarType,
    OptionFacts,
    every,
    find,
    follow_fills,
    follow_option_greeks,
    offer,
    publish,
    request_history,
    subscribe_option,
)
from nautilus_metal.messages import GreeksReport, ModelSwitch, RiskBreach, RiskReport, StressReport
from nautilus_metal.risk import Book, RiskAssessment
from nautilus_metal.risk.book import Array
from nautilus_metal.risk.limits import LimitWatch
from nautilus_metal.risk.prepare import prepare
from nautilus_metal.risk.stress import STRESSES
from nautilus_metal.risk.what_if import WhatIf

__all__ = ["RiskActor", "RiskActorConfig"]

ENDPOINT = "RiskActor.get"


class RiskActor(StatefulActor):
    """Publishes a `RiskReport` of the positions held, and a `RiskBreach` at each crossing of a limit.

    A report is made once for a time stamp, after all its bars and fills have been handled, from one immutable
    snapshot. Positions of all strategies are netted by instrument. What cannot be priced, converted or has too little
    history is listed in `uncovered` with the reason, and is in no figure.

    Options are taken as European. An option's volatility is the venue's where it sends one, else implied from the
    middle of its quote, else from its last trade, both at the newest price of the underlying when the report is made;
    else it is the last good one, up to an age. With options come a `GreeksReport`, and delta-gamma figures in the
    `RiskReport`; stress tests go with every report, or are asked for.

    In a live system figures are computed beside the event loop, one tick at a time: what is asked for meanwhile is
    one tick from the newest snapshot. A report that is late, fails, stays out or has prices that are too old is
    announced by a `RiskStale`. History, limits' states and the model in use, which `use_model` changes, are saved and
    loaded with the node's other state.

    Parameters
    ----------
    config : RiskActorConfig, optional
        The settings. Several actors in one system need a `component_id` each.

    Raises
    ------
    InputError
        If a setting is outside its range.
    """

    state_key = "nautilus_metal.RiskActor"

    def __init__(self, config: RiskActorConfig | None = None) -> None:
        config = config or RiskActorConfig()
        check(config)
        prepare(config.model)
        super().__init__(config)
        self.last_report: RiskReport | None = None
        self.last_greeks: GreeksReport | None = None
        self.last_stress: StressReport | None = None
        self.last_assessment: RiskAssessment | None = None
        self.last_what_if: WhatIf | None = None
        self._chosen = None if config.instruments == HELD else {str(name) for name in config.instruments}
        self._bars = BarHistory(config.window)
        self._watch = LimitWatch({"var": config.var_limit, "es": config.es_limit})
        self._subscribed: set[str] = set()
        self._options: set[str] = set()
        self._market = OptionMarket(config.rate, config.dividend_yields, config.volatility_max_age_seconds)
        self._snapshots = Snapshots(config, self._bars, self._market, self._cover)
        self._freshness = Freshness(self, config)
        self._flow = TickFlow(self, config, self._take, self._publish, self._freshness.complain)
        self._memory = RiskMemory(config, self._bars, self._watch, self._market, self._flow)
        self._priced_at = 0

    def register_base(self, portfolio: Any, msgbus: Any, cache: Any, clock: Any) -> None:
        """Register with a trader, find or make the system's engine, and follow fills and Greeks.

        The message bus keeps its subscribers over a reset, so that this is done once and not at every start.
        """
        super().register_base(portfolio, msgbus, cache, clock)
        self.engine = MetalEngine.of(self)
        if find(msgbus, ENDPOINT) is None:
            offer(msgbus, ENDPOINT, self)
        offer(msgbus, f"{ENDPOINT}.{self.id}", self)
        follow_option_greeks(self, self._market.take_greeks)
        if self.config.on_fill:
            follow_fills(self, self._on_fill)

    def on_start(self) -> None:
        """Take the state that was kept, subscribe to bars and the timer, and ask for history."""
        if not self._bars.closed_at:
            self._recall()
        for bar_type in self.config.bar_types:
            self._subscribe(bar_type)
        for name in sorted(self._chosen or ()):
            self._cover(name, self._snapshots.facts(self.cache, name))
        if self.config.timer_seconds is not None:
            every(self, f"{self.id}-timer", self.config.timer_seconds, self._flow.request)
        self._freshness.expect()

    def on_bar(self, bar: Bar) -> None:
        """Take a close into the history."""
        self._bars.observe(bar)
        self._priced_at = max(self._priced_at, bar.ts_event)
        if self.config.on_bar:
            self._flow.request()

    def on_historical_data(self, data: Any) -> None:
        """Take a requested bar into the history."""
        if isinstance(data, Bar):
            self._bars.take(data)
            self._priced_at = max(self._priced_at, data.ts_event)

    def on_stop(self) -> None:
        """Report the last time stamp where a backtest ended on it; live, give up what is in flight."""
        self._flow.stop()
        self._freshness.stop()
        self._keep()

    def on_reset(self) -> None:
        """Forget history and limits' states."""
        self._bars.reset()
        self._watch.reset()
        self._subscribed.clear()
        self._options.clear()
        self._market.reset()
        self._flow.reset()
        self._flow.config = self.config
        self._freshness.reset()
        self._priced_at = 0
        self.last_report = self.last_assessment = self.last_greeks = self.last_stress = self.last_what_if = None

    @property
    def is_stale(self) -> bool:
        """Whether the last report does not stand for the risk of this moment, or there is none."""
        return self._freshness.stale is not None or self.last_report is None

    @property
    def model(self) -> str:
        """The scenario model of the next tick: that of the settings, until another one is asked for."""
        return self._flow.config.model

    @property
    def model_options(self) -> dict[str, Any]:
        """Its options."""
        return self._flow.config.model_options

    @property
    def closes(self) -> RecentCloses:
        """The closes of the last periods."""
        return self._bars.recent

    def use_model(self, model: str, options: Mapping[str, Any] | None = None, reason: str = "asked for") -> None:
        """State risk by another model from the next tick on, and say so by a `ModelSwitch`.

        All else goes on: history, limits, freshness and the scenario stream. The model is kept with the actor's state
        until the settings name another one; a reset goes back to theirs. Not to be called from another thread.

        Parameters
        ----------
        model : str
            A row of `nautilus_metal.risk.MODELS`.
        options : mapping, optional
            Its options.
        reason : str
            In words.

        Raises
        ------
        InputError
            If there is no such model, it does not take an option, or it makes no tail for the levels.
        """
        changed, before = with_model(self.config, model, options or {}), self.model
        self._flow.config = changed
        now = self.clock.timestamp_ns()
        self.log.warning(f"Risk is stated by {model} from now on, no longer by {before}: {reason}")
        publish(self, ModelSwitch(now, now, str(self.id), before, model, dict(changed.model_options), reason))

    def marks(self, names: Iterable[str], since: int) -> Marks:
        """Price options, held or not, as reports do, by what has come since `since` (UNIX nanoseconds)."""
        return self._snapshots.marks(self.cache, names, self.clock.timestamp_ns(), since)

    def compute(self) -> RiskReport:
        """Compute and publish the risk of this moment, before returning: live, that holds the event loop up.

        Returns
        -------
        RiskReport
            What was published.
        """
        self._flow.run_now()
        assert self.last_report is not None
        return self.last_report

    def stress(self, *names: str) -> StressReport:
        """Revalue the book of this moment under stresses, and publish what comes out.

        Parameters
        ----------
        *names : str
            Rows of `nautilus_metal.risk.stress.STRESSES`; all of them where none is given. The grid of the settings,
            if there is one, comes with them.

        Raises
        ------
        InputError
            If there is no such stress.
        """
        snapshot = self._snapshot()
        return self._publish_stress(snapshot, stress_figures(snapshot, self.config, names or tuple(STRESSES)))

    def _publish(self, inputs: Inputs, figures: TickFigures) -> None:
        risk, stamp = figures.risk, self._stamp(inputs.priced_at)
        hit_rate = self.engine.compute.pool.stats().cache_hit_rate
        self.last_assessment, self.last_what_if = risk, figures.what_if
        self.last_report = report = risk_report(stamp, risk, inputs, figures.greeks, hit_rate)
        publish(self, report)
        if figures.greeks is not None:
            self.last_greeks = greeks_report(stamp, inputs.snapshot, figures.greeks)
            publish(self, self.last_greeks)
        if figures.stresses is not None:
            self._publish_stress(inputs.snapshot, figures.stresses)
        for crossing in self._watch.check({"var": risk.var, "es": risk.es} if report.levels else {}):
            publish(self, RiskBreach(report.ts_event, report.ts_init, str(self.id), report.model, *crossing))
        self._freshness.judge(report)

    def _publish_stress(self, snapshot: Snapshot, figures: StressFigures) -> StressReport:
        self.last_stress = report = stress_report(self._stamp(self._priced_at), snapshot, figures)
        publish(self, report)
        return report

    def _take(self, serial: int, skipped: int) -> Inputs:
        snapshot, now = self._snapshot(), self.clock.timestamp_ns()
        returns = self._bars.window.returns(snapshot.factors)
        changes = self._volatility_returns(snapshot.book)
        return Inputs(serial, snapshot, returns, changes, now, self._priced_at or now, skipped)

    def _packed(self) -> bytes:
        return self._memory.packed(self._priced_at)

    def _restore(self, data: bytes) -> None:
        self._priced_at = self._memory.restore(data)

    def _on_fill(self, _fill: Any) -> None:
        if self.is_running:  # strategies stop after actors, and may flatten then
            self._flow.request()

    def _subscribe(self, bar_type: BarType) -> None:
        self._subscribed.add(str(bar_type.instrument_id))
        self.subscribe_bars(bar_type)
        if self.config.warm_up:
            request_history(self, bar_type, self.config.window + 1)

    def _cover(self, name: str, facts: OptionFacts | None) -> None:
        """Subscribe the bars of an instrument; for an option its own data, and the bars of what it depends on."""
        if facts is None:
            self._cover_bars(name)
            return
        if name not in self._options:
            self._options.add(name)
            subscribe_option(self, name, self.config.option_data)
        if facts.underlying is not None:
            self._cover_bars(facts.underlying)
            if facts.underlying in self.config.volatility_indices:
                self._cover_bars(self.config.volatility_indices[facts.underlying])

    def _cover_bars(self, name: str) -> None:
        if name not in self._subscribed:
            self._subscribe(BarType.from_str(f"{name}-{self.config.bar_specification}"))

    def _snapshot(self) -> Snapshot:
        return self._snapshots.take(self.cache, self._chosen, self.clock.timestamp_ns())

    def _stamp(self, priced_at: int) -> Stamp:
        now = self.clock.timestamp_ns()
        return Stamp(priced_at or now, now, str(self.id))

    def _volatility_returns(self, book: Book) -> dict[str, Array]:
        """Log changes of the volatility index of each underlying of the book's options that has a history of one."""
        underlyings = {position.option.underlying for position in book.positions if position.option is not None}
        return self._bars.volatility_changes(
            self.config.volatility_indices, underlyings, self.config.min_observations
        )
