"""Scenarios on the device: one transfer in, losses and tail there, one transfer out.

Where the device's memory does not hold a task at once, the same is done in pieces of the scenarios
(`nautilus_metal.engine.governor`), and the tail of all of them is gathered on the host.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from nautilus_metal.engine import ComputeEngine, threads_for
from nautilus_metal.engine.governor import in_pieces, room
from nautilus_metal.engine.team import ALONE, Team
from nautilus_metal.errors import InputError
from nautilus_metal.kernels.scenarios import (
    ScenarioSet,
    full_losses,
    linear_losses,
    net_loading,
    relative_changes,
    scaled_factors,
)
from nautilus_metal.kernels.tail import TailWeights, jackknife_error, largest, tail_weights
from nautilus_metal.risk.book import Array
from nautilus_metal.risk.draws import borrow_mixing, borrow_normals, borrow_table, padded, sample_scenarios, upload
from nautilus_metal.risk.request import Request, Scenarios
from nautilus_metal.risk.tail_parts import TailParts, check_tail, with_worst
from nautilus_metal.risk.tail_work import through_tail

_SAMPLE = 256  # scenarios evaluated again in float64
_PIECE = 2**24  # elements of the scratch block of a full revaluation
_TAIL_SHARE = 16  # of the free memory that a tail may take beside the pieces
_WORD, _EXTRA = 8, 8  # bytes of a number at most, and numbers for losses and their order


@dataclass(frozen=True)
class Task:
    """What is evaluated: exposures by instrument, fitted scenarios, levels, and whether P&L is linear."""

    exposures: Array
    scenarios: Scenarios
    request: Request
    levels: tuple[float, ...]
    linear: bool

    @cached_property
    def unit(self) -> float:
        """A power of two near the largest exposure: in units of it, losses fit any floating-point type."""
        return 2.0 ** math.frexp(float(np.abs(self.exposures).max()))[1]

    @cached_property
    def scaled(self) -> Tensor:
        """Exposures in units of `unit`, float64 on the host: by factor for a linear book, else by instrument."""
        exposures = torch.from_numpy(self.exposures / self.unit)
        return net_loading(exposures, self.scenarios.loading) if self.linear else exposures

    @cached_property
    def expected_profit(self) -> float:
        """Of a linear book, in units of `unit`."""
        return float(self.exposures @ self.scenarios.shift.numpy()) / self.unit


@dataclass(frozen=True)
class Figures:
    """What leaves the device, finished in float64.

    Attributes
    ----------
    var, es, var_se, es_se : ndarray
        Shape (levels,).
    marginal_var, marginal_es : ndarray
        For one unit of base currency in each instrument, shape (levels, instruments).
    worst_loss : float
        The largest loss.
    worst_unit : ndarray
        Loss of one unit of base currency in each instrument in that scenario, shape (instruments,).
    drift : float or None
        See `RiskAssessment.drift`.
    device : str
        Where they were computed; several, joined by a plus sign, where memory was short.
    """

    var: Array
    es: Array
    var_se: Array
    es_se: Array
    marginal_var: Array
    marginal_es: Array
    worst_loss: float
    worst_unit: Array
    drift: float | None
    device: str


def evaluate(task: Task, engine: ComputeEngine, team: Team = ALONE) -> Figures:
    """Compute the figures of a task on the engine's device, or where there is memory for it; a team shares it."""
    count = task.scenarios.count
    check_tail(engine, count, task.levels, len(task.scenarios.shift))
    weights = tail_weights(count, task.levels)

    def begin(size: int, start: int) -> PlainWork:
        def parts() -> TailParts:
            in_place = _TAIL_SHARE * size * _WORD * (task.scenarios.loading.shape[-1] + 2) < room(engine)
            return TailParts(size, max(0, min(_SAMPLE, count) - start), in_place)

        return PlainWork(task, weights, parts)

    return _finish(task, weights, *through_tail(engine, team, count, _bytes_each(task), weights.size, begin))


@dataclass(frozen=True)
class PlainWork:
    """The worst losses, the first ones, the worst scenario's basis, and the basis weighed by each figure."""

    task: Task
    weights: TailWeights
    make_parts: Callable[[], TailParts]

    @cached_property
    def parts(self) -> TailParts:
        """What is kept of the parts, where the work is not done as a whole."""
        return self.make_parts()

    def whole(self, engine: ComputeEngine) -> Array:
        task, count, figures = self.task, self.task.scenarios.count, self.weights.figures
        table = borrow_table(engine, ("tail", count, task.levels), tuple(figures.shape), lambda: figures)
        with table as weights, _drawn(task, engine, slice(0, count)) as drawn:
            scenarios, exposures, columns = _on_device(task, engine, drawn, weights, slice(0, count))
            losses = _losses(task, exposures, scenarios, engine)
            worst, where = largest(losses, self.weights.size)
            basis = _basis(task, scenarios.part(where))
            weighed = columns.T @ basis.T  # this way round it takes half the time on the CPU
            return engine.download(torch.cat([worst, losses[:_SAMPLE], basis[:, 0], weighed.flatten()]))

    def part(self, engine: ComputeEngine, first: int, last: int) -> None:
        columns = slice(first, last)
        with _drawn(self.task, engine, columns) as drawn:
            nothing = torch.zeros(0, dtype=torch.float64)
            scenarios, exposures, _ = _on_device(self.task, engine, drawn, nothing, columns)
            scale = () if scenarios.scale is None else (scenarios.scale[None],)
            self.parts.take(_losses(self.task, exposures, scenarios, engine), (scenarios.factors, *scale))

    def gathered(self, team: Team) -> Array | None:
        found = self.parts.among(team, with_worst(self.weights.figures))
        if found is None:
            return None
        worst, table, sample = found
        factors, *scale = self.parts.columns
        fitted = self.task.scenarios
        loading, shift = fitted.loading.to(factors), fitted.shift.to(factors)
        tail = ScenarioSet(loading, factors, shift, scale[0][0] if scale else None)
        basis = team.total((_basis(self.task, tail) @ table).double().cpu())
        return torch.cat([worst, sample, basis.T.flatten()]).numpy()


def _basis(task: Task, tail: ScenarioSet) -> Tensor:
    """What marginal figures are made of: factors of a linear book, price changes of one revalued in full."""
    return scaled_factors(tail) if task.linear else relative_changes(tail, linear=False)


def _bytes_each(task: Task) -> int:
    """Memory that a scenario takes: its normals, losses and their order, and its share of the scratch block."""
    assets, fitted = len(task.scenarios.shift), task.scenarios
    drawn = padded(fitted.loading.shape[-1] + 1) if fitted.empirical is None else assets
    scratch = 0 if task.linear else min(assets, max(1, _PIECE // fitted.count))
    return _WORD * (drawn + scratch + _EXTRA)


def losses_without(task: Task, values: Array, index: Sequence[int], engine: ComputeEngine) -> Array:
    """VaR of the book without each position in turn, shape (levels, positions), on the same scenarios.

    Parameters
    ----------
    task : Task
        The book's task.
    values : ndarray
        Signed value of each position, shape (positions,).
    index : sequence of int
        Column of each position's instrument.
    engine : ComputeEngine
        Where to compute.
    """
    weights, everything = tail_weights(task.scenarios.count, task.levels), slice(0, task.scenarios.count)
    quantiles = weights.figures[:, : weights.levels].contiguous()

    def work(engine: ComputeEngine, _first: int, _last: int) -> Array:
        with _drawn(task, engine, everything) as drawn:
            scenarios, exposures, columns = _on_device(task, engine, drawn, quantiles, everything)
            losses = _losses(task, exposures, scenarios, engine)
            figures = []
            for value, column in zip((values / task.unit).tolist(), index, strict=True):
                without = losses + value * relative_changes(scenarios.asset(column), task.linear)[0]
                figures.append(largest(without, weights.size)[0] @ columns)
            return engine.download(torch.stack(figures, dim=1)) * task.unit

    return in_pieces(engine, 1, 1, work)[0]


@contextmanager
def _drawn(
    task: Task, engine: ComputeEngine, columns: slice
) -> Iterator[tuple[Tensor | None, Tensor | None]]:
    """Borrow factors and mixing scale of scenarios that are drawn: from the pool's cache where they are there."""
    fitted = task.scenarios
    with ExitStack() as stack:
        factors = scale = None
        if fitted.empirical is None:
            width = fitted.loading.shape[-1]
            factors = stack.enter_context(borrow_normals(engine, task.request, width, columns))[1 : 1 + width]
        if fitted.degrees is not None:
            scale = stack.enter_context(borrow_mixing(engine, task.request, fitted.degrees, columns))
        yield factors, scale


def _on_device(
    task: Task,
    engine: ComputeEngine,
    drawn: tuple[Tensor | None, Tensor | None],
    table: Tensor,
    columns: slice,
) -> tuple[ScenarioSet, Tensor, Tensor]:
    """Bring the rest of a task's scenarios, its exposures and a `table` of the host to the device in one transfer.

    The exposures are those of `Task.scaled`.
    """
    fitted, (factors, scale) = task.scenarios, drawn
    parts = [fitted.loading, fitted.shift, task.scaled]
    parts += [] if fitted.empirical is None else [fitted.empirical[:, columns]]
    loading, shift, exposures, *rest = upload(engine, [*parts, table] if table.is_cpu else parts)
    table = rest.pop() if table.is_cpu else table
    factors = rest[0] if factors is None else factors
    return ScenarioSet(loading, factors, shift, scale), exposures, table


def _losses(task: Task, exposures: Tensor, scenarios: ScenarioSet, engine: ComputeEngine) -> Tensor:
    """Losses in units of `Task.unit`; `exposures` as `_on_device` gives them."""
    if task.linear:
        return linear_losses(exposures, task.expected_profit, scenarios.factors, scenarios.scale)
    assets, count = len(exposures), scenarios.factors.shape[1]
    with engine.pool.borrow((assets, min(count, max(1, _PIECE // assets))), engine.dtype) as buffer:
        return full_losses(exposures, scenarios, buffer)


@threads_for(0)  # some hundred scenarios, on the host
def _finish(task: Task, weights: TailWeights, result: Array, device: str) -> Figures:
    fitted, levels = task.scenarios, len(task.levels)
    sampled = weights.size + min(_SAMPLE, fitted.count)
    worst, sample, basis = result[: weights.size], result[weights.size : sampled], result[sampled:]
    if not np.isfinite(result).all():
        raise InputError("`returns` lead to price changes beyond the range of numbers: are they log returns?")
    unit = _unit_losses(task, basis.reshape(1 + 2 * levels, -1))
    figures = worst @ weights.figures.numpy()
    errors = jackknife_error(worst, weights, fitted.count) * fitted.error_scale
    var, es = figures[:levels], np.maximum(figures[levels:], figures[:levels])
    return Figures(
        var=var * task.unit,
        es=es * task.unit,
        var_se=errors[:levels] * task.unit,
        es_se=errors[levels:] * task.unit,
        marginal_var=unit[1 : 1 + levels],
        marginal_es=unit[1 + levels :],
        worst_loss=float(worst[0] * task.unit),
        worst_unit=unit[0],
        drift=_drift(task, sample),
        device=device,
    )


def _unit_losses(task: Task, basis: Array) -> Array:
    """Losses of one unit of base currency in each instrument, shape (rows, instruments), of the basis in rows."""
    if not task.linear:
        return -basis
    loading = task.scenarios.loading.numpy()
    moves = basis @ loading.T if loading.ndim == 2 else basis * loading
    return -(moves + task.scenarios.shift.numpy())


def _drift(task: Task, sample: Array) -> float | None:
    """Compare the first scenarios with float64 on the host."""
    exact = _sample_losses(task, len(sample)).numpy()
    centred = exact - exact.sum() / len(exact)
    spread = math.sqrt(centred @ centred / len(exact))  # in half the time of `std`
    return float(np.abs(exact - sample).max()) / spread if spread > 0 else None


def _sample_losses(task: Task, count: int) -> Tensor:
    exposures, scenarios = task.scaled, sample_scenarios(task.scenarios, task.request, count)
    if task.linear:
        return linear_losses(exposures, task.expected_profit, scenarios.factors, scenarios.scale)
    return full_losses(exposures, scenarios, torch.empty(len(exposures), count, dtype=torch.float64))
