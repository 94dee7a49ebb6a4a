"""A whole task with options on an NVIDIA GPU: fused passes over all its scenarios, recorded as one CUDA graph."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from nautilus_metal.engine import fused_cuda
from nautilus_metal.engine.fused import FusedKernels, fused_kernels
from nautilus_metal.engine.graphs import graphs
from nautilus_metal.kernels.option_scenarios import JointScenarios, OptionTerms
from nautilus_metal.kernels.scenarios import ScenarioSet
from nautilus_metal.risk.option_losses import TOLERANCE, gross
from nautilus_metal.risk.option_tables import Tables

LOSSES, TAIL = "book_pass", "book_tail"
_COPIED = 2**22  # numbers of scenarios that are copied into a graph's buffer: those of history have no fixed place

Pair = tuple[Tensor, Tensor]


def fused_losses(tables: Tables, eager: Callable[[], Pair]) -> Pair:
    """Losses by revaluation and by expansion, each of shape (scenarios,), in one pass where there is a kernel."""
    kernels = _kernels(tables)
    if kernels is None:
        return eager()

    def fast(book: Any) -> tuple[Tensor, ...]:
        return tuple(book.book_losses(_packed(book, tables), tables.scenarios))

    losses, expanded = kernels.run(LOSSES, fused_cuda.book, fast, eager, TOLERANCE, lambda: _gross(tables))
    return losses, expanded


def fused_tail(tables: Tables, where: Tensor, eager: Callable[[], Pair]) -> Pair:
    """Price changes and option changes over the tail, the scenarios `where`, weighed by `tables.columns`."""
    kernels = _kernels(tables)
    if kernels is None:
        return eager()

    def fast(book: Any) -> tuple[Tensor, ...]:
        found = book.tail_basis(_packed(book, tables), tables.scenarios, where, tables.columns)
        return torch.split(found, [len(tables.exposures), len(tables.notionals)])

    basis, changes = kernels.run(TAIL, fused_cuda.book, fast, eager, TOLERANCE)
    return basis, changes


def recorded(tables: Tables, work: Callable[[Tables], Tensor]) -> Tensor:
    """Do `work`, as a CUDA graph where all of it is fused kernels; what only changes in value is copied in."""
    kernels = _kernels(tables)
    if kernels is None or not (kernels.verdicts.get(LOSSES) and kernels.verdicts.get(TAIL)):
        return work(tables)
    joint, spots = tables.scenarios, tables.scenarios.spots
    held = [block for block in (spots.scale, joint.noise) if block is not None]
    small = spots.factors.numel() <= _COPIED
    inputs = [spots.loading, spots.shift, joint.row, joint.slope, joint.centre, joint.spread, *tables.terms]
    inputs += [tables.notionals, tables.exposures, *tables.expansion, tables.constant, tables.columns]

    def again(given: Sequence[Tensor]) -> Tensor:
        loading, shift, row, slope, centre, spread, *rest = given[: len(inputs)]
        terms, (notionals, exposures, linear, square, vega, constant, columns) = OptionTerms(*rest[:7]), rest[7:]
        factors = given[-1] if small else spots.factors
        drawn = ScenarioSet(loading, factors, shift, spots.scale)
        moved = JointScenarios(drawn, row, slope, centre, spread, joint.noise)
        return work(
            replace(
                tables, scenarios=moved, terms=terms, notionals=notionals, exposures=exposures,
                expansion=(linear, square, vega), constant=constant, columns=columns,
            )
        )  # fmt: skip

    name = "option_tick" if tables.calm else "wild_option_tick"
    if small:
        return graphs().run(name, held, [*inputs, spots.factors], again)
    return graphs().run(name, [*held, spots.factors], inputs, again)


def _packed(book: Any, tables: Tables) -> Any:
    if not tables.packed:
        amounts = (tables.notionals, tables.exposures, tables.expansion, tables.constant)
        tables.packed.append(book.pack(tables.scenarios, tables.terms, *amounts, calm=tables.calm))
    return tables.packed[0]


def _kernels(tables: Tables) -> FusedKernels | None:
    if tables.engine is None or tables.exposures.dtype != torch.float32:
        return None
    return fused_kernels(tables.exposures.device, "triton")


def _gross(tables: Tables) -> float:
    with tables.pieces(tables.scenarios) as (_, pieces, _buffer):
        _, market = next(pieces)
        return gross(tables, market)
