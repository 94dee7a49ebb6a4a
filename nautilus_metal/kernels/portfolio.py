r"""Quadratic programmes of portfolio choice, many at once: their form, a bound on their optimum, and ADMM.

A programme is :math:`\min_x \tfrac12 x^\top P x + q^\top x` subject to :math:`l \le x \le u`,
:math:`E x = e` and :math:`G x \le h`. Every tensor has the number of problems as its first axis.
"""

from typing import NamedTuple

import torch
from torch import Tensor

_SIGMA, _RELAX = 1e-6, 1.6
_CHECK = 50  # iterations between looks at the residuals: each is a synchronisation


class Programme(NamedTuple):
    """A batch of B quadratic programmes in N variables.

    Attributes
    ----------
    quadratic : Tensor
        P, shape (B, N, N), positive semi-definite.
    linear : Tensor
        q, shape (B, N).
    lower, upper : Tensor
        l and u, shape (B, N); a variable may be without bound on a side by an infinity.
    equal, level : Tensor
        E and e, shapes (B, M, N) and (B, M).
    rows, most : Tensor
        G and h, shapes (B, K, N) and (B, K).
    """

    quadratic: Tensor
    linear: Tensor
    lower: Tensor
    upper: Tensor
    equal: Tensor
    level: Tensor
    rows: Tensor
    most: Tensor

    def take(self, index: Tensor) -> "Programme":
        """Return some of the problems."""
        return Programme(*(field[index] for field in self))


class Solution(NamedTuple):
    """Where the optima of a batch lie.

    Attributes
    ----------
    x : Tensor
        Shape (B, N).
    equal_dual, row_dual : Tensor
        Multipliers of the equalities (any sign), shape (B, M), and of the rows (not negative), shape (B, K).
    residual : Tensor
        The largest violation of the optimality conditions, objective scaled to the order of one; shape (B,).
    iterations : int
        Of the whole batch.
    tail_dual : Tensor or None
        Multipliers of the scenarios of a `TailTerm`, shape (B, scenarios).
    """

    x: Tensor
    equal_dual: Tensor
    row_dual: Tensor
    residual: Tensor
    iterations: int
    tail_dual: Tensor | None = None


def times(matrix: Tensor, vector: Tensor) -> Tensor:
    """Multiply a batch of matrices with a batch of vectors."""
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)


def linear_bound(slope: Tensor, programme: Programme, equal_dual: Tensor, row_dual: Tensor) -> Tensor:
    r"""Bound the least value of a linear function over the feasible set from below, by weak duality.

    .. math:: \min_x c^\top x \ge \sum_i \min_{l_i \le x_i \le u_i} (c + E^\top y + G^\top z)_i x_i
              - e^\top y - h^\top z

    for any y and any z >= 0: it holds whatever made the multipliers, and it is tight for those of the optimum. With
    the slope of a convex function f at a feasible point w, ``f(w) + bound - slope @ w`` is a lower bound of f.

    Parameters
    ----------
    slope : Tensor
        c, shape (B, N).
    programme : Programme
        Its constraints; every variable needs finite bounds, else the bound may be minus infinity.
    equal_dual, row_dual : Tensor
        y and z, shapes (B, M) and (B, K).

    Returns
    -------
    Tensor
        Shape (B,).
    """
    z = row_dual.clamp(min=0)
    reduced = slope + times(programme.equal.mT, equal_dual) + times(programme.rows.mT, z)
    corner = torch.where(reduced > 0, programme.lower, programme.upper)
    least = torch.where(reduced == 0, torch.zeros_like(reduced), reduced * corner)
    return least.sum(-1) - (programme.level * equal_dual).sum(-1) - (programme.most * z).sum(-1)


def scaled(programme: Programme) -> tuple[Programme, Tensor]:
    """Bring each objective to the order of one; return the factor, shape (B,), as well."""
    size = torch.maximum(programme.linear.abs().amax(-1), programme.quadratic.abs().amax((-2, -1)))
    factor = 1 / torch.where(size > 0, size, torch.ones_like(size))
    quadratic, linear = programme.quadratic * factor[:, None, None], programme.linear * factor[:, None]
    return programme._replace(quadratic=quadratic, linear=linear), factor


def admm(programme: Programme, tolerance: float = 1e-7, most: int = 10_000) -> Solution:
    r"""Solve a batch of programmes by the alternating direction method of multipliers.

    Each iteration is a product with an inverse that is made once, and a projection:

    .. math:: x \leftarrow (P + \sigma I + \rho A^\top A)^{-1} (\sigma x - q + A^\top (\rho z - y)), \quad
              z \leftarrow \Pi (\alpha A x + (1 - \alpha) z + y / \rho), \quad y \leftarrow y + \rho (A x - z)

    with A the bounds, equalities and rows one under the other. The inverses are made in float64 on the host, as they
    are when the balance of the residuals asks for another :math:`\rho`; iterations run where the programme is.

    Parameters
    ----------
    programme : Programme
        In the type and on the device to work in.
    tolerance : float, default 1e-7
        Stop where every problem's residuals are below it, the objective scaled to the order of one.
    most : int, default 10000
        Iterations at most.

    Returns
    -------
    Solution
        On the programme's device; the points keep to the bounds exactly.

    References
    ----------
    Boyd, Parikh, Chu, Peleato and Eckstein (2011), "Distributed optimization and statistical learning via the
    alternating direction method of multipliers", Foundations and Trends in Machine Learning 3(1).
    Stellato et al. (2020), "OSQP: an operator splitting solver for quadratic programs", Mathematical Programming
    Computation 12, algorithm 1 and section 5.2.

    Examples
    --------
    >>> one = lambda *numbers: torch.tensor([numbers], dtype=torch.float64)
    >>> empty = torch.zeros(1, 0, 2, dtype=torch.float64)
    >>> budget = Programme(torch.eye(2, dtype=torch.float64)[None] * one(1.0, 3.0), one(0.0, 0.0), one(0.0, 0.0),
    ...                    one(1.0, 1.0), torch.ones(1, 1, 2, dtype=torch.float64), one(1.0), empty, empty[..., 0])
    >>> [round(number, 6) for number in admm(budget).x[0].tolist()]
    [0.75, 0.25]
    """
    problem, factor = scaled(programme)
    size = problem.linear.shape[1]
    eye = torch.diag_embed(torch.ones_like(problem.linear))
    matrix = torch.cat([eye, problem.equal, problem.rows], dim=1)
    open_below = torch.full_like(problem.most, -torch.inf)
    low = torch.cat([problem.lower, problem.level, open_below], dim=1)
    high = torch.cat([problem.upper, problem.level, problem.most], dim=1)
    rho = 0.1 * torch.ones_like(low[:, :1])
    x = torch.zeros_like(problem.linear)
    z, y = torch.zeros_like(low), torch.zeros_like(low)
    inverse = _inverse(problem.quadratic, matrix, rho)
    iteration = 0
    while True:
        for _ in range(_CHECK):
            x = times(inverse, _SIGMA * x - problem.linear + times(matrix.mT, rho * z - y))
            mixed = _RELAX * times(matrix, x) + (1 - _RELAX) * z
            z = torch.minimum(torch.maximum(mixed + y / rho, low), high)
            y = y + rho * (mixed - z)
        iteration += _CHECK
        image, bent, pull = times(matrix, x), times(problem.quadratic, x), times(matrix.mT, y)
        primal = (image - z).abs().amax(-1)
        dual = (bent + problem.linear + pull).abs().amax(-1)
        residual = torch.maximum(primal, dual)
        if iteration >= most or float(residual.max()) <= tolerance:
            break
        share = primal / torch.maximum(image.abs().amax(-1), z.abs().amax(-1)).clamp(min=1e-12)
        pace = torch.stack([bent.abs().amax(-1), pull.abs().amax(-1), problem.linear.abs().amax(-1)]).amax(0)
        change = (share / (dual / pace.clamp(min=1e-12)).clamp(min=1e-12)).clamp(min=1e-6, max=1e6).sqrt()
        if iteration % (4 * _CHECK) == 0 and float(torch.maximum(change, 1 / change).max()) > 5:
            rho = (rho * change[:, None]).clamp(1e-6, 1e6)
            inverse = _inverse(problem.quadratic, matrix, rho)
    duals = y / factor[:, None]
    point = torch.minimum(torch.maximum(x, problem.lower), problem.upper)
    middle = size + problem.equal.shape[1]
    return Solution(point, duals[:, size:middle], duals[:, middle:].clamp(min=0), residual, iteration)


def _inverse(quadratic: Tensor, matrix: Tensor, rho: Tensor) -> Tensor:
    """Invert the system of ADMM's x-step in float64 on the host; back on the device of `quadratic`."""
    hessian, rows, scale = (one.to("cpu").to(torch.float64) for one in (quadratic, matrix, rho))
    system = hessian + scale[..., None] * (rows.mT @ rows)
    system.diagonal(dim1=-2, dim2=-1).add_(_SIGMA)
    factor = torch.linalg.cholesky(system)
    return torch.cholesky_inverse(factor).to(quadratic.dtype).to(quadratic.device)
