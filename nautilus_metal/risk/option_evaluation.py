"""Full revaluation of a book with options on the device: one transfer in, losses and tail there, one transfer out."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nautilus_metal.engine import ComputeEngine, threads_for
from nautilus_metal.engine.governor import in_pieces
from nautilus_metal.engine.graphs import beside
from nautilus_metal.engine.team import ALONE, Team
from nautilus_metal.errors import InputError
from nautilus_metal.kernels.option_scenarios import JointScenarios, option_changes
from nautilus_metal.kernels.scenarios import ScenarioSet
from nautilus_metal.kernels.tail import TailWeights, jackknife_error, largest, tail_weights
from nautilus_metal.risk.book import Array
from nautilus_metal.risk.draws import borrow_table, sample_normals, sample_scenarios
from nautilus_metal.risk.option_device import fused_losses, fused_tail, recorded
from nautilus_metal.risk.option_losses import piece_losses
from nautilus_metal.risk.option_tables import Tables, bytes_each, make_tables, noise_place, on_device
from nautilus_metal.risk.option_task import OptionTask
from nautilus_metal.risk.tail_parts import TailParts, check_tail, with_worst
from nautilus_metal.risk.tail_work import through_tail

_SAMPLE, _LEAST_SAMPLE = 256, 16  # scenarios evaluated again in float64
_SAMPLE_VALUES = 2**19  # option values that they may take


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
    device : str
        As of `nautilus_metal.risk.evaluation.Figures`.
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
    device: str


def evaluate_options(task: OptionTask, engine: ComputeEngine, team: Team = ALONE) -> OptionFigures:
    """Compute the figures of a task on the engine's device, or where there is memory for it; a team shares it."""
    count = task.scenarios.count
    check_tail(engine, count, task.levels, len(task.exposures))
    weights = tail_weights(count, task.levels)

    def begin(size: int, start: int) -> OptionWork:
        return OptionWork(task, weights, TailParts(size, max(0, _sample_size(task) - start)), TailParts(size, 0))

    return _finish(task, weights, *through_tail(engine, team, count, bytes_each(task), weights.size, begin))


@dataclass(frozen=True)
class OptionWork:
    """The worst losses of both kinds, the first ones, and changes of prices and options weighed by each figure."""

    task: OptionTask
    weights: TailWeights
    full: TailParts
    expanded: TailParts

    def whole(self, engine: ComputeEngine) -> Array:
        tail, figures = (self.weights.size, 1 + 2 * self.weights.levels), self.weights.figures
        key = ("tail with worst", self.task.scenarios.count, self.task.levels)
        with (
            borrow_table(engine, key, tail, lambda: with_worst(figures)) as columns,
            on_device(self.task, engine, columns) as tables,
        ):
            return engine.download(recorded(tables, self._found))

    def _found(self, tables: Tables) -> Tensor:
        losses, expanded = _losses(tables)
        with beside(losses.device) as awaited:
            approximate, _ = largest(expanded, self.weights.size)
        worst, where = largest(losses, self.weights.size)
        basis, changes = fused_tail(tables, where, lambda: _tail(tables, tables.scenarios.part(where)))
        awaited()
        parts = [worst, approximate, losses[: _sample_size(self.task)], basis, changes]
        return torch.cat([part.flatten() for part in parts])

    def part(self, engine: ComputeEngine, first: int, last: int) -> None:
        with on_device(self.task, engine, torch.zeros(0, dtype=torch.float64), slice(first, last)) as tables:
            spots, noise = tables.scenarios.spots, tables.scenarios.noise
            kept = [spots.factors, None if spots.scale is None else spots.scale[None], noise]
            losses = _losses(tables)
            self.full.take(losses[0], tuple(rows for rows in kept if rows is not None))
            self.expanded.take(losses[1], ())

    def gathered(self, team: Team) -> Array | None:
        found = self.full.among(team, with_worst(self.weights.figures))
        expanded = self.expanded.among(team, self.weights.figures)
        if found is None or expanded is None:
            return None
        worst, table, sample = found
        fitted, rows = self.task.scenarios, list(self.full.columns)
        noise = rows.pop() if self.task.noisy else None
        scale = None if fitted.degrees is None else rows.pop()[0]
        spots = ScenarioSet(fitted.loading, rows.pop(), fitted.shift, scale)
        tables = make_tables(self.task, [*self.task.parts, table], spots, noise, None)
        basis, changes = _tail(tables, tables.scenarios)
        weighed = team.total(torch.cat([basis.flatten(), changes.flatten()]))
        return torch.cat([worst, expanded[0], sample, weighed]).numpy()


def option_losses_without(task: OptionTask, engine: ComputeEngine) -> Array:
    """VaR of the book without each position in turn, shape (levels, positions), on the same scenarios."""
    weights = tail_weights(task.scenarios.count, task.levels)
    quantiles = weights.figures[:, : weights.levels].contiguous()
    places, values = task.book.instrument_index, task.book.values / task.unit
    options = {position: i for i, position in enumerate(task.book.option_index.tolist())}

    def work(engine: ComputeEngine, _first: int, _last: int) -> Array:
        with on_device(task, engine, quantiles) as tables:
            losses, _ = _losses(tables)
            figures = []
            for position, (column, value) in enumerate(zip(places, values, strict=True)):
                row = options.get(position)
                amount = float(value if row is None else task.forwards[row])
                profits = _profits(tables, row, int(column), amount)
                figures.append(largest(losses + profits, weights.size)[0] @ tables.columns)
            return engine.download(torch.stack(figures, dim=1)) * task.unit

    return in_pieces(engine, 1, 1, work)[0]


def _profits(tables: Tables, option: int | None, column: int, amount: float) -> Tensor:
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


def _losses(tables: Tables) -> tuple[Tensor, Tensor]:
    """Losses by full revaluation and by expansion, each of shape (scenarios,)."""
    return fused_losses(tables, lambda: _losses_in_pieces(tables))


def _losses_in_pieces(tables: Tables) -> tuple[Tensor, Tensor]:
    scenarios = tables.scenarios
    losses = torch.empty_like(scenarios.spots.factors[0])
    expanded = torch.empty_like(losses)
    with tables.pieces(scenarios) as (rows, pieces, buffer):
        for columns, market in pieces:
            losses[columns], expanded[columns] = piece_losses(tables, market, rows, buffer)
    return losses, expanded


def _tail(tables: Tables, scenarios: JointScenarios) -> tuple[Tensor, Tensor]:
    """Weigh price changes and option changes over the tail: its worst scenario, then each figure.

    Returns
    -------
    tuple of Tensor
        Shapes (instruments, 1 + 2 * levels) and (options, 1 + 2 * levels).
    """
    weights = tables.columns
    basis = torch.zeros(len(tables.exposures), weights.shape[1], dtype=weights.dtype, device=weights.device)
    changes = torch.zeros(len(tables.notionals), weights.shape[1], dtype=weights.dtype, device=weights.device)
    with tables.pieces(scenarios) as (rows, pieces, buffer):
        for columns, market in pieces:
            basis += market.changes @ weights[columns]
            for start in range(0, len(tables.notionals), rows):
                part = slice(start, start + rows)
                changes[part] += option_changes(tables.terms.part(part), market, buffer) @ weights[columns]
    return basis, changes


def _sample_size(task: OptionTask) -> int:
    affordable = max(_LEAST_SAMPLE, _SAMPLE_VALUES // len(task.notionals))
    return min(_SAMPLE, affordable, task.scenarios.count)


def _sample_losses(task: OptionTask, count: int) -> Array:
    """The first losses in float64 on the host."""
    spots, noise = sample_scenarios(task.scenarios, task.request, count), None
    if task.noisy:
        skipped, volatilities = noise_place(task), len(task.volatility_rows[0])
        noise = sample_normals(skipped + volatilities, count, task.request)[skipped:]
    tables = make_tables(task, [*task.parts, torch.zeros(0)], spots, noise, None)
    return _losses(tables)[0].numpy()


@threads_for(0)  # some hundred scenarios, on the host
def _finish(task: OptionTask, weights: TailWeights, result: Array, device: str) -> OptionFigures:
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
        device=device,
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
