"""Prices and Greeks on an NVIDIA GPU in one pass: a European or Asian option under Black-Scholes.

Random numbers are made on the way. The same numbers, estimators and control variates as by `pricing_plans`,
so that figures agree to float32.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from nautilus_metal.engine import ComputeEngine, fused_cuda
from nautilus_metal.engine.fused import Outputs, fused_kernels
from nautilus_metal.risk.pricing_monte_carlo import Moments, Plan, group_moments
from nautilus_metal.risk.pricing_plans import make_plan
from nautilus_metal.risk.pricing_terms import Terms, checked_terms

SAMPLERS = {"pseudo": True, "fast": False}
"""Of the kernel: whether they take the portable numbers of `kernels.normals`, or those of `counter_normals`."""

_TOLERANCE = 2e-4  # of the largest mean, or product, of a figure
_PLACES = ((3, 4, 5), (4, 6, 7), (5, 7, 8))  # of the products of contract and controls
_SAMPLES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("european", {}),
    ("asian", {"observations": 6}),
    ("asian", {"observations": 5, "average": "geometric"}),
)
_COUNT = 3001

Way = Callable[[Terms, Plan, str], Moments]


def device_moments(
    terms: Terms, plan: Plan, engine: ComputeEngine, groups: int, count: int, sampler: str, seed: int
) -> list[Moments] | None:
    """Moments of a plan's paths from the fused kernel of `kernels.triton.paths`; None where it does not cover them.

    Parameters are those of `pricing_fused.fused_sample`, and of what that returns.
    """
    kernels = fused_kernels(engine.device, "triton")
    if kernels is None or groups > 1 or sampler not in SAMPLERS or not _covers(terms, plan, engine):
        return None

    def compared(way: Way) -> Outputs:
        return [part for name, options in _SAMPLES for part in _parts(way, name, options, sampler, engine)]

    compiled = kernels.trusted(
        f"mean_options_{sampler}",
        fused_cuda.paths,
        lambda library: compared(lambda terms, plan, way: _fused(library, terms, plan, way, _COUNT, 5, engine)),
        lambda: compared(lambda _, plan, sampler: group_moments(plan, 1, _COUNT, sampler, 5, engine)[0]),
        _TOLERANCE,
    )
    if compiled is None:
        return None
    found = _fused(compiled, terms, plan, sampler, count, seed, engine)
    return [found] if np.isfinite(found.products).all() else None


def _covers(terms: Terms, plan: Plan, engine: ComputeEngine) -> bool:
    if engine.dtype != torch.float32 or plan.figures is not None or terms.model != "black_scholes":
        return False
    steps = {"european": 1, "asian": terms.options.get("observations")}
    return terms.contracts == 1 and plan.steps == steps.get(terms.style)


def _fused(
    library: Any, terms: Terms, plan: Plan, sampler: str, count: int, seed: int, engine: ComputeEngine
) -> Moments:
    names = ("spot", "volatility", "rate", "expiry", "dividend_yield")
    market = library.Market(*(terms.number(name) for name in names), float(terms.strike), float(terms.sign))
    payoffs, geometric = 1 + len(plan.controls), terms.options.get("average") == "geometric"
    joined = library.mean_option_moments(
        market, plan.steps, payoffs, seed, 0, count, engine.device, geometric, SAMPLERS[sampler]
    )
    found = engine.download(joined)
    places = np.array(_PLACES)[:payoffs, :payoffs]
    return Moments(count, found[:, :payoffs].T[..., None], np.moveaxis(found[:, places], 0, 2)[..., None])


def _parts(way: Way, name: str, options: dict[str, Any], sampler: str, engine: ComputeEngine) -> Outputs:
    """Means and products of each figure on a sample, for the comparison with the eager kernels."""
    market = {"spot": 90.0, "volatility": 0.3, "dividend_yield": 0.02, "rate": 0.04, "expiry": 0.8}
    terms = checked_terms("put", name, market, 95.0, "black_scholes", options, batch=False)
    made = way(terms, make_plan(terms, engine), sampler)
    return [
        torch.from_numpy(np.ascontiguousarray(part))
        for figure in range(6)
        for part in (made.mean[:, figure], made.products[:, :, figure])
    ]
