"""How prices are found: by simulation, with or without early exercise, by closed form, or on a lattice."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from nautilus_metal.engine import ComputeEngine, threads_for
from nautilus_metal.errors import InputError
from nautilus_metal.kernels import black_scholes
from nautilus_metal.kernels.gaussian import student_quantile
from nautilus_metal.kernels.lattice import lattice
from nautilus_metal.kernels.path_greeks import ClosedForm, Figures, exact_figures, names, pairs, vanilla_figures
from nautilus_metal.risk.pricing_checks import Array
from nautilus_metal.risk.pricing_controls import european_form, geometric_asian
from nautilus_metal.risk.pricing_fused import fused_sample
from nautilus_metal.risk.pricing_mlx import mlx_figures
from nautilus_metal.risk.pricing_monte_carlo import Estimate, batch_size, estimate
from nautilus_metal.risk.pricing_plans import EARLY, alike, early_plan, exercise_dates, make_plan
from nautilus_metal.risk.pricing_policy import trained_policy
from nautilus_metal.risk.pricing_terms import Terms

CONFIDENCE = (0.95, 0.99)
METHODS = ("auto", "monte_carlo", "closed_form", "lattice")
HOST_METHODS = ("closed_form", "lattice", "immediate_exercise")

_LATTICE_STEPS = 400
_CLOSED_FORM_PART = 4096  # contracts, so that the series of a closed form stays within memory


@dataclass(frozen=True)
class Route:
    """What a method found for contracts.

    Attributes
    ----------
    figures, errors : mapping of str to ndarray
        Price and Greeks by name, and their standard errors; the first axis is the contracts.
    half_widths : mapping of float to ndarray
        Of the confidence intervals of the price, by level.
    paths : ndarray
        Simulated, 0 without sampling.
    method : ndarray of str
        The method that was used.
    details : mapping of str to ndarray
        Facts of the route.
    """

    figures: Mapping[str, Array]
    errors: Mapping[str, Array]
    half_widths: Mapping[float, Array]
    paths: Array
    method: Array
    details: Mapping[str, Array]


@dataclass(frozen=True)
class Request:
    """Checked contracts, and how to simulate them."""

    terms: Terms
    paths: int
    sampler: str
    seed: int
    engine: ComputeEngine
    backend: str = "torch"

    def take(self, index: Any) -> "Request":
        """The same for some of the contracts."""
        if self.terms.contracts == 1:  # there are no others
            return self
        return replace(self, terms=self.terms.take(index))


def best_method(method: str, terms: Terms, simulated: bool) -> str:
    """Name the method that one of `METHODS` stands for.

    "auto" is Monte Carlo if arguments of a simulation were given, else closed form or lattice where there is one.
    """
    if method != "auto" or simulated:
        return "monte_carlo" if method == "auto" else method
    if _figures(terms) is not None:
        return "closed_form"
    return "lattice" if terms.style in EARLY and terms.model == "black_scholes" else "monte_carlo"


def find_route(method: str, request: Request) -> Route:
    """Price contracts by a method.

    Parameters
    ----------
    method : str
        As `best_method` names it.
    request : Request
        The contracts.

    Raises
    ------
    InputError
        If the method does not cover the contracts.
    """
    terms = request.terms
    certain = terms.certain
    settled = _settled(terms, certain)
    wrong = certain & ~settled
    if wrong.any():
        name = "expiry" if bool((terms.inputs.expiry[wrong] == 0).any()) else "volatility"
        place = f" at {int(np.argmax(wrong))}" if terms.shape else ""
        raise InputError(f"`{name}` must be above 0 for style {terms.style!r} by {method}, was 0.0{place}")
    if not settled.any():
        return _ROUTES[method](request)
    parts = [(np.flatnonzero(settled), _settlement), (np.flatnonzero(~settled), _ROUTES[method])]
    return _joined((index, route(request.take(index))) for index, route in parts if len(index))


def _settled(terms: Terms, certain: Array) -> Array:
    """Contracts whose last price is certain, so that they are worth their discounted payoff."""
    if terms.style not in _PLAIN:
        return np.zeros(terms.contracts, bool)
    now = terms.inputs.expiry.numpy() == 0
    still = terms.model == "black_scholes" and terms.style not in EARLY
    return np.asarray(certain if still else now)


def _settlement(request: Request) -> Route:
    terms = request.terms
    if terms.style != "digital":
        return _exact(_black_scholes(terms), "closed_form")
    x = terms.inputs
    price, rate, years = _digital(terms)(x).numpy(), x.rate.numpy(), x.expiry.numpy()
    flat = dict.fromkeys(("delta", "gamma", "vega"), np.zeros_like(price))
    return _exact({"price": price, **flat, "theta": rate * price, "rho": -years * price}, "closed_form")


def _simulated(request: Request) -> Route:
    if request.terms.style in EARLY:
        return _joined((np.array([k]), _exercised_early(request.take([k]))) for k in range(request.terms.contracts))
    return _joined((index, _estimated(request.take(index))) for index in _chunks(request))


def _chunks(request: Request) -> Iterator[Array]:
    """Contracts, by index, that are simulated at once."""
    terms, engine = request.terms, request.engine
    for group in alike(terms):
        size = 1
        if len(group) > 1:
            size = batch_size(make_plan(terms.take(group[:1]), engine), len(group), request.paths, engine)
        yield from (group[k : k + size] for k in range(0, len(group), size))


def _estimated(request: Request) -> Route:
    plan = make_plan(request.terms, request.engine)
    if request.backend == "mlx":
        plan = replace(plan, figures=mlx_figures(request.terms), walk=None)
    fused = fused_sample(request.terms, plan, request.engine)
    found = estimate(plan, request.paths, request.sampler, request.seed, request.engine, fused)
    details = {"steps": plan.steps, "control_variates": len(plan.controls)}
    return _sampled(request, found, "monte_carlo", details)


def _exercised_early(request: Request) -> Route:
    """Longstaff and Schwartz's estimate for one contract, or its value now where waiting is worth less."""
    terms = request.terms
    details: dict[str, Any] = {"bound": "lower", "exercise_dates": exercise_dates(terms)}
    stream = "fast" if request.sampler == "fast" else "pseudo"
    policy = trained_policy(terms, request.paths, request.seed, stream)
    intrinsic = float(terms.sign * (terms.inputs.spot[0] - terms.strike))
    if terms.style == "american" and intrinsic > policy.continuation:
        figures = dict.fromkeys(names(1), np.zeros(1)) | {"price": np.array([intrinsic]), "delta": terms.sign.numpy()}
        return _exact(figures, "immediate_exercise", details=details)
    plan = early_plan(terms, request.engine, policy)
    fused = fused_sample(terms, plan, request.engine, policy)
    found = estimate(plan, request.paths, request.sampler, request.seed, request.engine, fused)
    return _sampled(
        request, found, "longstaff_schwartz", details | {"steps": plan.steps, "control_variates": len(plan.controls)}
    )


def _sampled(request: Request, found: Estimate, method: str, details: Mapping[str, Any]) -> Route:
    wrong = ~np.isfinite(found.values[0])
    if wrong.any():
        volatility = float(request.terms.inputs.volatility[0, int(np.argmax(wrong))])
        raise InputError(f"`volatility` must leave prices finite in {request.engine.dtype}, was {volatility}")
    halves = {level: student_quantile(0.5 + level / 2, found.degrees) * found.errors[0] for level in CONFIDENCE}
    known = np.where(np.isfinite(found.values), found.errors, np.nan)
    values, errors = (_by_name(rows, request.terms.assets) for rows in (found.values, known))
    count = len(wrong)
    return Route(
        values,
        errors,
        halves,
        np.full(count, found.paths),
        np.full(count, method),
        _spread(dict(details) | {"degrees_of_freedom": found.degrees}, count),
    )


def _by_name(rows: Array, assets: int) -> dict[str, Array]:
    """Rows of `path_greeks.names` as figures of contracts; for several assets the mixed gammas too."""
    at: dict[str, list[int]] = {}
    for row, name in enumerate(names(assets)):
        at.setdefault(name, []).append(row)
    found = {name: rows[index].T if assets > 1 and len(index) > 1 else rows[index[0]] for name, index in at.items()}
    if assets > 1:
        cross = np.empty((rows.shape[1], assets, assets))
        for (i, j), row in zip(pairs(assets), at["gamma"], strict=True):
            cross[:, i, j] = cross[:, j, i] = rows[row]
        found |= {"gamma": np.diagonal(cross, axis1=1, axis2=2).copy(), "cross_gamma": cross}
    return found


def _figures(terms: Terms) -> Figures | None:
    """Exact figures of contracts, by the rows of `path_greeks.names`, if they have a closed form."""
    key = (terms.style, terms.model, terms.options.get("average"))
    if key == ("european", "black_scholes", None):  # by their own formulas, which hold without any uncertainty too
        return partial(vanilla_figures, strike=terms.strike, sign=terms.sign)
    if key == ("asian", "black_scholes", "geometric"):
        return geometric_asian(terms)
    if key == ("european", "merton", None):
        return partial(exact_figures, closed_form=european_form(terms, terms.strike))
    if key == ("digital", "black_scholes", None):
        return partial(exact_figures, closed_form=_digital(terms))
    return None


def _digital(terms: Terms) -> ClosedForm:
    return lambda x: terms.amounts["payout"] * black_scholes.digital(
        x.spot[0], terms.strike, x.expiry, x.rate, x.volatility[0], x.dividend_yield[0], terms.sign
    )


def _closed_form(request: Request) -> Route:
    terms = request.terms
    if _figures(terms) is None:
        raise _no_method(terms, "closed_form")
    if (terms.style, terms.model) == ("european", "black_scholes"):
        return _exact(_black_scholes(terms), "closed_form")
    rows = []
    for first in range(0, terms.contracts, _CLOSED_FORM_PART):
        part = terms.take(slice(first, first + _CLOSED_FORM_PART))
        figures = _figures(part)
        assert figures is not None
        rows.append(figures(part.inputs).numpy())
    return _exact(_by_name(np.concatenate(rows, 1), 1), "closed_form")


def _black_scholes(terms: Terms) -> dict[str, Array]:
    return dict(zip(names(1), vanilla_figures(terms.inputs, terms.strike, terms.sign).numpy(), strict=True))


def _lattice(request: Request) -> Route:
    terms = request.terms
    if terms.style not in EARLY or terms.model != "black_scholes":
        raise _no_method(terms, "lattice")
    x = terms.inputs
    dates = exercise_dates(terms) if terms.options["exercise_dates"] else None
    arguments = (x.spot[0], terms.strike, x.expiry, x.rate, x.volatility[0], x.dividend_yield[0], terms.sign)
    with threads_for(0):  # its levels are small
        found = lattice(*arguments, steps=terms.options["steps"] or _LATTICE_STEPS, dates=dates)._asdict()
    error = found["error"].numpy()
    details = {"discretisation_error": error}
    return _exact({name: found[name].numpy() for name in names(1)}, "lattice", error, details)


def _exact(
    figures: Mapping[str, Array],
    method: str,
    half_width: Array | float = 0.0,
    details: Mapping[str, Any] | None = None,
) -> Route:
    """Figures without sampling error."""
    count = len(figures["price"])
    zero = {name: np.zeros_like(figure) for name, figure in figures.items()}
    halves = dict.fromkeys(CONFIDENCE, half_width + zero["price"])
    return Route(figures, zero, halves, np.zeros(count, int), np.full(count, method), _spread(details or {}, count))


def _spread(details: Mapping[str, Any], count: int) -> dict[str, Array]:
    return {name: np.full(count, value) for name, value in details.items()}


def _joined(parts: Iterable[tuple[Array, Route]]) -> Route:
    """Routes of parts of a batch, in the order of the batch."""
    given = list(parts)
    if len(given) == 1:
        return given[0][1]
    order = np.argsort(np.concatenate([index for index, _ in given]))
    routes = [route for _, route in given]

    def table(name: str) -> dict[Any, Array]:
        rows = [getattr(route, name) for route in routes]
        return {key: _column(rows, key, routes)[order] for key in {key: None for row in rows for key in row}}

    paths = np.concatenate([route.paths for route in routes])[order]
    method = np.concatenate([route.method for route in routes])[order]
    return Route(table("figures"), table("errors"), table("half_widths"), paths, method, table("details"))


def _column(rows: list[Mapping[Any, Array]], key: Any, routes: list[Route]) -> Array:
    """One column of all parts; a fact that a part does not have is None there."""
    blank = [np.full(len(route.paths), None) for route in routes]
    return np.concatenate([row.get(key, none) for row, none in zip(rows, blank, strict=True)])


def _no_method(terms: Terms, method: str) -> InputError:
    return InputError(
        f"`method` must be 'monte_carlo' for style {terms.style!r} under model {terms.model!r}, was {method!r}"
    )


_PLAIN = ("european", "digital", *EARLY)  # a payoff by one price
_ROUTES = {"monte_carlo": _simulated, "closed_form": _closed_form, "lattice": _lattice}
