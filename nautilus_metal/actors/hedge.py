"""The HedgeActor: watches what is held on underlyings and publishes what to trade against its risk."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from nautilus_metal.actors.bar_history import BarHistory
from nautilus_metal.actors.engine import MetalEngine
from nautilus_metal.actors.hedge_config import TARGETS, HedgeActorConfig, check_config
from nautilus_metal.actors.hedge_market import HedgeMarket
from nautilus_metal.actors.hedge_target import Moment, hedge, moment_of
from nautilus_metal.actors.one_at_a_time import OneAtATime
from nautilus_metal.engine import ComputeEngine
from nautilus_metal.host import (
    Actor,
    Bar,
    InstrumentId,
    QuoteTick,
    every,
    follow_option_greeks,
    publish,
    request_history,
)
from nautilus_metal.messages import HedgeRequest
from nautilus_metal.risk.hedge_terms import UNNEEDED, HedgeResult
from nautilus_metal.risk.prepare import prepare


class HedgeActor(Actor):
    """Publishes a `HedgeRequest` for each underlying whose exposures leave their bands, or whose risk a trade lowers.

    The figures are of one moment after all data and fills of a time stamp. Each underlying is hedged by itself: risk
    that two of them share is in neither request. What is held and cannot be valued is listed in the request's
    `uncovered` and is in no figure; where nothing can be valued, the request says "infeasible". In a live system
    hedges are found beside the event loop.

    Parameters
    ----------
    config : HedgeActorConfig
        The settings. Several actors in one system need a `component_id` each.

    Attributes
    ----------
    last_results : dict of str to HedgeResult
        By underlying, of the last computation.

    Raises
    ------
    InputError
        If a setting is outside its range.
    """

    def __init__(self, config: HedgeActorConfig) -> None:
        check_config(config)
        if not TARGETS[config.target]:
            prepare(config.model)
        super().__init__(config)
        self._line = OneAtATime(self, self._find)
        self._market = HedgeMarket(config)
        self._history = BarHistory(config.window)
        self.last_results: dict[str, HedgeResult] = {}

    def register_base(self, portfolio: Any, msgbus: Any, cache: Any, clock: Any) -> None:
        """Register with a trader, and follow the Greeks that venues send.

        The message bus keeps its subscribers over a reset, so that this is done once and not at every start.
        """
        super().register_base(portfolio, msgbus, cache, clock)
        self.engine = MetalEngine.of(self)
        follow_option_greeks(self, self._market.options.take_greeks)

    def on_start(self) -> None:
        """Subscribe to bars, triggers and what may be traded, and start the timer."""
        for bar_type in self.config.bar_types:
            self.subscribe_bars(bar_type)
            request_history(self, bar_type, self.config.window + 1)
        traded = [InstrumentId.from_str(name) for names in self.config.instruments.values() for name in names]
        for name in dict.fromkeys([*self.config.triggers, *traded]):
            self.subscribe_quote_ticks(name)
        if self.config.timer_seconds is not None:
            every(self, f"{self.id}-timer", self.config.timer_seconds, self._line.request)

    def on_quote_tick(self, tick: QuoteTick) -> None:
        """Compute once the time stamp of a trigger is complete."""
        if tick.instrument_id in self.config.triggers:
            self._line.request()

    def on_bar(self, bar: Bar) -> None:
        """Take a close into the history."""
        self._history.observe(bar)

    def on_historical_data(self, data: Any) -> None:
        """Take a requested bar into the history."""
        if isinstance(data, Bar):
            self._history.take(data)

    def on_stop(self) -> None:
        """Give up what is in flight."""
        self._line.stop()

    def on_reset(self) -> None:
        """Forget history, volatilities and the last figures."""
        self._history.reset()
        self._market.reset()
        self._line.reset()
        self.last_results = {}

    def compute(self) -> dict[str, HedgeRequest]:
        """Work out the hedges of this moment, whether or not they are needed, without publishing them.

        Returns
        -------
        dict of str to HedgeRequest
            By underlying; with the status "unneeded" where the exposures are within their bands.
        """
        moments = self._moments()
        return self._requests(moments, [hedge(self.config, moment) for moment in moments])

    def _moments(self) -> list[Moment]:
        choose, now = self.config.target != "delta", self.clock.timestamp_ns()
        markets = (self._market.read(self.cache, name, choose, now) for name in self.config.instruments)
        return [moment_of(self.config, market, self._history) for market in markets]

    def _find(self, _skipped: int) -> None:
        moments, config = self._moments(), self.config

        def work(_engine: ComputeEngine) -> list[HedgeResult]:
            return [hedge(config, moment) for moment in moments]

        self._line.submit(work, partial(self._done, moments))

    def _done(self, moments: Sequence[Moment], results: Sequence[HedgeResult]) -> None:
        for request in self._requests(moments, results).values():
            if request.status != UNNEEDED:
                publish(self, request)

    def _requests(self, moments: Sequence[Moment], results: Sequence[HedgeResult]) -> dict[str, HedgeRequest]:
        names = [moment.market.underlying for moment in moments]
        self.last_results = dict(zip(names, results, strict=True))
        made = (self._request(*pair) for pair in zip(results, moments, strict=True))
        return dict(zip(names, made, strict=True))

    def _request(self, result: HedgeResult, moment: Moment) -> HedgeRequest:
        now, market = self.clock.timestamp_ns(), moment.market
        facts = {one.name: one for one in moment.instruments}
        orders = {
            name: {
                "quantity": quantity,
                "held": facts[name].held,
                "limit": facts[name].limit if facts[name].limit < math.inf else None,
                "price": market.lines[name].unit.price,
                "cost": facts[name].cost * abs(quantity),
            }
            for name, quantity in result.trades.items()
        }
        return HedgeRequest(
            ts_event=max((line.ts for line in market.lines.values()), default=now),
            ts_init=now,
            source=str(self.id),
            target=self.config.target,
            underlying=market.underlying,
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
