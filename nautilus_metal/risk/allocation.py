"""Portfolio optimisation: the weights that are best by one of several objectives, and proof of how good they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from nautilus_metal.engine import ComputeEngine, shared_engine, threads_for
from nautilus_metal.kernels.portfolio import Programme
from nautilus_metal.kernels.portfolio_hierarchy import hierarchical_risk_parity
from nautilus_metal.risk.allocation_problem import OBJECTIVES, Case, Problem, read
from nautilus_metal.risk.allocation_quadratic import Optimised, largest_sharpe, least_quadratic, risk_parity
from nautilus_metal.risk.allocation_region import check_feasible, region
from nautilus_metal.risk.allocation_shortfall import least_shortfall
from nautilus_metal.risk.allocation_terms import Constraints, Group, PerAsset
from nautilus_metal.risk.book import Array

__all__ = ["OBJECTIVES", "Allocation", "Case", "Constraints", "Group", "optimise", "optimise_many"]

_FEASIBLE = 1e-6  # weights that break a constraint by more are not called optimal
_BATCH = 32  # problems from which on a GPU is worth its launches


@dataclass(frozen=True, eq=False)
class Allocation:
    """Weights and how good they are. All figures are per period of the returns.

    Attributes
    ----------
    objective : str
        As asked for.
    assets : tuple of str
        Names.
    weights : ndarray, shape (assets,)
        In their order.
    value : float
        Of the objective: what was minimised (costs included), the Sharpe ratio for the largest one, the standard
        deviation for the two parities.
    gap : float or None
        The objective lies no further than this from the optimum: a duality gap in its unit (for "maximum_sharpe" a
        share of the net return; for "risk_parity" in the logarithmic function that is minimised). None for HRP, which
        minimises nothing.
    residual : float
        The largest violation of a constraint.
    status : str
        "optimal", or "inaccurate" with the reason in `reasons`.
    reasons : tuple of str
        In words.
    expected_return, volatility : float
        Of the weights, before costs.
    expected_shortfall : float or None
        At the level, for "minimum_cvar".
    risk_contributions : ndarray, shape (assets,)
        Each asset's share of the variance.
    turnover, cost : float
        Sum of absolute changes from the previous weights, and what they cost.
    iterations : int
        Of the batch that the problem was solved in.
    solver : str
        "interior_point", "admm", "proximal_newton", "newton" or "recursion".
    device : str
        That did the device's part.
    seed : int or None
        Of the sample that the problem is of; None where nothing was drawn.
    """

    objective: str
    assets: tuple[str, ...]
    weights: Array
    value: float
    gap: float | None
    residual: float
    status: str
    reasons: tuple[str, ...]
    expected_return: float
    volatility: float
    expected_shortfall: float | None
    risk_contributions: Array = field(repr=False)
    turnover: float
    cost: float
    iterations: int
    solver: str
    device: str
    seed: int | None = None

    def named(self) -> dict[str, float]:
        """Return the weights by asset."""
        return dict(zip(self.assets, self.weights.tolist(), strict=True))


def optimise(
    returns: ArrayLike,
    objective: str = "minimum_variance",
    *,
    constraints: Constraints | None = None,
    risk_aversion: float = 1.0,
    probability: ArrayLike | None = None,
    **options: Any,
) -> Allocation:
    r"""Find the best weights of one problem; `optimise_many` finds those of many in one call.

    =================  =============================================================================
    objective          minimises, with cost c of trading
    =================  =============================================================================
    minimum_variance   :math:`\gamma\, w^\top \Sigma w + c`
    mean_variance      :math:`\gamma\, w^\top \Sigma w - \mu^\top w + c`
    maximum_sharpe     :math:`-(\mu^\top w - c - r) / \sqrt{w^\top \Sigma w}`
    minimum_cvar       :math:`\gamma\, \mathrm{ES}_\alpha(-R w) + c`, over the scenarios themselves
    risk_parity        the distance of risk contributions from `risk_shares` (no costs, no turnover)
    hrp                nothing: risk is split down a tree of correlations (bounds only)
    =================  =============================================================================

    Parameters
    ----------
    returns : array_like, shape (scenarios, assets)
        Simple returns of each period or scenario.
    objective : str, default "minimum_variance"
        One of the table.
    constraints : Constraints, optional
        What the portfolio may be; long only and fully invested where not given.
    risk_aversion : float, default 1.0
        Gamma.
    probability : array_like, shape (scenarios,), optional
        Weight of each scenario; even where not given.
    **options
        As in `optimise_many`.

    Returns
    -------
    Allocation
        The weights.

    Raises
    ------
    InputError
        If something is outside what is said here, or the constraints leave no portfolio: it names which conflict.

    Examples
    --------
    >>> calm, wild = [0.01, -0.01, 0.01, -0.01], [0.02, -0.02, -0.02, 0.02]
    >>> found = optimise(np.transpose([calm, wild]), assets=("CALM", "WILD"), device="cpu")
    >>> {name: round(weight, 6) for name, weight in found.named().items()}, found.status
    ({'CALM': 0.8, 'WILD': 0.2}, 'optimal')
    """
    case = Case(constraints or Constraints(), risk_aversion, probability)
    return optimise_many(returns, objective, [case], **options)[0]


def optimise_many(
    returns: ArrayLike,
    objective: str = "minimum_variance",
    cases: Sequence[Case] = (),
    *,
    assets: Sequence[str] | None = None,
    covariance: ArrayLike | None = None,
    expected_returns: PerAsset | None = None,
    level: float = 0.95,
    risk_free_rate: float = 0.0,
    risk_shares: Mapping[str, float] | Sequence[float] | None = None,
    solver: str = "auto",
    tolerance: float = 1e-5,
    device: str = "auto",
    engine: ComputeEngine | None = None,
) -> list[Allocation]:
    """Find the best weights of many problems over the same assets in one call.

    A frontier is cases that differ in `risk_aversion` or target return; a bootstrap and a rebalancing history are
    cases that differ in the probability of the scenarios: `allocation_cases` makes them.

    Parameters
    ----------
    returns : array_like, shape (scenarios, assets)
        Simple returns.
    objective : str
        As in `optimise`.
    cases : sequence of Case
        The problems.
    assets : sequence of str, optional
        Names; "0", "1", ... where not given.
    covariance, expected_returns : array_like, optional
        Shapes (assets, assets) and (assets,), per period; each problem's weighted sample moments where not given.
    level : float, default 0.95
        Confidence level of the expected shortfall.
    risk_free_rate : float, default 0.0
        Per period.
    risk_shares : mapping or sequence, optional
        Share of each asset in the variance, for "risk_parity"; even where not given.
    solver : {"auto", "interior_point", "admm", "proximal_newton"}
        An interior point (on the host; for "minimum_cvar" on a device that has float64, where there is enough to do),
        or on the device ADMM (for "minimum_variance" and "mean_variance") or proximal steps (for "minimum_cvar").
        "auto" takes ADMM for many problems on a GPU, and proximal steps where a problem's scenarios are too many for
        the interior point.
    tolerance : float, default 1e-5
        Largest gap, as a share of the objective, of an optimum.
    device : str, default "auto"
        Where to work, if no `engine` is given.
    engine : ComputeEngine, optional
        Where to work.

    Returns
    -------
    list of Allocation
        One for each case.

    Raises
    ------
    InputError
        As in `optimise`.
    """
    problem = read(
        returns, objective, cases, assets, covariance, expected_returns, level, risk_free_rate, risk_shares, solver,
        tolerance,
    )  # fmt: skip
    with threads_for(0):
        for terms in {id(terms): terms for terms in problem.terms}.values():
            check_feasible(terms, problem.assets)
    compute = engine or shared_engine(device)
    found = _solve(problem, compute)
    return [_allocation(problem, index, found) for index in range(len(problem.cases))]


def _solve(problem: Problem, engine: ComputeEngine) -> Optimised:
    """Solve a batch by its objective."""
    if problem.objective == "minimum_cvar":
        return _tails(problem, engine)
    with threads_for(problem.covariance.numel()):
        return _moments(problem, engine)


def _moments(problem: Problem, engine: ComputeEngine) -> Optimised:
    """Solve a batch whose objective is a function of means and covariances."""
    if problem.objective == "hrp":
        return _hierarchy(problem)
    if problem.objective == "risk_parity":
        return risk_parity(problem.terms, problem.covariance, problem.shares)
    if problem.objective == "maximum_sharpe":
        return largest_sharpe(problem.terms, problem.covariance, problem.expected, problem.risk_free_rate)
    made, aversion = _costed(problem)
    linear, count = made.linear, len(problem.assets)
    if problem.objective == "mean_variance":
        linear[:, :count] = -problem.expected
    quadratic = torch.zeros_like(made.quadratic)
    quadratic[:, :count, :count] = 2 * aversion[:, None, None] * problem.covariance
    many = len(problem.cases) >= _BATCH and engine.device.type != "cpu"
    solver = problem.solver if problem.solver != "auto" else "admm" if many else "interior_point"
    return least_quadratic(made._replace(quadratic=quadratic), engine, solver, problem.tolerance)


def _tails(problem: Problem, engine: ComputeEngine) -> Optimised:
    made, aversion = _costed(problem)
    given = None if problem.probability is None else torch.from_numpy(problem.probability)
    return least_shortfall(
        made, problem.returns, problem.level, given, aversion, problem.solver, problem.tolerance, engine
    )


def _costed(problem: Problem) -> tuple[Programme, Tensor]:
    """The feasible sets with what trading costs as linear function, and the risk aversions."""
    made, count = region(problem.terms), len(problem.assets)
    if made.linear.shape[1] > count:
        made.linear[:, count:] = torch.from_numpy(np.stack([terms.costs for terms in problem.terms]))
    return made, torch.tensor([case.risk_aversion for case in problem.cases], dtype=torch.float64)


def _hierarchy(problem: Problem) -> Optimised:
    rows = []
    for covariance, terms in zip(problem.covariance, problem.terms, strict=True):
        bounds = torch.from_numpy(terms.lower / terms.budget), torch.from_numpy(terms.upper / terms.budget)
        rows.append(terms.budget * hierarchical_risk_parity(covariance, *bounds))
    weights = torch.stack(rows)
    deviation = torch.einsum("bi,bij,bj->b", weights, problem.covariance, weights).sqrt()
    return Optimised(weights, deviation, torch.full_like(deviation, torch.nan), 1, "recursion")


def _allocation(problem: Problem, index: int, found: Optimised) -> Allocation:
    terms = problem.terms[index]
    weights = found.x[index, : len(problem.assets)].numpy().copy()
    covariance = problem.covariance[index].numpy()
    pull = covariance @ weights
    variance = float(weights @ pull)
    trade = np.abs(weights - terms.previous)
    value, gap = float(found.value[index]), float(found.gap[index])
    shortfall = None
    cost = float(terms.costs @ trade)
    if problem.objective == "minimum_cvar":
        shortfall = (value - cost) / problem.cases[index].risk_aversion
    reasons = _problems(problem, terms.violation(weights), value, gap, variance)
    return Allocation(
        objective=problem.objective,
        assets=problem.assets,
        weights=weights,
        value=value,
        gap=None if problem.objective == "hrp" else gap,
        residual=terms.violation(weights),
        status="inaccurate" if reasons else "optimal",
        reasons=reasons,
        expected_return=float(problem.expected[index].numpy() @ weights),
        volatility=variance**0.5,
        expected_shortfall=shortfall,
        risk_contributions=weights * pull / variance if variance > 0 else np.zeros_like(weights),
        turnover=float(trade.sum()),
        cost=cost,
        iterations=found.iterations,
        solver=found.solver,
        device=found.device,
        seed=problem.cases[index].seed,
    )


def _problems(problem: Problem, violation: float, value: float, gap: float, variance: float) -> tuple[str, ...]:
    """Say what keeps weights from being called optimal."""
    scale = {"maximum_sharpe": 1.0, "risk_parity": 1.0}.get(problem.objective, max(abs(value), variance))
    reasons = []
    if violation > _FEASIBLE:
        reasons.append(f"a constraint is broken by {violation:.1e}")
    if problem.objective != "hrp" and not gap <= problem.tolerance * scale:
        reasons.append(f"the gap of {gap:.1e} is above {problem.tolerance:g} of the objective")
    return tuple(reasons)
