"""Compiled volatility filters beside the eager ones."""

import numpy as np
import pytest
import torch

from nautilus_metal.engine.fused import SWITCH, fused_kernels
from nautilus_metal.engine.fused_volatility import _looped, fused_shocks
from nautilus_metal.kernels.volatility import VarianceFilter, ewma_filter, filtered_shocks, garch_filter
from nautilus_metal.kernels.volatility_loop import shocks_loop

CPU = torch.device("cpu")


def window() -> torch.Tensor:
    """Fat-tailed returns, some of which stand still for a while, or always."""
    made = torch.from_numpy(0.01 * np.random.default_rng(1).standard_t(4, size=(4, 150)))
    made[1, 60:] = 0.0
    made[2, :70] = 0.0
    made[3] = 0.0
    return made


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(
    "chosen", [ewma_filter(0.5), garch_filter(0.05, 0.9), garch_filter(0.0, 0.8, 0.3), garch_filter(0.0, 0.0)]
)
def test_the_loop_gives_what_the_eager_kernel_gives(chosen: VarianceFilter, compiled: bool) -> None:
    returns = window()
    least = 0.01 * returns.square().mean(dim=-1)
    given = returns, chosen, least
    found = fused_shocks(*given) if compiled else _looped(shocks_loop, *given)
    for ours, eager in zip(found, filtered_shocks(returns, chosen, least), strict=True):
        assert ours.numpy() == pytest.approx(eager.numpy(), rel=1e-12, abs=1e-300)


def test_the_switch_and_other_types_take_the_eager_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen, returns = garch_filter(), window().to(torch.float32)
    least = 0.01 * returns.square().mean(dim=-1)
    assert_eager(returns, chosen, least)
    monkeypatch.setenv(SWITCH, "0")
    assert fused_kernels(CPU, "numba") is None
    assert_eager(returns.double(), chosen, least.double())


def assert_eager(returns: torch.Tensor, chosen: VarianceFilter, least: torch.Tensor) -> None:
    found, expected = fused_shocks(returns, chosen, least), filtered_shocks(returns, chosen, least)
    assert all(torch.equal(ours, eager) for ours, eager in zip(found, expected, strict=True))
