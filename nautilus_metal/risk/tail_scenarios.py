"""The scenarios in which a book loses most: picked on the device, brought to the host in one transfer."""

from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.engine.governor import in_pieces
from nautilus_metal.kernels.scenarios import ScenarioSet
from nautilus_metal.kernels.tail import largest
from nautilus_metal.risk.book import Array
from nautilus_metal.risk.evaluation import Task, _bytes_each, _drawn, _losses, _on_device
from nautilus_metal.risk.option_evaluation import _losses as _option_losses
from nautilus_metal.risk.option_tables import bytes_each, on_device
from nautilus_metal.risk.option_task import OptionTask

_SPLIT = 4096  # a scenario's number leaves the device in two parts, each exact in float32


@dataclass(frozen=True, eq=False)
class TailScenarios:
    """The largest losses in descending order, K of them.

    Attributes
    ----------
    index : ndarray of int64, shape (K,)
        Numbers of the scenarios, from 0.
    losses : ndarray, shape (K,)
        In the base currency.
    spots : ScenarioSet
        Of the returns, float64 on the host.
    noise : Tensor or None
        Normals of the implied volatilities, shape (volatilities, K); None where they stay.
    """

    index: np.ndarray[tuple[int], np.dtype[np.int64]]
    losses: Array
    spots: ScenarioSet
    noise: Tensor | None


def tail_scenarios(task: Task | OptionTask, engine: ComputeEngine, size: int) -> TailScenarios:
    """Find the `size` scenarios of the largest losses, and what they are made of."""
    fitted, optional = task.scenarios, isinstance(task, OptionTask)
    each = bytes_each(task) if isinstance(task, OptionTask) else _bytes_each(task)

    def work(engine: ComputeEngine, first: int, last: int) -> Array:
        with ExitStack() as stack:
            losses, spots, noise = _on_engine(task, engine, slice(first, last), stack)
            values, where = largest(losses, min(size, last - first))
            high = torch.div(where, _SPLIT, rounding_mode="floor")
            rows = [values[None], high[None].to(values.dtype), (where - high * _SPLIT)[None].to(values.dtype)]
            rows.append(spots.factors.index_select(1, where))
            rows += [] if spots.scale is None else [spots.scale.index_select(0, where)[None]]
            rows += [] if noise is None else [noise.index_select(1, where)]
            found = engine.download(torch.cat(rows))
            found[1] = found[1] * _SPLIT + found[2] + first
            return found

    found = np.concatenate(in_pieces(engine, fitted.count, each, work), axis=1)
    found = found[:, np.argsort(-found[0], kind="stable")[:size]]
    factors = fitted.loading.shape[-1] if fitted.empirical is None else len(fitted.empirical)
    cuts = np.cumsum([3, factors, fitted.degrees is not None])
    _, drawn, scale, noise = (torch.from_numpy(np.ascontiguousarray(part)) for part in np.split(found, cuts))
    spots = ScenarioSet(fitted.loading, drawn, fitted.shift, scale[0] if len(scale) else None)
    return TailScenarios(
        index=found[1].astype(np.int64),
        losses=found[0] * task.unit,
        spots=spots,
        noise=noise if optional and len(noise) else None,
    )


def _on_engine(
    task: Task | OptionTask, engine: ComputeEngine, columns: slice, stack: ExitStack
) -> tuple[Tensor, ScenarioSet, Tensor | None]:
    """Losses in units of `task.unit`, the scenarios, and the normals of the volatilities."""
    nothing = torch.zeros(0, dtype=torch.float64)
    if isinstance(task, OptionTask):
        tables = stack.enter_context(on_device(task, engine, nothing, columns))
        return _option_losses(tables)[0], tables.scenarios.spots, tables.scenarios.noise
    drawn = stack.enter_context(_drawn(task, engine, columns))
    scenarios, exposures, _ = _on_device(task, engine, drawn, nothing, columns)
    return _losses(task, exposures, scenarios, engine), scenarios, None
