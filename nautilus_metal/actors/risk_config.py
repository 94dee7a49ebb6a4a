"""Settings of the RiskActor, refused at construction where they would fail at the first tick."""

import math
from collections.abc import Mapping
from typing import Any

import msgspec
import torch

from nautilus_metal.errors import InputError
from nautilus_metal.host import ActorConfig, BarType, InstrumentId
from nautilus_metal.kernels.tail import check_levels
from nautilus_metal.risk.checks import above, finite
from nautilus_metal.risk.models import Request, build, check_options, scenario_count
from nautilus_metal.risk.stress import checked_moves, stress_named
from nautilus_metal.risk.volatility_law import VolatilityLaw

HELD = "held"
OPTION_DATA = ("quotes", "greeks")


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
    sampler : str, default "sobol"
        "sobol" (scrambled) or "pseudo".
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
    option_data : tuple of str, default ("quotes",)
        What to subscribe for each option held: "quotes", and "greeks" where the venue sends `OptionGreeks`. Greeks
        that somebody else subscribed, of an option chain for instance, are heard in any case.
    underlyings : dict of str to str, optional
        Instrument ID of an underlying, by the option's ID or by what options call it, where it is not the instrument
        of that symbol at the option's venue, or the only one of that symbol.
    rate : float, optional
        Interest rate, yearly and continuously compounded; where not given it is the cache's yield curve of the
        currency, else 0.
    dividend_yields : dict of str to float, optional
        By the underlying's instrument ID; for a currency pair the foreign rate. Where not given it is the cache's
        yield curve of that ID, else `rate` for a future and 0 for anything else.
    volatility_max_age_seconds : float, default 345_600.0
        Age up to which an implied volatility is good: four days, so that a quote outlives a weekend.
    periods_per_year : float, default 252.0
        Bars in a year, by which options age over the horizon.
    vol_of_vol, spot_vol_correlation : float or dict of str to float, optional
        How implied volatilities move in the scenarios, as in `nautilus_metal.risk.assess`.
    volatility_indices : dict of str to str, optional
        By the underlying's instrument ID: an index of its implied volatility, from whose bars the two are estimated
        where they are not given.
    publish_greeks : bool, default False
        Publish a `GreeksReport` with every `RiskReport`; without it, with those of a book with options.
    stresses : tuple of str, optional
        Rows of `nautilus_metal.risk.stress.STRESSES` to publish in a `StressReport` with every `RiskReport`.
    stress_spots, stress_volatilities : tuple of float, optional
        Relative moves of a grid to publish in the `StressReport`.
    stress_days : tuple of float, default (0.0,)
        Days of that grid.
    deadline_ms : float, optional
        Live: a tick that takes longer is published with the scenarios that were done by then, or a `RiskStale` is;
        later ticks take fewer scenarios.
    stale_after_seconds : float, optional
        Publish a `RiskStale` when no report has come for so long.
    price_max_age_seconds : float, optional
        Publish a `RiskStale` when a price in the figures is older than that.
    keep_scenarios : bool, default False
        Keep the scenarios of what is held and of what could be, for a `RiskGate`: `RiskActor.last_what_if`.
    state_path : str, optional
        A file that keeps history and limits' states from one run to the next, for nodes whose cache has no database.
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
    sampler: str = "sobol"
    seed: int = 0
    base_currency: str = "USD"
    on_bar: bool = True
    on_fill: bool = False
    timer_seconds: float | None = None
    var_limit: dict[float, float] = {}
    es_limit: dict[float, float] = {}
    option_data: tuple[str, ...] = ("quotes",)
    underlyings: dict[str, str] = {}
    rate: float | None = None
    dividend_yields: dict[str, float] = {}
    volatility_max_age_seconds: float = 345_600.0
    periods_per_year: float = 252.0
    vol_of_vol: float | dict[str, float] | None = None
    spot_vol_correlation: float | dict[str, float] | None = None
    volatility_indices: dict[str, str] = {}
    publish_greeks: bool = False
    stresses: tuple[str, ...] = ()
    stress_spots: tuple[float, ...] = ()
    stress_volatilities: tuple[float, ...] = (0.0,)
    stress_days: tuple[float, ...] = (0.0,)
    deadline_ms: float | None = None
    stale_after_seconds: float | None = None
    price_max_age_seconds: float | None = None
    keep_scenarios: bool = False
    state_path: str | None = None


def check(config: RiskActorConfig) -> None:
    """Refuse at construction what would fail at the first tick."""
    if isinstance(config.instruments, str) and config.instruments != HELD:
        raise InputError(f"`instruments` must be {HELD!r} or a tuple of instrument IDs, was {config.instruments!r}")
    if not 2 <= config.min_observations <= config.window:
        raise InputError(
            f"`min_observations` must lie between 2 and `window` ({config.window}), was {config.min_observations}"
        )
    for name in ("timer_seconds", "deadline_ms", "stale_after_seconds", "price_max_age_seconds"):
        if getattr(config, name) is not None:
            above(getattr(config, name), 0.0, f"`{name}`")
    check_options(config.model, config.model_options)
    count = scenario_count(config.model, config.min_observations, request_of(config), config.model_options)
    check_levels(count, config.levels)
    for name in ("var_limit", "es_limit"):
        for level in getattr(config, name):
            if level not in config.levels:
                raise InputError(f"`{name}` must be on one of the levels {config.levels}, was on {level}")
    _check_options(config)


def with_model(config: RiskActorConfig, model: str, options: Mapping[str, Any]) -> RiskActorConfig:
    """Return the settings with another model, after it has made scenarios of returns that mean nothing.

    Raises
    ------
    InputError
        If there is no such model, it does not take an option, or it makes no tail for the levels.
    """
    changed: RiskActorConfig = msgspec.structs.replace(config, model=model, model_options=dict(options))
    check(changed)
    generator, periods = torch.Generator().manual_seed(0), max(config.min_observations, 50)
    noise = 0.01 * torch.randn(2, periods, generator=generator, dtype=torch.float64)
    build(model, noise, Request(config.horizon, 64, config.seed, config.sampler), changed.model_options)
    return changed


def request_of(config: RiskActorConfig) -> Request:
    """Return what the settings ask of the scenario model."""
    return Request(config.horizon, config.scenarios, config.seed, config.sampler)


def least_scenarios(levels: tuple[float, ...]) -> int:
    """Count the scenarios that leave ten losses beyond the highest level: fewer make no tail."""
    return math.ceil(10 / (1 - max(levels)))


def _check_options(config: RiskActorConfig) -> None:
    for kind in config.option_data:
        if kind not in OPTION_DATA:
            raise InputError(f"`option_data` must be of {', '.join(OPTION_DATA)}, was {kind!r}")
    for name in ("volatility_max_age_seconds", "periods_per_year"):
        above(getattr(config, name), 0.0, f"`{name}`")
    if config.rate is not None:
        finite(config.rate, "`rate`")
    for underlying, dividend_yield in config.dividend_yields.items():
        finite(dividend_yield, f"`dividend_yields` of {underlying}")
    for name in ("underlyings", "volatility_indices"):
        for key, instrument in getattr(config, name).items():
            if "." not in instrument:
                raise InputError(f"`{name}` of {key} must be an instrument ID, was {instrument!r}")
    VolatilityLaw(config.vol_of_vol, config.spot_vol_correlation)
    for stress in config.stresses:
        stress_named(stress)
    for name in ("spots", "volatilities", "days"):
        checked_moves(getattr(config, f"stress_{name}"), name)
