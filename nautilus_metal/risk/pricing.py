"""The one door to option prices: `price_option`, by simulation, closed form or lattice."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import ArrayLike

from nautilus_metal.engine import ComputeEngine, shared_engine
from nautilus_metal.risk.pricing_monte_carlo import SAMPLERS
from nautilus_metal.risk.pricing_routes import METHODS, Figure, Request, Route, find_route
from nautilus_metal.risk.pricing_terms import checked_terms, choice, whole


@dataclass(frozen=True)
class OptionPrice:
    """A price with its sensitivities, errors and origin.

    Attributes
    ----------
    price : float
        Present value.
    greeks : mapping of str to float
        delta, gamma, vega (per 1.00), theta (per year), rho (per 1.00); for several assets delta, gamma and vega are
        tuples with a figure for each. A Greek that the route does not give is absent.
    standard_errors : mapping of str to float
        Of the price and of every Greek; zero for the routes without sampling.
    confidence_intervals : mapping of float to (float, float)
        Of the price, at 95% and 99%; for the lattice the price plus and minus its discretisation error.
    computation_time_ms : float
        Wall time, the device synchronised.
    num_simulations : int
        Paths; 0 for the routes without sampling.
    device, precision : str
        Where and in what type the figures were made.
    sampler : str
        "pseudo", "antithetic", "sobol", or "none".
    seed : int
        Of the random numbers.
    model, style, method : str
        As asked for; `method` is the one that was used.
    details : mapping
        Facts of the route: steps of a path, exercise policy, discretisation error.
    """

    price: float
    greeks: Mapping[str, Figure]
    standard_errors: Mapping[str, Figure]
    confidence_intervals: Mapping[float, tuple[float, float]]
    computation_time_ms: float
    num_simulations: int
    device: str
    precision: str
    sampler: str
    seed: int
    model: str
    style: str
    method: str
    details: Mapping[str, Any] = field(default_factory=dict)


def price_option(
    kind: str = "call",
    style: str = "european",
    *,
    spot: float | ArrayLike,
    strike: float | None = None,
    expiry: float,
    rate: float,
    volatility: float | ArrayLike,
    dividend_yield: float | ArrayLike = 0.0,
    model: str = "black_scholes",
    num_simulations: int = 100_000,
    sampler: str = "pseudo",
    seed: int = 0,
    engine: ComputeEngine | None = None,
    method: str = "monte_carlo",
    **contract: Any,
) -> OptionPrice:
    """Price one option with its Greeks.

    Parameters
    ----------
    kind : {"call", "put"}
        Of option.
    style : str
        european; digital (`payout`); asian (`average`: arithmetic or geometric, `observations`, the last at expiry);
        barrier (`barrier`, `barrier_type`: up_and_out, up_and_in, down_and_out, down_and_in; watched continuously);
        lookback (`lookback_type`: fixed or floating; watched continuously); basket (`weights`, `correlation`); spread
        (first less second price, `correlation`); american and bermudan (`exercise_dates`).
    spot, volatility, dividend_yield : float or array_like
        One figure, or for basket and spread one for each asset. Under Heston the volatility is today's.
    strike : float
        Exercise price; None for a floating lookback.
    expiry : float
        Years.
    rate : float
        Continuously compounded, per year.
    model : {"black_scholes", "merton", "heston"}
        merton takes `jump_intensity` (per year), `jump_mean` and `jump_std` (of the logarithm); heston takes
        `mean_reversion`, `long_run_volatility`, `volatility_of_variance` and `spot_correlation`.
    num_simulations : int
        Paths, at least 2.
    sampler : {"pseudo", "antithetic", "sobol"}
        Portable streams; "sobol" is scrambled, bridged, and repeated 16 times for its standard error.
    seed : int
        Of the random numbers.
    engine : ComputeEngine, optional
        Where to compute; the process' shared engine if not given.
    method : {"monte_carlo", "closed_form", "lattice"}
        closed_form for European, digital and geometric Asian options, lattice for American and Bermudan ones under
        Black-Scholes. Without any uncertainty (expiry or volatility 0) a European option has its closed form.
    **contract
        Options of the style and the model as named above; `steps` of a path, and `control_variates` (default True).

    Returns
    -------
    OptionPrice
        American and Bermudan prices by simulation are lower bounds (Longstaff and Schwartz), found on other paths
        than the exercise policy; an American option may be exercised at 50 dates there.

    Raises
    ------
    InputError
        If an argument is outside its range, missing or unknown.

    Examples
    --------
    >>> found = price_option(
    ...     "call", spot=100.0, strike=100.0, expiry=1.0, rate=0.05, volatility=0.2, sampler="sobol", seed=1,
    ...     engine=ComputeEngine("cpu"),
    ... )
    >>> round(found.price, 2), round(found.greeks["delta"], 3), found.num_simulations
    (10.45, 0.637, 100000)
    """
    started = time.perf_counter()
    choice("method", method, METHODS)
    choice("sampler", sampler, SAMPLERS)
    whole("num_simulations", num_simulations, 2)
    whole("seed", seed, 0)
    market = {"spot": spot, "volatility": volatility, "rate": rate, "expiry": expiry}
    terms = checked_terms(kind, style, market | {"dividend_yield": dividend_yield}, strike, model, contract)
    engine = engine or shared_engine()
    request = Request(terms, int(num_simulations), sampler, int(seed), engine)
    route = find_route(method, request)
    engine.synchronize()
    return _result(request, route, started)


def _result(request: Request, route: Route, started: float) -> OptionPrice:
    price = route.figures["price"]
    assert isinstance(price, float)
    sampled = route.paths > 0
    host = route.method in ("closed_form", "lattice", "immediate_exercise")
    return OptionPrice(
        price=price,
        greeks={name: figure for name, figure in route.figures.items() if name != "price"},
        standard_errors=dict(route.errors),
        confidence_intervals={level: (price - half, price + half) for level, half in route.half_widths.items()},
        computation_time_ms=(time.perf_counter() - started) * 1e3,
        num_simulations=route.paths,
        device="cpu" if host else str(request.engine.device),
        precision="float64" if host else str(request.engine.dtype).removeprefix("torch."),
        sampler=request.sampler if sampled else "none",
        seed=request.seed,
        model=request.terms.model,
        style=request.terms.style,
        method=route.method,
        details=route.details,
    )
