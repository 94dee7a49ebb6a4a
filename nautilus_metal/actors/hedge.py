"""The HedgeActor: watches a book on one underlying and publishes what to trade against its risk."""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from nautilus_metal.actors.hedge_config import TARGETS, HedgeActorConfig, check_config
from nautilus_metal.actors.hedge_market import (
    Market,
    Terms,
    exposures,
    hedge_instrument,
    nearest_options,
    read_market,
)
from nautilus_metal.errors import InputError
from nautilus_metal.host import (
    Actor,
    Bar,
    QuoteTick,
    after_time_stamp,
    bar_interval_ns,
    every,
    publish,
    request_history,
)
from nautilus_metal.messages import HedgeRequest
from nautilus_metal.risk import Book
from nautilus_metal.risk.hedge_terms import INFEASIBLE, UNNEEDED, HedgeInstrument, HedgeResult
from nautilus_metal.risk.hedging import exposure_hedge
from nautilus_metal.risk.scenario_hedges import minimum_es_hedge, minimum_variance_hedge
from nautilus_metal.risk.scenario_pnl import scenario_pnl
from nautilus_metal.risk.window import ReturnWindow


class HedgeActor(Actor):
    """Publishes a `HedgeRequest` where the exposures of a book leave their bands, or a trade lowers its risk.

    The figures are of one moment after all data and fills of a time stamp. What is held and cannot be valued is
    listed in the request's `uncovered` and is in no figure; where nothing can be valued, the request says
    "infeasible".

    Parameters
    ----------
    config : HedgeActorConfig
        The settings. Several actors in one system need a `component_id` each.

    Raises
    ------
    InputError
        If a setting is outside its range.
    """

    def __init__(self, config: HedgeActorConfig) -> None:
        check_config(config)
        super().__init__(config)
        self._linear = tuple(str(name) for name in config.instruments)
        self._pending = False
        self._window = ReturnWindow(config.window)
        self.last_result: HedgeResult | None = None

    def on_start(self) -> None:
        """Subscribe to the trigger and the bars, and start the timer."""
        if self.config.bar_type is not None:
            self.subscribe_bars(self.config.bar_type)
            request_history(self, self.config.bar_type, self.config.window + 1)
        if self.config.trigger is not None:
            self.subscribe_quote_ticks(self.config.trigger)
        if self.config.timer_seconds is not None:
            every(self, f"{self.id}-timer", self.config.timer_seconds, self._tick)

    def on_quote_tick(self, tick: QuoteTick) -> None:
        """Compute once the time stamp is complete."""
        if not self._pending:
            self._pending = True
            after_time_stamp(self, f"{self.id}-tick", self._tick)

    def on_bar(self, bar: Bar) -> None:
        """Take a close into the history."""
        interval = bar_interval_ns(bar.bar_type) or 1
        self._window.observe(str(self.config.underlying), (bar.ts_event - 1) // interval, bar.close.as_double())

    def on_historical_data(self, data: Any) -> None:
        """Take a requested bar into the history."""
        if isinstance(data, Bar):
            self.on_bar(data)

    def on_reset(self) -> None:
        """Forget history and the last figures."""
        self._window.reset()
        self._pending, self.last_result = False, None

    def compute(self) -> HedgeRequest:
        """Work out the hedge of this moment, whether or not it is needed, without publishing it.

        Returns
        -------
        HedgeRequest
            With the status "unneeded" where the exposures are within their bands.
        """
        config, now = self.config, self.clock.timestamp_ns()
        age = int(config.max_quote_age_seconds * 1e9)
        terms = Terms(str(config.underlying), config.rate, config.dividend_yield, age, now)
        market, instruments = Market({}, {}, {}, {}, {}), []
        try:
            market = read_market(self.cache, terms, self._linear, config.hedger, config.base_currency)
            names = self._candidates(market)
            instruments = [hedge_instrument(name, market, self._limit(name, market)) for name in names]
            self.last_result = result = self._hedge(market, instruments)
        except InputError as error:  # a price or a history that fits no formula: an answer, not the end of the run
            result = _nothing(str(error))
        return self._request(result, market, instruments)

    def _tick(self) -> None:
        self._pending = False
        request = self.compute()
        if request.status != UNNEEDED:
            publish(self, request)

    def _hedge(self, market: Market, instruments: list[HedgeInstrument]) -> HedgeResult:
        """Hedge what is held and valued."""
        config, count = self.config, len(TARGETS[self.config.target])
        lines = [name for name in market.held if name in market.quoted]
        names = [*lines, *(one.name for one in instruments)]
        if not lines and not market.uncovered:
            return _nothing("nothing is held", UNNEEDED)
        if not lines:
            return _nothing("nothing that is held can be valued")
        base = config.base_currency
        if not count:
            return self._fitted(market, lines, instruments)
        table = exposures(names, market, base, config.spot_move, config.volatility_move).numpy()[:count]
        quantities = np.array([market.held[name] for name in lines])
        book = dict(zip(TARGETS[config.target], (table[:, : len(lines)] @ quantities).tolist(), strict=True))
        return exposure_hedge(book, instruments, table[:, len(lines) :], config.bands)

    def _fitted(self, market: Market, lines: list[str], instruments: list[HedgeInstrument]) -> HedgeResult:
        """Find the trades of least risk on the scenarios."""
        config, name = self.config, str(self.config.underlying)
        reason = self._window.uncovered([name], config.min_observations).get(name)
        if reason is not None:
            return _nothing(f"no scenarios of {name}: {reason}")
        held = [replace(market.quoted[line].unit, quantity=market.held[line]) for line in lines]
        units = [market.quoted[one.name].unit for one in instruments]
        # what moves with the underlying one for one has its returns
        positions = [one if one.option is not None else replace(one, instrument=name) for one in (*held, *units)]
        pnl = scenario_pnl(
            Book(positions, config.base_currency, market.xrates),
            self._window.returns([name]),
            config.model,
            config.horizon,
            config.scenarios,
            config.seed,
            sampler=config.sampler,
            vol_of_vol=config.vol_of_vol,
            spot_vol_correlation=config.spot_vol_correlation,
            **config.model_options,
        )
        book, table = pnl[: len(held)].sum(axis=0), pnl[len(held) :]
        if config.target == "minimum_variance":
            return minimum_variance_hedge(book, instruments, table, config.cost_weight)
        return minimum_es_hedge(book, instruments, table, config.level, config.cost_weight)

    def _candidates(self, market: Market) -> list[str]:
        names = [name for name in self._linear if name in market.quoted]
        if self.config.target == "delta":
            return names
        own = market.own if self.config.hedger is not None else {}
        others = {name for name, quantity in market.held.items() if quantity != own.get(name, 0.0)}
        days, strikes = self.config.option_days, self.config.option_strikes
        names += nearest_options(market, days, strikes, others | set(names))
        return names + [name for name in own if name in market.quoted and name not in names]

    def _limit(self, name: str, market: Market) -> float:
        option = market.quoted[name].unit.option is not None
        default = self.config.option_limit if option and self.config.option_limit is not None else math.inf
        return self.config.limits.get(name, default)

    def _request(self, result: HedgeResult, market: Market, instruments: list[HedgeInstrument]) -> HedgeRequest:
        now = self.clock.timestamp_ns()
        facts = {one.name: one for one in instruments}
        orders = {
            name: {
                "quantity": quantity,
                "held": facts[name].held,
                "limit": facts[name].limit if facts[name].limit < math.inf else None,
                "price": market.quoted[name].unit.price,
                "cost": facts[name].cost * abs(quantity),
            }
            for name, quantity in result.trades.items()
        }
        return HedgeRequest(
            ts_event=now,
            ts_init=now,
            source=str(self.id),
            target=self.config.target,
            underlying=str(self.config.underlying),
            status=result.status,
            reason=result.reason,
            base_currency=self.config.base_currency,
            orders=orders,
            before=dict(result.before),
            after=dict(result.after),
            risk_before=result.risk_before,
            risk_after=result.risk_after,
            cost=result.cost,
            uncovered=dict(market.uncovered),
        )


def _nothing(reason: str, status: str = INFEASIBLE) -> HedgeResult:
    return HedgeResult(status, reason, {}, {}, {}, 0.0, 0.0, 0.0)
