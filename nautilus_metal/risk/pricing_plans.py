"""What each style of contract simulates, pays and is controlled by: a row of `PAYOFFS` for each."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.kernels import closed_forms, payoffs
from nautilus_metal.kernels.brownian import Draws
from nautilus_metal.kernels.heston import Heston, heston_paths
from nautilus_metal.kernels.longstaff_schwartz import Policy, stopped_european, stopped_value
from nautilus_metal.kernels.path_greeks import ClosedForm, Payoff, Shape, exact_figures
from nautilus_metal.kernels.paths import Parameters, Paths, black_scholes_paths, merton_paths
from nautilus_metal.risk.pricing_monte_carlo import Control, Plan, Simulate
from nautilus_metal.risk.pricing_terms import Terms

Undiscounted = Callable[[Paths], Tensor]

TERMINAL = ("european", "digital", "basket", "spread")
FROM_START = ("barrier", "lookback")
EARLY = ("american", "bermudan")
EXERCISE_DATES = 50  # of an American option by simulation

_STEPS_A_YEAR, _LEAST_STEPS = 32, 16  # of Heston's scheme, and of jumps seen along the way
_INDEPENDENT_ROOT = 1e-7  # added to a singular correlation before it is factored


def make_plan(terms: Terms, engine: ComputeEngine, payoff: Payoff | None = None) -> Plan:
    """Make the simulation of a contract.

    Parameters
    ----------
    terms : Terms
        The contract.
    engine : ComputeEngine
        Where it will run.
    payoff : callable, optional
        Discounted value of each path, in place of the style's own (early exercise).

    Returns
    -------
    Plan
        With control variates where a closed form is near.
    """
    terminal = terms.style in TERMINAL
    smooth = terms.style != "digital"
    diffusion = terms.model == "black_scholes"
    steps = step_count(terms)
    kinked = terms.style == "lookback" and (steps > 1 or terms.model == "merton")
    shape = Shape(terminal, smooth, terms.style in FROM_START, diffusion, kinked)
    simulate, factors, extra = _model(terms, engine, steps, terminal)
    if terms.style == "lookback":
        extra += steps * (2 if terms.model == "merton" else 1)
    plain = Shape(terminal, True, False, diffusion)
    pairs = _controls(terms, engine, steps) if terms.options["control_variates"] else []
    controls = tuple(Control(p, plain, exact_figures(terms.inputs, exact, plain)) for p, exact in pairs)
    chosen = payoff or discounted(PAYOFFS[terms.style](terms, engine))
    return Plan(terms.inputs, simulate, factors, steps, extra, chosen, shape, controls)


def early_plan(terms: Terms, engine: ComputeEngine, policy: Policy) -> Plan:
    """Make the simulation of a contract that a policy exercises.

    Under Black-Scholes the control variate is the European option where the policy stops the path.
    """
    def stopped(paths: Paths, rate: Tensor, expiry: Tensor) -> Tensor:
        return stopped_value(paths, policy, terms.strike, terms.sign, rate, expiry)

    plan = make_plan(terms, engine, stopped)
    if terms.model != "black_scholes" or not plan.controls:
        return plan

    def european(paths: Paths, rate: Tensor, expiry: Tensor) -> Tensor:
        yields = terms.number("dividend_yield")
        return stopped_european(paths, policy, terms.strike, terms.sign, rate, expiry, yields)

    return replace(plan, controls=(replace(plan.controls[-1], payoff=european),))


def step_count(terms: Terms) -> int:
    """Equal steps of each path: those that the contract observes, and what the model's scheme needs."""
    if terms.style == "asian":
        return int(terms.options["observations"])
    dates = exercise_dates(terms)
    if terms.options["steps"]:
        return -(-int(terms.options["steps"]) // dates) * dates
    exact = terms.model == "black_scholes" or (terms.model == "merton" and terms.style in TERMINAL)
    wanted = 1 if exact else max(_LEAST_STEPS, round(_STEPS_A_YEAR * terms.number("expiry")))
    if terms.model == "merton" and terms.style in FROM_START:
        wanted *= 4  # jumps are put at the ends of the steps
    return -(-wanted // dates) * dates


def exercise_dates(terms: Terms) -> int:
    """Dates at which a contract may be exercised, 1 if only at expiry."""
    if terms.style not in EARLY:
        return 1
    return int(terms.options["exercise_dates"] or EXERCISE_DATES)


def discounted(payoff: Undiscounted) -> Payoff:
    """Pay at expiry."""

    def value(paths: Paths, rate: Tensor, expiry: Tensor) -> Tensor:
        return (-rate * expiry).exp() * payoff(paths)

    return value


def _model(terms: Terms, engine: ComputeEngine, steps: int, terminal: bool) -> tuple[Simulate, int, int]:
    """How paths are made, the Brownian motions of each, and its further uniforms."""
    options = terms.options
    if terms.model == "black_scholes":
        factor = torch.linalg.cholesky(terms.correlation + _INDEPENDENT_ROOT**2 * torch.eye(terms.assets))
        return partial(black_scholes_paths, cholesky=engine.upload(factor)), terms.assets, 0
    if terms.model == "merton":
        jumps = (options["jump_intensity"], options["jump_mean"], options["jump_std"])

        def with_jumps(p: Parameters, drawn: Draws) -> Paths:
            return merton_paths(p, drawn, *jumps, terminal=terminal)

        return with_jumps, 2, steps
    names = ("mean_reversion", "long_run_volatility", "volatility_of_variance", "spot_correlation")
    kappa, long_run, xi, rho = (options[name] for name in names)
    return partial(heston_paths, model=Heston(kappa, long_run**2, xi, rho), terminal=terminal), 2, 0


def _european(terms: Terms, engine: ComputeEngine) -> Undiscounted:
    return lambda paths: payoffs.vanilla(paths.final[0], terms.strike, terms.sign)


def _digital(terms: Terms, engine: ComputeEngine) -> Undiscounted:
    payout = terms.options["payout"]
    return lambda paths: payout * payoffs.digital(paths.final[0], terms.strike, terms.sign)


def _asian(terms: Terms, engine: ComputeEngine) -> Undiscounted:
    kind = terms.options["average"]
    return lambda paths: payoffs.vanilla(payoffs.average(paths, kind), terms.strike, terms.sign)


def _barrier(terms: Terms, engine: ComputeEngine) -> Undiscounted:
    direction, knocks_in = payoffs.BARRIERS[terms.options["barrier_type"]]
    level = terms.options["barrier"]

    def pay(paths: Paths) -> Tensor:
        alive = payoffs.survival(paths, level, direction)
        chance = 1.0 - alive if knocks_in else alive
        return chance * payoffs.vanilla(paths.final[0], terms.strike, terms.sign)

    return pay


def _lookback(terms: Terms, engine: ComputeEngine) -> Undiscounted:
    kind = terms.options["lookback_type"]
    return lambda paths: payoffs.lookback(paths, kind, terms.strike, terms.sign)


def _basket(terms: Terms, engine: ComputeEngine) -> Undiscounted:
    weights = engine.upload(basket_weights(terms).unsqueeze(1))
    return lambda paths: payoffs.vanilla((weights * paths.final).sum(0), terms.strike, terms.sign)


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


def basket_weights(terms: Terms) -> Tensor:
    """Of the prices in a basket; a spread is the first price less the second."""
    if terms.style == "spread":
        return torch.tensor([1.0, -1.0], dtype=torch.float64)
    if terms.style == "basket":
        return torch.as_tensor(terms.options["weights"])
    return torch.ones(1, dtype=torch.float64)


def _controls(terms: Terms, engine: ComputeEngine, steps: int) -> list[tuple[Payoff, ClosedForm]]:
    """Pairs of a payoff and its closed form; the weighted price itself always has one."""
    weights = basket_weights(terms)
    moved = engine.upload(weights.unsqueeze(1))
    found = [_pair(lambda paths: (moved * paths.final).sum(0), partial(closed_forms.forward, weights=weights))]
    if terms.style == "basket" and bool((weights > 0).all()):
        found.append(_geometric_basket(terms, engine, weights))
    if terms.style == "spread":
        rho = float(terms.correlation[0, 1])
        pay = discounted(lambda paths: (terms.sign * (paths.final[0] - paths.final[1])).clamp(min=0.0))
        found.append((pay, partial(closed_forms.exchange, sign=terms.sign, correlation=rho)))
    if terms.style == "asian" and terms.options["average"] == "arithmetic" and terms.model == "black_scholes":
        pay = discounted(lambda paths: payoffs.vanilla(payoffs.average(paths, "geometric"), terms.strike, terms.sign))
        exact = partial(closed_forms.geometric_asian, strike=terms.strike, sign=terms.sign, observations=steps)
        found.append((pay, exact))
    if terms.style in ("barrier", "lookback", *EARLY) and terms.model != "heston":
        found.append(_vanilla_control(terms))
    return found


def _pair(payoff: Undiscounted, exact: ClosedForm) -> tuple[Payoff, ClosedForm]:
    return discounted(payoff), exact


def _vanilla_control(terms: Terms) -> tuple[Payoff, ClosedForm]:
    """The European option of the same strike, of today's price where the contract has none."""
    strike = terms.number("spot") if terms.strike != terms.strike else terms.strike
    exact: ClosedForm = partial(closed_forms.vanilla, strike=strike, sign=terms.sign)
    if terms.model == "merton":
        names = ("jump_intensity", "jump_mean", "jump_std")
        jumps = dict(zip(("intensity", "jump_mean", "jump_std"), (terms.options[n] for n in names), strict=True))
        exact = partial(closed_forms.merton, strike=strike, sign=terms.sign, **jumps)
    return discounted(lambda paths: payoffs.vanilla(paths.final[0], strike, terms.sign)), exact


def _geometric_basket(terms: Terms, engine: ComputeEngine, weights: Tensor) -> tuple[Payoff, ClosedForm]:
    """The option on the geometric mean with the weights of today's values."""
    values = weights * terms.inputs.spot
    powers = values / values.sum()
    scale = float(values.sum() / (powers * terms.inputs.spot.log()).sum().exp())
    moved = engine.upload(powers.unsqueeze(1))

    def pay(paths: Paths) -> Tensor:
        return payoffs.vanilla(scale * (moved * paths.final.log()).sum(0).exp(), terms.strike, terms.sign)

    exact = partial(
        closed_forms.geometric_basket,
        strike=terms.strike,
        sign=terms.sign,
        powers=powers,
        scale=scale,
        correlation=terms.correlation,
    )
    return discounted(pay), exact
