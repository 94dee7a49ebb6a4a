"""Value at risk of a book of options, every option revalued in every scenario."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from nautilus_metal.bench.case import Case, Floor, need_cuda
from nautilus_metal.engine import ComputeEngine
from nautilus_metal.kernels.normals import standard_normals
from nautilus_metal.risk import Book, Option, Position, RiskAssessment, assess

LEVELS = (0.95, 0.99)
_RATE, _PERIOD = 0.02, 1 / 252


class Problem(NamedTuple):
    """A book of options, the history of its underlyings, and the normals that peers have cached."""

    engine: ComputeEngine
    book: Book
    returns: np.ndarray
    normals: torch.Tensor


class PeerFigures(NamedTuple):
    """A peer's answer, an entry for each level."""

    var: list[float]
    es: list[float]


def _prepare(engine: ComputeEngine, options: int, scenarios: int, assets: int = 0) -> Problem:
    """Options on a fifth as many underlyings, and a plain position in each of `assets`, which these are among."""
    rng = np.random.default_rng(5)
    names = [f"U{i}" for i in range(max(1, options // 5, assets))]
    returns = rng.normal(scale=0.008, size=(1000, 1)) + rng.normal(scale=0.012, size=(1000, len(names)))
    positions = [Position(name, float(rng.integers(-50, 200)), 100.0) for name in names[:assets]]
    for i in range(options):
        underlying = names[i % max(1, options // 5)]
        terms = Option(underlying, "call" if i % 2 else "put", strike=rng.uniform(80, 120), rate=_RATE,
                       expiry=rng.uniform(0.1, 1.0), volatility=rng.uniform(0.15, 0.4), spot=100.0)  # fmt: skip
        value = float(_price(np, _ndtr_numpy(), terms, np.float64(terms.spot), terms.expiry))
        positions.append(Position(f"O{i}", float(rng.integers(-20, 40)), value, multiplier=100, option=terms))
    normals = standard_normals(len(names), scenarios, seed=3).float()
    return Problem(engine, Book(positions), returns, normals)


def _ndtr_numpy() -> Callable[[Any], Any]:
    from scipy.special import ndtr

    return ndtr


def _price(library: Any, ndtr: Callable[[Any], Any], terms: Option, spot: Any, years: float) -> Any:
    """Black and Scholes (1973), in an array library with numpy's names."""
    root = terms.volatility * years**0.5
    first = (library.log(spot / terms.strike) + terms.rate * years) / root + 0.5 * root
    forward = spot * ndtr(terms.sign * first)
    return terms.sign * (forward - terms.strike * np.exp(-terms.rate * years) * ndtr(terms.sign * (first - root)))


def _losses(library: Any, ndtr: Callable[[Any], Any], problem: Problem, normals: Any, factor: Any) -> Any:
    """Losses of every scenario, one position after the other, which keeps the temporaries in the cache."""
    spots = dict(zip(problem.book.instruments, library.exp(factor @ normals), strict=True))
    total = 0.0
    for position in problem.book.positions:
        terms = position.option
        if terms is None:
            value = position.price * spots[position.instrument]
        else:
            value = _price(library, ndtr, terms, terms.spot * spots[terms.underlying], terms.expiry - _PERIOD)
        total = total - position.quantity * position.multiplier * (value - position.price)
    return total


def _factor(problem: Problem) -> np.ndarray:
    return np.linalg.cholesky(problem.returns.T @ problem.returns / len(problem.returns)).astype(np.float32)


def _numpy(problem: Problem) -> PeerFigures:
    losses = _losses(np, _ndtr_numpy(), problem, problem.normals.numpy(), _factor(problem))
    return _figures(np.sort(losses)[::-1])


def _torch(problem: Problem) -> PeerFigures:
    """On the device of ours, to which the normals are moved each time where it is no CPU."""
    normals = problem.normals.to(problem.engine.device)
    factor = problem.engine.upload(_factor(problem), torch.float32)
    losses = _losses(torch, torch.special.ndtr, problem, normals, factor)
    return _figures(problem.engine.download(losses.sort(descending=True).values))


def _figures(losses: np.ndarray) -> PeerFigures:
    counts = [max(1, round(len(losses) * (1 - level))) for level in LEVELS]
    return PeerFigures([float(losses[n - 1]) for n in counts], [float(losses[:n].mean()) for n in counts])


def _assess(problem: Problem) -> RiskAssessment:
    scenarios = problem.normals.shape[1]
    return assess(problem.book, problem.returns, levels=LEVELS, scenarios=scenarios, engine=problem.engine)


def _check(_: Problem, ours: RiskAssessment, theirs: PeerFigures | RiskAssessment) -> None:
    """Two streams of normals: within five standard errors of each other, both having one."""
    if isinstance(theirs, RiskAssessment):  # ours on the CPU
        theirs = PeerFigures(list(theirs.var.values()), list(theirs.es.values()))
    for i, level in enumerate(LEVELS):
        for name, mine, its, error in (
            ("VaR", ours.var[level], theirs.var[i], ours.var_se[level]),
            ("ES", ours.es[level], theirs.es[i], ours.es_se[level]),
        ):
            assert abs(mine - its) <= 5 * 2**0.5 * error, f"{name} at {level}: {mine} and {its}, error {error}"


def _prepare_on_cuda(engine: ComputeEngine, **size: int) -> Problem:
    need_cuda(engine)
    made = _prepare(engine, **size)
    return made._replace(normals=made.normals.to(engine.device))


CASES = (
    Case(
        name="option_book",
        title="VaR and ES of options by full revaluation; ours with components and delta-gamma figures, peers bare",
        sizes=({"options": 50, "scenarios": 100_000},),
        quick=({"options": 5, "scenarios": 1_000},),
        prepare=_prepare,
        ours=_assess,
        peers={"numpy": _numpy, "torch eager, same device": _torch},
        check=_check,
        floor=Floor(
            "two normal distributions an option and scenario, each at least one exponential at the measured rate",
            lambda rates, size: rates.exponentiated(2 * size["options"] * size["scenarios"]),
        ),
        on_cpu=True,
    ),
    Case(
        name="cuda_option_tick",
        title="a tick of shares and options on the GPU, host included; ours with components, peers bare",
        sizes=({"assets": 100, "options": 50, "scenarios": 1_000_000},),
        quick=({"assets": 7, "options": 5, "scenarios": 2_000},),
        prepare=_prepare_on_cuda,
        ours=_assess,
        peers={"torch eager, normals on the GPU": _torch},
        check=_check,
        floor=Floor(
            "cached normals read once",
            lambda rates, size: rates.moved(4.0 * size["assets"] * size["scenarios"]),
        ),
    ),
)
