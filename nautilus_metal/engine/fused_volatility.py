"""Filtered shocks on the CPU through a compiled loop, where numba (extra `fast`) is installed."""

from typing import Any

import torch
from torch import Tensor

from nautilus_metal.engine.fused import fused_kernels
from nautilus_metal.kernels.volatility import (
    VarianceFilter,
    ewma_filter,
    filtered_shocks,
    first_variance,
    garch_filter,
)
from nautilus_metal.kernels.volatility_loop import shocks_loop

_TOLERANCE = 1e-11  # of the largest shock and the largest variance, in float64


def fused_shocks(returns: Tensor, coefficients: VarianceFilter, least: Tensor) -> tuple[Tensor, Tensor]:
    """Do what `filtered_shocks` does, by a loop for float64 on the CPU."""
    loop = shocks_kernel(returns.device) if returns.dtype == torch.float64 else None
    if loop is None:
        return filtered_shocks(returns, coefficients, least)
    return _looped(loop, returns, coefficients, least)


def shocks_kernel(device: torch.device) -> Any:
    """Return the compiled loop of a device, compared on its first use with `filtered_shocks`; None without one."""
    kernels = fused_kernels(device, "numba")
    if kernels is None:
        return None
    return kernels.trusted("filtered_shocks", shocks_loop, _sample_by_loop, _sample_eager, _TOLERANCE)


def _looped(loop: Any, returns: Tensor, coefficients: VarianceFilter, least: Tensor) -> tuple[Tensor, Tensor]:
    squares = returns.square()
    constant = squares.mean(dim=-1).mul_(max(0.0, 1 - coefficients.persistence))
    shocks, ahead = torch.empty_like(returns), torch.empty_like(constant)
    arrays = [each.contiguous().numpy() for each in (returns, first_variance(squares), constant, least)]
    up, down = coefficients.alpha, coefficients.alpha + coefficients.gamma
    loop(*arrays, up, down, coefficients.beta, shocks.numpy(), ahead.numpy())
    return shocks, ahead


def _sample() -> list[tuple[Tensor, VarianceFilter, Tensor]]:
    """A series that moves, one that moves little after its start, and one that never does."""
    returns = 0.01 * torch.randn(3, 131, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    returns[1, 9:] *= 1e-3
    returns[2] = 0.0
    least = 0.01 * returns.square().mean(dim=-1)
    return [(returns, chosen, least) for chosen in (garch_filter(0.03, 0.9, 0.06), ewma_filter(0.97))]


def _sample_by_loop(loop: Any) -> list[Tensor]:
    return [output for row in _sample() for output in _looped(loop, *row)]


def _sample_eager() -> list[Tensor]:
    return [output for row in _sample() for output in filtered_shocks(*row)]
