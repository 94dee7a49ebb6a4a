"""Random numbers of a simulation made on the device, and paths that draw them on the way, where kernels for it exist.

The numbers are those that the host would make, to float32 (see `kernels.normals`), so that a price does not depend on
which way was taken.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.engine.fused import fused_kernels
from nautilus_metal.kernels.brownian import Draws, draws
from nautilus_metal.kernels.metal.calls import Stream, stream_normals, stream_paths
from nautilus_metal.kernels.normals import uniforms
from nautilus_metal.kernels.paths import Parameters, Paths, diffusion_over, spot_score

_NORMALS_TOLERANCE = 2e-6  # of the largest normal
_PATHS_TOLERANCE = 1e-5  # of the largest price and the largest sum of the sample
_SAMPLE, _SAMPLE_STEPS, _SAMPLE_MARKET = Stream(1, 2, 4001, True), 32, (100.0, 0.3, 0.03, 1.0, 0.01)


def pseudo_stream(seed: int, first: int, number: int, sampler: str) -> Stream:
    """The place of `number` paths from path `first` on, for the samplers "pseudo" and "antithetic"."""
    pairs = 2 if sampler == "antithetic" else 1
    return Stream(seed, first // pairs, number // pairs, pairs == 2)


def device_draws(
    factors: int, steps: int, extra: int, stream: Stream | None, host: Callable[[], Draws], engine: ComputeEngine
) -> Draws:
    """Draws on the device with an axis for contracts; those of a stream by the fused kernel where there is one."""
    kernels = fused_kernels(engine.device) if stream is not None and engine.dtype == torch.float32 else None
    if kernels is None:
        return _uploaded(host(), engine)
    assert stream is not None

    def fast(library: Any) -> Draws:
        normals = stream_normals(library, stream, factors * steps, engine.device)
        shaped = normals.reshape(steps, factors, 1, stream.paths).transpose(0, 1).contiguous()
        return Draws(shaped, _uploaded_uniforms(_rest(stream, factors * steps, extra), engine))

    return Draws(
        *kernels.run("portable_normals", "paths", fast, lambda: _uploaded(host(), engine), _NORMALS_TOLERANCE)
    )


def _rest(stream: Stream, first_row: int, extra: int) -> Tensor:
    """The further uniforms of a stream, on the host."""
    if not extra:
        return torch.empty(0, stream.paths, dtype=torch.float64)
    rest = uniforms(extra, stream.number, stream.seed, "pseudo", stream.start, first_row)
    return torch.cat([rest, 1.0 - rest], -1) if stream.mirrored else rest


def _uploaded(made: Draws, engine: ComputeEngine) -> Draws:
    return Draws(engine.upload(made.normals).unsqueeze(-2), _uploaded_uniforms(made.uniforms, engine))


def _uploaded_uniforms(rows: Tensor, engine: ComputeEngine) -> Tensor:
    """A uniform next to 1 must not become 1 in float32."""
    return engine.upload(rows.clamp(max=1.0 - torch.finfo(engine.dtype).eps)).unsqueeze(-2)


def can_walk(engine: ComputeEngine) -> bool:
    """Whether the fused kernel may walk paths; when first asked, it is compared with the eager one on a sample.

    Which way a price takes is thus settled before it is made, and is the same each time.
    """
    kernels = fused_kernels(engine.device)
    if kernels is None or engine.dtype != torch.float32:
        return False
    if "portable_paths" not in kernels.verdicts:
        _walked(_SAMPLE_MARKET, _SAMPLE, engine, _SAMPLE_STEPS)
    return kernels.verdicts.get("portable_paths", False)


def walk(
    p: Parameters,
    stream: Stream,
    engine: ComputeEngine,
    *,
    market: tuple[float, ...],
    steps: int,
    terminal: bool,
    scheduled: bool,
) -> Paths:
    """Walk the paths of one contract on one asset under Black-Scholes: those of `kernels.paths.black_scholes_paths`.

    Parameters
    ----------
    p : Parameters
        Those of `market` for each path, shape (1, 1, paths).
    stream : Stream
        The normals.
    engine : ComputeEngine
        Where to; without a fused kernel the numbers are made on the host.
    market : tuple of float
        Spot, volatility, rate, expiry and dividend yield.
    steps, terminal, scheduled
        As there.
    """
    even = (p.expiry / steps).unsqueeze(0)
    if scheduled:  # the first step alone changes with the expiry
        even = torch.cat([even.detach() + (p.expiry - p.expiry.detach()), even.detach()])
    deviation, drift = diffusion_over(p, even)
    spots, sums = _walked(market, stream, engine, steps)
    total = drift[0].sum(0) + (steps - len(drift[0])) * drift[0, -1]
    variance = deviation[0] * deviation[0]
    whole, root = sums[-1:].unsqueeze(0), steps**0.5
    seen = whole / root if terminal else sums[:1].unsqueeze(0)
    spread = p.volatility * p.expiry.sqrt() if terminal else deviation[:, 0]
    return Paths(
        _Exponential.apply(p.spot, drift, deviation, spots, sums),
        torch.cat([variance[:1], variance[-1:].expand(steps - 1, *p.expiry.shape)]),
        1,
        p.spot[0].log() + total,
        p.volatility[0] * p.expiry.sqrt(),
        whole[0] / root,
        spot_score(seen, spread, torch.ones(1, 1)),
        torch.zeros_like(p.expiry),
        p.expiry.new_empty(0, *p.expiry.shape),
    )


def _walked(
    market: tuple[float, ...], stream: Stream, engine: ComputeEngine, steps: int
) -> tuple[Tensor, Tensor]:
    """Prices (steps + 1, paths) and sums of normals (steps, paths)."""
    spot, volatility, rate, expiry, dividend_yield = market
    deviation = volatility * (expiry / steps) ** 0.5
    drift = (rate - dividend_yield) * (expiry / steps) - 0.5 * deviation * deviation

    def fast(library: Any) -> tuple[Tensor, Tensor]:
        return stream_paths(library, stream, steps, spot, drift, deviation, engine.device)

    def eager() -> tuple[Tensor, Tensor]:
        number, sampler = stream.paths, "antithetic" if stream.mirrored else "pseudo"
        made = draws(1, steps, 0, number, stream.seed, sampler, stream.start).normals[0]
        sums = engine.upload(made).cumsum(0)
        times = torch.arange(1, steps + 1, device=sums.device, dtype=sums.dtype).unsqueeze(-1)
        moved = spot * (drift * times + deviation * sums).exp()
        return torch.cat([torch.full_like(moved[:1], spot), moved]), sums

    kernels = fused_kernels(engine.device)
    if kernels is None:
        return eager()
    spots, sums = kernels.run("portable_paths", "paths", fast, eager, _PATHS_TOLERANCE)
    return spots, sums


class _Exponential(torch.autograd.Function):
    """Prices that were walked already, with their derivatives by spot, drift and deviation of the steps.

    Drift and deviation have one row for all steps, or two, for the first and for each later one.
    """

    @staticmethod
    def forward(ctx: Any, spot: Tensor, drift: Tensor, deviation: Tensor, spots: Tensor, sums: Tensor) -> Tensor:
        ctx.save_for_backward(spot, spots, sums)
        ctx.rows = drift.shape[1]
        return spots.reshape(1, -1, 1, spots.shape[-1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        spot, spots, sums = ctx.saved_tensors
        by_log = gradients[0].reshape(spots.shape) * spots
        later, whole = by_log[1:], by_log[1:].sum(0)
        steps = torch.arange(len(sums), device=sums.device, dtype=sums.dtype).unsqueeze(-1)
        by_drift, by_deviation = (later * (steps + 1.0)).sum(0), (later * sums).sum(0)
        drifts, deviations = [by_drift], [by_deviation]
        if ctx.rows == 2:
            drifts, deviations = [whole, by_drift - whole], [whole * sums[0], by_deviation - whole * sums[0]]
        shape = (1, ctx.rows, 1, -1)
        by_spot = by_log.sum(0).reshape(spot.shape) / spot
        return by_spot, torch.stack(drifts).reshape(shape), torch.stack(deviations).reshape(shape), None, None
