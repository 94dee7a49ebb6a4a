"""Allocations by variance: least variance, mean and variance, largest Sharpe ratio, and risk parity, many at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.errors import InputError
from nautilus_metal.kernels.portfolio import Programme, Solution, admm, linear_bound, times
from nautilus_metal.kernels.portfolio_interior import interior_point
from nautilus_metal.risk.allocation_region import region
from nautilus_metal.risk.allocation_terms import Terms

_NEWTON, _DECREMENT = 60, 1e-10
_FEASIBLE = 1e-7


@dataclass(frozen=True, eq=False)
class Optimised:
    """Solutions of B problems and their certificates.

    Attributes
    ----------
    x : Tensor, shape (B, variables)
        Weights, then what else the programme has.
    value : Tensor, shape (B,)
        Objective.
    gap : Tensor, shape (B,)
        How far it lies above a lower bound of the optimum, in its own unit.
    iterations : int
        Of the whole batch.
    solver : str
        What made them.
    device : str
        Where.
    """

    x: Tensor
    value: Tensor
    gap: Tensor
    iterations: int
    solver: str
    device: str = "cpu"


def least_quadratic(programme: Programme, engine: ComputeEngine, solver: str, tolerance: float) -> Optimised:
    r"""Minimise a batch of quadratic programmes, by ADMM on the device or by an interior point on the host.

    What ADMM leaves outside the constraints or above the tolerance, as float32 may, the interior point solves again.

    Parameters
    ----------
    programme : Programme
        In float64 on the host, with finite bounds.
    engine : ComputeEngine
        Where ADMM works.
    solver : {"admm", "interior_point"}
        Which.
    tolerance : float
        Of the gap, as a share of the objective.
    """
    if solver == "interior_point":
        return _certified(programme, interior_point(programme), solver)
    moved = Programme(*(engine.upload(field, engine.exact_dtype) for field in programme))
    single = engine.exact_dtype == torch.float32
    found = admm(moved, 1e-6 if single else 1e-9)
    x, equal, row, residual = (field.to("cpu").to(torch.float64) for field in found[:4])
    result = _certified(programme, Solution(x, equal, row, residual, found.iterations), solver, str(engine.device))
    missed = (result.gap > tolerance * result.value.abs()) | (_violation(programme, result.x) > _FEASIBLE)
    left = torch.nonzero(missed).squeeze(-1)
    if not len(left):
        return result
    again = _certified(programme.take(left), interior_point(programme.take(left)), "interior_point")
    pairs = (result.x, again.x), (result.value, again.value), (result.gap, again.gap)
    x, value, gap = (whole.index_copy(0, left, part) for whole, part in pairs)
    return Optimised(x, value, gap, result.iterations + again.iterations, "admm, interior_point", result.device)


def _violation(programme: Programme, x: Tensor) -> Tensor:
    """By how much equalities and rows are broken at most; shape (B,)."""
    off = (times(programme.equal, x) - programme.level).abs()
    return torch.cat([off, times(programme.rows, x) - programme.most], dim=-1).amax(-1)


def _certified(programme: Programme, found: Solution, solver: str, device: str = "cpu") -> Optimised:
    x = found.x
    bent = times(programme.quadratic, x)
    slope = bent + programme.linear
    value = (x * (bent / 2 + programme.linear)).sum(-1)
    bound = linear_bound(slope, programme, found.equal_dual, found.row_dual)
    return Optimised(x, value, ((slope * x).sum(-1) - bound).clamp(min=0), found.iterations, solver, device)


def largest_sharpe(
    terms: Sequence[Terms], covariance: Tensor, expected: Tensor, risk_free: float
) -> Optimised:
    r"""Maximise expected return net of costs, above the risk-free rate, over the standard deviation.

    With :math:`y = \kappa w` and the net return of y fixed, that is the least variance over a cone, a quadratic
    programme. The gap is what net return no feasible portfolio of the same ratio exceeds, as a share of it.

    Parameters
    ----------
    terms : sequence of Terms
        The constraints of B problems.
    covariance, expected : Tensor
        Shapes (B, assets, assets) and (B, assets), float64 on the host.
    risk_free : float
        Per period.

    Raises
    ------
    InputError
        If no portfolio is expected to earn more than the risk-free rate.

    References
    ----------
    Charnes and Cooper (1962), "Programming with linear fractional functionals", Naval Research Logistics Quarterly 9.
    Cornuejols and Tutuncu (2006), "Optimization Methods in Finance", section 8.2.
    """
    made = region(terms)
    assets = expected.shape[1]
    earned = torch.cat([expected, -made.linear.new_tensor(_costs(terms, made, assets))], dim=1)
    _check_earning(made, earned, risk_free)
    size = covariance.diagonal(dim1=-2, dim2=-1).mean(-1)
    quadratic = torch.zeros_like(made.quadratic)
    quadratic[:, :assets, :assets] = covariance / size[:, None, None]
    unit = earned.abs().amax(-1, keepdim=True)
    net = torch.cat([earned, -risk_free * torch.ones_like(unit)], dim=1) / unit
    found = interior_point(_cone(made._replace(quadratic=quadratic), net))
    x = found.x[:, :-1] / found.x[:, -1:]
    x = torch.minimum(torch.maximum(x, made.lower), made.upper)
    weights = x[:, :assets]
    deviation = (weights * times(covariance, weights)).sum(-1).sqrt()
    ratio = ((earned * x).sum(-1) - risk_free) / deviation
    slope = -earned
    slope[:, :assets] += (ratio / deviation)[:, None] * times(covariance, weights)
    scale = ratio / deviation * size / found.x[:, -1]  # from the cone's multipliers to those at this risk
    count = made.most.shape[1]
    own = scale[:, None] * found.equal_dual[:, :1], scale[:, None] * found.row_dual[:, :count]
    gap = -risk_free - linear_bound(slope, made, *own)
    return Optimised(x, ratio, gap.clamp(min=0) / (ratio * deviation), found.iterations, "interior_point")


def _costs(terms: Sequence[Terms], made: Programme, assets: int) -> np.ndarray:
    """Costs of the variables that say what is traded; none where there are no such variables."""
    return np.stack([one.costs for one in terms])[:, : made.linear.shape[1] - assets]


def _check_earning(made: Programme, earned: Tensor, risk_free: float) -> None:
    best = interior_point(made._replace(linear=-earned)).x
    for value in ((earned * best).sum(-1) - risk_free).tolist():
        if value <= 1e-12:
            raise InputError(
                "`constraints` must leave a portfolio that is expected to earn more than `risk_free_rate` "
                f"({risk_free:g}): the best one earns {value + risk_free:g} net of costs"
            )


def _cone(made: Programme, net: Tensor | None) -> Programme:
    """All positive multiples of a set, the factor as one variable more; with `net` times the variables fixed at 1."""
    column = -made.level[..., None]
    equal = torch.cat([made.equal, column], dim=2)
    level = torch.zeros_like(made.level)
    if net is not None:
        equal = torch.cat([equal, net[:, None]], dim=1)
        level = torch.cat([level, torch.ones_like(level)], dim=1)
    eye = torch.eye(made.linear.shape[1], dtype=torch.float64).expand_as(made.quadratic)
    rows = torch.cat([
        torch.cat([made.rows, -made.most[..., None]], dim=2),
        torch.cat([eye, -made.upper[..., None]], dim=2),
        torch.cat([-eye, made.lower[..., None]], dim=2),
    ], dim=1)  # fmt: skip
    lower = torch.cat([torch.full_like(made.lower, -torch.inf), torch.zeros_like(made.level)], dim=1)
    upper = torch.full_like(lower, torch.inf)
    pad = torch.nn.functional.pad
    return Programme(
        pad(made.quadratic, (0, 1, 0, 1)), pad(made.linear, (0, 1)), lower, upper, equal, level, rows,
        torch.zeros_like(rows[..., 0]),
    )  # fmt: skip


def risk_parity(terms: Sequence[Terms], covariance: Tensor, shares: Tensor) -> Optimised:
    r"""Minimise :math:`\tfrac12 y^\top \Sigma y - \sum_i b_i \ln y_i`; weights are y over its sum, times the budget.

    Without constraints that bind, each asset then has its share b of the variance. With them it is the same problem
    over their cone. By Newton's method; the gap is the square of its decrement, an upper bound of what the function
    lies above its minimum near it, as it is self-concordant.

    Parameters
    ----------
    terms : sequence of Terms
        The constraints of B problems, without turnover or costs.
    covariance : Tensor
        Shape (B, assets, assets), float64 on the host.
    shares : Tensor
        b, positive, sums to one; shape (assets,).

    References
    ----------
    Maillard, Roncalli and Teiletche (2010), "The properties of equally weighted risk contribution portfolios",
    Journal of Portfolio Management 36(4).
    Spinu (2013), "An algorithm for computing risk parity weights", SSRN 2297383.
    Boyd and Vandenberghe (2004), "Convex Optimization", section 9.6.
    """
    made = region(terms)
    size = covariance.diagonal(dim1=-2, dim2=-1).mean(-1)
    matrix, b = covariance / size[:, None, None], shares / shares.min()
    start = made._replace(quadratic=torch.eye(len(b), dtype=torch.float64).expand_as(matrix))
    y = interior_point(start).x.clamp(min=1e-6) * len(b) ** 0.5
    factor = torch.full_like(y[:, :1], len(b) ** 0.5)
    for step in range(1, _NEWTON + 1):  # noqa: B007
        slope = times(matrix, y) - b / y
        model = matrix + torch.diag_embed(b / y**2)
        cone = _cone(made._replace(quadratic=model, linear=slope - times(model, y)), None)
        aim = interior_point(cone).x
        move = aim[:, :-1] - y
        decrement = (move * times(model, move)).sum(-1)
        if float(decrement.max()) <= _DECREMENT:
            break
        length = 1 / (1 + torch.where(decrement > 0.06, decrement.sqrt(), 0.0))[:, None]  # keeps y positive
        y = y + length * move
        factor = factor + length * (aim[:, -1:] - factor)
    weights = y / factor
    deviation = (weights * times(covariance, weights)).sum(-1).sqrt()
    return Optimised(weights, deviation, decrement, step, "newton")
