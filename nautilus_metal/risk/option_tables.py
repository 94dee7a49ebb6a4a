"""A task with options on a device: its arrays, its scenarios, and scratch to walk over them in pieces."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.kernels.option_scenarios import BUFFERS, JointScenarios, Moves, OptionTerms, moves
from nautilus_metal.kernels.scenarios import ScenarioSet
from nautilus_metal.risk.draws import borrow_mixing, borrow_normals, padded, upload
from nautilus_metal.risk.option_task import OptionTask

_PIECE = 2**20  # elements of a piece of options by scenarios: more fill no device, fewer make threads wait
_MARKET_PIECE = 2**22  # elements of a piece of instruments by scenarios
_ROWS = 256  # options in a piece, where there are enough scenarios
_WORD, _EXTRA = 8, 12  # bytes of a number at most, and numbers for losses and their order


@dataclass(frozen=True)
class Tables:
    """A task on a device, amounts in units of `OptionTask.unit`; `constant` is `decay` there, of shape (1,).

    `packed` is for what a fused kernel makes of `task`.
    """

    scenarios: JointScenarios
    terms: OptionTerms
    notionals: Tensor
    exposures: Tensor
    expansion: tuple[Tensor, Tensor, Tensor]
    decay: float
    constant: Tensor
    columns: Tensor
    engine: ComputeEngine | None
    task: OptionTask
    packed: list[Any] = field(init=False, default_factory=list)

    @contextmanager
    def pieces(self, scenarios: JointScenarios) -> Iterator[tuple[int, Iterator[tuple[slice, Moves]], Tensor]]:
        """Rows of options to take at a time, pieces of the scenarios with their moves, scratch for both."""
        options, assets = len(self.notionals), len(self.exposures)
        volatilities = len(scenarios.row) if scenarios.noise is not None else 0
        width = min(scenarios.size, max(1, _PIECE // min(options, _ROWS)), max(1, _MARKET_PIECE // assets))
        rows = min(options, max(1, _PIECE // width))
        with ExitStack() as stack:
            market = self._scratch(stack, (2 * assets + volatilities) * width)
            yield rows, _walk(scenarios, width, market), self._scratch(stack, BUFFERS * rows * width)

    def _scratch(self, stack: ExitStack, elements: int) -> Tensor:
        if self.engine is None:
            return torch.empty(elements, dtype=self.exposures.dtype)
        return stack.enter_context(self.engine.pool.borrow((elements,), self.engine.dtype))


@contextmanager
def on_device(
    task: OptionTask, engine: ComputeEngine, columns: Tensor, part: slice | None = None
) -> Iterator[Tables]:
    """Bring a task, or a part of its scenarios, to the device; normals come from the cache where they are there.

    `columns` may be there already.
    """
    fitted, request, volatilities = task.scenarios, task.request, len(task.volatility_rows[0])
    skipped, request = noise_place(task), replace(request, scenarios=fitted.count)
    part = part or slice(0, fitted.count)
    with ExitStack() as stack:
        factors = scale = noise = None
        if fitted.empirical is None or task.noisy:
            width = skipped + (volatilities if task.noisy else 0)
            normals = stack.enter_context(borrow_normals(engine, request, width, part))[1:]
            factors = normals[:skipped] if fitted.empirical is None else None
            noise = normals[skipped : skipped + volatilities] if task.noisy else None
        if fitted.degrees is not None:
            scale = stack.enter_context(borrow_mixing(engine, request, fitted.degrees, part))
        history = torch.zeros(0, dtype=torch.float64) if fitted.empirical is None else fitted.empirical[:, part]
        some = [columns] if columns.is_cpu else []
        parts = [*task.parts, *some, fitted.loading, fitted.shift, history]
        *head, loading, shift, history = upload(engine, parts)
        head += [] if columns.is_cpu else [columns]
        spots = ScenarioSet(loading, history if factors is None else factors, shift, scale)
        yield make_tables(task, head, spots, noise, engine)


def noise_place(task: OptionTask) -> int:
    """Rows of normals before those of the volatilities: the factors, or the dates drawn from history."""
    fitted = task.scenarios
    return fitted.loading.shape[-1] if fitted.empirical is None else task.request.horizon - 1


def make_tables(
    task: OptionTask, parts: list[Tensor], spots: ScenarioSet, noise: Tensor | None, engine: ComputeEngine | None
) -> Tables:
    """`parts` are those of the task, then the columns."""
    options = len(task.terms.row)
    index = task.index.to(parts[0].device)
    row, volatility_row, places = torch.split(index, [options, options, len(task.volatility_rows[0])])
    moneyness, strike, total_volatility, sign, base = parts[:5]
    terms = OptionTerms(moneyness, strike, total_volatility, sign, base, row, volatility_row)
    notionals, exposures, linear, square, volatility, slope, centre, spread, constant, columns = parts[5:]
    joint = JointScenarios(spots, places, slope, centre, spread, noise)
    decay, expansion = task.expansion[3] / task.unit, (linear, square, volatility)
    return Tables(joint, terms, notionals, exposures, expansion, decay, constant, columns, engine, task)


def host_tables(task: OptionTask) -> Tables:
    """A task without its scenarios, in float64 on the host."""
    nothing, fitted = torch.zeros(0, dtype=torch.float64), task.scenarios
    spots = ScenarioSet(fitted.loading, nothing[:, None], fitted.shift, None)
    return make_tables(task, [*task.parts, nothing], spots, None, None)


def bytes_each(task: OptionTask) -> int:
    """Memory that a scenario takes: its normals or history, two losses and their order, its share of the scratch."""
    fitted, volatilities = task.scenarios, len(task.volatility_rows[0]) if task.noisy else 0
    drawn = fitted.empirical is None or task.noisy
    rows = padded(1 + noise_place(task) + volatilities) if drawn else 0
    rows += 0 if fitted.empirical is None else len(fitted.empirical)
    scratch = BUFFERS * _PIECE + _MARKET_PIECE * 3
    return _WORD * (rows + _EXTRA + scratch // fitted.count)


def _walk(scenarios: JointScenarios, width: int, buffer: Tensor) -> Iterator[tuple[slice, Moves]]:
    for start in range(0, scenarios.size, width):
        columns = slice(start, min(start + width, scenarios.size))
        yield columns, moves(scenarios.part(columns), buffer)
