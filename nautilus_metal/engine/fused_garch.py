"""The GARCH log-likelihood on the CPU through a compiled loop, where numba (extra `fast`) is installed."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nautilus_metal.engine.cancel import checkpoint
from nautilus_metal.engine.fused import fused_kernels
from nautilus_metal.kernels.garch import Likelihood, LikelihoodFunction, garch_likelihood, log_constants
from nautilus_metal.kernels.garch_loop import garch_loop

_PART = 1 << 19  # observations a thread computes at a time
_TOLERANCE = 1e-9  # of the scale of an output


def fused_likelihood(device: torch.device) -> LikelihoodFunction:
    """Return the fastest log-likelihood that a device has: `garch_likelihood`, or what gives the same.

    On the CPU that is a compiled loop for float64 series (`engine.fused` checks it on first use, or drops it).
    """
    kernels = fused_kernels(device, "numba")
    if kernels is None:
        return garch_likelihood
    loop = kernels.trusted("garch", garch_loop, _sample_by_loop, _sample_eager, _TOLERANCE)
    if loop is None:
        return garch_likelihood

    def likelihood(returns: Tensor, parameters: Tensor, start: Tensor, free: Sequence[int]) -> Likelihood:
        if returns.dtype != torch.float64:
            return garch_likelihood(returns, parameters, start, free)
        return _looped(loop, returns, parameters, start, free)

    return likelihood


def _looped(
    loop: Callable[..., None], returns: Tensor, parameters: Tensor, start: Tensor, free: Sequence[int]
) -> Likelihood:
    count, periods = returns.shape
    student = bool(parameters[:1, 5].isfinite().all())
    found = Likelihood(*(torch.empty(count, *[6] * axes, dtype=torch.float64) for axes in range(3)))
    given = [one.contiguous().numpy() for one in (returns, parameters, start)]
    constants, outputs = log_constants(parameters[:, 5]).numpy(), [one.numpy() for one in found]
    numbers = np.array(free, dtype=np.int64)
    step = max(1, _PART // periods)

    def work(first: int) -> None:
        part = slice(first, first + step)
        some = np.ascontiguousarray(constants[:, part])
        loop(*(one[part] for one in given), some, numbers, student, *(one[part] for one in outputs))

    pieces = range(0, count, step)
    checkpoint()
    if len(pieces) == 1 or torch.get_num_threads() == 1:
        for first in pieces:
            work(first)
        return found
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        list(pool.map(work, pieces))
    return found


def _sample() -> list[tuple[Tensor, Tensor, Tensor, tuple[int, ...]]]:
    """Both laws, all parameters and some of them."""
    returns = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 97)))
    start = returns.square().mean(-1)
    rows: list[tuple[Tensor, Tensor, Tensor, tuple[int, ...]]] = []
    for degrees, free in ((np.inf, (0, 1, 2, 3, 4)), (np.inf, (1, 2, 4)), (6.0, (0, 1, 2, 3, 4, 5))):
        parameters = [[0.01, 0.05, 0.04, 0.05, 0.9, degrees], [0.0, 0.2, 0.3, 0.0, 0.5, degrees]]
        rows.append((returns, torch.tensor(parameters, dtype=torch.float64), start, free))
    return rows


def _sample_by_loop(loop: Any) -> list[Tensor]:
    return [output for row in _sample() for output in _looped(loop, *row)]


def _sample_eager() -> list[Tensor]:
    return [output for row in _sample() for output in garch_likelihood(*row)]
