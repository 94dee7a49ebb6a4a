"""Checks of the scenario kernels, of transfers and of the memory pool."""

from functools import cache

import numpy as np
import torch
from torch import Tensor

from nautilus_metal.cli.verify.check import Check, Outputs
from nautilus_metal.engine import ComputeEngine
from nautilus_metal.kernels.normals import chi_square_quantile, standard_normals, uniforms
from nautilus_metal.kernels.scenarios import (
    ScenarioSet,
    full_losses,
    linear_losses,
    net_loading,
    relative_changes,
    scenario_returns,
)
from nautilus_metal.kernels.tail import largest, tail_weights

ASSETS, COUNT = 20, 20_000
ROUNDED = 1e-7  # one rounding to float32
SUM_TOLERANCE = 1e-5


@cache
def _normals(sampler: str = "sobol") -> Tensor:
    return standard_normals(ASSETS, COUNT, seed=3, sampler=sampler)


@cache
def _scale() -> Tensor:
    return torch.sqrt(3.0 / chi_square_quantile(uniforms(1, COUNT, 3)[0], 5.0))


def _exposures(engine: ComputeEngine) -> Tensor:
    return engine.upload(np.random.default_rng(5).normal(size=ASSETS))


def _scenarios(engine: ComputeEngine) -> ScenarioSet:
    mixed = np.random.default_rng(4).normal(size=(ASSETS, ASSETS))
    loading = np.linalg.cholesky(mixed @ mixed.T / ASSETS + np.eye(ASSETS)) * 0.01
    shift = engine.upload(np.linspace(-1e-3, 1e-3, ASSETS))
    return ScenarioSet(engine.upload(loading), engine.upload(_normals()), shift, engine.upload(_scale()))


def _linear(engine: ComputeEngine) -> Outputs:
    scenarios = _scenarios(engine)
    net = net_loading(_exposures(engine), scenarios.loading)
    return [net, linear_losses(net, 0.01, scenarios.factors, scenarios.scale)]


def _full(engine: ComputeEngine) -> Outputs:
    with engine.pool.borrow((ASSETS, 7_000), engine.dtype) as buffer:
        return [full_losses(_exposures(engine), _scenarios(engine), buffer)]


def _tail(engine: ComputeEngine) -> Outputs:
    """Figures from the largest losses, and the losses found again under their indices."""
    weights = tail_weights(COUNT, (0.95, 0.99))
    losses = engine.upload(_normals()[0] * _scale())
    worst, where = largest(losses, weights.size)
    return [worst, losses[where], worst @ engine.upload(weights.figures)]


def _moved(engine: ComputeEngine) -> Outputs:
    """There, transposed, sliced and back."""
    block = engine.upload(_normals())
    return [block, block.T.contiguous(), block[:, ::7].contiguous(), block.T[5:9]]


def _cached(engine: ComputeEngine) -> Outputs:
    """Two loans under one key, with another loan between them."""
    found = []
    for _ in range(2):
        with engine.pool.borrow((ASSETS, COUNT), engine.dtype, key="verify", fill=_fill) as block:
            found.append(block.clone())
        with engine.pool.borrow((ASSETS, COUNT), engine.dtype) as other:
            other.fill_(7.0)
    return found


def _fill(block: Tensor) -> None:
    block.copy_(_normals("pseudo").to(block.dtype))


CHECKS: tuple[Check, ...] = (
    Check("engine.upload", _moved, ROUNDED),
    Check("engine.pool.borrow", _cached, ROUNDED),
    Check("scenarios.scenario_returns", lambda e: [scenario_returns(_scenarios(e))], SUM_TOLERANCE),
    Check("scenarios.relative_changes", lambda e: [relative_changes(_scenarios(e), False)], SUM_TOLERANCE),
    Check("scenarios.linear_losses", _linear, SUM_TOLERANCE),
    Check("scenarios.full_losses", _full, SUM_TOLERANCE),
    Check("tail.largest", _tail, SUM_TOLERANCE),
)
