"""The RiskActor: watches prices and positions of a running system and publishes its risk."""

from typing import Any

from nautilus_metal.actors.engine import MetalEngine
from nautilus_metal.errors import InputError
from nautilus_metal.host import (
    Actor,
    ActorConfig,
    Bar,
    BarType,
    Holding,
    InstrumentId,
    after_time_stamp,
    bar_interval_ns,
    every,
    exchange_rate,
    follow_fills,
    holdings,
    last_price,
    publish,
    request_history,
)
from nautilus_metal.kernels.tail import check_levels
from nautilus_metal.messages import RiskBreach, RiskReport, level_key
from nautilus_metal.risk import Book, Position, RiskAssessment, assess
from nautilus_metal.risk.limits import LimitWatch
from nautilus_metal.risk.models import Request, check_options, scenario_count
from nautilus_metal.risk.window import ReturnWindow

HELD = "held"
_WEEK_NS = 7 * 86_400 * 10**9


class RiskActorConfig(ActorConfig, frozen=True, kw_only=True):
    """What a `RiskActor` watches and how it computes.

    Parameters
    ----------
    instruments : "held" or tuple of InstrumentId, default "held"
        The instruments of the book: whatever is held, or only these.
    bar_types : tuple of BarType, optional
        Bars whose closes make the return history. They should be of one interval, which is the period of the horizon.
    bar_specification : str, default "1-DAY-LAST-EXTERNAL"
        Bars to subscribe for an instrument that is listed or held and has none among `bar_types`.
    window : int, default 1000
        Returns of history.
    min_observations : int, default 250
        Returns that an instrument needs before it is covered.
    warm_up : bool, default True
        Request history at the start, from the data client or, in a backtest, from its catalogs.
    model : str, default "filtered_historical"
        As in `nautilus_metal.risk.assess`.
    model_options : dict, optional
        Options of the model.
    levels : tuple of float, default (0.95, 0.99)
        Confidence levels.
    horizon : int, default 1
        Bars ahead.
    scenarios : int, default 10_000
        Scenarios to draw.
    sampler : str, default "pseudo"
        "pseudo" or "sobol".
    seed : int, default 0
        Of the scenarios.
    base_currency : str, default "USD"
        The currency of every figure.
    on_bar, on_fill : bool, default True and False
        Compute after each time stamp that brought a bar of the history, or a fill.
    timer_seconds : float, optional
        Compute at this interval.
    var_limit, es_limit : dict of float to float, optional
        By confidence level, the amount above which a `RiskBreach` is published.
    """

    instruments: str | tuple[InstrumentId, ...] = HELD
    bar_types: tuple[BarType, ...] = ()
    bar_specification: str = "1-DAY-LAST-EXTERNAL"
    window: int = 1000
    min_observations: int = 250
    warm_up: bool = True
    model: str = "filtered_historical"
    model_options: dict[str, Any] = {}
    levels: tuple[float, ...] = (0.95, 0.99)
    horizon: int = 1
    scenarios: int = 10_000
    sampler: str = "pseudo"
    seed: int = 0
    base_currency: str = "USD"
    on_bar: bool = True
    on_fill: bool = False
    timer_seconds: float | None = None
    var_limit: dict[float, float] = {}
    es_limit: dict[float, float] = {}


class RiskActor(Actor):
    """Publishes a `RiskReport` of the positions held, and a `RiskBreach` at each crossing of a limit.

    A report is made once for a time stamp, after all its bars and fills have been handled, from one immutable
    snapshot. Positions of all strategies are netted by instrument. What cannot be priced, converted or has too little
    history is listed in `uncovered` with the reason, and is in no figure.

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
        _check(config)
        super().__init__(config)
        self.last_report: RiskReport | None = None
        self.last_assessment: RiskAssessment | None = None
        self._chosen = None if config.instruments == HELD else {str(name) for name in config.instruments}
        self._window = ReturnWindow(config.window)
        self._watch = LimitWatch({"var": config.var_limit, "es": config.es_limit})
        self._intervals: dict[BarType, int] = {}
        self._subscribed: set[str] = set()
        self._history: dict[str, dict[int, float]] = {}
        self._pending = False
        self._priced_at = 0

    def register_base(self, portfolio: Any, msgbus: Any, cache: Any, clock: Any) -> None:
        """Register with a trader, and find or make the system's engine."""
        super().register_base(portfolio, msgbus, cache, clock)
        self.engine = MetalEngine.of(self)

    def on_start(self) -> None:
        """Subscribe to bars, fills and the timer, and ask for history."""
        for bar_type in self.config.bar_types:
            self._subscribe(bar_type)
        for name in sorted(self._chosen or ()):
            self._cover(name)
        if self.config.on_fill:
            follow_fills(self, lambda _fill: self._request())
        if self.config.timer_seconds is not None:
            every(self, f"{self.id}-timer", self.config.timer_seconds, self._on_timer)

    def on_bar(self, bar: Bar) -> None:
        """Take a close into the history."""
        self._observe(bar)
        if self.config.on_bar:
            self._request()

    def on_historical_data(self, data: Any) -> None:
        """Take a requested bar into the history."""
        if isinstance(data, Bar):
            name, period = self._place(data)
            self._history.setdefault(name, {})[period] = data.close.as_double()
            self._priced_at = max(self._priced_at, data.ts_event)

    def on_stop(self) -> None:
        """Report the last time stamp where the run ended on it."""
        if self._pending:
            self._tick()

    def on_reset(self) -> None:
        """Forget history and limits' states."""
        self._window.reset()
        self._watch.reset()
        self._subscribed.clear()
        self._history.clear()
        self._intervals.clear()
        self._pending, self._priced_at = False, 0
        self.last_report = self.last_assessment = None

    def compute(self) -> RiskReport:
        """Compute and publish the risk of this moment.

        Returns
        -------
        RiskReport
            What was published.
        """
        book, uncovered = self._snapshot()
        returns = self._window.returns(book.instruments)
        config = self.config
        self.last_assessment = risk = self.engine.run(
            lambda engine: assess(
                book,
                returns,
                config.model,
                config.levels,
                config.horizon,
                config.scenarios,
                config.seed,
                engine,
                sampler=config.sampler,
                **config.model_options,
            )
        )
        known = bool(book.positions) or not uncovered
        self.last_report = report = self._report(risk, uncovered, known)
        publish(self, report)
        for crossing in self._watch.check({"var": risk.var, "es": risk.es} if known else {}):
            publish(self, RiskBreach(report.ts_event, report.ts_init, str(self.id), config.model, *crossing))
        return report

    def _request(self) -> None:
        if not self._pending:
            self._pending = True
            after_time_stamp(self, f"{self.id}-tick", self._tick)

    def _tick(self) -> None:
        if self._pending:
            self._pending = False
            self.compute()

    def _on_timer(self) -> None:
        self.compute()

    def _subscribe(self, bar_type: BarType) -> None:
        self._subscribed.add(str(bar_type.instrument_id))
        self.subscribe_bars(bar_type)
        if self.config.warm_up:
            request_history(self, bar_type, self.config.window + 1)

    def _cover(self, name: str) -> None:
        if name not in self._subscribed:
            self._subscribe(BarType.from_str(f"{name}-{self.config.bar_specification}"))

    def _observe(self, bar: Bar) -> None:
        if self._history:
            self._backfill()
        name, period = self._place(bar)
        self._window.observe(name, period, bar.close.as_double())
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

    def _snapshot(self) -> tuple[Book, dict[str, str]]:
        """Read positions, prices and exchange rates, and leave out what has none."""
        if self._history:
            self._backfill()
        held = holdings(self.cache)
        if self._chosen is not None:
            held = [holding for holding in held if holding.instrument in self._chosen]
        for holding in held:
            self._cover(holding.instrument)
        uncovered = self._window.uncovered([holding.instrument for holding in held], self.config.min_observations)
        positions, rates = [], {}
        for holding in held:
            if holding.instrument in uncovered:
                continue
            price = self._window.prices.get(holding.instrument) or last_price(self.cache, holding.instrument)
            if price is None:
                uncovered[holding.instrument] = "no price"
                continue
            if holding.currency not in rates:
                rates[holding.currency] = self._rate(holding.currency)
            if rates[holding.currency] is None:
                pair = f"from {holding.currency} to {self.config.base_currency}"
                uncovered[holding.instrument] = f"no exchange rate {pair}"
                continue
            positions.append(_position(holding, price))
        known = {currency: rate for currency, rate in rates.items() if rate is not None}
        return Book(positions, self.config.base_currency, known), uncovered

    def _rate(self, currency: str) -> float | None:
        base = self.config.base_currency
        return 1.0 if currency == base else exchange_rate(self.cache, currency, base, self._window.prices)

    def _report(self, risk: RiskAssessment, uncovered: dict[str, str], known: bool) -> RiskReport:
        now = self.clock.timestamp_ns()
        return RiskReport(
            ts_event=self._priced_at or now,
            ts_init=now,
            source=str(self.id),
            model=risk.model,
            sampler=risk.sampler,
            device=risk.device,
            seed=risk.seed,
            scenarios=risk.scenarios,
            horizon=risk.horizon,
            base_currency=risk.book.base_currency,
            value=risk.value,
            levels=_levels(risk) if known else {},
            positions=_positions(risk),
            uncovered=uncovered,
            worst_loss=risk.worst_loss,
            drift=risk.drift,
            milliseconds=risk.milliseconds,
            pool_hit_rate=self.engine.compute.pool.stats().cache_hit_rate,
        )


def _position(holding: Holding, price: float) -> Position:
    # an inverse contract's value in its quote currency is the contract count, and moves with the return as others do
    multiplier = holding.multiplier / price if holding.inverse else holding.multiplier
    return Position(holding.instrument, holding.quantity, price, multiplier, holding.currency)


def _levels(risk: RiskAssessment) -> dict[str, dict[str, float]]:
    measures = {"var": risk.var, "es": risk.es, "var_se": risk.var_se, "es_se": risk.es_se}
    return {level_key(level): {name: by_level[level] for name, by_level in measures.items()} for level in risk.levels}


def _positions(risk: RiskAssessment) -> dict[str, dict[str, Any]]:
    split = {"component_var": risk.component_var, "component_es": risk.component_es}
    columns = {name: {level_key(level): row.tolist() for level, row in rows.items()} for name, rows in split.items()}
    values = risk.book.values.tolist()
    return {
        position.instrument: {
            "quantity": position.quantity,
            "price": position.price,
            "value": values[i],
            **{name: {key: row[i] for key, row in rows.items()} for name, rows in columns.items()},
        }
        for i, position in enumerate(risk.book.positions)
    }


def _check(config: RiskActorConfig) -> None:
    """Refuse at construction what would fail at the first tick."""
    if isinstance(config.instruments, str) and config.instruments != HELD:
        raise InputError(f"`instruments` must be {HELD!r} or a tuple of instrument IDs, was {config.instruments!r}")
    if not 2 <= config.min_observations <= config.window:
        raise InputError(
            f"`min_observations` must lie between 2 and `window` ({config.window}), was {config.min_observations}"
        )
    if config.timer_seconds is not None and not config.timer_seconds > 0:
        raise InputError(f"`timer_seconds` must be positive, was {config.timer_seconds}")
    check_options(config.model, config.model_options)
    request = Request(config.horizon, config.scenarios, config.seed, config.sampler)
    check_levels(scenario_count(config.model, config.min_observations, request), config.levels)
    for name in ("var_limit", "es_limit"):
        for level in getattr(config, name):
            if level not in config.levels:
                raise InputError(f"`{name}` must be on one of the levels {config.levels}, was on {level}")
