"""Scenarios on the device: one transfer in, losses and tail there, one transfer out."""

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.kernels.normals import chi_square_quantile, standard_normals
from nautilus_metal.kernels.scenarios import ScenarioSet, full_losses, linear_losses, relative_changes
from nautilus_metal.kernels.tail import TailWeights, largest, shortfall_error, tail_weights
from nautilus_metal.risk.book import Array
from nautilus_metal.risk.models import Request, Scenarios

_SAMPLE = 256  # scenarios evaluated again in float64
_ROWS = 32  # normals are drawn for a multiple of this many factors, so that a growing book finds them in the cache
_PIECE = 2**24  # elements of the scratch block of a full revaluation


@dataclass(frozen=True)
class Task:
    """What is evaluated: exposures by instrument, fitted scenarios, levels, and whether P&L is linear."""

    exposures: Array
    scenarios: Scenarios
    request: Request
    levels: tuple[float, ...]
    linear: bool


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


def evaluate(task: Task, engine: ComputeEngine) -> Figures:
    """Compute the figures of a task on the engine's device."""
    count = task.scenarios.count
    weights = tail_weights(count, task.levels)
    both = torch.cat([weights.var, weights.es], dim=1)
    with on_device(task, engine, both) as (exposures, scenarios, columns):
        losses = _losses(exposures, scenarios, task.linear, engine)
        worst, where = largest(losses, weights.size)
        unit = relative_changes(scenarios.part(where), task.linear).neg_()
        sample = losses[: min(_SAMPLE, count)]
        flat = torch.cat([worst, (unit @ columns).flatten(), unit[:, 0], sample])
        result = engine.download(flat)
    return _finish(task, weights, result)


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
    weights = tail_weights(task.scenarios.count, task.levels)
    with on_device(task, engine, weights.var) as (exposures, scenarios, columns):
        losses = _losses(exposures, scenarios, task.linear, engine)
        figures = []
        for value, column in zip(values.tolist(), index, strict=True):
            without = losses + value * relative_changes(scenarios.asset(column), task.linear)[0]
            figures.append(largest(without, weights.size)[0] @ columns)
        return engine.download(torch.stack(figures, dim=1))


@contextmanager
def on_device(task: Task, engine: ComputeEngine, columns: Tensor) -> Iterator[tuple[Tensor, ScenarioSet, Tensor]]:
    """Bring a task to the device in one transfer; normals come from the pool's cache where they are there."""
    fitted = task.scenarios
    parts = [torch.from_numpy(task.exposures), fitted.loading, fitted.shift, columns]
    parts += [] if fitted.empirical is None else [fitted.empirical]
    exposures, loading, shift, weights, *rest = _upload(engine, parts)
    with ExitStack() as stack:
        if rest:
            factors, scale = rest[0], None
        else:
            width, scale = fitted.loading.shape[-1], None
            factors = stack.enter_context(_normals(engine, task.request, width))[1 : 1 + width]
            if fitted.degrees is not None:
                scale = stack.enter_context(_mixing(engine, task.request, fitted.degrees))
        yield exposures, ScenarioSet(loading, factors, shift, scale), weights


def _upload(engine: ComputeEngine, parts: Sequence[Tensor]) -> list[Tensor]:
    """One flat array over the bus, then views."""
    flat = engine.upload(torch.cat([part.flatten() for part in parts]).numpy())
    pieces = torch.split(flat, [part.numel() for part in parts])
    return [piece.view(part.shape) for piece, part in zip(pieces, parts, strict=True)]


def _normals(engine: ComputeEngine, request: Request, factors: int) -> AbstractContextManager[Tensor]:
    """Row 0 is kept for the mixing variable of a Student-t, the factors follow."""
    rows = math.ceil((factors + 1) / _ROWS) * _ROWS

    def fill(block: Tensor) -> None:
        block.copy_(standard_normals(rows, request.scenarios, request.seed, request.sampler).to(block.dtype))

    key = ("normals", request.sampler, request.seed)
    return engine.pool.borrow((rows, request.scenarios), engine.dtype, key=key, fill=fill)


def _mixing(engine: ComputeEngine, request: Request, degrees: float) -> AbstractContextManager[Tensor]:
    def fill(block: Tensor) -> None:
        block.copy_(_mixing_scale(request.scenarios, request.seed, request.sampler, degrees).to(block.dtype))

    key = ("student_t", request.sampler, request.seed, degrees)
    return engine.pool.borrow((request.scenarios,), engine.dtype, key=key, fill=fill)


def _mixing_scale(count: int, seed: int, sampler: str, degrees: float) -> Tensor:
    r""":math:`\sqrt{(\nu - 2) / \chi^2_\nu}`: turns a unit normal into a unit-variance Student-t."""
    first = torch.special.ndtr(standard_normals(1, count, seed, sampler)[0])
    return torch.sqrt((degrees - 2) / chi_square_quantile(first, degrees))


def _losses(exposures: Tensor, scenarios: ScenarioSet, linear: bool, engine: ComputeEngine) -> Tensor:
    if linear:
        return linear_losses(exposures, scenarios)
    assets, count = len(exposures), scenarios.factors.shape[1]
    with engine.pool.borrow((assets, min(count, max(1, _PIECE // assets))), engine.dtype) as buffer:
        return full_losses(exposures, scenarios, buffer)


def _finish(task: Task, weights: TailWeights, result: Array) -> Figures:
    levels, assets, size = len(task.levels), len(task.exposures), weights.size
    worst, unit, worst_unit, sample = np.split(result, np.cumsum([size, assets * 2 * levels, assets]))
    unit = unit.reshape(assets, 2 * levels).T
    tail = torch.from_numpy(worst)
    var, es, spread = tail @ weights.var, tail @ weights.es, tail @ weights.spread
    error = shortfall_error(tail, var, es, weights, torch.tensor(task.levels, dtype=torch.float64))
    return Figures(
        var=var.numpy(),
        es=es.numpy(),
        var_se=spread.numpy(),
        es_se=error.numpy(),
        marginal_var=unit[:levels],
        marginal_es=unit[levels:],
        worst_loss=float(worst[0]),
        worst_unit=worst_unit,
        drift=_drift(task, sample),
    )


def _drift(task: Task, sample: Array) -> float | None:
    """Compare the first scenarios with float64 on the host."""
    exact = _sample_losses(task, len(sample)).numpy()
    spread = float(exact.std())
    return float(np.abs(exact - sample).max()) / spread if spread > 0 else None


def _sample_losses(task: Task, count: int) -> Tensor:
    fitted, request = task.scenarios, task.request
    exposures, scale = torch.from_numpy(task.exposures), None
    if fitted.empirical is not None:
        factors = fitted.empirical[:, :count]
    else:
        rows = fitted.loading.shape[-1] + 1
        factors = _sample_normals(math.ceil(rows / _ROWS) * _ROWS, count, request.seed, request.sampler)[1:rows]
        if fitted.degrees is not None:
            scale = _sample_mixing(count, request.seed, request.sampler, fitted.degrees)
    scenarios = ScenarioSet(fitted.loading, factors, fitted.shift, scale)
    if task.linear:
        return linear_losses(exposures, scenarios)
    return full_losses(exposures, scenarios, torch.empty(len(exposures), count, dtype=torch.float64))


_sample_normals = lru_cache(maxsize=8)(standard_normals)
_sample_mixing = lru_cache(maxsize=16)(_mixing_scale)
