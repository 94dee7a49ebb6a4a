"""The random part of a task: standard normals and mixing variables, cached on the device, sampled on the host."""

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache

import torch
from torch import Tensor

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.engine.cancel import checkpoint
from nautilus_metal.kernels.normals import chi_square_quantile, sobol_normals_into, standard_normals, uniforms
from nautilus_metal.kernels.scenarios import ScenarioSet
from nautilus_metal.risk.request import Request, Scenarios

_ROWS = 32  # normals are drawn for a multiple of this many factors, so that a growing book finds them in the cache
_LASTING = 2**14  # numbers of a table from which on it is kept on a device; a smaller one travels with the rest
_FILL = 2**22  # normals made at a time, float64 on the host


def upload(engine: ComputeEngine, parts: Sequence[Tensor]) -> list[Tensor]:
    """Bring arrays to the device: as one flat array over the bus, then views; without a bus each for itself."""
    if engine.device.type == "cpu":
        return [part.to(engine.dtype, copy=True, memory_format=torch.contiguous_format) for part in parts]
    flat = engine.upload(torch.cat([part.flatten() for part in parts]).numpy())
    pieces = torch.split(flat, [part.numel() for part in parts])
    return [piece.view(part.shape) for piece, part in zip(pieces, parts, strict=True)]


@contextmanager
def borrow_table(
    engine: ComputeEngine, key: Hashable, shape: tuple[int, ...], make: Callable[[], Tensor]
) -> Iterator[Tensor]:
    """Give a table that is the same at every tick: a large one on a GPU is a copy that stays there.

    Parameters
    ----------
    engine : ComputeEngine
        Where it is needed.
    key : hashable
        Names the table.
    shape : tuple of int
        Its shape.
    make : callable
        Makes it, float64 on the host.
    """
    if engine.device.type == "cpu" or math.prod(shape) < _LASTING:
        yield make()
        return

    def fill(block: Tensor) -> None:
        block.copy_(make().to(block.dtype))

    with engine.pool.borrow(shape, engine.dtype, key, fill) as table:
        yield table


def borrow_normals(
    engine: ComputeEngine, request: Request, factors: int, columns: slice | None = None
) -> AbstractContextManager[Tensor]:
    """Borrow standard normals; row 0 is kept for the mixing variable of a Student-t, the factors follow.

    Parameters
    ----------
    engine : ComputeEngine
        Where to.
    request : Request
        Names the stream.
    factors : int
        Rows after the first.
    columns : slice, optional
        Scenarios to have; all of the request's by default.
    """
    rows, columns = padded(factors + 1), columns or slice(0, request.scenarios)
    count = columns.stop - columns.start
    step = max(1, _FILL // count)

    def fill(block: Tensor) -> None:
        if request.sampler == "sobol" and _makes_its_own(engine):
            sobol_normals_into(block, request.seed, columns.start)
            return
        for first in range(0, rows, step):
            checkpoint()
            some = min(step, rows - first)
            fresh = standard_normals(some, count, request.seed, request.sampler, columns.start, first)
            block[first : first + some].copy_(fresh.to(block.dtype))

    key = ("normals", request.sampler, request.seed, columns.start)
    return engine.pool.borrow((rows, count), engine.dtype, key=key, fill=fill)


def _makes_its_own(engine: ComputeEngine) -> bool:
    """Whether normals come out on the device as they do on the host."""
    return engine.device.type != "cpu" and engine.exact_dtype is torch.float64


def padded(rows: int) -> int:
    """Rows of normals that are made where `rows` are wanted."""
    return math.ceil(rows / _ROWS) * _ROWS


def borrow_mixing(
    engine: ComputeEngine, request: Request, degrees: float, columns: slice | None = None
) -> AbstractContextManager[Tensor]:
    """Borrow the factors that turn unit normals into unit-variance Student-t, shape (scenarios,)."""
    columns = columns or slice(0, request.scenarios)
    count = columns.stop - columns.start

    def fill(block: Tensor) -> None:
        made = _mixing_scale(count, request.seed, request.sampler, degrees, columns.start)
        block.copy_(made.to(block.dtype))

    key = ("student_t", request.sampler, request.seed, degrees, columns.start)
    return engine.pool.borrow((count,), engine.dtype, key=key, fill=fill)


def _mixing_scale(
    count: int, seed: int, sampler: str, degrees: float, start: int = 0, row: int = 0
) -> Tensor:
    r""":math:`\sqrt{(\nu - 2) / \chi^2_\nu}`: turns a unit normal into a unit-variance Student-t."""
    drawn = uniforms(1, count, seed, sampler, start, row)[0]
    return torch.sqrt((degrees - 2) / chi_square_quantile(drawn, degrees))


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
    return _sample_normals(padded(1 + factors), count, request.seed, request.sampler)[1 : 1 + factors]


def sample_mixing(count: int, request: Request, degrees: float, row: int = 0) -> Tensor:
    """Make the first `count` scenarios of the factors that `borrow_mixing` has, or of another row, on the host."""
    return _sample_mixing(count, request.seed, request.sampler, degrees, 0, row)


_sample_normals = lru_cache(maxsize=8)(standard_normals)
_sample_mixing = lru_cache(maxsize=16)(_mixing_scale)
