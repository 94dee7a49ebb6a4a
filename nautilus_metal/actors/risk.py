"""The RiskActor: watches prices and positions of a running system and publishes its risk."""

from typing import Any

from nautilus_metal.actors.engine import MetalEngine
from nautilus_metal.actors.option_market import OptionMarket
from nautilus_metal.actors.risk_config import HELD, RiskActorConfig, check
from nautilus_metal.actors.risk_flow import TickFlow
from nautilus_metal.actors.risk_freshness import Freshness
from nautilus_metal.actors.risk_messages import Stamp, greeks_report, risk_report, stress_report
from nautilus_metal.actors.risk_tick import Inputs, StressFigures, TickFigures, stress_figures
from nautilus_metal.actors.snapshot import Snapshot, Snapshots
from nautilus_metal.host import (
    Actor,
    Bar,
    BarType,
    OptionFacts,
    bar_interval_ns,
    every,
    find,
    follow_fills,
    follow_option_greeks,
    offer,
    publish,
    request_history,
    subscribe_option,
)
from nautilus_metal.messages import GreeksReport, RiskBreach, RiskReport, StressReport
from nautilus_metal.risk import Book, RiskAssessment
from nautilus_metal.risk.book import Array
from nautilus_metal.risk.limits import LimitWatch
from nautilus_metal.risk.stress import STRESSES
from nautilus_metal.risk.window import ReturnWindow

__all__ = ["RiskActor", "RiskActorConfig"]

ENDPOINT = "RiskActor.get"
_WEEK_NS = 7 * 86_400 * 10**9
_LEAST_VOLATILITY_HISTORY = 20  # changes of a volatility index


class RiskActor(Actor):
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
    announced by a `RiskStale`. History and limits' states are saved and loaded with the node's other state.

    Parameters
    ----------
    config : RiskActorConfig, optional
        The settings. Several actors in one system need a `component_id` each.

    Raises
    ------
    InputError
        If a setting is outside its range.
    """

    def __init__(self, config: RiskActorConfig | None = None) -> None:
        config = config or RiskActorConfig()
        check(config)
        super().__init__(config)
        self.last_report: RiskReport | None = None
        self.last_greeks: GreeksReport | None = None
        self.last_stress: StressReport | None = None
        self.last_assessment: RiskAssessment | None = None
        self._chosen = None if config.instruments == HELD else {str(name) for name in config.instruments}
        self._window = ReturnWindow(config.window)
        self._watch = LimitWatch({"var": config.var_limit, "es": config.es_limit})
        self._intervals: dict[BarType, int] = {}
        self._subscribed: set[str] = set()
        self._options: set[str] = set()
        self._closed_at: dict[str, int] = {}
        self._market = OptionMarket(config.rate, config.dividend_yields, config.volatility_max_age_seconds)
        self._snapshots = Snapshots(config, self._window, self._market, self._closed_at, self._cover)
        self._history: dict[str, dict[int, float]] = {}
        self._freshness = Freshness(self, config)
        self._flow = TickFlow(self, config, self._take, self._publish, self._freshness.complain)
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
        """Subscribe to bars and the timer, and ask for history."""
        for bar_type in self.config.bar_types:
            self._subscribe(bar_type)
        for name in sorted(self._chosen or ()):
            self._cover(name, self._snapshots.facts(self.cache, name))
        if self.config.timer_seconds is not None:
            every(self, f"{self.id}-timer", self.config.timer_seconds, self._flow.request)
        self._freshness.expect()

    def on_bar(self, bar: Bar) -> None:
        """Take a close into the history."""
        self._observe(bar)
        if self.config.on_bar:
            self._flow.request()

    def on_historical_data(self, data: Any) -> None:
        """Take a requested bar into the history."""
        if isinstance(data, Bar):
            name, period = self._place(data)
            self._history.setdefault(name, {})[period] = data.close.as_double()
            self._closed_at[name] = max(self._closed_at.get(name, 0), data.ts_event)
            self._priced_at = max(self._priced_at, data.ts_event)

    def on_stop(self) -> None:
        """Report the last time stamp where a backtest ended on it; live, give up what is in flight."""
        self._flow.stop()
        self._freshness.stop()

    def on_reset(self) -> None:
        """Forget history and limits' states."""
        self._window.reset()
        self._watch.reset()
        self._subscribed.clear()
        self._options.clear()
        self._closed_at.clear()
        self._market.reset()
        self._history.clear()
        self._intervals.clear()
        self._flow.reset()
        self._freshness.reset()
        self._priced_at = 0
        self.last_report = self.last_assessment = self.last_greeks = self.last_stress = None

    @property
    def is_stale(self) -> bool:
        """Whether the last report does not stand for the risk of this moment, or there is none."""
        return self._freshness.stale is not None or self.last_report is None

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
        self.last_assessment = risk
        self.last_report = report = risk_report(stamp, risk, inputs, figures.greeks, hit_rate)
        publish(self, report)
        if figures.greeks is not None:
            self.last_greeks = greeks_report(stamp, inputs.snapshot, figures.greeks)
            publish(self, self.last_greeks)
        if figures.stresses is not None:
            self._publish_stress(inputs.snapshot, figures.stresses)
        for crossing in self._watch.check({"var": risk.var, "es": risk.es} if report.levels else {}):
            publish(self, RiskBreach(report.ts_event, report.ts_init, str(self.id), self.config.model, *crossing))
        self._freshness.judge(report)

    def _publish_stress(self, snapshot: Snapshot, figures: StressFigures) -> StressReport:
        self.last_stress = report = stress_report(self._stamp(self._priced_at), snapshot, figures)
        publish(self, report)
        return report

    def _take(self, serial: int, skipped: int) -> Inputs:
        snapshot, now = self._snapshot(), self.clock.timestamp_ns()
        returns, changes = self._window.returns(snapshot.book.instruments), self._volatility_returns(snapshot.book)
        return Inputs(serial, snapshot, returns, changes, now, self._priced_at or now, skipped)

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

    def _observe(self, bar: Bar) -> None:
        if self._history:
            self._backfill()
        name, period = self._place(bar)
        self._window.observe(name, period, bar.close.as_double())
        self._closed_at[name] = bar.ts_event
        self._priced_at = max(self._priced_at, bar.ts_event)

    def _backfill(self) -> None:
        """Merge requested histories: they come one instrument after the other, some perhaps after the first bars."""
        self._window.backfill(self._history)
        self._history = {}

    def _place(self, bar: Bar) -> tuple[str, int]:
        """Return the instrument of a bar and the number of its period."""
        interval = self._intervals.get(bar.bar_type)
        if interval is None:
            length = bar_interval_ns(bar.bar_type)
            # months differ in length and ticks have none: there a time stamp is its own period
            interval = self._intervals[bar.bar_type] = length if length and length <= _WEEK_NS else 1
        return str(bar.bar_type.instrument_id), (bar.ts_event - 1) // interval

    def _snapshot(self) -> Snapshot:
        if self._history:
            self._backfill()
        return self._snapshots.take(self.cache, self._chosen, self.clock.timestamp_ns())

    def _stamp(self, priced_at: int) -> Stamp:
        now = self.clock.timestamp_ns()
        return Stamp(priced_at or now, now, str(self.id))

    def _volatility_returns(self, book: Book) -> dict[str, Array]:
        """Log changes of the volatility index of each underlying of the book's options that has a history of one."""
        indices = self.config.volatility_indices
        underlyings = {position.option.underlying for position in book.positions if position.option is not None}
        series = {}
        for underlying in underlyings & indices.keys():
            index = indices[underlying]
            if not self._window.uncovered([index], min(self.config.min_observations, _LEAST_VOLATILITY_HISTORY)):
                series[underlying] = self._window.returns([underlying, index])[:, 1]
        return series
