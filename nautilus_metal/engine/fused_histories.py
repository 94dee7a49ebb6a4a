"""Whole histories on the CPU through compiled loops, where numba (extra `fast`) is installed.

Eight series go through a loop side by side (`kernels.lanes`). A loop is compiled at the first history of `LEAST`
elements, checked against the eager kernel, and from then on used for histories of every size. Without numba, below
that size before, on another device, and after a loop has failed or disagreed (a `RuntimeWarning` says so), the eager
kernels run, and all the time in a process that starts with the environment variable `NAUTILUS_METAL_FUSED` set to 0.
Compiling the three loops takes 6 s on an idle core (12 s on a busy machine), once a machine: numba keeps its work
beside the source, or in the user's cache where that cannot be written, and a later process takes 1 s, most of it to
import numba.
"""

from collections.abc import Callable, Sequence
from math import gcd
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nautilus_metal.engine.compute import ComputeEngine
from nautilus_metal.engine.fused import FusedKernels, Outputs, fused_kernels
from nautilus_metal.engine.pool_arrays import LINE, line_array, result_array
from nautilus_metal.engine.shared import shared_engine
from nautilus_metal.engine.threads import share
from nautilus_metal.kernels.bollinger import bollinger_bands, bollinger_moments
from nautilus_metal.kernels.fused_bands import bollinger_loop
from nautilus_metal.kernels.fused_loops import macd_loop, rsi_loop
from nautilus_metal.kernels.lanes import LANES
from nautilus_metal.kernels.macd import macd
from nautilus_metal.kernels.parameters import finite
from nautilus_metal.kernels.rsi import rsi

Array = NDArray[np.float64]
Settings = tuple[Any, ...]

LEAST = 1 << 13  # elements from which on compiling is begun: fewer take the eager kernels a few milliseconds
_PART = 1 << 16  # elements a thread computes at a time
_AT_ONCE = 1 << 15  # elements up to which one setting is computed without a thought about threads and memory
_LARGE = 1 << 25  # bytes of outputs that no cache is going to hold until they are read
_TOLERANCE = 1e-9  # of the scale of an output, between a loop and its eager kernel


class Loop(NamedTuple):
    """A loop, the eager kernel it stands beside, and the settings they are compared with."""

    loop: Callable[..., bool]
    outputs: int
    eager: Callable[..., Sequence[Any]]
    settings: Settings


def _eager_bands(prices: Tensor, period: int, k: float) -> Sequence[Any]:
    middle, sigma, deviation = (part.numpy() for part in bollinger_moments(prices, period))
    return bollinger_bands(middle, sigma, deviation, k)


LOOPS: dict[str, Loop] = {
    "rsi": Loop(rsi_loop, 1, lambda prices, period: (rsi(prices, period),), (14,)),
    "macd": Loop(macd_loop, 3, lambda prices, *periods: macd(prices, periods), (12, 26, 9)),
    "bollinger": Loop(bollinger_loop, 5, _eager_bands, (20, 2.0)),
}


class Wanted(NamedTuple):
    """An indicator to be computed: a row of `LOOPS`, what its loop takes after its arrays, and where outputs go."""

    name: str
    settings: Settings
    outputs: Sequence[Array]


def fused_history(
    name: str,
    history: Array,
    settings: Sequence[Settings],
    engine: ComputeEngine | None = None,
) -> tuple[Array, ...] | None:
    """Compute an indicator over a history with every setting, by its compiled loop.

    Parameters
    ----------
    name : str
        A row of `LOOPS`.
    history : numpy.ndarray
        Shape (bars,) or (series, bars).
    settings : sequence of tuple
        What the loop takes after its arrays, checked.
    engine : ComputeEngine, optional
        The process's shared one by default.

    Returns
    -------
    tuple of numpy.ndarray or None
        The outputs, float64 of shape (settings, *history.shape); None where the eager kernel has to run.

    Raises
    ------
    InputError
        If a price is not finite.
    DeviceError
        If the engine is closed.
    """
    engine = engine or shared_engine()
    shape = len(settings), *history.shape
    outputs = tuple(result_array(engine.pool, shape) for _ in range(LOOPS[name].outputs))
    wanted = [Wanted(name, setting, [out[i] for out in outputs]) for i, setting in enumerate(settings)]
    return outputs if fill_histories(history, wanted, engine) else None


def fused_once(
    name: str, history: Array, setting: Settings, engine: ComputeEngine | None = None
) -> tuple[Array, ...] | None:
    """Compute an indicator with one setting: `fused_history` without the axis of settings.

    A history of few elements, as of one series, goes to its loop without a detour: every microsecond is seen there.
    """
    engine = engine or shared_engine()
    if history.size > _AT_ONCE:
        several = fused_history(name, history, [setting], engine)
        return several and tuple(out[0] for out in several)
    loop = _loop(name, history.size, engine)
    if loop is None:
        return None
    rows = _rows(history)
    outputs = np.empty((LOOPS[name].outputs, *rows.shape))
    parts = tuple(outputs)
    if not loop(rows, *parts, *setting, -1):
        finite(history)
    return parts if history.ndim == 2 else tuple(outputs[:, 0])


def fill_histories(history: Array, wanted: Sequence[Wanted], engine: ComputeEngine | None = None) -> bool:
    """Compute several indicators over one history into arrays that are there, by their compiled loops.

    Parameters
    ----------
    history : numpy.ndarray
        Shape (bars,) or (series, bars).
    wanted : sequence of Wanted
        Each output is float64, C-contiguous and of the shape of `history`.
    engine : ComputeEngine, optional
        The process's shared one by default.

    Returns
    -------
    bool
        False where eager kernels have to run; then nothing has been written.

    Raises
    ------
    InputError
        If a price is not finite; the outputs then are of no use.
    DeviceError
        If the engine is closed.
    """
    elements, engine = history.size * len(wanted), engine or shared_engine()
    jobs = []
    large = sum(out.nbytes for one in wanted for out in one.outputs) >= _LARGE
    for one in wanted:
        loop = _loop(one.name, elements, engine)
        if loop is None:
            return False
        lines = _place_in_lines(one.outputs) if large else -1
        jobs.append((loop, [np.atleast_2d(out) for out in one.outputs], *one.settings, lines))
    rows = _rows(history)
    whole = LANES * (LANES // gcd(rows.shape[1], LANES)) if large else LANES  # series of which each part starts alike
    step = max(1, _PART // rows.shape[1] // whole) * whole
    refused = []

    def work(task: tuple[int, int]) -> None:
        part = slice(task[0], task[0] + step)
        loop, outputs, *settings = jobs[task[1]]
        if not loop(rows[part], *(out[part] for out in outputs), *settings):
            refused.append(part)

    share(work, [(start, i) for start in range(0, len(rows), step) for i in range(len(jobs))], elements)
    if refused:
        finite(history)
    return True


def _place_in_lines(outputs: Sequence[Array]) -> int:
    """How many numbers past the start of a cache line all outputs start; -1 where they do not start alike.

    Storing a whole line directly saves reading it before, half of what memory has to move.
    """
    places = {out.ctypes.data % LINE for out in outputs}
    place = places.pop()
    return -1 if places or place % 8 else place // 8


def _loop(name: str, elements: int, engine: ComputeEngine) -> Callable[..., bool] | None:
    """The compiled loop of an indicator; None where its eager kernel has to run."""
    engine.synchronize()
    kernels = fused_kernels(engine.device, "numba") if elements else None
    if kernels is None:
        return None
    row = LOOPS[name]
    loop: Callable[..., bool] | None = kernels.known(name, row.loop)
    return _trusted(kernels, name, row) if loop is None and elements >= LEAST else loop


def _rows(history: Array) -> Array:
    """The history as rows of the kind of array that the loops are compiled for."""
    if not (history.dtype == np.float64 and history.flags.carray):
        history = np.require(history, np.float64, ["C", "W", "A"])
    return history.reshape(-1, history.shape[-1])


def prepare_loops() -> None:
    """Compile and check every loop now, for callers who cannot wait for it later; nothing where there are none."""
    kernels = fused_kernels(torch.device("cpu"), "numba")
    if kernels is not None:
        for name, row in LOOPS.items():
            _trusted(kernels, name, row)


def _trusted(kernels: FusedKernels, name: str, row: Loop) -> Callable[..., bool] | None:
    """The compiled loop, compared with the eager kernel over random walks and a constant price."""

    def sample() -> Tensor:
        prices = 100.0 + np.random.default_rng(0).normal(size=(LANES * LANES + 9, 263)).cumsum(axis=1)
        prices[2] = prices[-1] = 100.0
        return torch.from_numpy(prices)

    def fast(loop: Callable[..., bool]) -> Outputs:
        prices = sample().numpy()
        found = [line_array(prices.shape) for _ in range(2 * row.outputs)]
        loop(prices, *found[: row.outputs], *row.settings, -1)
        loop(prices, *found[row.outputs :], *row.settings, 0)
        return [torch.from_numpy(out) for out in found]

    def eager() -> Outputs:
        return 2 * [torch.as_tensor(out) for out in row.eager(sample(), *row.settings)]

    found: Callable[..., bool] | None = kernels.trusted(name, row.loop, fast, eager, _TOLERANCE)
    return found
