"""The exercise policy of one American or Bermudan contract, fitted on paths of its own."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from nautilus_metal.engine import ComputeEngine, shared_engine, threads_for
from nautilus_metal.engine.fused_policy import Exercise, fused_depths
from nautilus_metal.kernels import black_scholes
from nautilus_metal.kernels.brownian import stream_seed
from nautilus_metal.kernels.longstaff_schwartz import Policy, train_policy
from nautilus_metal.risk.pricing_monte_carlo import blocks, parameters
from nautilus_metal.risk.pricing_plans import exercise_dates, make_plan, step_counts
from nautilus_metal.risk.pricing_terms import Terms

_TRAINING_STREAM = 2**32  # far from the scrambles' streams
_TRAINING_PATHS = (4096, 16384)
LEAST = 1 << 18  # random numbers from which on the loops are used, whatever was compiled before: a policy is a choice


def trained_policy(terms: Terms, num_simulations: int, seed: int, sampler: str = "pseudo") -> Policy:
    """Fit the policy in float64 on the host, whatever the device of the estimate.

    Parameters
    ----------
    terms : Terms
        One contract.
    num_simulations, seed : int
        Of the estimate, whose paths are others.
    sampler : {"pseudo", "fast"}
        Of the policy's paths.

    Returns
    -------
    Policy
        Of as many paths as the estimate has, within bounds.
    """
    low, high = _TRAINING_PATHS
    count = min(max(low, num_simulations), high)
    stream = stream_seed(seed, _TRAINING_STREAM)
    found = _fused(terms, count, stream, sampler)
    if found is not None:
        return found
    host = shared_engine("cpu", precision="float64")
    with threads_for(0):  # a regression of a few thousand paths
        return _fitted(terms, count, stream, sampler, host)


def _fused(terms: Terms, count: int, seed: int, sampler: str) -> Policy | None:
    """By the compiled loops, where there are any and the work is worth compiling them."""
    dates, steps = exercise_dates(terms), int(step_counts(terms)[0])
    if terms.model != "black_scholes" or count * steps < LEAST:
        return None
    spot, strike, sign = terms.number("spot"), float(terms.strike), float(terms.sign)
    names = ("rate", "dividend_yield", "volatility", "expiry")
    rate, dividend, volatility, expiry = map(terms.number, names)
    market = Exercise(strike / spot, sign, rate, dividend, volatility, expiry)
    found = fused_depths(market, dates, steps // dates, count, seed, sampler)
    if found is None:
        return None
    depths, worth = found
    boundary = strike * np.exp(sign * volatility * math.sqrt(expiry) * depths)
    boundary[np.isinf(depths)] = sign * np.inf
    return Policy(torch.from_numpy(boundary), steps // dates, worth * spot)


def _fitted(terms: Terms, count: int, seed: int, sampler: str, host: ComputeEngine) -> Policy:
    plan = make_plan(terms, host)
    parts = [
        plan.simulate(parameters(plan.inputs, drawn.normals.shape[-1], host, gradients=False), drawn)
        for drawn in blocks(plan, count, sampler, seed, host)
    ]
    stride = parts[0].stride
    paths = parts[0]._replace(spots=torch.cat([part.spots[:, ::stride, 0] for part in parts], -1))
    market = (float(terms.strike), float(terms.sign), terms.number("rate"), terms.number("expiry"))
    scale = terms.number("volatility") * math.sqrt(terms.number("expiry"))
    european = _european_price(terms) if terms.model == "black_scholes" else None
    policy = train_policy(paths, exercise_dates(terms), *market, scale, european)
    return policy._replace(stride=policy.stride * stride)


def _european_price(terms: Terms) -> Callable[[Tensor, float], Tensor]:
    x = terms.inputs

    rest = (x.rate, x.volatility[0], x.dividend_yield[0], terms.sign)

    def price(spots: Tensor, left: float) -> Tensor:
        return black_scholes.price(spots, terms.strike, left, *rest)

    return price
