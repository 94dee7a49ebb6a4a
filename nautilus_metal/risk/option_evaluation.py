"""Full revaluation of a book with options on the device: one transfer in, losses and tail there, one transfer out."""

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.errors import InputError
from nautilus_metal.kernels.option_scenarios import BUFFERS, JointScenarios, Moves, OptionTerms, moves, option_changes
from nautilus_metal.kernels.scenarios import ScenarioSet
from nautilus_metal.kernels.tail import TailWeights, jackknife_error, largest, tail_weights
from nautilus_metal.risk.book import Array
from nautilus_metal.risk.evaluation import borrow_mixing, borrow_normals, sample_normals, sample_scenarios, upload
from nautilus_metal.risk.option_task import OptionTask

_SAMPLE, _LEAST_SAMPLE = 256, 16  # scenarios evaluated again in float64
_SAMPLE_VALUES = 2**19  # option values that they may take
_PIECE = 2**20  # elements of a piece of options by scenarios: more fill no device, fewer make threads wait
_MARKET_PIECE = 2**22  # elements of a piece of instruments by scenarios
_ROWS = 256  # options in a piece, where there are enough scenarios


@dataclass(frozen=True)
class OptionFigures:
    """What leaves the device, finished in float64.

    Attributes
    ----------
    var, es, var_se, es_se, delta_gamma_var, delta_gamma_es : ndarray
        Shape (levels,).
    component_var, component_es : ndarray
        Shape (levels, positions).
    marginal_var, marginal_es : ndarray
        For one more unit of base currency in each position, shape (levels, positions).
    worst_loss : float
        The largest loss.
    worst_scenario : ndarray
        Loss of each position in that scenario, shape (positions,).
    drift : float or None
        See `RiskAssessment.drift`.
    """

    var: Array
    es: Array
    var_se: Array
    es_se: Array
    delta_gamma_var: Array
    delta_gamma_es: Array
    component_var: Array
    component_es: Array
    marginal_var: Array
    marginal_es: Array
    worst_loss: float
    worst_scenario: Array
    drift: float | None


@dataclass(frozen=True)
class _Tables:
    """A task on a device, amounts in units of `OptionTask.unit`."""

    scenarios: JointScenarios
    terms: OptionTerms
    notionals: Tensor
    exposures: Tensor
    expansion: tuple[Tensor, Tensor, Tensor]
    decay: float
    columns: Tensor
    engine: ComputeEngine | None

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


def evaluate_options(task: OptionTask, engine: ComputeEngine) -> OptionFigures:
    """Compute the figures of a task on the engine's device."""
    weights = tail_weights(task.scenarios.count, task.levels)
    with _on_device(task, engine, weights.figures) as tables:
        losses, expanded = _losses(tables)
        worst, where = largest(losses, weights.size)
        basis, changes = _tail(tables, where)
        parts = [worst, largest(expanded, weights.size)[0], losses[: _sample_size(task)], basis, changes]
        result = engine.download(torch.cat([part.flatten() for part in parts]))
    return _finish(task, weights, result)


def option_losses_without(task: OptionTask, engine: ComputeEngine) -> Array:
    """VaR of the book without each position in turn, shape (levels, positions), on the same scenarios."""
    weights = tail_weights(task.scenarios.count, task.levels)
    quantiles = weights.figures[:, : weights.levels].contiguous()
    book, figures = task.book, []
    options = {position: i for i, position in enumerate(book.option_index.tolist())}
    with _on_device(task, engine, quantiles) as tables:
        losses, _ = _losses(tables)
        for position, (column, value) in enumerate(zip(book.instrument_index, book.values / task.unit, strict=True)):
            row = options.get(position)
            profits = _profits(tables, row, int(column), float(value if row is None else task.forwards[row]))
            figures.append(largest(losses + profits, weights.size)[0] @ tables.columns)
        return engine.download(torch.stack(figures, dim=1)) * task.unit


def _profits(tables: _Tables, option: int | None, column: int, amount: float) -> Tensor:
    """P&L of one position in every scenario; `amount` is a plain position's value, or an option's forwards."""
    profits = torch.empty_like(tables.scenarios.spots.factors[0])
    one = slice(option, None if option is None else option + 1)
    with tables.pieces(tables.scenarios) as (_, pieces, buffer):
        for columns, market in pieces:
            profits[columns] = amount * market.changes[column]
            if option is not None:
                profits[columns] += option_changes(tables.terms.part(one), market, buffer)[0]
                profits[columns] *= tables.notionals[option]
    return profits


def _losses(tables: _Tables) -> tuple[Tensor, Tensor]:
    """Losses by full revaluation and by expansion, each of shape (scenarios,)."""
    scenarios = tables.scenarios
    losses = torch.empty_like(scenarios.spots.factors[0])
    expanded = torch.empty_like(losses)
    linear, square, volatility = tables.expansion
    with tables.pieces(scenarios) as (rows, pieces, buffer):
        for columns, market in pieces:
            profits = tables.exposures @ market.changes
            for start in range(0, len(tables.notionals), rows):
                part = slice(start, start + rows)
                profits += tables.notionals[part] @ option_changes(tables.terms.part(part), market, buffer)
            losses[columns] = profits
            profits = linear @ market.changes + square @ market.changes.square_() + tables.decay
            if market.volatility is not None:
                profits += volatility @ market.volatility.sub_(1.0)
            expanded[columns] = profits
    return losses.neg_(), expanded.neg_()


def _tail(tables: _Tables, where: Tensor) -> tuple[Tensor, Tensor]:
    """Weigh price changes and option changes over the tail: its worst scenario, then each figure.

    Returns
    -------
    tuple of Tensor
        Shapes (instruments, 1 + 2 * levels) and (options, 1 + 2 * levels).
    """
    first = torch.zeros_like(tables.columns[:, :1])
    first[0] = 1.0
    weights = torch.cat([first, tables.columns], dim=1)
    basis = torch.zeros(len(tables.exposures), weights.shape[1], dtype=weights.dtype, device=weights.device)
    changes = torch.zeros(len(tables.notionals), weights.shape[1], dtype=weights.dtype, device=weights.device)
    with tables.pieces(tables.scenarios.part(where)) as (rows, pieces, buffer):
        for columns, market in pieces:
            basis += market.changes @ weights[columns]
            for start in range(0, len(tables.notionals), rows):
                part = slice(start, start + rows)
                changes[part] += option_changes(tables.terms.part(part), market, buffer) @ weights[columns]
    return basis, changes


def _walk(scenarios: JointScenarios, width: int, buffer: Tensor) -> Iterator[tuple[slice, Moves]]:
    for start in range(0, scenarios.size, width):
        columns = slice(start, min(start + width, scenarios.size))
        yield columns, moves(scenarios.part(columns), buffer)


@contextmanager
def _on_device(task: OptionTask, engine: ComputeEngine, columns: Tensor) -> Iterator[_Tables]:
    """Bring a task to the device; normals come from the pool's cache where they are there."""
    fitted, request, volatilities = task.scenarios, task.request, len(task.volatility_rows[0])
    skipped, request = _noise_place(task), replace(request, scenarios=fitted.count)
    with ExitStack() as stack:
        factors = scale = noise = None
        if fitted.empirical is None or task.noisy:
            width = skipped + (volatilities if task.noisy else 0)
            normals = stack.enter_context(borrow_normals(engine, request, width))[1:]
            factors = normals[:skipped] if fitted.empirical is None else None
            noise = normals[skipped : skipped + volatilities] if task.noisy else None
        if fitted.degrees is not None:
            scale = stack.enter_context(borrow_mixing(engine, request, fitted.degrees))
        history = torch.zeros(0, dtype=torch.float64) if fitted.empirical is None else fitted.empirical
        parts = [*_host_parts(task), columns, fitted.loading, fitted.shift, history]
        *head, loading, shift, history = upload(engine, parts)
        spots = ScenarioSet(loading, history if factors is None else factors, shift, scale)
        yield _tables(task, head, spots, noise, engine)


def _noise_place(task: OptionTask) -> int:
    """Rows of normals before those of the volatilities: the factors, or the dates drawn from history."""
    fitted = task.scenarios
    return fitted.loading.shape[-1] if fitted.empirical is None else task.request.horizon - 1


def _host_parts(task: OptionTask) -> list[Tensor]:
    """Floating-point arrays of a task, in the order in which `_tables` reads them."""
    linear, square, volatility, _ = task.expansion
    amounts = [task.notionals, task.exposures, linear, square, volatility]
    scaled = [torch.from_numpy(np.asarray(amount)) / task.unit for amount in amounts]
    return [*task.terms[:5], *scaled, *torch.from_numpy(task.volatility_factors)]


def _tables(
    task: OptionTask, parts: list[Tensor], spots: ScenarioSet, noise: Tensor | None, engine: ComputeEngine | None
) -> _Tables:
    """`parts` are those of `_host_parts`, then the columns."""
    index = torch.cat([task.terms.row, task.terms.volatility_row, torch.from_numpy(task.volatility_rows[0])])
    device = parts[0].device
    options = len(task.terms.row)
    row, volatility_row, places = torch.split(index.to(device), [options, options, len(task.volatility_rows[0])])
    moneyness, strike, total_volatility, sign, base = parts[:5]
    terms = OptionTerms(moneyness, strike, total_volatility, sign, base, row, volatility_row)
    notionals, exposures, linear, square, volatility, slope, centre, spread, columns = parts[5:]
    joint = JointScenarios(spots, places, slope, centre, spread, noise)
    decay = task.expansion[3] / task.unit
    return _Tables(joint, terms, notionals, exposures, (linear, square, volatility), decay, columns, engine)


def _sample_size(task: OptionTask) -> int:
    affordable = max(_LEAST_SAMPLE, _SAMPLE_VALUES // len(task.notionals))
    return min(_SAMPLE, affordable, task.scenarios.count)


def _sample_losses(task: OptionTask, count: int) -> Array:
    """The first losses in float64 on the host."""
    spots, noise = sample_scenarios(task.scenarios, task.request, count), None
    if task.noisy:
        skipped, volatilities = _noise_place(task), len(task.volatility_rows[0])
        noise = sample_normals(skipped + volatilities, count, task.request)[skipped:]
    tables = _tables(task, [*_host_parts(task), torch.zeros(0)], spots, noise, None)
    return _losses(tables)[0].numpy()


def _finish(task: OptionTask, weights: TailWeights, result: Array) -> OptionFigures:
    levels, assets, size = len(task.levels), len(task.exposures), weights.size
    if not np.isfinite(result).all():
        raise InputError("`returns` lead to price changes beyond the range of numbers: are they log returns?")
    cuts = np.cumsum([size, size, _sample_size(task), assets * (1 + 2 * levels)])
    worst, expanded, sample, basis, changes = np.split(result, cuts)
    per_value, per_position = _by_position(task, basis.reshape(assets, -1), changes.reshape(-1, 1 + 2 * levels))
    figures, expanded = worst @ weights.figures.numpy(), expanded @ weights.figures.numpy()
    errors = jackknife_error(worst, weights, task.scenarios.count) * task.scenarios.error_scale
    exact = _sample_losses(task, len(sample))
    deviation = float(exact.std())
    return OptionFigures(
        var=figures[:levels] * task.unit,
        es=np.maximum(figures[levels:], figures[:levels]) * task.unit,
        var_se=errors[:levels] * task.unit,
        es_se=errors[levels:] * task.unit,
        delta_gamma_var=expanded[:levels] * task.unit,
        delta_gamma_es=np.maximum(expanded[levels:], expanded[:levels]) * task.unit,
        component_var=per_position[:, 1 : 1 + levels].T,
        component_es=per_position[:, 1 + levels :].T,
        marginal_var=per_value[:, 1 : 1 + levels].T,
        marginal_es=per_value[:, 1 + levels :].T,
        worst_loss=float(worst[0] * task.unit),
        worst_scenario=per_position[:, 0],
        drift=float(np.abs(exact - sample).max()) / deviation if deviation > 0 else None,
    )


def _by_position(task: OptionTask, basis: Array, changes: Array) -> tuple[Array, Array]:
    """Losses of one unit of base currency in each position, and of the position, shape (positions, columns).

    One unit of base currency in an option without a price has no meaning: NaN.
    """
    book, index = task.book, task.book.option_index
    per_value = -basis[book.instrument_index]
    per_position = per_value * book.values[:, None]
    relative = -(changes + task.forwards[:, None] * basis[task.rows])
    per_position[index] = relative * task.notionals[:, None]
    prices = np.array([book.positions[i].price for i in index])[:, None]
    missing = np.full_like(relative, math.nan)
    per_value[index] = np.divide(relative * task.unit_notionals[:, None], prices, out=missing, where=prices != 0)
    return per_value, per_position
