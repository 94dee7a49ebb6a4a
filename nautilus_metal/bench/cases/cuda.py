"""Kernels on an NVIDIA GPU whose data are there already, against PyTorch, CuPy and JAX on the same GPU.

The machine's other devices have nothing to compare here. A Monte Carlo answer is held against the closed form, or the
other side's, in its own standard errors.
"""

import math
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nautilus_metal.bench.case import Case, Floor, NothingToCompareError, need_cuda
from nautilus_metal.bench.libraries import array_library
from nautilus_metal.engine import ComputeEngine, fused_cuda
from nautilus_metal.engine.fused import fused_kernels
from nautilus_metal.engine.fused_scans import fused_rsi
from nautilus_metal.kernels.rsi import rsi

_SPOT, _STRIKE, _YEARS, _RATE, _VOLATILITY = 100.0, 103.0, 0.7, 0.03, 0.25
_PERIOD = 14


class Simulation(NamedTuple):
    """An option, its paths, and the kernels that simulate it."""

    paths: int
    steps: int
    kernels: Any
    device: torch.device


def _prepare(engine: ComputeEngine, paths: int, steps: int) -> Simulation:
    need_cuda(engine)
    if fused_kernels(engine.device, "triton") is None:
        raise NothingToCompareError("fused kernels are switched off")
    try:
        return Simulation(paths, steps, fused_cuda.paths(), engine.device)
    except ImportError as error:
        raise NothingToCompareError(f"no Triton: {error}") from error


def _simulated(portable: bool) -> Callable[[Simulation], Any]:
    """Price and five Greeks with their standard errors, and as many control variates as the option has."""

    def ours(problem: Simulation) -> Any:
        market = problem.kernels.Market(_SPOT, _VOLATILITY, _RATE, _YEARS, 0.0, _STRIKE, 1.0)
        payoffs = 2 if problem.steps == 1 else 3
        arguments = (problem.steps, payoffs, 5, 0, problem.paths, problem.device, False, portable)
        found = problem.kernels.mean_option_moments(market, *arguments).cpu()
        return [float(found[0, 0]), float(found[1, 0])], float(found[0, 3].sqrt()) / problem.paths

    return ours


def _moments(library: Any, normals: Callable[[int], Any], steps: int) -> Any:
    """Price and delta of a call on the mean of the steps' prices, in an array library with numpy's names."""
    years = _YEARS / steps
    deviation = _VOLATILITY * years**0.5
    logs: Any = 0.0
    total: Any = 0.0
    for step in range(steps):
        logs = logs + (_RATE * years - 0.5 * deviation * deviation) + deviation * normals(step)
        total = total + library.exp(logs)
    mean = total * (_SPOT / steps)
    paid = ((mean - _STRIKE) > 0) * math.exp(-_RATE * _YEARS)
    return library.stack([(paid * (mean - _STRIKE)).mean(), (paid * mean).mean() / _SPOT])


def _torch(problem: Simulation) -> Any:
    made = _moments(torch, lambda _: torch.randn(problem.paths, device=problem.device), problem.steps)
    return made.tolist(), 0.0


def _cupy(problem: Simulation) -> Any:
    cupy = array_library("cupy")
    random = cupy.random.default_rng(7)
    made = _moments(cupy, lambda _: random.standard_normal(problem.paths, dtype=cupy.float32), problem.steps)
    return made.tolist(), 0.0


def _jax(problem: Simulation) -> Any:
    return _compiled(problem.paths, problem.steps)().tolist(), 0.0


@cache
def _compiled(paths: int, steps: int) -> Callable[[], Any]:
    numpy = array_library("jax.numpy")
    jax = import_module("jax")
    years = _YEARS / steps
    deviation = _VOLATILITY * years**0.5

    def step(k: int, state: tuple[Any, Any]) -> tuple[Any, Any]:
        drawn = jax.random.normal(jax.random.fold_in(jax.random.key(7), k), (paths,), numpy.float32)
        logs = state[0] + (_RATE * years - 0.5 * deviation * deviation) + deviation * drawn
        return logs, state[1] + numpy.exp(logs)

    def whole() -> Any:
        zeros = numpy.zeros((paths,), numpy.float32)
        mean = jax.lax.fori_loop(0, steps, step, (zeros, zeros))[1] * (_SPOT / steps)
        paid = (mean > _STRIKE) * math.exp(-_RATE * _YEARS)
        return numpy.stack([(paid * (mean - _STRIKE)).mean(), (paid * mean).mean() / _SPOT])

    return jax.jit(whole)


def _check(_: Simulation, ours: Any, theirs: Any) -> None:
    """Both sides draw their own numbers: five standard errors of a price, as much of its part for a delta."""
    (price, delta), error = ours
    assert abs(price - theirs[0][0]) <= 5 * 2**0.5 * error, f"prices {price} and {theirs[0][0]}, error {error}"
    assert abs(delta - theirs[0][1]) <= 5 * 2**0.5 * error * delta / price * 2, f"deltas {delta} and {theirs[0][1]}"


def _prices(engine: ComputeEngine, series: int, bars: int) -> Tensor:
    need_cuda(engine)
    made = torch.randn(series, bars, generator=torch.Generator().manual_seed(2))
    return made.to(engine.device).cumsum_(1)


def _rsi_check(prices: Tensor, ours: Tensor, theirs: Tensor) -> None:
    exact = rsi(prices[:64].double(), _PERIOD)
    for found in (ours, theirs):
        torch.testing.assert_close(found[:64].double(), exact, rtol=0, atol=2e-3, equal_nan=True)


_PEERS = {"torch": _torch, "CuPy": _cupy, "JAX": _jax}

CASES = (
    Case(
        name="cuda_european",
        title="European call on the GPU: price and five Greeks with standard errors; peers price and delta",
        sizes=({"paths": 1_000_000, "steps": 1},),
        quick=({"paths": 20_000, "steps": 1},),
        prepare=_prepare,
        ours=_simulated(True),
        peers=_PEERS,
        check=_check,
    ),
    Case(
        name="cuda_asian",
        title="Asian call on the GPU, portable stream: price and five Greeks with controls; peers price and delta",
        sizes=({"paths": 1_000_000, "steps": 252},),
        quick=({"paths": 20_000, "steps": 4},),
        prepare=_prepare,
        ours=_simulated(True),
        peers=_PEERS,
        check=_check,
    ),
    Case(
        name="cuda_asian_fast",
        title="the same with the sampler fast",
        sizes=({"paths": 1_000_000, "steps": 252},),
        quick=({"paths": 20_000, "steps": 4},),
        prepare=_prepare,
        ours=_simulated(False),
        peers=_PEERS,
        check=_check,
    ),
    Case(
        name="cuda_rsi",
        title="RSI of many series that are on the GPU, float32",
        sizes=({"series": 5_000, "bars": 10_000},),
        quick=({"series": 300, "bars": 200},),
        prepare=_prices,
        ours=lambda prices: fused_rsi(prices, _PERIOD),
        peers={"torch, blocked products": lambda prices: rsi(prices, _PERIOD)},
        check=_rsi_check,
        floor=Floor("read and write once", lambda rates, size: rates.moved(8.0 * size["series"] * size["bars"])),
    ),
)
