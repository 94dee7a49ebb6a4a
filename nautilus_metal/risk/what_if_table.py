"""P&L of each instrument in each scenario of the VaR, made on the device and brought to the host."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.engine.governor import in_pieces
from nautilus_metal.kernels.option_scenarios import option_changes
from nautilus_metal.kernels.scenarios import ScenarioSet, relative_changes
from nautilus_metal.risk.draws import borrow_mixing, borrow_normals, padded, upload
from nautilus_metal.risk.option_tables import bytes_each, on_device
from nautilus_metal.risk.option_task import OptionTask
from nautilus_metal.risk.request import Request, Scenarios

Table = NDArray[np.floating[Any]]

_PIECE = 2**20  # elements of a piece of rows by scenarios
_WORD = 8  # bytes of a number at most


def plain_table(fitted: Scenarios, request: Request, linear: bool, engine: ComputeEngine) -> Table:
    """Relative price changes, shape (instruments, scenarios), in the engine's type."""
    assets = len(fitted.shift)
    table = _empty(assets, fitted.count, engine)

    def work(engine: ComputeEngine, first: int, last: int) -> None:
        with _spots(fitted, request, engine, slice(first, last)) as spots:
            width = max(1, _PIECE // assets)
            for start in range(first, last, width):
                part = slice(start - first, min(start + width, last) - first)
                table[:, start : first + part.stop] = engine.download(relative_changes(spots.part(part), linear))

    rows = padded(fitted.loading.shape[-1] + 1) if fitted.empirical is None else assets
    in_pieces(engine, fitted.count, _WORD * (rows + 1 + max(1, _PIECE // fitted.count)), work)
    return table


def option_table(task: OptionTask, engine: ComputeEngine) -> Table:
    """Relative price changes, then changes of each option, in units of `OptionTask.notionals` for one.

    Shape (instruments + options, scenarios), in the engine's type.
    """
    assets, options, count = len(task.scenarios.shift), len(task.rows), task.scenarios.count
    table = _empty(assets + options, count, engine)
    nothing = torch.zeros(0, dtype=torch.float64)

    def work(engine: ComputeEngine, first: int, last: int) -> None:
        forwards = engine.upload(task.forwards)[:, None]
        with (
            on_device(task, engine, nothing, slice(first, last)) as tables,
            tables.pieces(tables.scenarios) as (rows, pieces, buffer),
        ):
            for columns, market in pieces:
                where = slice(first + columns.start, first + columns.stop)
                table[:assets, where] = engine.download(market.changes)
                for start in range(0, options, rows):
                    part = slice(start, min(start + rows, options))
                    terms = tables.terms.part(part)
                    changes = option_changes(terms, market, buffer)
                    changes.addcmul_(forwards[part], market.changes[terms.row])
                    table[assets + part.start : assets + part.stop, where] = engine.download(changes)

    in_pieces(engine, count, bytes_each(task), work)
    return table


def _empty(rows: int, count: int, engine: ComputeEngine) -> Table:
    return np.empty((rows, count), dtype=np.float64 if engine.dtype == torch.float64 else np.float32)


@contextmanager
def _spots(fitted: Scenarios, request: Request, engine: ComputeEngine, columns: slice) -> Iterator[ScenarioSet]:
    """Scenarios of returns on the device, the normals from the pool's cache where they are there."""
    request = replace(request, scenarios=fitted.count)
    with ExitStack() as stack:
        scale = None
        if fitted.degrees is not None:
            scale = stack.enter_context(borrow_mixing(engine, request, fitted.degrees, columns))
        if fitted.empirical is not None:
            loading, shift, factors = upload(engine, [fitted.loading, fitted.shift, fitted.empirical[:, columns]])
        else:
            width = fitted.loading.shape[-1]
            factors = stack.enter_context(borrow_normals(engine, request, width, columns))[1 : 1 + width]
            loading, shift = upload(engine, [fitted.loading, fitted.shift])
        yield ScenarioSet(loading, factors, shift, scale)
