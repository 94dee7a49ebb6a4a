"""What each style of contract simulates and pays: a row of `PAYOFFS` for each, a row of `MODELS` for each model."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.kernels import payoffs
from nautilus_metal.kernels.heston import Heston, heston_factor, heston_paths
from nautilus_metal.kernels.longstaff_schwartz import Policy, stopped_european, stopped_value
from nautilus_metal.kernels.merton import Jumps, merton_paths
from nautilus_metal.kernels.path_greeks import Payoff, Shape
from nautilus_metal.kernels.paths import Paths, black_scholes_paths
from nautilus_metal.risk.pricing_checks import Array
from nautilus_metal.risk.pricing_controls import (
    Undiscounted,
    basket_weights,
    control_payoffs,
    discounted,
    has_geometric_mean,
    on_device,
    when_called,
)
from nautilus_metal.risk.pricing_monte_carlo import Control, Plan, Simulate, Walk
from nautilus_metal.risk.pricing_streams import walk
from nautilus_metal.risk.pricing_terms import Terms

TERMINAL = ("european", "digital", "basket", "spread")
FROM_START = ("barrier", "lookback")
SCHEDULED = ("asian", "bermudan")  # time passes towards dates that stay
EARLY = ("american", "bermudan")
EXERCISE_DATES = 50  # of an American option by simulation

_STEPS_A_YEAR, _LEAST_STEPS = 32, 16  # of Heston's scheme, and of jumps seen along the way
_INDEPENDENT = 1e-14  # added to the variances of a singular correlation before it is factored


def make_plan(terms: Terms, engine: ComputeEngine, payoff: Payoff | None = None) -> Plan:
    """Make the simulation of contracts that take the same number of steps.

    Parameters
    ----------
    terms : Terms
        The contracts.
    engine : ComputeEngine
        Where it will run.
    payoff : callable, optional
        Discounted value of each path, in place of the style's own (early exercise).

    Returns
    -------
    Plan
        With control variates where a closed form is near.
    """
    steps = int(step_counts(terms)[0])
    simulate, factors, extra = _MODELS[terms.model](terms, engine, steps)
    if terms.style == "lookback":
        extra += steps * (2 if terms.model == "merton" else 1)
    pairs = control_payoffs(terms, engine, steps) if terms.options["control_variates"] else []
    controls = tuple(Control(paid, Shape(), exact(terms.inputs)) for paid, exact in pairs)
    chosen = payoff or discounted(when_called(lambda: PAYOFFS[terms.style](terms, engine)))
    ways = (simulate, factors, steps, extra)
    straight = None if extra else _walk(terms, steps)
    return Plan(terms.inputs, *ways, chosen, _shape(terms, engine), controls, straight)


def early_plan(terms: Terms, engine: ComputeEngine, policy: Policy) -> Plan:
    """Make the simulation of one contract that a policy exercises.

    Under Black-Scholes the control variate is the European option where the policy stops the path.
    """
    strike, sign, scheduled = float(terms.strike), float(terms.sign), terms.style in SCHEDULED

    def stopped(paths: Paths, rate: Tensor, expiry: Tensor) -> Tensor:
        return stopped_value(paths, policy, strike, sign, rate, expiry, scheduled)

    plan = make_plan(terms, engine, stopped)
    if terms.model != "black_scholes" or not plan.controls:
        return plan

    def european(paths: Paths, rate: Tensor, expiry: Tensor) -> Tensor:
        yields = terms.number("dividend_yield")
        return stopped_european(paths, policy, strike, sign, rate, expiry, yields, scheduled)

    return replace(plan, controls=(replace(plan.controls[-1], payoff=european),))


def step_counts(terms: Terms) -> Array:
    """Equal steps of each contract's paths: those that it observes, and what the model's scheme needs."""
    dates = _dates(terms)
    if terms.options["steps"]:
        return np.full(terms.contracts, -(-terms.options["steps"] // dates) * dates)
    if terms.model == "black_scholes" or (terms.model == "merton" and terms.style in (*TERMINAL, *SCHEDULED)):
        return np.full(terms.contracts, dates)
    wanted = np.maximum(_LEAST_STEPS, np.round(_STEPS_A_YEAR * terms.inputs.expiry.numpy()).astype(int))
    if terms.model == "merton" and terms.style in FROM_START:
        wanted = wanted * 4  # jumps are put at the ends of the steps
    return -(-wanted // dates) * dates


def alike(terms: Terms) -> Iterator[Array]:
    """The contracts, by index, in groups that one plan can serve: of the same steps and control variates."""
    if terms.contracts == 1:
        yield np.zeros(1, int)
        return
    keys = step_counts(terms) * 2 + has_geometric_mean(terms).numpy()
    for key in np.unique(keys):
        yield np.flatnonzero(keys == key)


def exercise_dates(terms: Terms) -> int:
    """Dates at which a contract may be exercised, 1 if only at expiry."""
    if terms.style not in EARLY:
        return 1
    return int(terms.options["exercise_dates"] or EXERCISE_DATES)


def _dates(terms: Terms) -> int:
    """Equally distant dates at which a contract looks at the price."""
    return int(terms.options["observations"]) if terms.style == "asian" else exercise_dates(terms)


def _shape(terms: Terms, engine: ComputeEngine) -> Shape:
    if terms.style != "lookback":
        return Shape(terms.style != "digital", terms.style in FROM_START)
    kind = terms.options["lookback_type"]
    strike, sign = on_device(terms, engine)
    return Shape(
        from_start=True,
        curvature=discounted(lambda paths: payoffs.lookback_curvature(paths, kind, strike, sign)),
    )


def _flags(terms: Terms) -> dict[str, Any]:
    return {"terminal": terms.style in TERMINAL, "scheduled": terms.style in SCHEDULED}


def _factor(correlation: Tensor, engine: ComputeEngine) -> Tensor:
    ridge = _INDEPENDENT * torch.eye(len(correlation), dtype=torch.float64)
    return engine.upload(torch.linalg.cholesky(correlation + ridge))


def _black_scholes(terms: Terms, engine: ComputeEngine, steps: int) -> tuple[Simulate, int, int]:
    """How paths are made, the normals of each step, and the further uniforms of a path."""
    def make() -> Simulate:
        return partial(black_scholes_paths, cholesky=_factor(terms.correlation, engine), **_flags(terms))

    return when_called(make), terms.assets, 0


def _walk(terms: Terms, steps: int) -> Walk | None:
    """The fused way to the paths of one contract on one asset under Black-Scholes; one step is not worth it."""
    if terms.model != "black_scholes" or terms.assets > 1 or terms.contracts > 1 or steps == 1:
        return None
    market = tuple(terms.number(name) for name in ("spot", "volatility", "rate", "expiry", "dividend_yield"))
    return partial(walk, market=market, steps=steps, **_flags(terms))


def _merton(terms: Terms, engine: ComputeEngine, steps: int) -> tuple[Simulate, int, int]:
    intensity, mean, std = (terms.options[name] for name in ("jump_intensity", "jump_mean", "jump_std"))
    if terms.options.get("common_jumps"):
        intensity = intensity[:1]
    jumps = Jumps(intensity, mean, std, _factor(terms.jump_correlation, engine))
    simulate = partial(merton_paths, cholesky=_factor(terms.correlation, engine), jumps=jumps, **_flags(terms))
    extra = 2 if terms.style in SCHEDULED else 0  # for one more jump
    return simulate, 2 * terms.assets, steps * len(intensity) + extra


def _heston(terms: Terms, engine: ComputeEngine, steps: int) -> tuple[Simulate, int, int]:
    names = ("mean_reversion", "long_run_volatility", "volatility_of_variance", "spot_correlation")
    kappa, long_run, xi, rho = (torch.tensor(terms.options[name], dtype=torch.float64) for name in names)
    constants = Heston(*(engine.upload(row.reshape(-1, 1, 1)) for row in (kappa, long_run * long_run, xi, rho)))
    factor = engine.upload(heston_factor(terms.correlation, rho))
    return partial(heston_paths, model=constants, factor=factor, **_flags(terms)), 2 * terms.assets, 0


_MODELS: dict[str, Callable[[Terms, ComputeEngine, int], tuple[Simulate, int, int]]] = {
    "black_scholes": _black_scholes,
    "merton": _merton,
    "heston": _heston,
}


def _european(terms: Terms, engine: ComputeEngine) -> Undiscounted:
    strike, sign = on_device(terms, engine)
    return lambda paths: payoffs.vanilla(paths.final[0], strike, sign)


def _digital(terms: Terms, engine: ComputeEngine) -> Undiscounted:
    strike, sign = on_device(terms, engine)
    payout = engine.upload(terms.amounts["payout"].unsqueeze(-1))
    return lambda paths: payout * payoffs.digital(paths.final[0], strike, sign)


def _asian(terms: Terms, engine: ComputeEngine) -> Undiscounted:
    kind, every = terms.options["average"], int(step_counts(terms)[0]) // terms.options["observations"]
    strike, sign = on_device(terms, engine)
    return lambda paths: payoffs.vanilla(payoffs.average(paths, kind, every), strike, sign)


def _barrier(terms: Terms, engine: ComputeEngine) -> Undiscounted:
    direction, knocks_in = payoffs.BARRIERS[terms.options["barrier_type"]]
    level = engine.upload(terms.amounts["barrier"].unsqueeze(-1))
    strike, sign = on_device(terms, engine)

    def pay(paths: Paths) -> Tensor:
        alive = payoffs.survival(paths, level, direction)
        chance = 1.0 - alive if knocks_in else alive
        return chance * payoffs.vanilla(paths.final[0], strike, sign)

    return pay


def _lookback(terms: Terms, engine: ComputeEngine) -> Undiscounted:
    kind = terms.options["lookback_type"]
    strike, sign = on_device(terms, engine)
    return lambda paths: payoffs.lookback(paths, kind, strike, sign)


def _basket(terms: Terms, engine: ComputeEngine) -> Undiscounted:
    weights = engine.upload(basket_weights(terms).unsqueeze(-1))
    strike, sign = on_device(terms, engine)
    return lambda paths: payoffs.vanilla((weights * paths.final).sum(0), strike, sign)


PAYOFFS: dict[str, Callable[[Terms, ComputeEngine], Undiscounted]] = {
    "european": _european,
    "digital": _digital,
    "asian": _asian,
    "barrier": _barrier,
    "lookback": _lookback,
    "basket": _basket,
    "spread": _basket,
    "american": _european,
    "bermudan": _european,
}
