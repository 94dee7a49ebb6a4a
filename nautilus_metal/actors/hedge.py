"""The HedgeActor: watches a book on one underlying and publishes what to trade against its risk."""

import math

import numpy as np

from nautilus_metal.actors.hedge_market import (
    Market,
    Terms,
    exposures,
    hedge_instrument,
    nearest_options,
    read_market,
)
from nautilus_metal.errors import InputError
from nautilus_metal.host import Actor, ActorConfig, InstrumentId, QuoteTick, after_time_stamp, every, publish
from nautilus_metal.messages import HedgeRequest
from nautilus_metal.risk.hedging import INFEASIBLE, UNNEEDED, HedgeInstrument, HedgeResult, exposure_hedge

EXPOSURES = ("delta", "gamma", "vega")
TARGETS = {"delta": EXPOSURES[:1], "delta_gamma_vega": EXPOSURES}


class HedgeActorConfig(ActorConfig, frozen=True, kw_only=True):
    """What a `HedgeActor` hedges, with what, and when.

    Parameters
    ----------
    underlying : InstrumentId
        The instrument whose risk is hedged: that of positions in options on it, and in `instruments`.
    instruments : tuple of InstrumentId
        Instruments to trade that move with the underlying one for one: itself, its future, a fund.
    target : {"delta", "delta_gamma_vega"}, default "delta"
        What is brought back. The latter trades options as well, which it chooses from those quoted.
    bands : dict of str to float, optional
        By exposure: the standard deviation of a typical period's P&L that is left alone, in the base currency.
    spot_move, volatility_move : float, default 0.01
        Standard deviations of a typical period: of the underlying's return, and of the change of volatility.
    trigger : InstrumentId, optional
        Compute after each time stamp that brought a quote of it.
    timer_seconds : float, optional
        Compute at this interval.
    hedger : str, optional
        ID of the strategy that executes. Its positions count against limits, its options may be traded back, and
        options that another strategy holds are left alone. Without it all positions count against limits, and no
        option that is held is traded.
    limits : dict of str to float, optional
        By instrument: the largest absolute quantity to hold.
    option_limit : float, optional
        The same for each option that is not listed there.
    option_days : tuple of float, default (7.0, 70.0)
        Days to expiry of options to trade.
    option_strikes : int, default 2
        Strikes to choose from for each expiry: the nearest out of the money. What the hedger holds is added.
    rate, dividend_yield : float, default 0.0
        Per year, continuously compounded.
    max_quote_age_seconds : float, default 3600.0
        An older quote is none.
    base_currency : str, default "USD"
        The currency of every figure.
    """

    underlying: InstrumentId
    instruments: tuple[InstrumentId, ...]
    target: str = "delta"
    bands: dict[str, float] = {}
    spot_move: float = 0.01
    volatility_move: float = 0.01
    trigger: InstrumentId | None = None
    timer_seconds: float | None = None
    hedger: str | None = None
    limits: dict[str, float] = {}
    option_limit: float | None = None
    option_days: tuple[float, float] = (7.0, 70.0)
    option_strikes: int = 2
    rate: float = 0.0
    dividend_yield: float = 0.0
    max_quote_age_seconds: float = 3600.0
    base_currency: str = "USD"


class HedgeActor(Actor):
    """Publishes a `HedgeRequest` where the exposures of a book leave their bands.

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
        _check(config)
        super().__init__(config)
        self._linear = tuple(str(name) for name in config.instruments)
        self._pending = False
        self.last_result: HedgeResult | None = None

    def on_start(self) -> None:
        """Subscribe to the trigger, and start the timer."""
        if self.config.trigger is not None:
            self.subscribe_quote_ticks(self.config.trigger)
        if self.config.timer_seconds is not None:
            every(self, f"{self.id}-timer", self.config.timer_seconds, self._tick)

    def on_quote_tick(self, tick: QuoteTick) -> None:
        """Compute once the time stamp is complete."""
        if not self._pending:
            self._pending = True
            after_time_stamp(self, f"{self.id}-tick", self._tick)

    def on_reset(self) -> None:
        """Forget the last figures."""
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
        try:
            market = read_market(self.cache, terms, self._linear, config.hedger, config.base_currency)
        except InputError as error:
            return self._request(_nothing(str(error)), Market({}, {}, {}, {}, {}), [])
        candidates = self._candidates(market)
        instruments = [hedge_instrument(name, market, self._limit(name, market)) for name in candidates]
        self.last_result = result = self._hedge(market, instruments)
        return self._request(result, market, instruments)

    def _tick(self) -> None:
        self._pending = False
        request = self.compute()
        if request.status != UNNEEDED:
            publish(self, request)

    def _hedge(self, market: Market, instruments: list[HedgeInstrument]) -> HedgeResult:
        """Bring the exposures of what is held and valued into their bands."""
        config, count = self.config, len(TARGETS[self.config.target])
        lines = [name for name in market.held if name in market.quoted]
        names = [*lines, *(one.name for one in instruments)]
        if not lines and not market.uncovered:
            return _nothing("nothing is held", UNNEEDED)
        if not lines:
            return _nothing("nothing that is held can be valued")
        base = config.base_currency
        table = exposures(names, market, base, config.spot_move, config.volatility_move).numpy()[:count]
        quantities = np.array([market.held[name] for name in lines])
        book = dict(zip(TARGETS[config.target], (table[:, : len(lines)] @ quantities).tolist(), strict=True))
        return exposure_hedge(book, instruments, table[:, len(lines) :], config.bands)

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


def _check(config: HedgeActorConfig) -> None:
    """Refuse at construction what would fail at the first tick."""
    if config.target not in TARGETS:
        raise InputError(f"`target` must be one of {', '.join(TARGETS)}, was {config.target!r}")
    if not config.instruments:
        raise InputError("`instruments` must name at least one instrument, was empty")
    for name in config.bands:
        if name not in EXPOSURES:
            raise InputError(f"`bands` must be on {', '.join(EXPOSURES)}, was on {name!r}")
    positive = ("spot_move", "volatility_move", "max_quote_age_seconds", "option_strikes", "timer_seconds")
    for name in positive:
        value = getattr(config, name)
        if value is not None and not value > 0:
            raise InputError(f"`{name}` must be positive, was {value}")
    for name, value in (config.bands | config.limits).items():
        if not value >= 0:
            raise InputError(f"`bands` and `limits` must be at least 0, that of {name} was {value}")
    if not 0 <= config.option_days[0] <= config.option_days[1]:
        raise InputError(f"`option_days` must be two ascending numbers of days, was {config.option_days}")
