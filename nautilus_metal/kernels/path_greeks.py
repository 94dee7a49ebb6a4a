r"""Price and Greeks of each path, all from the same paths.

First derivatives are pathwise: the payoff's gradient by the prices it sees, carried back through the simulation. A
payoff with a jump takes them by likelihood ratio over the last normal. Gamma is the likelihood-ratio derivative of
the pathwise delta (Glasserman 2004, "Monte Carlo methods in financial engineering", section 7.3.3), for which the
second derivative of a kinked payoff is not needed. Theta is minus the derivative by the expiry where only the last
price counts, and elsewhere, under Black-Scholes, what the differential equation leaves for it.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd import grad

from nautilus_metal.kernels.closed_forms import Inputs
from nautilus_metal.kernels.paths import Parameters, Paths

Payoff = Callable[[Paths, Tensor, Tensor], Tensor]
ClosedForm = Callable[[Inputs], Tensor]


class Shape(NamedTuple):
    """How a payoff may be differentiated.

    Attributes
    ----------
    terminal : bool
        Whether only the last prices count.
    smooth : bool
        Whether it is continuous.
    from_start : bool
        Whether it looks at today's price itself (barriers, extremes).
    diffusion : bool
        Whether the model is Black-Scholes, whose differential equation gives theta.
    kinked : bool
        Whether it has a kink in today's price that no later price smooths, for which there is no gamma here.
    """

    terminal: bool
    smooth: bool
    from_start: bool
    diffusion: bool
    kinked: bool = False


def names(assets: int) -> list[str]:
    """The rows of `path_figures`; Greeks by asset have one row for each.

    Examples
    --------
    >>> names(1)
    ['price', 'delta', 'gamma', 'vega', 'theta', 'rho']
    """
    return ["price", *["delta"] * assets, *["gamma"] * assets, *["vega"] * assets, "theta", "rho"]


def path_figures(paths: Paths, p: Parameters, payoff: Payoff, shape: Shape) -> Tensor:
    """Evaluate a payoff and its sensitivities on each path.

    Parameters
    ----------
    paths : Paths
        Made from `p` with gradients.
    p : Parameters
        Leaves of the graph.
    payoff : callable
        Discounted value of each path from (paths, rate, expiry).
    shape : Shape
        What the payoff allows.

    Returns
    -------
    Tensor
        Shape (3 * assets + 3, paths), rows as in `names`; gamma or theta is NaN where it is not defined here.
    """
    if not shape.smooth:
        return _likelihood_ratio(paths, p, payoff)
    spots, variances = paths.spots.detach().requires_grad_(), paths.variances.detach().requires_grad_()
    rate, expiry = p.rate.detach().requires_grad_(), p.expiry.detach().requires_grad_()
    value = payoff(paths._replace(spots=spots, variances=variances), rate, expiry)
    leaves = (spots, variances, rate, expiry)
    by = grad(value.sum(), leaves, create_graph=shape.from_start and not shape.kinked, materialize_grads=True)
    delta, vega, rho, maturity = _carry((paths.spots, paths.variances), (by[0], by[1]), p)
    score = paths.score
    if shape.kinked:
        gamma = torch.full_like(delta, torch.nan)
    elif shape.from_start:
        moved = by[0][:, 0] + (by[0][:, 1:] * spots[:, 1:]).sum(1) / spots[:, 0]
        gamma = grad(moved.sum(), spots)[0][:, 0] + delta * score / p.spot
    else:
        gamma = delta * (score - 1.0) / p.spot
    value, rho = value.detach(), rho + by[2]
    maturity = maturity + by[3] + value * paths.clock
    return _rows(value, delta, gamma, vega, maturity, rho, p, shape)


def _likelihood_ratio(paths: Paths, p: Parameters, payoff: Payoff) -> Tensor:
    """A payoff of one last price with jumps, differentiated through the mean and deviation of its logarithm."""
    rate, expiry = p.rate.detach().requires_grad_(), p.expiry.detach().requires_grad_()
    fixed = paths._replace(spots=paths.spots.detach())
    value = payoff(fixed, rate, expiry)
    explicit_rho, explicit_maturity = grad(value.sum(), (rate, expiry))
    value, z, std = value.detach(), paths.normal.detach(), paths.std.detach()
    weights = (value * z / std, value * (z * z - 1.0) / std)
    delta, vega, rho, maturity = _carry((paths.mean, paths.std), weights, p)
    gamma = value * ((z * z - 1.0) / std - z) / std / (p.spot * p.spot)
    maturity = maturity + explicit_maturity + value * paths.clock
    shape = Shape(terminal=True, smooth=False, from_start=False, diffusion=False)
    return _rows(value, delta, gamma, vega, maturity, rho + explicit_rho, p, shape)


def _carry(outputs: tuple[Tensor, Tensor], weights: tuple[Tensor, Tensor], p: Parameters) -> tuple[Tensor, ...]:
    """Bring gradients by the simulated values back to the parameters of each path."""
    leaves = (p.spot, p.volatility, p.rate, p.expiry)
    pairs = [(out, w.detach()) for out, w in zip(outputs, weights, strict=True) if out.requires_grad]
    found = grad([o for o, _ in pairs], leaves, [w for _, w in pairs], retain_graph=True, materialize_grads=True)
    return tuple(found)


def _rows(
    value: Tensor,
    delta: Tensor,
    gamma: Tensor,
    vega: Tensor,
    maturity: Tensor,
    rho: Tensor,
    p: Parameters,
    shape: Shape,
) -> Tensor:
    if shape.terminal:
        theta = -maturity
    elif shape.diffusion:
        yields = p.dividend_yield[0]
        theta = _equation_theta(value, delta[0], gamma[0], p.spot[0], p.volatility[0], p.rate, yields)
    else:
        theta = torch.full_like(value, torch.nan)
    return torch.cat([value[None], delta, gamma, vega, theta[None], rho[None]]).detach()


def _equation_theta(
    value: Tensor,
    delta: Tensor,
    gamma: Tensor,
    spot: Tensor,
    volatility: Tensor,
    rate: Tensor,
    dividend_yield: Tensor,
) -> Tensor:
    carry = (rate - dividend_yield) * spot * delta
    return rate * value - carry - 0.5 * (volatility * spot) ** 2 * gamma


def exact_figures(x: Inputs, closed_form: ClosedForm, shape: Shape) -> Tensor:
    """The expectations of `path_figures` for a payoff with a closed form, in float64 on the host.

    Returns
    -------
    Tensor
        Shape (3 * assets + 3,), rows as in `names`.
    """
    moved = Inputs(*(tensor.clone().requires_grad_() for tensor in x))
    leaves = moved[:4]
    value = closed_form(moved)
    delta, vega, rho, maturity = grad(value, leaves, create_graph=True, materialize_grads=True)
    gamma = torch.stack([_second(delta[i], leaves[0])[i] for i in range(len(x.spot))])
    if shape.terminal or not shape.diffusion:
        theta = -maturity
    else:
        theta = _equation_theta(value, delta[0], gamma[0], x.spot[0], x.volatility[0], x.rate, x.dividend_yield[0])
    return torch.cat([value[None], delta, gamma, vega, theta[None], rho[None]]).detach()


def _second(first: Tensor, leaf: Tensor) -> Tensor:
    if not first.requires_grad:
        return torch.zeros_like(leaf)
    return grad(first, leaf, retain_graph=True, materialize_grads=True)[0]
