"""A whole task with options on an NVIDIA GPU: fused passes over all its scenarios, recorded as one CUDA graph."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from nautilus_metal.engine import ComputeEngine, fused_cuda
from nautilus_metal.engine.fused import FusedKernels, fused_kernels
from nautilus_metal.engine.graphs import graphs
from nautilus_metal.risk.draws import upload
from nautilus_metal.risk.option_losses import TOLERANCE, gross
from nautilus_metal.risk.option_tables import Tables, host_tables
from nautilus_metal.risk.option_task import OptionTask

LOSSES, TAIL = "book_pass", "book_tail"
_CALM = 0.03  # deviation and mean of normal returns that are calm
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
    held = [block for block in (tables.columns, spots.scale, joint.noise) if block is not None]
    small = spots.factors.numel() <= _COPIED
    packed = _packed(fused_cuda.book(), tables)
    tensors, rebuilt = packed.parts()
    inputs = [spots.loading, *tensors]

    def again(given: Sequence[Tensor]) -> Tensor:
        loading, *rest = given
        drawn = spots._replace(loading=loading, factors=rest.pop() if small else spots.factors)
        made = replace(tables, scenarios=joint._replace(spots=drawn))
        made.packed.append(rebuilt(rest))
        return work(made)

    name = "option_tick" if _calm(tables.task) else "wild_option_tick"
    if small:
        return graphs().run(name, held, [*inputs, spots.factors], again)
    return graphs().run(name, [*held, spots.factors], inputs, again)


def _packed(book: Any, tables: Tables) -> Any:
    """The tables of the kernels, made on the host, where so many small steps take less time."""
    if not tables.packed:
        assert tables.engine is not None  # where there is none, there are no kernels
        host = host_tables(tables.task)
        amounts = (host.notionals, host.exposures, host.expansion, host.constant)
        made = book.pack(host.scenarios, host.terms, *amounts, calm=_calm(tables.task))
        tensors, rebuilt = made.parts()
        tables.packed.append(rebuilt(_moved(tables.engine, tensors)))
    return tables.packed[0]


def _moved(engine: ComputeEngine, tensors: Sequence[Tensor]) -> list[Tensor]:
    """Tensors on the engine's device, by one transfer for numbers and one for places; halves stay halves."""
    real = [each.double() for each in tensors if each.is_floating_point()]
    whole = [each for each in tensors if not each.is_floating_point()]
    places = torch.cat(whole).to(engine.device)
    moved = {True: iter(upload(engine, real)), False: iter(torch.split(places, [len(each) for each in whole]))}
    found = [(next(moved[each.is_floating_point()]), each.dtype == torch.float16) for each in tensors]
    return [each.half() if half else each for each, half in found]


def _calm(task: OptionTask) -> bool:
    """Whether returns are so small that `kernels.triton.book_products.ProductTables` may call them calm."""
    fitted = task.scenarios
    if fitted.loading.dim() == 1 or fitted.degrees is not None:
        return False
    deviation = float(fitted.loading.square().sum(dim=1).max()) ** 0.5
    return deviation <= _CALM and float(fitted.shift.abs().max()) <= _CALM


def _kernels(tables: Tables) -> FusedKernels | None:
    if tables.engine is None or tables.exposures.dtype != torch.float32:
        return None
    return fused_kernels(tables.exposures.device, "triton")


def _gross(tables: Tables) -> float:
    with tables.pieces(tables.scenarios) as (_, pieces, _buffer):
        _, market = next(pieces)
        return gross(tables, market)
