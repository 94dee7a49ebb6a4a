"""One risk tick: value at risk, expected shortfall and components of a book, normals cached."""

from typing import NamedTuple

import numpy as np

from nautilus_metal.bench.case import Case
from nautilus_metal.engine import ComputeEngine
from nautilus_metal.kernels.normals import standard_normals
from nautilus_metal.risk import Book, RiskAssessment, assess

LEVELS = (0.95, 0.99)


class Problem(NamedTuple):
    """A book, its history, and the normals that the numpy peer has cached."""

    engine: ComputeEngine
    book: Book
    returns: np.ndarray
    normals: np.ndarray


class NumpyFigures(NamedTuple):
    """The peer's answer, an entry for each level."""

    var: list[float]
    es: list[float]
    component_es: list[np.ndarray]


def _prepare(engine: ComputeEngine, assets: int, scenarios: int) -> Problem:
    rng = np.random.default_rng(1)
    market = rng.normal(scale=0.008, size=(1000, 1))
    returns = market * rng.uniform(0.5, 1.5, assets) + rng.normal(scale=0.012, size=(1000, assets))
    quantities = rng.integers(-50, 200, assets).astype(float)
    book = Book.linear(quantities=quantities, prices=rng.uniform(20, 300, assets))
    return Problem(engine, book, returns, standard_normals(assets, scenarios, seed=3).numpy())


def _assess(problem: Problem) -> RiskAssessment:
    scenarios = problem.normals.shape[1]
    return assess(problem.book, problem.returns, levels=LEVELS, scenarios=scenarios, engine=problem.engine)


def _numpy(problem: Problem) -> NumpyFigures:
    """The same in numpy, as one would write it: float64, cached normals, sorted losses, Euler components."""
    values = problem.book.values
    covariance = problem.returns.T @ problem.returns / len(problem.returns)
    scenarios = np.linalg.cholesky(covariance) @ problem.normals
    losses = -(values @ scenarios)
    order = np.argsort(losses)[::-1]
    answer = NumpyFigures([], [], [])
    for level in LEVELS:
        worst = order[: max(1, round(len(losses) * (1 - level)))]
        answer.var.append(float(losses[worst[-1]]))
        answer.es.append(float(losses[worst].mean()))
        answer.component_es.append(-values * scenarios[:, worst].mean(axis=1))
    return answer


def _check(_: Problem, ours: RiskAssessment, theirs: NumpyFigures) -> None:
    """Two streams of normals: within five standard errors of each other, both having one."""
    for i, level in enumerate(LEVELS):
        for name, mine, its, error in (
            ("VaR", ours.var[level], theirs.var[i], ours.var_se[level]),
            ("ES", ours.es[level], theirs.es[i], ours.es_se[level]),
        ):
            assert abs(mine - its) <= 5 * 2**0.5 * error, f"{name} at {level}: {mine} and {its}, error {error}"
        assert np.isclose(ours.component_es[level].sum(), ours.es[level], rtol=1e-5)
        assert np.isclose(theirs.component_es[i].sum(), theirs.es[i], rtol=1e-9)


CASES = (
    Case(
        name="risk_tick",
        title="VaR and ES at two levels with components, normal model, covariance of 1,000 days",
        sizes=({"assets": 20, "scenarios": 10_000}, {"assets": 100, "scenarios": 100_000}),
        quick=({"assets": 5, "scenarios": 1_000},),
        prepare=_prepare,
        ours=_assess,
        peers={"numpy": _numpy},
        check=_check,
    ),
)
