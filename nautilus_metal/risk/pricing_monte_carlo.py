"""Estimates from simulated paths: blocks, control variates, and standard errors of every figure.

Every contract of a batch sees the same random numbers. Paths are worked off in blocks, so that memory stays bounded.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nautilus_metal.engine import ComputeEngine, threads_for
from nautilus_metal.kernels.brownian import SCRAMBLES, Draws, draws, stream_seed
from nautilus_metal.kernels.closed_forms import Inputs
from nautilus_metal.kernels.metal.calls import Stream
from nautilus_metal.kernels.path_greeks import Payoff, Shape, pairs, path_figures
from nautilus_metal.kernels.paths import Parameters, Paths
from nautilus_metal.risk.pricing_streams import can_walk, device_draws, pseudo_stream

Array = NDArray[np.float64]
Simulate = Callable[[Parameters, Draws], Paths]
Walk = Callable[[Parameters, Stream, ComputeEngine], Paths]
Sample = Callable[[int, int, str, int], "list[Moments] | None"]

SAMPLERS = ("pseudo", "antithetic", "sobol", "fast")
STREAMED = ("pseudo", "antithetic")  # those whose numbers a device may make by itself

_CPU_BLOCK, _GPU_BLOCK = 2**21, 2**25  # random numbers of a block, which keep a long job within memory
_CPU_PATHS = 2**16  # of a block: an operator on fewer takes longer to be called, on more it leaves the caches
_LEAST_BLOCK = 512
_SHARED = 32  # contracts of a batch among which the making of a block is shared out
_LIVE = 64  # tensors of a block that are held at once, at most
_LEAST_FIT = 64  # units under which controls are left out: a perfect fit by chance would hide the error
_ROUNDING = 1e-4  # a control that varies by less than this part of the figure is float32 noise around a constant


@dataclass(frozen=True)
class Control:
    """A payoff on the same paths whose figures are known.

    Attributes
    ----------
    payoff, shape
        As of the contract.
    figures : Tensor
        Its exact figures, shape (figures, contracts), see `path_greeks.exact_figures`.
    """

    payoff: Payoff
    shape: Shape
    figures: Tensor


@dataclass(frozen=True)
class Plan:
    """What is simulated, and what is read from each path.

    Attributes
    ----------
    inputs : Inputs
        The parameters of the contracts, float64 on the host.
    simulate : callable
        Paths from parameters and draws.
    factors, steps, extra : int
        Normals and further uniforms of each path.
    payoff, shape
        The contract.
    controls : tuple of Control
        Control variates; may be empty.
    walk : callable, optional
        Paths straight from a place in the pseudo-random stream, for an engine that has a kernel for it.
    figures : callable, optional
        Figures of contract and controls on each path from draws, in place of all of the above.
    """

    inputs: Inputs
    simulate: Simulate
    factors: int
    steps: int
    extra: int
    payoff: Payoff
    shape: Shape
    controls: tuple[Control, ...] = ()
    walk: Walk | None = None
    figures: Callable[[Draws], Tensor] | None = None


@dataclass(frozen=True)
class Estimate:
    """Figures in the order of `path_greeks.names`, their standard errors, and what made them.

    Attributes
    ----------
    values, errors : ndarray
        Shape (figures, contracts).
    degrees : int
        Degrees of freedom of the standard errors.
    paths : int
        Paths that were simulated.
    """

    values: Array
    errors: Array
    degrees: int
    paths: int


@dataclass
class Moments:
    """Count, mean (1 + controls, figures, contracts) and centred products (1 + controls, 1 + controls, ...)."""

    count: int
    mean: Array
    products: Array

    def __add__(self, other: "Moments") -> "Moments":
        count = self.count + other.count
        gap = other.mean - self.mean
        outer = gap[:, None] * gap[None] * (self.count * other.count / count)
        return Moments(count, self.mean + gap * (other.count / count), self.products + other.products + outer)


def estimate(
    plan: Plan, num_simulations: int, sampler: str, seed: int, engine: ComputeEngine, fused: Sample | None = None
) -> Estimate:
    """Simulate and estimate.

    Parameters
    ----------
    plan : Plan
        The contract.
    num_simulations : int
        Paths, at least 2; rounded up to whole pairs (antithetic) or equal scrambles (sobol).
    sampler : {"pseudo", "antithetic", "sobol", "fast"}
        Standard errors come from independent paths, from the means of pairs, or from independent scrambles.
    seed : int
        The stream.
    engine : ComputeEngine
        Where to compute.
    fused : callable, optional
        A fused kernel's way to the moments of groups of paths; where it has none they are simulated as planned.

    Returns
    -------
    Estimate
        The regression on the control variates is fitted on the same paths: a bias of the order of 1 / paths.
    """
    groups = min(SCRAMBLES, num_simulations) if sampler == "sobol" else 1
    per_group = -(-num_simulations // groups)
    if sampler == "antithetic":
        per_group = max(4, per_group + per_group % 2)  # a standard error takes two pairs
    samples = None if fused is None else fused(groups, per_group, sampler, seed)
    if samples is None:
        elements = 0 if engine.device.type == "cpu" else per_group * plan.inputs.spot.shape[1] * dimensions(plan)
        with threads_for(min(elements, _block_elements(engine))):
            samples = group_moments(plan, groups, per_group, sampler, seed, engine)
    with np.errstate(invalid="ignore", over="ignore"):  # what overflowed on the device stays NaN or infinite
        values, errors, degrees = _summary(plan, samples)
    return Estimate(values, errors, degrees, per_group * groups)


def _summary(plan: Plan, samples: list[Moments]) -> tuple[Array, Array, int]:
    """Figures, standard errors and their degrees of freedom from one sample or from independent groups."""
    groups, whole = len(samples), samples[0]
    for part in samples[1:]:
        whole = whole + part
    slopes = _slopes(whole)
    exact = np.array([control.figures.numpy() for control in plan.controls]).reshape(slopes.shape)
    adjusted = np.array([_adjusted(s.mean, slopes, exact) for s in samples])
    values = adjusted.mean(0)
    if groups > 1:
        return values, adjusted.std(0, ddof=1) / np.sqrt(groups), groups - 1
    degrees = max(1, whole.count - 1 - len(exact))
    return values, np.sqrt(_residual(whole, slopes) / degrees / whole.count), degrees


def blocks(plan: Plan, count: int, sampler: str, seed: int, engine: ComputeEngine) -> Iterator[Draws]:
    """Draws of `count` paths on the device for all contracts, in blocks of bounded size."""
    for first, number in _ranges(plan, count, engine):
        start = first // 2 if sampler == "antithetic" else first
        stream = pseudo_stream(seed, first, number, sampler) if sampler in STREAMED else None
        host = partial(draws, plan.factors, plan.steps, plan.extra, number, seed, sampler, start)
        yield device_draws(plan.factors, plan.steps, plan.extra, stream, host, engine)


def _ranges(plan: Plan, count: int, engine: ComputeEngine) -> Iterator[tuple[int, int]]:
    """First path and number of paths of each block."""
    size = block_paths(plan, plan.inputs.spot.shape[1], engine)
    yield from ((first, min(size, count - first)) for first in range(0, count, size))


def _places(
    plan: Plan, count: int, sampler: str, seed: int, engine: ComputeEngine
) -> Iterator[Draws] | Iterator[Stream]:
    """Blocks, or where in the stream they lie if the plan can walk them from there."""
    if plan.walk is None or sampler not in STREAMED or not can_walk(engine):
        return blocks(plan, count, sampler, seed, engine)
    return (pseudo_stream(seed, first, number, sampler) for first, number in _ranges(plan, count, engine))


def block_paths(plan: Plan, contracts: int, engine: ComputeEngine) -> int:
    """Paths of a block, an even number."""
    return max(_LEAST_BLOCK, _all_paths(plan, engine) // min(contracts, _SHARED)) & ~1


def batch_size(plan: Plan, contracts: int, num_simulations: int, engine: ComputeEngine) -> int:
    """How many of so many contracts of a plan's kind are simulated at once."""
    paths = min(num_simulations, block_paths(plan, contracts, engine))
    return max(1, _all_paths(plan, engine) // paths)


def dimensions(plan: Plan) -> int:
    """Numbers that a path of one contract takes: random ones, or mixed gammas where these are more."""
    return max(plan.factors * plan.steps + plan.extra, len(pairs(len(plan.inputs.spot))))


def _all_paths(plan: Plan, engine: ComputeEngine) -> int:
    """Paths of all contracts of a block."""
    paths = _block_elements(engine) // dimensions(plan)
    return min(paths, _CPU_PATHS) if engine.device.type == "cpu" else paths


def _block_elements(engine: ComputeEngine) -> int:
    if engine.device.type == "cpu":
        return _CPU_BLOCK
    return min(_GPU_BLOCK, engine.pool.budget_bytes // (_LIVE * engine.dtype.itemsize))


def parameters(inputs: Inputs, count: int, engine: ComputeEngine, gradients: bool = True) -> Parameters:
    """The inputs repeated for each path, shape (..., contracts, paths), as leaves of a graph."""

    def spread(tensor: Tensor) -> Tensor:
        return engine.upload(tensor.unsqueeze(-1)).expand(*tensor.shape, count).contiguous().requires_grad_(gradients)

    rows = [spread(tensor) for tensor in inputs[:4]]
    return Parameters(rows[0], rows[1], rows[2], rows[3], engine.upload(inputs.dividend_yield.unsqueeze(-1)))


def group_moments(
    plan: Plan, groups: int, count: int, sampler: str, seed: int, engine: ComputeEngine
) -> list[Moments]:
    """Moments of each group of paths; small ones are simulated together."""
    seeds = [stream_seed(seed, k) for k in range(groups)]
    if groups == 1 or groups * count * plan.inputs.spot.shape[1] > _all_paths(plan, engine):
        return [_group(plan, _places(plan, count, sampler, each, engine), sampler, engine) for each in seeds]
    parts = [drawn for each in seeds for drawn in blocks(plan, count, sampler, each, engine)]
    joined = Draws(torch.cat([d.normals for d in parts], -1), torch.cat([d.uniforms for d in parts], -1))
    figures = _figures(plan, joined, engine)
    return [_moments(part, sampler, engine) for part in figures.split(count, -1)]


def _group(plan: Plan, stream: Iterable[Draws | Stream], sampler: str, engine: ComputeEngine) -> Moments:
    total: Moments | None = None
    for drawn in stream:
        part = _moments(_figures(plan, drawn, engine), sampler, engine)
        total = part if total is None else total + part
    assert total is not None
    return total


def _figures(plan: Plan, drawn: Draws | Stream, engine: ComputeEngine) -> Tensor:
    """Figures of contract and controls, shape (1 + controls, figures, contracts, paths)."""
    if isinstance(drawn, Stream):
        assert plan.walk is not None
        p = parameters(plan.inputs, drawn.paths, engine)
        paths = plan.walk(p, drawn, engine)
    elif plan.figures is not None:
        return plan.figures(drawn)
    else:
        p = parameters(plan.inputs, drawn.normals.shape[-1], engine)
        paths = plan.simulate(p, drawn)
    payoffs = [(plan.payoff, plan.shape), *((control.payoff, control.shape) for control in plan.controls)]
    return torch.stack([path_figures(paths, p, payoff, shape) for payoff, shape in payoffs])


def _moments(figures: Tensor, sampler: str, engine: ComputeEngine) -> Moments:
    if sampler == "antithetic":
        figures = figures.unflatten(-1, (2, -1)).mean(-2)
    exact = figures.to(engine.exact_dtype)
    mean = exact.mean(-1)
    moved = engine.download(torch.cat([mean[None], _products(exact - mean.unsqueeze(-1))]))
    return Moments(figures.shape[-1], moved[0], moved[1:])


def _products(centred: Tensor) -> Tensor:
    """Sums over paths of each row times each, shape (rows, rows, ...)."""
    if centred.dtype == torch.float32:  # a sum by halves keeps digits that a product of matrices loses
        return torch.stack([(row * centred).sum(-1) for row in centred])
    rows = centred.movedim(0, -2)
    return (rows @ rows.mT).movedim((-2, -1), (0, 1))


def _slopes(whole: Moments) -> Array:
    """Least-squares slopes of each figure on that of the controls, shape (controls, figures, contracts)."""
    width = len(whole.mean)
    if width == 1:
        return np.zeros((0, *whole.mean.shape[1:]))
    spread = np.sqrt(np.einsum("ii...->i...", whole.products))
    clean = np.isfinite(whole.products).all((0, 1)) & (spread[0] > 0) & (whole.count >= _LEAST_FIT)
    used = clean & (spread > _ROUNDING * spread[0])
    scale = np.where(used, spread, 1.0)
    unit = used / scale
    scaled = np.where(clean, whole.products, 0.0) * (unit[:, None] * unit)
    found = scaled[1:, 0]
    if width > 2:  # a single control's square is 1, or 0, and its own inverse
        by_figure = scaled.transpose(2, 3, 0, 1)
        inverse = np.linalg.pinv(by_figure[..., 1:, 1:], rcond=1e-9)
        found = (inverse @ by_figure[..., 1:, :1])[..., 0].transpose(2, 0, 1)
    return np.asarray(found * (scale[0] / scale[1:]))


def _adjusted(mean: Array, slopes: Array, exact: Array) -> Array:
    return np.asarray(mean[0] - (slopes * (mean[1:] - np.where(np.isfinite(mean[1:]), exact, 0.0))).sum(0))


def _residual(whole: Moments, slopes: Array) -> Array:
    """Sum of squares that the controls leave."""
    weights = np.concatenate([np.ones((1, *slopes.shape[1:])), -slopes])
    return np.clip(np.einsum("i...,ij...,j...->...", weights, whole.products, weights), 0.0, None)
