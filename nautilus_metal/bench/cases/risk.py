"""Value at risk, expected shortfall and components of a linear book, normals cached."""

from collections.abc import Callable
from functools import partial
from math import lgamma, log, pi
from typing import Any, NamedTuple

import numpy as np
import torch

from nautilus_metal.bench.case import Case, Floor
from nautilus_metal.bench.libraries import array_library
from nautilus_metal.engine import ComputeEngine
from nautilus_metal.kernels.normals import standard_normals
from nautilus_metal.risk import Book, RiskAssessment, assess
from nautilus_metal.risk.degrees import DEGREES_GRID

LEVELS = (0.95, 0.99)
_ALPHA, _BETA, _GAMMA, _LEAST = 0.03, 0.90, 0.06, 0.01  # of the filter of `risk.filtered`


class Problem(NamedTuple):
    """A book, its history, the normals that peers have cached, and what they keep on their devices."""

    engine: ComputeEngine
    book: Book
    returns: np.ndarray
    normals: np.ndarray
    kept: dict[str, Any]


class PeerFigures(NamedTuple):
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
    return Problem(engine, book, returns, standard_normals(assets, scenarios, seed=3).numpy(), {})


def _assess(problem: Problem, model: str = "normal") -> RiskAssessment:
    scenarios = problem.normals.shape[1]
    return assess(problem.book, problem.returns, model, levels=LEVELS, scenarios=scenarios, engine=problem.engine)


def _numpy(problem: Problem) -> PeerFigures:
    """The same in numpy, as one would write it: float64, cached normals, sorted losses, Euler components."""
    covariance = problem.returns.T @ problem.returns / len(problem.returns)
    return _sorted(problem.book.values, (np.linalg.cholesky(covariance) @ problem.normals).T)


def _numpy_historical(problem: Problem) -> PeerFigures:
    return _sorted(problem.book.values, np.expm1(problem.returns))


def _numpy_filtered(problem: Problem) -> PeerFigures:
    """Past shocks at today's volatility, by the filter of `risk.filtered`: a recursion over the days."""
    squares = problem.returns**2
    long_run = squares.mean(axis=0)
    weights = np.where(problem.returns < 0.0, _ALPHA + _GAMMA, _ALPHA)
    variance = np.empty((len(squares) + 1, len(long_run)))
    variance[0], constant = long_run, (1.0 - _ALPHA - _BETA - _GAMMA / 2) * long_run
    for day, square in enumerate(squares):
        variance[day + 1] = constant + weights[day] * square + _BETA * variance[day]
    deviation = np.sqrt(np.maximum(variance, _LEAST * long_run))
    return _sorted(problem.book.values, np.expm1(problem.returns / deviation[:-1] * deviation[-1]))


def _numpy_student(problem: Problem) -> PeerFigures:
    """Degrees by maximum likelihood over the same candidates; mixing variables cached by them, as the normals are."""
    centred = problem.returns - problem.returns.mean(axis=0)
    squares = centred**2 / (centred**2).mean(axis=0)

    def likelihood(degrees: float) -> float:
        constant = lgamma((degrees + 1) / 2) - lgamma(degrees / 2) - 0.5 * log(pi * (degrees - 2))
        return float(constant - (degrees + 1) / 2 * np.log1p(squares / (degrees - 2)).mean())

    degrees = max(DEGREES_GRID, key=likelihood)
    if "mixing" not in problem.kept:
        drawn = np.random.default_rng(2).chisquare(degrees, problem.normals.shape[1])
        problem.kept["mixing"] = np.sqrt((degrees - 2) / drawn)
    factor = np.linalg.cholesky(centred.T @ centred / (len(centred) - 1))
    return _sorted(problem.book.values, (factor @ problem.normals * problem.kept["mixing"]).T)


def _sorted(values: np.ndarray, returns: np.ndarray) -> PeerFigures:
    """Figures of scenarios of returns, shape (scenarios, assets)."""
    losses = -(returns @ values)
    worst = np.argsort(losses)[::-1][: max(1, round(len(losses) * (1 - LEVELS[0])))]
    return _tail_figures(losses[worst], -(returns[worst] * values).T, len(losses))


def _collapsed(name: str, problem: Problem) -> PeerFigures:
    """The shortest way in an array library: one row times the cached float32 normals, and the tail."""
    library, normals = _library(name, problem)
    covariance = problem.returns.T @ problem.returns / len(problem.returns)
    factor = np.linalg.cholesky(covariance)
    net = library.asarray((problem.book.values @ factor).astype(np.float32))
    losses = -(net @ normals)
    worst = library.argsort(losses)[-max(1, round(len(losses) * (1 - LEVELS[0]))) :]
    tail, shocks = (np.asarray(_on_host(part), float) for part in (losses[worst], normals[:, worst]))
    return _tail_figures(tail[::-1], -problem.book.values[:, None] * (factor @ shocks[:, ::-1]), len(losses))


def _torch(problem: Problem) -> PeerFigures:
    """The same in torch, on the device of ours."""
    engine = problem.engine
    if "torch" not in problem.kept:
        problem.kept["torch"] = engine.upload(problem.normals, torch.float32)
    normals = problem.kept["torch"]
    covariance = problem.returns.T @ problem.returns / len(problem.returns)
    factor = np.linalg.cholesky(covariance)
    losses = -(engine.upload(problem.book.values @ factor, torch.float32) @ normals)
    tail, worst = losses.topk(max(1, round(len(losses) * (1 - LEVELS[0]))))
    shocks = engine.download(normals[:, worst])
    return _tail_figures(engine.download(tail), -problem.book.values[:, None] * (factor @ shocks), len(losses))


def _library(name: str, problem: Problem) -> tuple[Any, Any]:
    """An array library with numpy's names, and the normals in its memory."""
    library = array_library(name)
    if name not in problem.kept:
        problem.kept[name] = library.asarray(problem.normals.astype(np.float32))
    return library, problem.kept[name]


def _on_host(array: Any) -> Any:
    return array.get() if hasattr(array, "get") else array  # CuPy converts only on demand


def _tail_figures(tail: np.ndarray, parts: np.ndarray, scenarios: int) -> PeerFigures:
    """Figures of losses in descending order and their parts by asset, shape (assets, tail)."""
    answer = PeerFigures([], [], [])
    for level in LEVELS:
        count = max(1, round(scenarios * (1 - level)))
        answer.var.append(float(tail[count - 1]))
        answer.es.append(float(tail[:count].mean()))
        answer.component_es.append(parts[:, :count].mean(axis=1))
    return answer


def _check(_: Problem, ours: RiskAssessment, theirs: PeerFigures | RiskAssessment) -> None:
    """Two streams of normals: within five standard errors of each other, both having one."""
    if isinstance(theirs, RiskAssessment):  # ours on the CPU
        components = list(theirs.component_es.values())
        theirs = PeerFigures(list(theirs.var.values()), list(theirs.es.values()), components)
    for i, level in enumerate(LEVELS):
        for name, mine, its, error in (
            ("VaR", ours.var[level], theirs.var[i], ours.var_se[level]),
            ("ES", ours.es[level], theirs.es[i], ours.es_se[level]),
        ):
            assert abs(mine - its) <= 5 * 2**0.5 * error, f"{name} at {level}: {mine} and {its}, error {error}"
        assert np.isclose(ours.component_es[level].sum(), ours.es[level], rtol=1e-5)
        assert np.isclose(theirs.component_es[i].sum(), theirs.es[i], rtol=1e-5)


_FLOOR = Floor(
    "cached normals, 4 bytes each, read once at the speed of a copy: a linear book is one row times their matrix",
    lambda rates, size: rates.moved(4 * size["assets"] * size["scenarios"]),
)
_PEERS: dict[str, Callable[[Problem], PeerFigures]] = {
    "numpy": _numpy,
    "numpy, collapsed": partial(_collapsed, "numpy"),
    "torch eager, collapsed, same device": _torch,
    "CuPy, collapsed": partial(_collapsed, "cupy"),
    "JAX, collapsed": partial(_collapsed, "jax.numpy"),
}

_TICKS: dict[str, Callable[[Problem], PeerFigures]] = {
    "historical": _numpy_historical,
    "filtered_historical": _numpy_filtered,
    "student_t": _numpy_student,
}

_NORMAL = tuple(
    Case(
        name=name,
        title=f"{title}: VaR and ES at two levels with components, normal model, covariance of 1,000 days",
        sizes=(size,),
        quick=({"assets": 5, "scenarios": 1_000},),
        prepare=_prepare,
        ours=_assess,
        peers=_PEERS,
        check=_check,
        floor=_FLOOR,
        on_cpu=True,
    )
    for name, title, size in (
        ("risk_tick", "one tick of a running book", {"assets": 20, "scenarios": 10_000}),
        ("var_es", "a large assessment on cached normals", {"assets": 100, "scenarios": 1_000_000}),
    )
)
_BY_MODEL = tuple(
    Case(
        name=f"tick_{model}",
        title=f"the same tick by the model {model}, fitted to 1,000 days: the scenarios of a model of history",
        sizes=({"assets": 20, "scenarios": 10_000},),
        quick=({"assets": 5, "scenarios": 1_000},),
        prepare=_prepare,
        ours=partial(_assess, model=model),
        peers={"numpy": peer},
        check=_check,
        on_cpu=True,
    )
    for model, peer in _TICKS.items()
)
CASES = (*_NORMAL, *_BY_MODEL)
