"""One order at the gate: what it would make of VaR and ES, and how much of it the limits bear."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from nautilus_metal.bench.case import Case
from nautilus_metal.engine import ComputeEngine
from nautilus_metal.risk import Book, assess
from nautilus_metal.risk.what_if import WhatIf, what_if

LEVELS = (0.95, 0.99)
ORDER = 5_000  # shares, of which the limits bear a part


class Problem(NamedTuple):
    """A book with its history, its scenarios, and limits a little above its figures."""

    engine: ComputeEngine
    book: Book
    returns: np.ndarray
    scenarios: int
    asks: WhatIf
    limits: dict[str, dict[float, float]]


def _prepare(engine: ComputeEngine, positions: int, scenarios: int) -> Problem:
    rng = np.random.default_rng(1)
    returns = rng.normal(scale=0.008, size=(1000, 1)) + rng.normal(scale=0.012, size=(1000, positions))
    quantities = rng.integers(50, 200, positions).astype(float)
    book = Book.linear(quantities=quantities, prices=rng.uniform(20, 300, positions))
    asks = what_if(book, returns, levels=LEVELS, scenarios=scenarios, engine=engine)
    limits = {name: {level: 1.05 * value for level, value in row.items()} for name, row in asks.figures({}).items()}
    return Problem(engine, book, returns, scenarios, asks, limits)


def _gate(problem: Problem) -> tuple[float, float]:
    """Figure over its limit, and the part that passes, beside a working order in each other instrument."""
    from nautilus_metal.actors.gate_weighing import Weighing  # without the host the other cases still run

    held = problem.asks.quantities
    working = [_order(name, 1.0) for name in list(held)[1:]]
    weighing = Weighing(problem.asks, held, working, [_order("0", float(ORDER))], problem.limits)
    over, part = weighing.excess, weighing.largest(1.0)
    assert over is not None
    assert part is not None
    return over.value, part


def _order(name: str, quantity: float) -> Any:
    from nautilus_metal.host import OrderIntent

    return OrderIntent(name, name, "S-001", (), quantity, None, reduce_only=False, closes=False, group=())


def _assess(problem: Problem) -> tuple[float, float]:
    """The same by a fresh assessment of each book that is asked about, the part by bisection."""
    least, most = 0, ORDER
    value = _worst(problem, most)[1]
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (middle, most) if _worst(problem, middle)[0] <= 1 else (least, middle)
    return value, float(least)


def _worst(problem: Problem, quantity: int) -> tuple[float, float]:
    first, *others = problem.book.positions
    rest = [replace(position, quantity=position.quantity + 1.0) for position in others]
    book = Book([replace(first, quantity=first.quantity + quantity), *rest])
    risk = assess(book, problem.returns, levels=LEVELS, scenarios=problem.scenarios, engine=problem.engine)
    figures = [(risk.var[level], problem.limits["var"][level]) for level in LEVELS]
    figures += [(risk.es[level], problem.limits["es"][level]) for level in LEVELS]
    return max((value / limit, value) for value, limit in figures)


def _check(_: Problem, ours: tuple[float, float], theirs: tuple[float, float]) -> None:
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-4)
    np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-3, atol=1.0)


CASES = (
    Case(
        name="gate",
        title="An order over the limits at the gate: VaR and ES with it and 49 working orders, the part that passes",
        sizes=({"positions": 50, "scenarios": 10_000},),
        quick=({"positions": 5, "scenarios": 1_000},),
        prepare=_prepare,
        ours=_gate,
        peers={"assess": _assess},
        check=_check,
    ),
)
