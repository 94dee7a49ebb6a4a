"""How a price is found: by simulation, with or without early exercise, by closed form, or on a lattice."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from nautilus_metal.engine import ComputeEngine, shared_engine, threads_for
from nautilus_metal.errors import InputError
from nautilus_metal.kernels import black_scholes, closed_forms
from nautilus_metal.kernels.brownian import stream_seed
from nautilus_metal.kernels.closed_forms import Inputs
from nautilus_metal.kernels.gaussian import student_quantile
from nautilus_metal.kernels.lattice import lattice
from nautilus_metal.kernels.longstaff_schwartz import Policy, train_policy
from nautilus_metal.kernels.path_greeks import Shape, exact_figures, names
from nautilus_metal.risk.pricing_monte_carlo import Estimate, Plan, blocks, estimate, parameters
from nautilus_metal.risk.pricing_plans import EARLY, early_plan, exercise_dates, make_plan
from nautilus_metal.risk.pricing_terms import Terms

CONFIDENCE = (0.95, 0.99)
METHODS = ("monte_carlo", "closed_form", "lattice")

_TRAINING_STREAM = 2**32  # far from the scrambles' streams
_TRAINING_PATHS = (4096, 16384)

Figure = float | tuple[float, ...]


@dataclass(frozen=True)
class Route:
    """What a method found.

    Attributes
    ----------
    figures, errors : mapping
        Price and Greeks by name, and their standard errors.
    half_widths : mapping
        Of the confidence intervals of the price, by level.
    paths : int
        Simulated, 0 without sampling.
    method : str
        The method that was used.
    details : mapping
        Facts of the route.
    """

    figures: Mapping[str, Figure]
    errors: Mapping[str, Figure]
    half_widths: Mapping[float, float]
    paths: int
    method: str
    details: Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """A checked contract, and how to simulate it."""

    terms: Terms
    paths: int
    sampler: str
    seed: int
    engine: ComputeEngine


def find_route(method: str, request: Request) -> Route:
    """Price a contract by a method, one of `METHODS`.

    Raises
    ------
    InputError
        If the method does not cover the contract.
    """
    terms = request.terms
    certain = bool((terms.inputs.volatility * terms.inputs.expiry.sqrt() == 0).any())
    if method == "closed_form" or (certain and terms.style == "european" and terms.model == "black_scholes"):
        return _closed_form(terms)
    if certain:
        name = "expiry" if float(terms.inputs.expiry) == 0 else "volatility"
        raise InputError(f"`{name}` must be above 0 for style {terms.style!r} by {method}, was 0.0")
    return _lattice(terms) if method == "lattice" else _simulated(request)


def _simulated(request: Request) -> Route:
    terms, engine = request.terms, request.engine
    details: dict[str, Any] = {}
    method = "monte_carlo"
    if terms.style in EARLY:
        method = "longstaff_schwartz"
        policy = _train(request)
        details |= {"bound": "lower", "exercise_dates": exercise_dates(terms)}
        intrinsic = terms.sign * (terms.number("spot") - terms.strike)
        if terms.style == "american" and intrinsic > policy.continuation:
            return _exercised(intrinsic, terms.sign, details)

        plan = early_plan(terms, engine, policy)
    else:
        plan = make_plan(terms, engine)
    found = estimate(plan, request.paths, request.sampler, request.seed, engine)
    details |= {"steps": plan.steps, "control_variates": len(plan.controls), "degrees_of_freedom": found.degrees}
    error = float(found.errors[0])
    halves = {level: student_quantile(0.5 + level / 2, found.degrees) * error for level in CONFIDENCE}
    if not math.isfinite(found.values[0]):
        raise InputError(f"`volatility` must leave prices finite in {engine.dtype}, was {terms.number('volatility')}")
    values, errors = _by_name(found, terms.assets)
    return Route(values, errors, halves, found.paths, method, details)


def _train(request: Request) -> Policy:
    """Fit the exercise policy on paths of its own, in float64 on the host whatever the device."""
    host = shared_engine("cpu", precision="float64")
    terms = request.terms
    plan = make_plan(terms, host)
    low, high = _TRAINING_PATHS
    count = min(max(low, request.paths), high)
    with threads_for(0):  # a regression of a few thousand paths
        return _fitted(request, plan, count, host)


def _fitted(request: Request, plan: Plan, count: int, host: ComputeEngine) -> Policy:
    terms = request.terms
    parts = [
        plan.simulate(parameters(plan.inputs, drawn.normals.shape[-1], host, gradients=False), drawn)
        for drawn in blocks(plan, count, "pseudo", stream_seed(request.seed, _TRAINING_STREAM), host)
    ]
    paths = parts[0]._replace(spots=torch.cat([part.spots[:, :: part.stride] for part in parts], -1))
    figures = (terms.number("rate"), terms.number("expiry"), terms.total_volatility)
    european = _european_price(terms) if terms.model == "black_scholes" else None
    policy = train_policy(paths, exercise_dates(terms), terms.strike, terms.sign, *figures, european)
    return policy._replace(stride=policy.stride * parts[0].stride)


def _european_price(terms: Terms) -> Callable[[torch.Tensor, float], torch.Tensor]:
    x, kind = terms.inputs, "call" if terms.sign > 0 else "put"

    def price(spots: torch.Tensor, left: float) -> torch.Tensor:
        return black_scholes.price(spots, terms.strike, left, x.rate, x.volatility[0], x.dividend_yield[0], kind)

    return price


def _exercised(intrinsic: float, sign: float, details: Mapping[str, Any]) -> Route:
    figures = {"price": intrinsic, "delta": sign, "gamma": 0.0, "vega": 0.0, "theta": 0.0, "rho": 0.0}
    zero = dict.fromkeys(CONFIDENCE, 0.0)
    return Route(figures, dict.fromkeys(figures, 0.0), zero, 0, "immediate_exercise", details)


def _by_name(found: Estimate, assets: int) -> tuple[dict[str, Figure], dict[str, Figure]]:
    values: dict[str, Figure] = {}
    errors: dict[str, Figure] = {}
    rows = names(assets)
    for name in dict.fromkeys(rows):
        at = [i for i, each in enumerate(rows) if each == name]
        if not all(math.isfinite(found.values[i]) for i in at):
            continue  # not defined for this contract
        per_asset = name in ("delta", "gamma", "vega") and assets > 1
        values[name] = tuple(float(found.values[i]) for i in at) if per_asset else float(found.values[at[0]])
        errors[name] = tuple(float(found.errors[i]) for i in at) if per_asset else float(found.errors[at[0]])
    return values, errors


def _closed_form(terms: Terms) -> Route:
    figures: dict[str, Figure]
    if terms.style == "european" and terms.model == "black_scholes":
        figures = _black_scholes(terms)
    else:
        form = _form(terms)
        shape = Shape(terms.style != "asian", True, False, terms.model == "black_scholes")
        exact = exact_figures(terms.inputs, form, shape)
        figures = dict(zip(names(1), exact.tolist(), strict=True))
    zero = dict.fromkeys(CONFIDENCE, 0.0)
    return Route(figures, dict.fromkeys(figures, 0.0), zero, 0, "closed_form", {})


def _black_scholes(terms: Terms) -> dict[str, Figure]:
    kind = "call" if terms.sign > 0 else "put"
    x = terms.inputs
    arguments = (x.spot[0], terms.strike, x.expiry, x.rate, x.volatility[0], x.dividend_yield[0], kind)
    figures = black_scholes.greeks(*arguments)._asdict()
    kept: dict[str, Figure] = {"price": float(black_scholes.price(*arguments))}
    return kept | {name: float(figures[name]) for name in names(1)[1:]}


def _form(terms: Terms) -> Callable[[Inputs], torch.Tensor]:
    options, sign, strike = terms.options, terms.sign, terms.strike
    key = (terms.style, terms.model, options.get("average"))
    if key == ("european", "merton", None):
        jumps = (options["jump_intensity"], options["jump_mean"], options["jump_std"])
        return lambda x: closed_forms.merton(x, strike, sign, *jumps)
    if key == ("asian", "black_scholes", "geometric"):
        return lambda x: closed_forms.geometric_asian(x, strike, sign, options["observations"])
    if key == ("digital", "black_scholes", None):
        return lambda x: options["payout"] * black_scholes.digital(
            x.spot[0], strike, x.expiry, x.rate, x.volatility[0], x.dividend_yield[0], "call" if sign > 0 else "put"
        )
    raise _no_method(terms, "closed_form")


def _no_method(terms: Terms, method: str) -> InputError:
    return InputError(
        f"`method` must be 'monte_carlo' for style {terms.style!r} under model {terms.model!r}, was {method!r}"
    )


def _lattice(terms: Terms) -> Route:
    if terms.style not in EARLY or terms.model != "black_scholes":
        raise _no_method(terms, "lattice")
    x = terms.inputs
    dates = exercise_dates(terms) if terms.options["exercise_dates"] else None
    found = lattice(
        x.spot[0],
        terms.strike,
        x.expiry,
        x.rate,
        x.volatility[0],
        x.dividend_yield[0],
        "call" if terms.sign > 0 else "put",
        steps=terms.options["steps"] or 400,
        dates=dates,
    )
    figures: dict[str, Figure] = {name: float(getattr(found, name)) for name in ("price", *names(1)[1:])}
    error = float(found.error)
    widths = dict.fromkeys(CONFIDENCE, error)
    return Route(figures, dict.fromkeys(figures, 0.0), widths, 0, "lattice", {"discretisation_error": error})
