"""The doors to option prices, by simulation, closed form or lattice: `price_option`, `price_options` for a batch."""

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from numpy.typing import ArrayLike

from nautilus_metal.engine import ComputeEngine, shared_engine
from nautilus_metal.errors import InputError
from nautilus_metal.risk.pricing_checks import choice, whole
from nautilus_metal.risk.pricing_mlx import BACKENDS, check_mlx
from nautilus_metal.risk.pricing_monte_carlo import SAMPLERS
from nautilus_metal.risk.pricing_placement import simulating_engine
from nautilus_metal.risk.pricing_result import OptionPrice, OptionPrices, priced
from nautilus_metal.risk.pricing_routes import METHODS, Request, best_method, find_route
from nautilus_metal.risk.pricing_terms import Terms, checked_terms

__all__ = ["OptionPrice", "OptionPrices", "price_option", "price_options"]

_SIMULATIONS = 100_000


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
    num_simulations: int | None = None,
    sampler: str | None = None,
    seed: int = 0,
    engine: ComputeEngine | None = None,
    method: str = "auto",
    backend: str = "torch",
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
        `mean_reversion`, `long_run_volatility`, `volatility_of_variance` and `spot_correlation`. For several assets
        these are one number or one for each, and `correlation` is that of their motions: one number for every pair,
        or a positive semi-definite matrix. Jumps are common by default (`common_jumps`: all assets jump at once, with
        sizes correlated by `jump_correlation`, or as their motions are where it is None), else each asset has its
        own, independent of the others', with an intensity for each. Under Heston each asset has its own variance,
        which follows the other assets only through its own price (see `kernels.heston`).
    num_simulations : int, optional
        Paths, at least 2; 100,000 if a simulation is to be made and they are not given.
    sampler : {"pseudo", "antithetic", "sobol", "fast"}, optional
        Portable streams, "pseudo" if not given; "sobol" is scrambled, bridged, and repeated 16 times for its standard
        error; "fast" are other pseudo-random numbers, which an NVIDIA GPU, and a CPU with the extra `fast`, make in
        a third of the time.
    seed : int
        Of the random numbers.
    engine : ComputeEngine, optional
        Where to compute. If it is not given a simulation runs where `engine.placement` puts it, which
        `nautilus-metal bench --calibrate` measures.
    method : {"auto", "monte_carlo", "closed_form", "lattice"}
        "auto" is a simulation if `num_simulations` or `sampler` is given, and else the best answer there is: the
        closed form of European, digital and geometric Asian options, the lattice for American and Bermudan ones under
        Black-Scholes, a simulation for the rest. Without any uncertainty (expiry 0, or volatility 0 under
        Black-Scholes) a European or digital option has its closed form whatever the method, and so has an American
        or Bermudan one at expiry; the other styles have no answer there.
    backend : {"torch", "mlx"}
        What simulates. "mlx" needs the extra `mlx`, takes no `engine`, and has European and Asian options under
        Black-Scholes; the random numbers, and so the figures to float32, are those of torch.
    **contract
        Options of the style and the model as named above; `steps` of a path, and `control_variates` (default True).

    Returns
    -------
    OptionPrice
        American and Bermudan prices by simulation are lower bounds (Longstaff and Schwartz), found on other paths
        than the exercise policy; an American option may be exercised at 50 dates there. Theta is by the passing of
        time: the dates of Asian and Bermudan options stay where they are.

    Raises
    ------
    InputError
        If an argument is outside its range, missing or unknown.
    DeviceError
        If `backend` is "mlx" and MLX is not installed.

    Examples
    --------
    >>> found = price_option("call", spot=100.0, strike=100.0, expiry=1.0, rate=0.05, volatility=0.2)
    >>> round(found.price, 2), round(found.greeks["delta"], 3), found.method
    (10.45, 0.637, 'closed_form')
    >>> found = price_option(
    ...     "call", spot=100.0, strike=100.0, expiry=1.0, rate=0.05, volatility=0.2, sampler="sobol", seed=1,
    ...     engine=ComputeEngine("cpu"),
    ... )
    >>> round(found.price, 2), round(found.greeks["delta"], 3), found.num_simulations
    (10.45, 0.637, 100000)
    """
    market = {
        "spot": spot,
        "volatility": volatility,
        "dividend_yield": dividend_yield,
        "rate": rate,
        "expiry": expiry,
    }
    how = _How(num_simulations, sampler, seed, engine, method, backend)
    return _prices(kind, style, market, strike, model, contract, how, batch=False)[()]


def price_options(
    kind: str | ArrayLike = "call",
    style: str = "european",
    *,
    spot: ArrayLike,
    strike: ArrayLike | None = None,
    expiry: ArrayLike,
    rate: ArrayLike,
    volatility: ArrayLike,
    dividend_yield: ArrayLike = 0.0,
    model: str = "black_scholes",
    num_simulations: int | None = None,
    sampler: str | None = None,
    seed: int = 0,
    engine: ComputeEngine | None = None,
    method: str = "auto",
    backend: str = "torch",
    **contract: Any,
) -> OptionPrices:
    """Price a batch of options of one style and model, 1 to 100,000 and more, with their Greeks.

    Simulated contracts share the random numbers, so that differences between them are more certain than each of them.
    The work is done in parts that fit the memory.

    Parameters
    ----------
    kind, spot, strike, expiry, rate, volatility, dividend_yield : array_like
        As for `price_option`, as arrays that broadcast to each other; for basket and spread the assets are the last
        axis of spot, volatility and dividend yield, which the other arguments do not have.
    style, model, num_simulations, sampler, seed, engine, method, backend
        As for `price_option`, the same for all contracts. Longstaff and Schwartz's method fits a policy for each
        contract, one after the other, tenths of a second each: a large batch of American options is for the lattice.
    **contract
        As for `price_option`; `payout`, `barrier` and `weights` may be arrays too.

    Returns
    -------
    OptionPrices
        Each contract's figures are those of `price_option` to rounding.

    Raises
    ------
    InputError
        If an argument is outside its range, missing or unknown, or its shape does not fit the others'; the place in
        its array is named.

    Examples
    --------
    >>> found = price_options(
    ...     ["call", "put"], spot=100.0, strike=[[90.0], [110.0]], expiry=1.0, rate=0.05, volatility=0.2
    ... )
    >>> found.price.round(2)
    array([[16.7 ,  2.31],
           [ 6.04, 10.68]])
    >>> round(found[1, 0].greeks["delta"], 3)
    0.45
    """
    market = {
        "spot": spot,
        "volatility": volatility,
        "dividend_yield": dividend_yield,
        "rate": rate,
        "expiry": expiry,
    }
    how = _How(num_simulations, sampler, seed, engine, method, backend)
    return _prices(kind, style, market, strike, model, contract, how, batch=True)


class _How(NamedTuple):
    """How to price, unchecked."""

    num_simulations: int | None
    sampler: str | None
    seed: int
    engine: ComputeEngine | None
    method: str
    backend: str


def _prices(
    kind: Any,
    style: str,
    market: Mapping[str, Any],
    strike: Any,
    model: str,
    contract: Mapping[str, Any],
    how: _How,
    batch: bool,
) -> OptionPrices:
    started = time.perf_counter()
    choice("method", how.method, METHODS)
    choice("backend", how.backend, BACKENDS)
    simulated = how.num_simulations is not None or how.sampler is not None
    sampler = choice("sampler", "pseudo" if how.sampler is None else how.sampler, SAMPLERS)
    paths = whole("num_simulations", _SIMULATIONS if how.num_simulations is None else how.num_simulations, 2)
    seed = whole("seed", how.seed, 0)
    terms = checked_terms(kind, style, market, strike, model, contract, batch)
    if how.backend == "mlx":
        method, request = "monte_carlo", _through_mlx(terms, paths, sampler, seed, how)
    else:
        method = best_method(how.method, terms, simulated)
        places = method == "monte_carlo" and how.engine is None
        engine = simulating_engine(terms, paths, sampler) if places else how.engine or shared_engine()
        request = Request(terms, paths, sampler, seed, engine)
    route = find_route(method, request)
    request.engine.synchronize()
    return priced(request, route, started)


def _through_mlx(terms: Terms, paths: int, sampler: str, seed: int, how: _How) -> Request:
    """A simulation by MLX: the host draws, and sums up."""
    if how.engine is not None:
        raise InputError(f"`engine` must be None for backend 'mlx', which has its own device, was {how.engine!r}")
    if how.method not in ("auto", "monte_carlo"):
        raise InputError(f"`method` must be 'auto' or 'monte_carlo' for backend 'mlx', was {how.method!r}")
    check_mlx(terms)
    return Request(terms, paths, sampler, seed, shared_engine("cpu"), "mlx")
