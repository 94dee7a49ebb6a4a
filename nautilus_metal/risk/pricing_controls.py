"""Control variates: payoffs on the same paths whose price has a closed form."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.kernels import closed_forms, payoffs
from nautilus_metal.kernels.path_greeks import (
    ClosedForm,
    Figures,
    Payoff,
    exact_figures,
    forward_figures,
    geometric_asian_figures,
    vanilla_figures,
)
from nautilus_metal.kernels.paths import Paths
from nautilus_metal.risk.pricing_terms import Terms

Undiscounted = Callable[[Paths], Tensor]
Pair = tuple[Payoff, Figures]


def control_payoffs(terms: Terms, engine: ComputeEngine, steps: int) -> list[Pair]:
    """Pairs of a payoff and its exact figures, see `path_greeks.exact_figures`; the weighted price is always one."""
    weights = basket_weights(terms)
    weighted = when_called(lambda: _weighted(engine.upload(weights.unsqueeze(-1))))
    found: list[Pair] = [(discounted(weighted), partial(forward_figures, weights=weights))]
    diffusion = terms.model == "black_scholes"
    if terms.style == "basket" and diffusion and bool(has_geometric_mean(terms).all()):
        found.append(_geometric_basket(terms, engine, weights))
    if terms.style == "spread" and diffusion:
        found.append(_exchange(terms, engine))
    if terms.style == "asian" and terms.options["average"] == "arithmetic" and diffusion:
        found.append(_geometric_asian(terms, engine, steps))
    if terms.style in ("barrier", "lookback", "american", "bermudan") and terms.model != "heston":
        found.append(_vanilla(terms, engine))
    return found


def basket_weights(terms: Terms) -> Tensor:
    """Of the prices in a basket, shape (assets, contracts or 1); a spread is the first price less the second."""
    if terms.style == "spread":
        return torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    return terms.amounts.get("weights", torch.ones(1, 1, dtype=torch.float64))


def has_geometric_mean(terms: Terms) -> Tensor:
    """Whether each contract's geometric basket is defined, shape (contracts,)."""
    return (basket_weights(terms) > 0).all(0) & (terms.strike > 0)


def on_device(terms: Terms, engine: ComputeEngine) -> tuple[Tensor, Tensor]:
    """Strikes and signs, to go with paths: shape (contracts, 1)."""
    return engine.upload(terms.strike.unsqueeze(-1)), engine.upload(terms.sign.unsqueeze(-1))


def when_called(make: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
    """A function that is made when it is first called: a compiled loop does without the eager way's."""
    made: list[Callable[..., Any]] = []

    def call(*given: Any) -> Any:
        if not made:
            made.append(make())
        return made[0](*given)

    return call


def discounted(payoff: Undiscounted) -> Payoff:
    """Pay at expiry."""

    def value(paths: Paths, rate: Tensor, expiry: Tensor) -> Tensor:
        return (-rate * expiry).exp() * payoff(paths)

    return value


def european_form(terms: Terms, strike: Tensor) -> ClosedForm:
    """The European option under Black-Scholes or Merton."""
    if terms.model == "black_scholes":
        return partial(closed_forms.vanilla, strike=strike, sign=terms.sign)
    names = {"intensity": "jump_intensity", "jump_mean": "jump_mean", "jump_std": "jump_std"}
    jumps = {name: terms.options[option][0] for name, option in names.items()}
    return partial(closed_forms.merton, strike=strike, sign=terms.sign, **jumps)


def geometric_asian(terms: Terms) -> Figures:
    """Figures of the geometric Asian option under Black-Scholes."""
    observations = terms.options["observations"]
    return partial(geometric_asian_figures, strike=terms.strike, sign=terms.sign, observations=observations)


def _weighted(weights: Tensor) -> Undiscounted:
    return lambda paths: (weights * paths.final).sum(0)


def _vanilla(terms: Terms, engine: ComputeEngine) -> Pair:
    """The European option of the same strike, of today's price where the contract has none."""
    strike = torch.where(terms.strike.isnan(), terms.inputs.spot[0], terms.strike)

    def make() -> Undiscounted:
        level, sign = engine.upload(strike.unsqueeze(-1)), on_device(terms, engine)[1]
        return lambda paths: payoffs.vanilla(paths.final[0], level, sign)

    pay = discounted(when_called(make))
    if terms.model == "black_scholes":
        return pay, partial(vanilla_figures, strike=strike, sign=terms.sign)
    return pay, partial(exact_figures, closed_form=european_form(terms, strike))


def _geometric_asian(terms: Terms, engine: ComputeEngine, steps: int) -> Pair:
    strike, sign = on_device(terms, engine)
    every = steps // terms.options["observations"]
    pay = discounted(lambda paths: payoffs.vanilla(payoffs.average(paths, "geometric", every), strike, sign))
    return pay, geometric_asian(terms)


def _exchange(terms: Terms, engine: ComputeEngine) -> Pair:
    rho = float(terms.correlation[0, 1])
    sign = on_device(terms, engine)[1]
    pay = discounted(lambda paths: (sign * (paths.final[0] - paths.final[1])).clamp(min=0.0))
    exact = partial(closed_forms.exchange, sign=terms.sign, correlation=rho)
    return pay, partial(exact_figures, closed_form=exact)


def _geometric_basket(terms: Terms, engine: ComputeEngine, weights: Tensor) -> Pair:
    """The option on the geometric mean with the weights of today's values."""
    values = weights * terms.inputs.spot
    powers = values / values.sum(0)
    scale = values.sum(0) / (powers * terms.inputs.spot.log()).sum(0).exp()
    moved, size = engine.upload(powers.unsqueeze(-1)), engine.upload(scale.unsqueeze(-1))
    strike, sign = on_device(terms, engine)

    def pay(paths: Paths) -> Tensor:
        return payoffs.vanilla(size * (moved * paths.final.log()).sum(0).exp(), strike, sign)

    exact = partial(closed_forms.geometric_basket, strike=terms.strike, sign=terms.sign)
    exact = partial(exact, powers=powers, scale=scale, correlation=terms.correlation)
    return discounted(pay), partial(exact_figures, closed_form=exact)
