"""The compiled GARCH likelihood beside the eager one."""

import math

import numpy as np
import pytest
import torch

from nautilus_metal.engine.fused import SWITCH, fused_kernels
from nautilus_metal.engine.fused_garch import _looped, fused_likelihood
from nautilus_metal.kernels.garch import backcast, garch_likelihood
from nautilus_metal.kernels.garch_loop import garch_loop

CPU = torch.device("cpu")


@pytest.mark.parametrize("degrees", [math.inf, 2.5, 30.0])
@pytest.mark.parametrize("free", [(0, 1, 2, 3, 4), (1, 2, 4)])
@pytest.mark.parametrize("compiled", [True, False])
def test_the_loop_gives_what_the_eager_kernel_gives(degrees: float, free: tuple[int, ...], compiled: bool) -> None:
    returns = torch.from_numpy(np.random.default_rng(1).standard_t(4, size=(3, 120)))
    rows = [[0.02, 0.1, 0.05, 0.1, 0.8, degrees], [0.0, 0.3, 0.0, 0.0, 0.2, degrees]]
    rows += [[0.1, 0.01, 0.3, -0.2, 0.7, degrees]]
    given = torch.tensor(rows, dtype=torch.float64)
    start = backcast(returns)
    free = free if math.isinf(degrees) else (*free, 5)
    if compiled:
        found = fused_likelihood(CPU)(returns, given, start, free)
    else:
        found = _looped(garch_loop, returns, given, start, free)
    for ours, eager in zip(found, garch_likelihood(returns, given, start, free), strict=True):
        assert ours.numpy() == pytest.approx(eager.numpy(), rel=1e-9, abs=1e-9 * float(eager.abs().max()))


def test_many_series_are_shared_among_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nautilus_metal.engine.fused_garch._PART", 200)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    returns = torch.from_numpy(np.random.default_rng(2).normal(size=(11, 60)))
    given = torch.tensor([[0.0, 0.1, 0.1, 0.0, 0.8, math.inf]], dtype=torch.float64).repeat(11, 1)
    found = _looped(garch_loop, returns, given, backcast(returns), (1, 2, 4))
    expected = garch_likelihood(returns, given, backcast(returns), (1, 2, 4))
    assert found.value.numpy() == pytest.approx(expected.value.numpy(), rel=1e-10)


def test_the_switch_and_other_types_take_the_eager_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    returns = torch.from_numpy(np.random.default_rng(2).normal(size=(2, 60))).to(torch.float32)
    given = torch.tensor([[0.0, 0.1, 0.1, 0.0, 0.8, math.inf]]).repeat(2, 1)
    found = fused_likelihood(CPU)(returns, given, backcast(returns), (1, 2, 4))
    assert torch.equal(found.value, garch_likelihood(returns, given, backcast(returns), (1, 2, 4)).value)
    monkeypatch.setenv(SWITCH, "0")
    assert fused_kernels(CPU, "numba") is None
    assert fused_likelihood(CPU) is garch_likelihood
