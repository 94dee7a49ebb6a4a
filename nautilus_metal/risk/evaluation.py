"""Scenarios on the device: one transfer in, losses and tail there, one transfer out."""

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.errors import InputError
from nautilus_metal.kernels.normals import chi_square_quantile, standard_normals, uniforms
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
from nautilus_metal.risk.request import Request, Scenarios

_SAMPLE = 256  # scenarios evaluated again in float64
_ROWS = 32  # normals are drawn for a multiple of this many factors, so that a growing book finds them in the cache
_PIECE = 2**24  # elements of the scratch block of a full revaluation
_FILL = 2**22  # normals made at a time, float64 on the host


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
    with _drawn(task, engine) as drawn:
        weights = tail_weights(task.scenarios.count, task.levels)
        scenarios, exposures, columns = _on_device(task, engine, drawn, weights.figures)
        losses = _losses(task, exposures, scenarios, engine)
        worst, where = largest(losses, weights.size)
        tail = scenarios.part(where)
        basis = scaled_factors(tail) if task.linear else relative_changes(tail, linear=False)
        flat = torch.cat([worst, losses[:_SAMPLE], basis[:, 0], (basis @ columns).flatten()])
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
    with _drawn(task, engine) as drawn:
        weights = tail_weights(task.scenarios.count, task.levels)
        quantiles = weights.figures[:, : weights.levels].contiguous()
        scenarios, exposures, columns = _on_device(task, engine, drawn, quantiles)
        losses = _losses(task, exposures, scenarios, engine)
        figures = []
        for value, column in zip((values / task.unit).tolist(), index, strict=True):
            without = losses + value * relative_changes(scenarios.asset(column), task.linear)[0]
            figures.append(largest(without, weights.size)[0] @ columns)
        return engine.download(torch.stack(figures, dim=1)) * task.unit


@contextmanager
def _drawn(task: Task, engine: ComputeEngine) -> Iterator[tuple[Tensor | None, Tensor | None]]:
    """Borrow factors and mixing scale of scenarios that are drawn: from the pool's cache where they are there."""
    fitted = task.scenarios
    with ExitStack() as stack:
        factors = scale = None
        if fitted.empirical is None:
            width = fitted.loading.shape[-1]
            factors = stack.enter_context(borrow_normals(engine, task.request, width))[1 : 1 + width]
        if fitted.degrees is not None:
            scale = stack.enter_context(borrow_mixing(engine, task.request, fitted.degrees))
        yield factors, scale


def _on_device(
    task: Task, engine: ComputeEngine, drawn: tuple[Tensor | None, Tensor | None], table: Tensor
) -> tuple[ScenarioSet, Tensor, Tensor]:
    """Bring the rest of a task's scenarios, its exposures and `table` to the device in one transfer.

    The exposures are in units of `Task.unit`, by factor for a linear book and by instrument for one revalued in full.
    """
    fitted, (factors, scale) = task.scenarios, drawn
    parts = [fitted.loading, fitted.shift, _scaled_exposures(task), table]
    parts += [] if fitted.empirical is None else [fitted.empirical]
    loading, shift, exposures, columns, *rest = upload(engine, parts)
    factors = rest[0] if factors is None else factors
    return ScenarioSet(loading, factors, shift, scale), exposures, columns


def upload(engine: ComputeEngine, parts: Sequence[Tensor]) -> list[Tensor]:
    """Bring arrays to the device as one flat array over the bus, then views."""
    flat = engine.upload(torch.cat([part.flatten() for part in parts]).numpy())
    pieces = torch.split(flat, [part.numel() for part in parts])
    return [piece.view(part.shape) for piece, part in zip(pieces, parts, strict=True)]


def borrow_normals(engine: ComputeEngine, request: Request, factors: int) -> AbstractContextManager[Tensor]:
    """Borrow standard normals; row 0 is kept for the mixing variable of a Student-t, the factors follow."""
    rows = _padded(factors + 1)
    step = max(1, _FILL // request.scenarios)

    def fill(block: Tensor) -> None:
        for first in range(0, rows, step):
            count = min(step, rows - first)
            fresh = standard_normals(count, request.scenarios, request.seed, request.sampler, first_row=first)
            block[first : first + count].copy_(fresh.to(block.dtype))

    key = ("normals", request.sampler, request.seed)
    return engine.pool.borrow((rows, request.scenarios), engine.dtype, key=key, fill=fill)


def _padded(rows: int) -> int:
    return math.ceil(rows / _ROWS) * _ROWS


def borrow_mixing(engine: ComputeEngine, request: Request, degrees: float) -> AbstractContextManager[Tensor]:
    """Borrow the factors that turn unit normals into unit-variance Student-t, shape (scenarios,)."""

    def fill(block: Tensor) -> None:
        block.copy_(_mixing_scale(request.scenarios, request.seed, request.sampler, degrees).to(block.dtype))

    key = ("student_t", request.sampler, request.seed, degrees)
    return engine.pool.borrow((request.scenarios,), engine.dtype, key=key, fill=fill)


def _mixing_scale(count: int, seed: int, sampler: str, degrees: float) -> Tensor:
    r""":math:`\sqrt{(\nu - 2) / \chi^2_\nu}`: turns a unit normal into a unit-variance Student-t."""
    return torch.sqrt((degrees - 2) / chi_square_quantile(uniforms(1, count, seed, sampler)[0], degrees))


def _scaled_exposures(task: Task) -> Tensor:
    scaled = torch.from_numpy(task.exposures / task.unit)
    return net_loading(scaled, task.scenarios.loading) if task.linear else scaled


def _losses(task: Task, exposures: Tensor, scenarios: ScenarioSet, engine: ComputeEngine) -> Tensor:
    """Losses in units of `Task.unit`; `exposures` as `_on_device` gives them."""
    if task.linear:
        return linear_losses(exposures, task.expected_profit, scenarios.factors, scenarios.scale)
    assets, count = len(exposures), scenarios.factors.shape[1]
    with engine.pool.borrow((assets, min(count, max(1, _PIECE // assets))), engine.dtype) as buffer:
        return full_losses(exposures, scenarios, buffer)


def _finish(task: Task, weights: TailWeights, result: Array) -> Figures:
    fitted, levels = task.scenarios, len(task.levels)
    cuts = np.cumsum([weights.size, min(_SAMPLE, fitted.count), fitted.loading.shape[-1]])
    worst, sample, worst_basis, basis = np.split(result, cuts)
    if not np.isfinite(result).all():
        raise InputError("`returns` lead to price changes beyond the range of numbers: are they log returns?")
    unit = _unit_losses(task, np.column_stack([worst_basis, basis.reshape(len(worst_basis), -1)]))
    figures = worst @ weights.figures.numpy()
    errors = jackknife_error(worst, weights, fitted.count) * fitted.error_scale
    var, es = figures[:levels], np.maximum(figures[levels:], figures[:levels])
    return Figures(
        var=var * task.unit,
        es=es * task.unit,
        var_se=errors[:levels] * task.unit,
        es_se=errors[levels:] * task.unit,
        marginal_var=unit[:, 1 : 1 + levels].T,
        marginal_es=unit[:, 1 + levels :].T,
        worst_loss=float(worst[0] * task.unit),
        worst_unit=unit[:, 0],
        drift=_drift(task, sample),
    )


def _unit_losses(task: Task, basis: Array) -> Array:
    """Losses of one unit of base currency in each instrument, shape (instruments, columns)."""
    if not task.linear:
        return -basis
    loading = task.scenarios.loading.numpy()
    moves = loading @ basis if loading.ndim == 2 else loading[:, None] * basis
    return -(moves + task.scenarios.shift.numpy()[:, None])


def _drift(task: Task, sample: Array) -> float | None:
    """Compare the first scenarios with float64 on the host."""
    exact = _sample_losses(task, len(sample)).numpy()
    spread = float(exact.std())
    return float(np.abs(exact - sample).max()) / spread if spread > 0 else None


def _sample_losses(task: Task, count: int) -> Tensor:
    exposures, scenarios = _scaled_exposures(task), sample_scenarios(task.scenarios, task.request, count)
    if task.linear:
        return linear_losses(exposures, task.expected_profit, scenarios.factors, scenarios.scale)
    return full_losses(exposures, scenarios, torch.empty(len(exposures), count, dtype=torch.float64))


def sample_scenarios(fitted: Scenarios, request: Request, count: int) -> ScenarioSet:
    """Make the first `count` scenarios in float64 on the host."""
    if fitted.empirical is not None:
        return ScenarioSet(fitted.loading, fitted.empirical[:, :count], fitted.shift, None)
    scale, width = None, fitted.loading.shape[-1]
    factors = sample_normals(width, count, request)
    if fitted.degrees is not None:
        scale = _sample_mixing(count, request.seed, request.sampler, fitted.degrees)
    return ScenarioSet(fitted.loading, factors, fitted.shift, scale)


def sample_normals(factors: int, count: int, request: Request) -> Tensor:
    """Make the first `count` scenarios of the factors that `borrow_normals` has, on the host."""
    return _sample_normals(_padded(1 + factors), count, request.seed, request.sampler)[1 : 1 + factors]


_sample_normals = lru_cache(maxsize=8)(standard_normals)
_sample_mixing = lru_cache(maxsize=16)(_mixing_scale)
