"""Sums of products over simulated paths by the compiled loop of `kernels.fused_paths`, on the threads of the CPU."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nautilus_metal.engine.threads import share
from nautilus_metal.kernels.brownian import bridge_order
from nautilus_metal.kernels.fused_paths import PSEUDO, QUICK, SOBOL, tile_paths
from nautilus_metal.kernels.fused_payoffs import ROWS
from nautilus_metal.kernels.normals import direction_numbers

Array = NDArray[np.float64]

PIECE = 1 << 16  # numbers that a thread makes at a time
WORK = 8  # elements of plain arithmetic that a number is worth
SOURCES = {"pseudo": PSEUDO, "antithetic": PSEUDO, "sobol": SOBOL, "fast": QUICK}
_NEVER = 1e30  # an exercise boundary that no price passes


class PathProblem(NamedTuple):
    """What is simulated under Black-Scholes, in units of today's price.

    Attributes
    ----------
    style : int
        A key of `kernels.fused_payoffs.ROWS`.
    steps, every : int
        Equal steps of a path, and those from one observation to the next.
    market : tuple of float
        Drift and deviation of a step, strike, sign, rate and dividend yield times the years of a step.
    boundary : ndarray, optional
        Exercise boundary of each step, infinite where there is none.
    """

    style: int
    steps: int
    every: int
    market: tuple[float, ...]
    boundary: Array | None = None


def path_sums(
    loop: Callable[..., None], problem: PathProblem, seeds: Sequence[int], count: int, sampler: str
) -> list[Array]:
    """Sum up the products of the basis over the paths of each seed.

    Parameters
    ----------
    loop : callable
        `kernels.fused_paths.path_products`, compiled.
    problem : PathProblem
        What to simulate.
    seeds : sequence of int
        Independent streams.
    count : int
        Paths of each; pairs of them for "antithetic".
    sampler : {"pseudo", "antithetic", "sobol", "fast"}
        As in `kernels.brownian.draws`.

    Returns
    -------
    list of ndarray
        Symmetric, shape (rows, rows), whatever the number of threads.
    """
    source, steps = SOURCES[sampler], problem.steps
    tile = tile_paths(steps, source)
    size = count if source == SOBOL else tile * max(1, PIECE // (steps * tile))
    tasks = [(seed, first) for seed in range(len(seeds)) for first in range(0, count, size)]
    rows = len(ROWS[problem.style])
    parts = np.zeros((len(tasks), rows, rows))
    ways = _ways(steps, source)
    market = np.array(problem.market, np.float32)
    boundary = _boundary(problem)

    def work(k: int) -> None:
        seed, first = tasks[k]
        number = min(size, count - first)
        loop(problem.style, source, seeds[seed], *ways, first, number, sampler == "antithetic", tile, market,
             problem.every, boundary, parts[k])  # fmt: skip

    share(work, range(len(tasks)), WORK * steps * count * len(seeds))
    lower = parts.reshape(len(seeds), -1, rows, rows).sum(1)
    return [(one + one.T) / (1.0 + np.eye(rows)) for one in lower]


def _ways(steps: int, source: int) -> tuple[NDArray[Any], ...]:
    """Direction numbers of each step, and how a bridge's sums of normals follow from each other."""
    if source == SOBOL:
        nodes, weights = bridge_order(steps)
        return direction_numbers(steps), nodes, weights.astype(np.float32)
    return np.empty((steps, 0), np.int64), np.empty((0, 3), np.int64), np.empty((0, 3), np.float32)


def _boundary(problem: PathProblem) -> NDArray[np.float32]:
    if problem.boundary is None:
        return np.empty(0, np.float32)
    never = _NEVER if problem.market[3] > 0 else 1.0 / _NEVER
    return np.where(np.isfinite(problem.boundary), problem.boundary, never).astype(np.float32)
