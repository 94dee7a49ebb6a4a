"""The settings of a HedgeActor, and their checks."""

from typing import Any

from nautilus_metal.errors import InputError
from nautilus_metal.host import ActorConfig, BarType, InstrumentId
from nautilus_metal.risk.models import Request, check_options

EXPOSURES = ("delta", "gamma", "vega")
TARGETS = {"delta": EXPOSURES[:1], "delta_gamma_vega": EXPOSURES, "minimum_variance": (), "minimum_es": ()}


class HedgeActorConfig(ActorConfig, frozen=True, kw_only=True):
    """What a `HedgeActor` hedges, with what, and when.

    Parameters
    ----------
    underlying : InstrumentId
        The instrument whose risk is hedged: that of positions in options on it, and in `instruments`.
    instruments : tuple of InstrumentId
        Instruments to trade that move with the underlying one for one: itself, its future, a fund.
    target : {"delta", "delta_gamma_vega", "minimum_variance", "minimum_es"}, default "delta"
        What is brought back into bands, or made least on the scenarios of a VaR. All but the first trade options as
        well, which they choose from those quoted.
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
    bar_type : BarType, optional
        Bars of the underlying, whose returns make the scenarios; the last two targets need them.
    window, min_observations, model, model_options, horizon, scenarios, seed, sampler
        Of the scenarios, as in `RiskActorConfig`.
    vol_of_vol, spot_vol_correlation : float, default 0.0
        Standard deviation of the volatility's log change in a period, and its correlation with the return.
    level : float, default 0.975
        Confidence level of the expected shortfall.
    cost_weight : float, default 1.0
        Money of risk worth one of cost in the last two targets.
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
    bar_type: BarType | None = None
    window: int = 1000
    min_observations: int = 250
    model: str = "filtered_historical"
    model_options: dict[str, Any] = {}
    horizon: int = 1
    scenarios: int = 4096
    seed: int = 0
    sampler: str = "sobol"
    vol_of_vol: float = 0.0
    spot_vol_correlation: float = 0.0
    level: float = 0.975
    cost_weight: float = 1.0


def check_config(config: HedgeActorConfig) -> None:
    """Refuse at construction what would fail at the first tick."""
    if config.target not in TARGETS:
        raise InputError(f"`target` must be one of {', '.join(TARGETS)}, was {config.target!r}")
    if not config.instruments:
        raise InputError("`instruments` must name at least one instrument, was empty")
    for name in config.bands:
        if name not in EXPOSURES:
            raise InputError(f"`bands` must be on {', '.join(EXPOSURES)}, was on {name!r}")
    if not TARGETS[config.target] and config.bar_type is None:
        raise InputError(f"`bar_type` must be given for the target {config.target}, was None")
    check_options(config.model, config.model_options)
    Request(config.horizon, config.scenarios, config.seed, config.sampler)
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
