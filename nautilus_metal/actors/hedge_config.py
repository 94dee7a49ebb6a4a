"""The settings of a HedgeActor, and their checks."""

from collections.abc import Mapping
from typing import Any

from nautilus_metal.errors import InputError
from nautilus_metal.host import ActorConfig, BarType, InstrumentId
from nautilus_metal.kernels.tail import check_levels
from nautilus_metal.risk.checks import above, at_least, finite
from nautilus_metal.risk.models import Request, check_options, scenario_count
from nautilus_metal.risk.volatility_law import VolatilityLaw

EXPOSURES = ("delta", "gamma", "vega")
TARGETS = {"delta": EXPOSURES[:1], "delta_gamma_vega": EXPOSURES, "minimum_variance": (), "minimum_es": ()}
_ABOVE_ZERO = (
    "max_quote_age_seconds",
    "volatility_max_age_seconds",
    "option_strikes",
    "timer_seconds",
    "periods_per_year",
)


class HedgeActorConfig(ActorConfig, frozen=True, kw_only=True):
    """What a `HedgeActor` hedges, with what, and when.

    Parameters
    ----------
    instruments : dict of str to tuple of str
        By the instrument ID of each underlying: what to trade that moves with it, such as itself, its future, its
        perpetual, a fund. What is hedged are the positions in these, in the underlying and in options on it, each
        underlying by itself.
    betas : dict of str to float, optional
        By such an instrument: its relative move for a relative move of its underlying by 1. It is 1 where not given,
        which is exact for what follows by its cost of carry: a future moves by its price times the spot's return.
    target : {"delta", "delta_gamma_vega", "minimum_variance", "minimum_es"}, default "delta"
        What is brought back into bands, or made least on the scenarios of a VaR. All but the first trade options as
        well, which they choose from those quoted.
    bands : dict of str to float, optional
        By exposure: the standard deviation of a typical period's P&L that is left alone, in the base currency, for
        each underlying.
    spot_move, volatility_move : float or dict of str to float, default 0.01
        Standard deviations of a typical period: of the underlying's return, and of the change of volatility; for all
        or by underlying.
    triggers : tuple of InstrumentId, optional
        Compute after each time stamp that brought a quote of one of them.
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
    underlyings, rate, dividend_yields, volatility_max_age_seconds
        How options are valued, as in `RiskActorConfig`.
    max_quote_age_seconds : float, default 3600.0
        An older price is none, and an option without a younger quote is not traded. Quotes of options are those that
        the system has: subscribe them, or a chain, beside this actor.
    base_currency : str, default "USD"
        The currency of every figure.
    bar_types : tuple of BarType, optional
        Bars of the underlyings, whose returns make the scenarios; the last two targets need them.
    window, min_observations, model, model_options, horizon, scenarios, seed, sampler
        Of the scenarios, as in `RiskActorConfig`.
    periods_per_year, vol_of_vol, spot_vol_correlation, volatility_indices
        How options age and volatilities move in the scenarios, as in `RiskActorConfig`; `bar_types` are to have the
        bars of the indices.
    level : float, default 0.975
        Confidence level of the expected shortfall.
    cost_weight : float, default 1.0
        Money of risk worth one of cost in the last two targets.
    """

    instruments: dict[str, tuple[str, ...]]
    betas: dict[str, float] = {}
    target: str = "delta"
    bands: dict[str, float] = {}
    spot_move: float | dict[str, float] = 0.01
    volatility_move: float | dict[str, float] = 0.01
    triggers: tuple[InstrumentId, ...] = ()
    timer_seconds: float | None = None
    hedger: str | None = None
    limits: dict[str, float] = {}
    option_limit: float | None = None
    option_days: tuple[float, float] = (7.0, 70.0)
    option_strikes: int = 2
    underlyings: dict[str, str] = {}
    rate: float | None = None
    dividend_yields: dict[str, float] = {}
    volatility_max_age_seconds: float = 345_600.0
    max_quote_age_seconds: float = 3600.0
    base_currency: str = "USD"
    bar_types: tuple[BarType, ...] = ()
    window: int = 1000
    min_observations: int = 250
    model: str = "filtered_historical"
    model_options: dict[str, Any] = {}
    horizon: int = 1
    scenarios: int = 4096
    seed: int = 0
    sampler: str = "sobol"
    periods_per_year: float = 252.0
    vol_of_vol: float | dict[str, float] | None = None
    spot_vol_correlation: float | dict[str, float] | None = None
    volatility_indices: dict[str, str] = {}
    level: float = 0.975
    cost_weight: float = 1.0


def check_config(config: HedgeActorConfig) -> None:
    """Refuse at construction what would fail at the first tick."""
    if config.target not in TARGETS:
        raise InputError(f"`target` must be one of {', '.join(TARGETS)}, was {config.target!r}")
    _check_instruments(config)
    for name in config.bands:
        if name not in EXPOSURES:
            raise InputError(f"`bands` must be on {', '.join(EXPOSURES)}, was on {name!r}")
    for name, most in (config.bands | config.limits).items():
        if not most >= 0:
            raise InputError(f"`bands` and `limits` must be at least 0, that of {name} was {most}")
    for name in _ABOVE_ZERO:
        if getattr(config, name) is not None:
            above(getattr(config, name), 0.0, f"`{name}`")
    for name in ("spot_move", "volatility_move"):
        for underlying in config.instruments:
            above(of_underlying(getattr(config, name), underlying), 0.0, f"`{name}` of {underlying}")
    if not 0 <= config.option_days[0] <= config.option_days[1]:
        raise InputError(f"`option_days` must be two ascending numbers of days, was {config.option_days}")
    if config.rate is not None:
        finite(config.rate, "`rate`")
    for underlying, dividend_yield in config.dividend_yields.items():
        finite(dividend_yield, f"`dividend_yields` of {underlying}")
    _check_scenarios(config)


def of_underlying(given: float | Mapping[str, float], underlying: str) -> float | None:
    """A setting's number for an underlying: the one for all, or its own if it has one."""
    return given.get(underlying) if isinstance(given, Mapping) else given


def _check_instruments(config: HedgeActorConfig) -> None:
    if not config.instruments:
        raise InputError("`instruments` must name at least one underlying, was empty")
    owner: dict[str, str] = {}
    for underlying, names in config.instruments.items():
        if not names or isinstance(names, str):
            raise InputError(f"`instruments` of {underlying} must be a tuple of instrument IDs, was {names!r}")
        for name in {underlying, *names}:
            if "." not in name:
                raise InputError(f"`instruments` of {underlying} must be instrument IDs, was {name!r}")
            if owner.setdefault(name, underlying) != underlying:
                raise InputError(f"`instruments` must have {name} once, was with {owner[name]} and {underlying}")
    for name, beta in config.betas.items():
        if name not in owner or finite(beta, f"`betas` of {name}") == 0.0:
            raise InputError(f"`betas` must be numbers other than 0 of `instruments`, that of {name} was {beta}")


def _check_scenarios(config: HedgeActorConfig) -> None:
    if not TARGETS[config.target]:
        given = {str(bar_type.instrument_id) for bar_type in config.bar_types}
        for name in (*config.instruments, *config.volatility_indices.values()):
            if name not in given:
                raise InputError(f"`bar_types` must have bars of {name} for the target {config.target}")
    check_options(config.model, config.model_options)
    request = Request(config.horizon, config.scenarios, config.seed, config.sampler)
    count = scenario_count(config.model, config.min_observations, request, config.model_options)
    check_levels(count, (config.level,))
    VolatilityLaw(config.vol_of_vol, config.spot_vol_correlation)
    at_least(config.cost_weight, 0.0, "`cost_weight`")
