"""Portfolio optimisation: `risk.allocation.optimise` under the name of the function API."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from nautilus_metal.compat.manager import metal_device_manager
from nautilus_metal.compat.portfolio import checked_returns, checked_weights
from nautilus_metal.compat.results import Array, Computed, made_by
from nautilus_metal.engine.devices import KINDS
from nautilus_metal.errors import InputError
from nautilus_metal.risk.allocation import Constraints, optimise


@dataclass(frozen=True, kw_only=True, eq=False)
class PortfolioOptimizationResult(Computed):
    """The best weights, and how good they are; all figures are per period of the returns.

    Attributes
    ----------
    optimal_weights : ndarray
        Shape (assets,).
    objective : str
        As asked for.
    expected_return, volatility : float
        Of the weights, before costs.
    sharpe_ratio : float or None
        Their ratio; None without volatility.
    gap : float or None
        The objective is no further than this from the optimum (see `risk.allocation.Allocation`).
    residual : float
        The largest violation of a constraint.
    turnover, cost : float
        What is traded, from the weights held now, and what that costs.
    status : str
        "optimal" or "inaccurate".
    solver : str
        Its name.
    """

    optimal_weights: Array
    objective: str
    expected_return: float
    volatility: float
    sharpe_ratio: float | None
    gap: float | None
    residual: float
    turnover: float
    cost: float
    status: str
    solver: str


def optimize_portfolio_metal(
    weights: ArrayLike | None,
    returns: ArrayLike,
    constraints: Constraints | Mapping[str, Any] | None = None,
    *,
    objective: str = "minimum_variance",
    **options: Any,
) -> PortfolioOptimizationResult:
    """Find the best weights of a portfolio; see `risk.allocation.optimise`.

    Parameters
    ----------
    weights : array_like or None
        Held now, shape (assets,): what turnover and costs are counted from. None is nothing but cash.
    returns : array_like
        Simple returns, shape (periods, assets).
    constraints : Constraints or mapping, optional
        What the portfolio may be: `lower`, `upper`, `budget`, `groups`, `turnover`, `costs`, `target_return`; long
        only and fully invested where not given.
    objective : str
        "minimum_variance", "mean_variance", "maximum_sharpe", "minimum_cvar", "risk_parity" or "hrp".
    **options
        What else `risk.allocation.optimise` takes: `risk_aversion`, `level`, ...

    Returns
    -------
    PortfolioOptimizationResult
        The weights.

    Raises
    ------
    InputError
        If an argument is outside its range, or no portfolio keeps the constraints: it names which conflict.
    """
    history = checked_returns(returns)
    allowed = _constraints(weights, constraints, history.shape[1])
    chosen = metal_device_manager.place("matrix_operations", "losses", history.size)
    found, done = metal_device_manager.run(
        "optimize_portfolio",
        chosen,
        lambda engine: optimise(history, objective, constraints=allowed, engine=engine, **options),
        lambda allocation: allocation.device,
    )
    exact = KINDS[done.device.partition(":")[0]].exact_dtype
    return PortfolioOptimizationResult(
        optimal_weights=found.weights,
        objective=found.objective,
        expected_return=found.expected_return,
        volatility=found.volatility,
        sharpe_ratio=found.expected_return / found.volatility if found.volatility > 0 else None,
        gap=found.gap,
        residual=found.residual,
        turnover=found.turnover,
        cost=found.cost,
        status=found.status,
        solver=found.solver,
        **made_by(done, str(exact).removeprefix("torch.")),  # type: ignore[arg-type]
    )


def _constraints(
    weights: ArrayLike | None, constraints: Constraints | Mapping[str, Any] | None, assets: int
) -> Constraints:
    """Constraints with the weights held now in them."""
    names = tuple(field.name for field in fields(Constraints))
    if isinstance(constraints, Constraints):
        given = {name: getattr(constraints, name) for name in names}
    elif constraints is None or isinstance(constraints, Mapping):
        given = dict(constraints or {})
    else:
        raise InputError(f"`constraints` must be Constraints or a mapping, was {type(constraints).__name__}")
    for name in given:
        if name not in names:
            raise InputError(f"`constraints` must have keys of {', '.join(names)}, had {name!r}")
    if weights is not None:
        if np.any(given.get("previous", 0.0)):
            raise InputError("`previous` must be left out of `constraints` beside `weights`, were both given")
        given["previous"] = checked_weights(weights, assets)
    return Constraints(**given)
