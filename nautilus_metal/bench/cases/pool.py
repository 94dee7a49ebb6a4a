"""A keyed borrow that finds its contents, beside a bare allocation by torch."""

from typing import NamedTuple

import torch

from nautilus_metal.bench.case import Case
from nautilus_metal.engine import ComputeEngine


class Problem(NamedTuple):
    """The engine, and what is borrowed from it."""

    engine: ComputeEngine
    shape: tuple[int, int]


def _prepare(engine: ComputeEngine, rows: int, columns: int) -> Problem:
    with engine.pool.borrow((rows, columns), key="bench", fill=lambda tensor: tensor.fill_(1.0)):
        return Problem(engine, (rows, columns))


def _borrow(problem: Problem) -> tuple[int, ...]:
    with problem.engine.pool.borrow(problem.shape, key="bench") as tensor:
        return tuple(tensor.shape)


def _empty(problem: Problem) -> tuple[int, ...]:
    return tuple(torch.empty(problem.shape, device=problem.engine.device).shape)


def _check(problem: Problem, ours: tuple[int, ...], theirs: tuple[int, ...]) -> None:
    assert ours == theirs == problem.shape
    assert problem.engine.pool.stats().cache_hit_rate, "the borrow found nothing"


CASES = (
    Case(
        name="pool",
        title="borrowing a cached tensor, against allocating one without contents",
        sizes=({"rows": 20, "columns": 10_000},),
        quick=({"rows": 2, "columns": 100},),
        prepare=_prepare,
        ours=_borrow,
        peers={"torch.empty": _empty},
        check=_check,
    ),
)
