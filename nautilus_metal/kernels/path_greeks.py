r"""Price and Greeks of each path, all from the same paths.

First derivatives are pathwise: the payoff's gradient by the prices it sees, carried back through the simulation. A
payoff with a jump takes them by likelihood ratio over the last normal. Gamma is the likelihood-ratio derivative of
the pathwise delta (Glasserman 2004, "Monte Carlo methods in financial engineering", section 7.3.3), for which the
second derivative of a kinked payoff is not needed. Theta is minus the derivative by the expiry, by which
time passes as the paths say (see `paths`), with a likelihood ratio for the number of jumps, or
the difference that one more of them makes.
"""

from collections.abc import Callable
from itertools import combinations_with_replacement
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd import grad

from nautilus_metal.kernels import black_scholes
from nautilus_metal.kernels.closed_forms import Inputs
from nautilus_metal.kernels.paths import Parameters, Paths

Payoff = Callable[[Paths, Tensor, Tensor], Tensor]
ClosedForm = Callable[[Inputs], Tensor]  # prices
Figures = Callable[[Inputs], Tensor]  # rows as in `names`


class Shape(NamedTuple):
    """How a payoff may be differentiated.

    Attributes
    ----------
    smooth : bool
        Whether it is continuous.
    from_start : bool
        Whether it looks at today's price itself (barriers, extremes).
    curvature : callable, optional
        The second derivative by the first price on each path, discounted, where the payoff has a kink in today's
        price that no later price smooths.
    """

    smooth: bool = True
    from_start: bool = False
    curvature: Payoff | None = None


def pairs(assets: int) -> list[tuple[int, int]]:
    """The rows of gammas: each asset with itself and with every later one."""
    return list(combinations_with_replacement(range(assets), 2))


def names(assets: int) -> list[str]:
    """The rows of `path_figures`; Greeks by asset have one row for each, gammas one for each of `pairs`.

    Examples
    --------
    >>> names(1)
    ['price', 'delta', 'gamma', 'vega', 'theta', 'rho']
    """
    return ["price", *["delta"] * assets, *["gamma"] * len(pairs(assets)), *["vega"] * assets, "theta", "rho"]


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
        Shape (figures, paths), rows as in `names`.
    """
    if not shape.smooth:
        return _likelihood_ratio(paths, p, payoff)
    spots, variances = paths.spots.detach().requires_grad_(), paths.variances.detach().requires_grad_()
    rate, expiry = p.rate.detach().requires_grad_(), p.expiry.detach().requires_grad_()
    value = payoff(paths._replace(spots=spots, variances=variances), rate, expiry)
    leaves = (spots, variances, rate, expiry)
    twice = shape.from_start and shape.curvature is None
    by = grad(value.sum(), leaves, create_graph=twice, materialize_grads=True)
    delta, vega, rho, maturity = _carry((paths.spots, paths.variances), (by[0], by[1]), p)
    if shape.curvature is not None:
        gamma = shape.curvature(paths, p.rate.detach(), p.expiry.detach()).unsqueeze(0)
    elif shape.from_start:
        moved = by[0][:, 0] + (by[0][:, 1:] * spots[:, 1:]).sum(1) / spots[:, 0]
        gamma = grad(moved.sum(), spots)[0][:, 0] + delta * paths.score / p.spot
    else:
        gamma = _gammas(delta, paths.score, p.spot)
    value = value.detach()
    more = value
    if paths.leap is not None:
        jumped = payoff(paths._replace(spots=paths.spots.detach() * paths.leap), p.rate.detach(), p.expiry.detach())
        more = value - jumped
    return _rows(value, delta, gamma, vega, -(maturity + by[3] + more * paths.clock), rho + by[2])


def _gammas(delta: Tensor, score: Tensor, spot: Tensor) -> Tensor:
    """Derivatives of the deltas of prices in proportion to today's; a mixed one is the mean of its two ways."""
    ratio = score / spot
    rows = [0.5 * (delta[i] * ratio[j] + delta[j] * ratio[i]) for i, j in pairs(len(delta))]
    own = [delta[i] / spot[i] if i == j else 0.0 for i, j in pairs(len(delta))]
    return torch.stack([row - part for row, part in zip(rows, own, strict=True)])


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
    return _rows(value, delta, gamma, vega, -maturity, rho + explicit_rho)


def _carry(outputs: tuple[Tensor, Tensor], weights: tuple[Tensor, Tensor], p: Parameters) -> tuple[Tensor, ...]:
    """Bring gradients by the simulated values back to the parameters of each path."""
    leaves = (p.spot, p.volatility, p.rate, p.expiry)
    pairs = [(out, w.detach()) for out, w in zip(outputs, weights, strict=True) if out.requires_grad]
    found = grad([o for o, _ in pairs], leaves, [w for _, w in pairs], retain_graph=True, materialize_grads=True)
    return tuple(found)


def _rows(value: Tensor, delta: Tensor, gamma: Tensor, vega: Tensor, theta: Tensor, rho: Tensor) -> Tensor:
    return torch.cat([value[None], delta, gamma, vega, theta[None], rho[None]]).detach()


def exact_figures(x: Inputs, closed_form: ClosedForm) -> Tensor:
    """The expectations of `path_figures` for a payoff with a closed form, in float64 on the host.

    Parameters
    ----------
    x : Inputs
        Of contracts, shape (assets, contracts), or (contracts,) for rate and expiry.
    closed_form : callable
        Prices, shape (contracts,).

    Returns
    -------
    Tensor
        Shape (figures, contracts), rows as in `names`.
    """
    moved = Inputs(*(tensor.clone().requires_grad_() for tensor in x))
    leaves = moved[:4]
    value = closed_form(moved)
    delta, vega, rho, maturity = grad(value.sum(), leaves, create_graph=True, materialize_grads=True)
    hessian = [_derivative(row, leaves[0]) for row in delta]
    gamma = torch.stack([hessian[i][j] for i, j in pairs(len(delta))])
    return _rows(value, delta, gamma, vega, -maturity, rho)


def forward_figures(x: Inputs, weights: Tensor) -> Tensor:
    """The same for `closed_forms.forward`, which is linear in the prices: without carrying gradients back."""
    spot, dividend_yield = x.spot.numpy(), x.dividend_yield.numpy()  # whose small arrays take less time
    delta = weights.numpy() * np.exp(-dividend_yield * x.expiry.numpy())
    owned = delta * spot
    figures = np.zeros((len(names(len(spot))), *x.expiry.shape))
    figures[0], figures[1 : 1 + len(spot)], figures[-2] = owned.sum(0), delta, (dividend_yield * owned).sum(0)
    return torch.from_numpy(figures)


def vanilla_figures(x: Inputs, strike: Tensor, sign: Tensor) -> Tensor:
    """The same for `closed_forms.vanilla`, by Black and Scholes's own formulas."""
    arguments = (x.spot[0], strike, x.expiry, x.rate, x.volatility[0], x.dividend_yield[0], sign)
    price, greeks = black_scholes.price_and_greeks(*arguments)
    return torch.stack([price, *(getattr(greeks, name) for name in names(1)[1:])])


def geometric_asian_figures(x: Inputs, strike: Tensor, sign: Tensor, observations: int) -> Tensor:
    r"""The same for an option on the geometric mean of the price at the ends of equal parts of its life.

    With the forward :math:`F` of the mean and the variance :math:`V` of its logarithm, which is normal, the price
    moves by its own delta and gamma: :math:`\partial P / \partial V = F^2 \Gamma / 2`. As time passes all dates come
    nearer by as much (see `paths`).

    References
    ----------
    Kemna and Vorst (1990), "A pricing method for options based on average asset values", Journal of Banking and
    Finance 14(1).

    Examples
    --------
    >>> one = torch.ones(1, dtype=torch.float64)
    >>> x = Inputs(*(torch.full((1, 1), at).double() for at in (100.0, 0.2)), 0.05 * one, one, torch.zeros(1, 1))
    >>> [round(float(geometric_asian_figures(x, 100 * one, one, n)[0]), 4) for n in (1, 12)]
    [10.4506, 5.9402]
    """
    spot, volatility, yields = x.spot[0], x.volatility[0], x.dividend_yield[0]
    n = observations
    middle, spread = (n + 1) / (2 * n), (n + 1) * (2 * n + 1) / (6 * n * n)  # of the life: mean date, variance's
    carry, lost = x.rate - yields, 0.5 * volatility * volatility * (middle - spread)
    forward = spot * ((carry * middle - lost) * x.expiry).exp()
    deviation = volatility * spread**0.5
    value, found = black_scholes.price_and_greeks(forward, strike, x.expiry, x.rate, deviation, x.rate, sign)
    moved, curved = found.delta * forward, found.gamma * forward * forward
    vega = volatility * x.expiry * ((spread - middle) * moved + spread * curved)
    maturity = moved * carry + 0.5 * volatility * volatility * curved - x.rate * value
    rho = x.expiry * (middle * moved - value)
    rows = (value, moved / spot, curved / (spot * spot), vega, -maturity, rho)
    return torch.stack(torch.broadcast_tensors(*rows))


def _derivative(first: Tensor, leaf: Tensor) -> Tensor:
    if not first.requires_grad:
        return torch.zeros_like(leaf)
    return grad(first.sum(), leaf, retain_graph=True, materialize_grads=True)[0]
