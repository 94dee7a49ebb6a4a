"""Option prices: `risk.pricing.price_option` under the names of the function API."""

from collections.abc import Mapping
from typing import Any

from nautilus_metal.compat.background import in_background
from nautilus_metal.compat.manager import metal_device_manager
from nautilus_metal.compat.results import OptionsPricingResult, made_by
from nautilus_metal.errors import InputError
from nautilus_metal.kernels.implied_volatility import implied_volatility
from nautilus_metal.risk.pricing import OptionPrice, price_option
from nautilus_metal.risk.pricing_placement import simulation_work
from nautilus_metal.risk.pricing_terms import checked_terms

_WORKLOAD = "monte_carlo"
_MARKET = ("spot", "volatility", "dividend_yield", "rate", "expiry")
_NOT_OF_THE_CONTRACT = ("kind", "style", "strike", "model", "num_simulations", "sampler", "seed", "method", "backend")
_GREEKS = ("delta", "gamma", "vega", "theta", "rho")


async def price_option_metal(
    spot_price: float,
    strike_price: float,
    time_to_expiry: float,
    risk_free_rate: float,
    volatility: float,
    option_type: str = "call",
    *,
    num_simulations: int = 1_000_000,
    dividend_yield: float = 0.0,
    style: str = "european",
    sampler: str | None = None,
    seed: int = 0,
    antithetic_variates: bool | None = None,
    **contract: Any,
) -> OptionsPricingResult:
    """Price an option on one asset by Monte Carlo, with its Greeks, beside the running event loop.

    Parameters
    ----------
    spot_price, strike_price : float
        Today's price of the asset, and that of the exercise.
    time_to_expiry : float
        Years.
    risk_free_rate, dividend_yield : float
        Yearly, continuously compounded decimals.
    volatility : float
        Yearly.
    option_type : {"call", "put"}
        Which one.
    num_simulations : int
        Paths, at least 2.
    style : str
        "european" and the others of `risk.pricing.price_option`.
    sampler : {"pseudo", "antithetic", "sobol"}, optional
        How paths are drawn: "pseudo" if nothing is said here or by `optimize_for_monte_carlo`.
    seed : int
        Of the random numbers: the same seed gives the same figures.
    antithetic_variates : bool, optional
        True for ``sampler="antithetic"``, False for "pseudo".
    **contract
        What else `risk.pricing.price_option` takes: `model`, `barrier`, `method`, ...

    Returns
    -------
    OptionsPricingResult
        Certain prices (no time or no volatility left) have no simulations and no errors.

    Raises
    ------
    InputError
        If an argument is outside its range, missing or unknown.
    """
    if antithetic_variates is not None:
        if sampler is not None:
            raise InputError("`antithetic_variates` must be left out where `sampler` is given, were both given")
        sampler = "antithetic" if antithetic_variates else "pseudo"
    terms = {
        "kind": option_type,
        "style": style,
        "spot": spot_price,
        "strike": strike_price,
        "expiry": time_to_expiry,
        "rate": risk_free_rate,
        "volatility": volatility,
        "dividend_yield": dividend_yield,
        "num_simulations": num_simulations,
        "sampler": sampler,
        "seed": seed,
        **contract,
    }
    return await in_background(lambda: _priced(terms))


def _priced(terms: Mapping[str, Any]) -> OptionsPricingResult:
    manager = metal_device_manager
    sampler = terms["sampler"] or manager.config.workload(_WORKLOAD).sampler
    chosen = manager.place(_WORKLOAD, *_work(terms, sampler))
    found, done = manager.run(
        "price_option",
        chosen,
        lambda engine: price_option(**{**terms, "sampler": sampler}, engine=engine),
        lambda price: price.device,
    )
    greeks: dict[str, Any] = {name: found.greeks[name] for name in _GREEKS}
    errors: dict[str, Any] = dict(found.standard_errors)
    return OptionsPricingResult(
        option_price=found.price,
        **greeks,
        implied_volatility=_implied(found, terms),
        confidence_intervals={f"{level:.0%}": edges for level, edges in found.confidence_intervals.items()},
        standard_errors=errors,
        num_simulations=found.num_simulations,
        method=found.method,
        sampler=found.sampler,
        seed=found.seed,
        **made_by(done, found.precision),  # type: ignore[arg-type]
    )


def _work(terms: Mapping[str, Any], sampler: str) -> tuple[str, int]:
    """Kind and size of the simulation that is asked for."""
    market = {name: terms[name] for name in _MARKET}
    contract = {name: value for name, value in terms.items() if name not in (*_MARKET, *_NOT_OF_THE_CONTRACT)}
    model, paths = terms.get("model", "black_scholes"), terms["num_simulations"]
    checked = checked_terms(terms["kind"], terms["style"], market, terms["strike"], model, contract, batch=False)
    return simulation_work(checked, paths if isinstance(paths, int) else 1, sampler)


def _implied(found: OptionPrice, terms: Mapping[str, Any]) -> float | None:
    if found.style != "european" or found.price < 0:
        return None
    spot, strike, expiry, rate, dividend = (
        float(terms[name]) for name in ("spot", "strike", "expiry", "rate", "dividend_yield")
    )
    solved = implied_volatility(found.price, spot, strike, expiry, rate, dividend, terms["kind"])
    return float(solved.volatility) if int(solved.reason) == 0 else None
