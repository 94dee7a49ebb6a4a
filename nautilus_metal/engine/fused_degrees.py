"""Sums of logarithms on the CPU through a compiled loop, where numba (extra `fast`) is installed."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nautilus_metal.engine.fused import fused_kernels
from nautilus_metal.kernels.degrees_loop import log_sum_loop

_TOLERANCE = 1e-12  # of the largest sum, in float64


def fused_log_sum(rows: Tensor) -> Callable[[float], float]:
    """Return the function of `above` that sums ``log(x + above)`` over all x of `rows`.

    Parameters
    ----------
    rows : Tensor
        Shape (a multiple of 4, columns), float64 on the host, contiguous; a logarithm is taken of each column's
        product, which must stay inside float64.
    """
    loop = log_sum_kernel(rows.device)
    if loop is None:
        return lambda above: _eager(rows, above)
    numbers, product = rows.numpy(), np.empty(rows.shape[1])
    return lambda above: loop(numbers, above, product)


def log_sum_kernel(device: torch.device) -> Any:
    """Return the compiled loop of a device, compared on its first use with torch's; None without one."""
    kernels = fused_kernels(device, "numba")
    if kernels is None:
        return None
    return kernels.trusted("log_sum", log_sum_loop, _sample_by_loop, _sample_eager, _TOLERANCE)


def _eager(rows: Tensor, above: float) -> float:
    return float(rows.add(above).prod(dim=0).log_().sum())


def _sample() -> list[tuple[Tensor, float]]:
    rows = torch.randn(8, 131, generator=torch.Generator().manual_seed(0), dtype=torch.float64).square()
    return [(rows, above) for above in (0.5, 3.0, 98.0)]


def _sample_by_loop(loop: Any) -> list[Tensor]:
    sums = [loop(rows.numpy(), above, np.empty(rows.shape[1])) for rows, above in _sample()]
    return [torch.tensor(sums, dtype=torch.float64)]


def _sample_eager() -> list[Tensor]:
    return [torch.tensor([_eager(*row) for row in _sample()], dtype=torch.float64)]
