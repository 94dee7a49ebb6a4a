"""Portfolio optimisation: minimum CVaR and mean-variance, to a gap that is asked for, against general solvers."""

from typing import Any, NamedTuple

import numpy as np

from nautilus_metal.bench.case import Case
from nautilus_metal.engine import ComputeEngine
from nautilus_metal.risk.allocation import Allocation, Constraints, optimise

LEVEL, AVERSION, TOLERANCE = 0.95, 4.0, 1e-4
_AGREE = 1e-4  # share of the objective that two optima may lie apart


class Problem(NamedTuple):
    """Scenario returns and the most that one asset may weigh."""

    engine: ComputeEngine
    returns: np.ndarray
    upper: float


def _prepare(engine: ComputeEngine, assets: int, scenarios: int) -> Problem:
    rng = np.random.default_rng(2)
    market = rng.normal(scale=0.008, size=(scenarios, 1))
    own = 0.01 * rng.standard_t(4, size=(scenarios, assets))
    return Problem(engine, market + own + rng.uniform(0.0, 8e-4, assets), max(0.1, 4 / assets))


def _minimum_cvar(problem: Problem) -> Allocation:
    constraints = Constraints(upper=problem.upper)
    return optimise(
        problem.returns, "minimum_cvar", constraints=constraints, level=LEVEL, tolerance=TOLERANCE,
        engine=problem.engine,
    )  # fmt: skip


def _mean_variance(problem: Problem) -> Allocation:
    constraints = Constraints(upper=problem.upper)
    return optimise(
        problem.returns, "mean_variance", constraints=constraints, risk_aversion=AVERSION, engine=problem.engine
    )


def _highs_cvar(problem: Problem) -> np.ndarray:
    """Rockafellar and Uryasev's linear programme by scipy's HiGHS."""
    from scipy import sparse
    from scipy.optimize import linprog

    scenarios, assets = problem.returns.shape
    slope = np.concatenate([np.zeros(assets), [1.0], np.full(scenarios, 1 / scenarios / (1 - LEVEL))])
    rows = sparse.hstack([-problem.returns, np.full((scenarios, 1), -1.0), -sparse.eye_array(scenarios)], "csr")
    budget = sparse.csr_array((np.ones(assets), (np.zeros(assets, int), np.arange(assets))), (1, len(slope)))
    bounds = [(0.0, problem.upper)] * assets + [(None, None)] + [(0.0, None)] * scenarios
    found = linprog(slope, rows, np.zeros(scenarios), budget, [1.0], bounds, method="highs")
    return found.x[:assets]


def _clarabel(quadratic: Any, slope: np.ndarray, rows: Any, right: np.ndarray) -> np.ndarray:
    """Minimise with rows at most `right`, the first of them an equality."""
    import clarabel

    settings = clarabel.DefaultSettings()
    settings.verbose = False
    cones = [clarabel.ZeroConeT(1), clarabel.NonnegativeConeT(len(right) - 1)]
    return np.array(clarabel.DefaultSolver(quadratic, slope, rows, right, cones, settings).solve().x)


def _clarabel_cvar(problem: Problem) -> np.ndarray:
    from scipy import sparse

    scenarios, assets = problem.returns.shape
    slope = np.concatenate([np.zeros(assets), [1.0], np.full(scenarios, 1 / scenarios / (1 - LEVEL))])
    tail, box = -sparse.eye_array(scenarios), sparse.eye_array(assets)
    rows = sparse.block_array([
        [np.ones((1, assets)), None, None],
        [-problem.returns, np.full((scenarios, 1), -1.0), tail],
        [box, None, None],
        [-box, None, None],
        [None, None, tail],
    ], format="csc")  # fmt: skip
    limits = [np.ones(1), np.zeros(scenarios), np.full(assets, problem.upper), np.zeros(assets + scenarios)]
    none = sparse.csc_matrix((len(slope), len(slope)))
    return _clarabel(none, slope, sparse.csc_matrix(rows), np.concatenate(limits))[:assets]


def _clarabel_mean_variance(problem: Problem) -> np.ndarray:
    from scipy import sparse

    assets = problem.returns.shape[1]
    quadratic = 2 * AVERSION * np.cov(problem.returns.T)
    rows = sparse.vstack([np.ones((1, assets)), sparse.eye_array(assets), -sparse.eye_array(assets)])
    limits = np.concatenate([[1.0], np.full(assets, problem.upper), np.zeros(assets)])
    upper = sparse.csc_matrix(np.triu(quadratic))
    return _clarabel(upper, -problem.returns.mean(axis=0), sparse.csc_matrix(rows), limits)


def _shortfall(problem: Problem, weights: np.ndarray) -> float:
    worst = np.sort(-problem.returns @ weights)[::-1]
    beyond = len(worst) * (1 - LEVEL)
    return float(np.clip(beyond - np.arange(len(worst)), 0, 1) @ worst / beyond)


def _utility(problem: Problem, weights: np.ndarray) -> float:
    earned = problem.returns @ weights
    return float(AVERSION * earned.var(ddof=1) - earned.mean())


def _check_cvar(problem: Problem, ours: Allocation, theirs: np.ndarray | Allocation) -> None:
    weights = theirs.weights if isinstance(theirs, Allocation) else theirs
    _agree(ours, _shortfall(problem, ours.weights), _shortfall(problem, weights))


def _check_mean_variance(problem: Problem, ours: Allocation, theirs: np.ndarray) -> None:
    _agree(ours, _utility(problem, ours.weights), _utility(problem, theirs))


def _agree(ours: Allocation, value: float, theirs: float) -> None:
    assert ours.status == "optimal", "; ".join(ours.reasons)
    assert abs(value - theirs) <= _AGREE * abs(theirs), f"objectives {value} and {theirs}"


CASES = (
    Case(
        name="minimum_cvar",
        title=f"weights of least {LEVEL:.0%} CVaR, long only and capped, to a proven gap of {TOLERANCE:g}",
        sizes=({"assets": 20, "scenarios": 8_000},),
        quick=({"assets": 5, "scenarios": 400},),
        prepare=_prepare,
        ours=_minimum_cvar,
        peers={"HiGHS": _highs_cvar, "Clarabel": _clarabel_cvar},
        check=_check_cvar,
        on_cpu=True,
    ),
    Case(
        name="minimum_cvar_wide",
        title="the same of many assets, where the simplex method takes minutes",
        sizes=({"assets": 400, "scenarios": 10_000},),
        quick=({"assets": 20, "scenarios": 400},),
        prepare=_prepare,
        ours=_minimum_cvar,
        peers={"Clarabel": _clarabel_cvar},
        check=_check_cvar,
        on_cpu=True,
    ),
    Case(
        name="mean_variance",
        title="weights of the best mean less variance, long only and capped, covariance included",
        sizes=({"assets": 20, "scenarios": 1_000}, {"assets": 500, "scenarios": 1_000}),
        quick=({"assets": 5, "scenarios": 400},),
        prepare=_prepare,
        ours=_mean_variance,
        peers={"Clarabel": _clarabel_mean_variance},
        check=_check_mean_variance,
    ),
)
