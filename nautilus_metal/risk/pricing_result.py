"""What the doors to option prices return, for one contract and for a batch."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nautilus_metal.engine.mlx_arrays import mlx_device
from nautilus_metal.risk.pricing_checks import Array
from nautilus_metal.risk.pricing_routes import HOST_METHODS, Request, Route

Figure = float | tuple[float, ...] | tuple[tuple[float, ...], ...] | None


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What made prices.

    Attributes
    ----------
    computation_time_ms : float
        Wall time, the device synchronised.
    device, precision : str
        Where and in what type the figures were made; "mlx:gpu" or "mlx:cpu" through MLX.
    sampler : str
        "pseudo", "antithetic", "sobol", or "none".
    seed : int
        Of the random numbers.
    model, style : str
        As asked for.
    """

    computation_time_ms: float
    device: str
    precision: str
    sampler: str
    seed: int
    model: str
    style: str


@dataclass(frozen=True, kw_only=True)
class OptionPrice(Origin):
    """A price with its sensitivities, errors and origin.

    Attributes
    ----------
    price : float
        Present value.
    greeks : mapping of str to float
        delta, gamma, vega (per 1.00), theta (per year), rho (per 1.00); for several assets delta, gamma and vega are
        tuples with a figure for each, and cross_gamma is the matrix of second derivatives by two prices. A Greek is
        None only where the device's type could not hold its terms.
    standard_errors : mapping of str to float
        Of the price and of every Greek; zero for the routes without sampling.
    confidence_intervals : mapping of float to (float, float)
        Of the price, at 95% and 99%; for the lattice the price plus and minus its discretisation error.
    num_simulations : int
        Paths; 0 for the routes without sampling.
    method : str
        The one that was used: monte_carlo, longstaff_schwartz, closed_form, lattice or immediate_exercise.
    details : mapping
        Facts of the route: steps of a path, exercise policy, discretisation error.
    """

    price: float
    greeks: Mapping[str, Figure]
    standard_errors: Mapping[str, Figure]
    confidence_intervals: Mapping[float, tuple[float, float]]
    num_simulations: int
    method: str
    details: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class OptionPrices(Origin):
    """Prices of a batch with their sensitivities, errors and origin; `prices[i]` is one contract's `OptionPrice`.

    Attributes
    ----------
    price : ndarray
        Present values, of the shape to which the arguments broadcast.
    greeks, standard_errors : mapping of str to ndarray
        As in `OptionPrice`, of the same shape; for several assets with an axis (cross_gamma: two axes) more. NaN
        where `OptionPrice` has None.
    confidence_intervals : mapping of float to ndarray
        Of the prices, at 95% and 99%, with an axis of two more.
    num_simulations, method : ndarray
        Of each contract.
    details : mapping of str to ndarray
        Of each contract.
    """

    price: Array
    greeks: Mapping[str, Array]
    standard_errors: Mapping[str, Array]
    confidence_intervals: Mapping[float, Array]
    num_simulations: Array
    method: Array
    details: Mapping[str, Array]

    def __len__(self) -> int:
        return len(self.price)

    def __getitem__(self, index: int | tuple[int, ...]) -> OptionPrice:
        return OptionPrice(
            price=float(self.price[index]),
            greeks={name: _figure(figure[index]) for name, figure in self.greeks.items()},
            standard_errors={name: _figure(figure[index]) for name, figure in self.standard_errors.items()},
            confidence_intervals={
                level: (float(edges[index][0]), float(edges[index][1]))
                for level, edges in self.confidence_intervals.items()
            },
            num_simulations=int(self.num_simulations[index]),
            method=str(self.method[index]),
            details={name: np.asarray(fact[index]).item() for name, fact in self.details.items()},
            **{name: getattr(self, name) for name in Origin.__dataclass_fields__},
        )


def _figure(values: Any) -> Figure:
    """A number, or nested tuples of them; None for what is not finite."""
    if np.ndim(values):
        return tuple(_figure(row) for row in values)  # type: ignore[return-value]
    return float(values) if np.isfinite(values) else None


def priced(request: Request, route: Route, started: float) -> OptionPrices:
    """The result of a request, started at a time of `time.perf_counter`."""
    terms, engine = request.terms, request.engine

    def shaped(rows: Array) -> Array:
        return rows.reshape(terms.shape + rows.shape[1:])

    price = route.figures["price"]
    edges = {level: np.array([price - half, price + half]).T for level, half in route.half_widths.items()}
    host = set(route.method.tolist()) <= set(HOST_METHODS)
    return OptionPrices(
        price=shaped(price),
        greeks={name: shaped(figure) for name, figure in route.figures.items() if name != "price"},
        standard_errors={name: shaped(error) for name, error in route.errors.items()},
        confidence_intervals={level: shaped(edge) for level, edge in edges.items()},
        computation_time_ms=(time.perf_counter() - started) * 1e3,
        num_simulations=shaped(route.paths),
        device="cpu" if host else mlx_device() if request.backend == "mlx" else str(engine.device),
        precision="float64" if host else str(engine.dtype).removeprefix("torch."),
        sampler=request.sampler if route.paths.any() else "none",
        seed=request.seed,
        model=terms.model,
        style=terms.style,
        method=shaped(route.method),
        details={name: shaped(fact) for name, fact in route.details.items()},
    )
