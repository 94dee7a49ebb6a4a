"""The exercise policy of one American or Bermudan contract, fitted on paths of its own."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from nautilus_metal.engine import ComputeEngine, shared_engine, threads_for
from nautilus_metal.kernels import black_scholes
from nautilus_metal.kernels.brownian import stream_seed
from nautilus_metal.kernels.longstaff_schwartz import Policy, train_policy
from nautilus_metal.risk.pricing_monte_carlo import blocks, parameters
from nautilus_metal.risk.pricing_plans import exercise_dates, make_plan
from nautilus_metal.risk.pricing_terms import Terms

_TRAINING_STREAM = 2**32  # far from the scrambles' streams
_TRAINING_PATHS = (4096, 16384)


def trained_policy(terms: Terms, num_simulations: int, seed: int) -> Policy:
    """Fit the policy in float64 on the host, whatever the device of the estimate.

    Parameters
    ----------
    terms : Terms
        One contract.
    num_simulations, seed : int
        Of the estimate, whose paths are others.

    Returns
    -------
    Policy
        Of as many paths as the estimate has, within bounds.
    """
    host = shared_engine("cpu", precision="float64")
    low, high = _TRAINING_PATHS
    with threads_for(0):  # a regression of a few thousand paths
        return _fitted(terms, min(max(low, num_simulations), high), seed, host)


def _fitted(terms: Terms, count: int, seed: int, host: ComputeEngine) -> Policy:
    plan = make_plan(terms, host)
    parts = [
        plan.simulate(parameters(plan.inputs, drawn.normals.shape[-1], host, gradients=False), drawn)
        for drawn in blocks(plan, count, "pseudo", stream_seed(seed, _TRAINING_STREAM), host)
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
