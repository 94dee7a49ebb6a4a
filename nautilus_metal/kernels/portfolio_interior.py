"""A primal-dual interior-point method for batches of quadratic programmes: in float64, on the host."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from nautilus_metal.kernels.portfolio import Programme, Solution, scaled, times

_STEPS = 60
_BACK_OFF = 0.995  # share of the way to the boundary that a step may go
_PATIENCE = 4  # steps without progress: the rest is rounding
_TINY = 1e-13
_LEAST = 1e-15  # of a distance: rounding must not put a point on its bound


class _State(NamedTuple):
    """The iterate: point, multipliers of equalities, slacks of the rows, multipliers of both bounds and of rows."""

    x: Tensor
    y: Tensor
    slack: Tensor
    below: Tensor
    above: Tensor
    row: Tensor


def interior_point(programme: Programme, tolerance: float = 1e-10) -> Solution:
    r"""Solve a batch of programmes by Mehrotra's predictor-corrector method.

    Some ten to thirty steps whatever the size, each a Cholesky factor for every problem. Points stay strictly inside
    their bounds; a variable whose bounds are equal is fixed. A problem that is done rests while others go on.

    Parameters
    ----------
    programme : Programme
        In float64 on the host; numbers of the order of one, the objective's excepted.
    tolerance : float, default 1e-10
        Of residuals and mean complementarity, the objective scaled to the order of one.

    Returns
    -------
    Solution
        The residual of a problem without a feasible point stays large.

    References
    ----------
    Mehrotra (1992), "On the implementation of a primal-dual interior point method", SIAM Journal on Optimization 2.
    Nocedal and Wright (2006), "Numerical Optimization", algorithm 16.4.

    Examples
    --------
    >>> one = lambda *numbers: torch.tensor([numbers], dtype=torch.float64)
    >>> empty = torch.zeros(1, 0, 2, dtype=torch.float64)
    >>> budget = Programme(torch.eye(2, dtype=torch.float64)[None] * one(1.0, 3.0), one(0.0, 0.0), one(0.0, 0.0),
    ...                    one(1.0, 1.0), torch.ones(1, 1, 2, dtype=torch.float64), one(1.0), empty, empty[..., 0])
    >>> [round(number, 9) for number in interior_point(budget).x[0].tolist()]
    [0.75, 0.25]
    """
    problem, factor = scaled(programme)
    free = problem.upper > problem.lower
    has_low, has_high = free & problem.lower.isfinite(), free & problem.upper.isfinite()
    sides = (free, has_low, has_high)
    state, best = _start(problem, sides), None
    worst = torch.full_like(factor, torch.inf)
    stalled = torch.zeros_like(factor)
    for step in range(_STEPS + 1):
        off, gap = _residuals(problem, sides, state)
        error = torch.stack([*(one.abs().amax(-1) for one in off if one.shape[-1]), gap]).amax(0)
        error = error.nan_to_num(torch.inf, torch.inf)
        better = error < worst
        best = state if best is None else _State(*map(_choose(better), state, best))
        stalled = torch.where(better, 0, stalled + 1)
        worst = torch.minimum(error, worst)
        active = (worst > tolerance) & (stalled < _PATIENCE)
        if step == _STEPS or not bool((active & error.isfinite()).any()):
            break
        state = _State(*map(_choose(active), _advance(problem, sides, state, off, gap), state))
    assert best is not None
    return Solution(best.x, best.y / factor[:, None], best.row / factor[:, None], worst, step)


def _choose(mask: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda new, old: torch.where(mask[:, None], new, old)


def _start(problem: Programme, sides: tuple[Tensor, Tensor, Tensor]) -> _State:
    free, has_low, has_high = sides
    one = torch.ones_like(problem.lower)
    low = torch.where(has_low, problem.lower, torch.where(has_high, problem.upper - 1, -one))
    high = torch.where(has_high, problem.upper, torch.where(has_low, problem.lower + 1, one))
    x = torch.where(free, (low + high) / 2, problem.lower)
    slack = (problem.most - times(problem.rows, x)).clamp(min=0.1)
    return _State(x, torch.zeros_like(problem.level), slack, has_low.to(x), has_high.to(x), torch.ones_like(slack))


def _room(problem: Programme, sides: tuple[Tensor, Tensor, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """Distances from both bounds; 1 where there is none."""
    _, has_low, has_high = sides
    one = torch.ones_like(x)
    low = torch.where(has_low, x - problem.lower, one)
    high = torch.where(has_high, problem.upper - x, one)
    return low.clamp(min=_LEAST), high.clamp(min=_LEAST)


def _residuals(
    problem: Programme, sides: tuple[Tensor, Tensor, Tensor], at: _State
) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
    """Return what the conditions are off by (stationarity, equalities, rows), and the mean complementarity."""
    free, has_low, has_high = sides
    pull = times(problem.equal.mT, at.y) + times(problem.rows.mT, at.row)
    stationarity = (times(problem.quadratic, at.x) + problem.linear + pull - at.below + at.above) * free
    equalities = times(problem.equal, at.x) - problem.level
    rows = times(problem.rows, at.x) + at.slack - problem.most
    low, high = _room(problem, sides, at.x)
    pairs = has_low.sum(-1) + has_high.sum(-1) + problem.most.shape[-1]
    product = (low * at.below).sum(-1) + (high * at.above).sum(-1) + (at.slack * at.row).sum(-1)
    return (stationarity, equalities, rows), product / pairs.clamp(min=1)


def _advance(
    problem: Programme,
    sides: tuple[Tensor, Tensor, Tensor],
    at: _State,
    off: tuple[Tensor, Tensor, Tensor],
    gap: Tensor,
) -> _State:
    free, has_low, has_high = sides
    low, high = _room(problem, sides, at.x)
    system = problem.quadratic + problem.rows.mT @ (problem.rows * (at.row / at.slack)[..., None])
    system.diagonal(dim1=-2, dim2=-1).add_(at.below / low + at.above / high)
    mask = free.to(system)
    system = system * mask[:, :, None] * mask[:, None, :] + torch.diag_embed(1 - mask)
    trace = system.diagonal(dim1=-2, dim2=-1).mean(-1)
    system.diagonal(dim1=-2, dim2=-1).add_(_TINY * trace[:, None])
    factor, _ = torch.linalg.cholesky_ex(system)
    equal = problem.equal * mask[:, None, :]
    across = torch.cholesky_solve(equal.mT, factor)
    schur = equal @ across
    size = schur.diagonal(dim1=-2, dim2=-1).amax(-1) if schur.shape[-1] else schur.new_ones(len(schur))
    schur.diagonal(dim1=-2, dim2=-1).add_((_TINY * size).clamp(min=1e-300)[:, None])

    def direction(for_low: Tensor, for_high: Tensor, for_row: Tensor) -> _State:
        right = for_low / low - for_high / high - times(problem.rows.mT, (for_row + at.row * off[2]) / at.slack)
        right = (right - off[0]) * mask
        alone = torch.cholesky_solve(right[..., None], factor).squeeze(-1)
        dy = torch.linalg.solve_ex(schur, times(equal, alone) + off[1])[0] if schur.shape[-1] else off[1]
        dx = alone - times(across, dy)
        d_slack = -off[2] - times(problem.rows, dx)
        return _State(
            dx, dy, d_slack, (for_low - at.below * dx) / low, (for_high + at.above * dx) / high,
            (for_row - at.row * d_slack) / at.slack,
        )  # fmt: skip

    move = direction(-low * at.below, -high * at.above, -at.slack * at.row)
    length = _length(at, move, low, high, 1.0, sides)[:, None]
    ahead = (has_low * (low + length * move.x) * (at.below + length * move.below)).sum(-1)
    ahead = ahead + (has_high * (high - length * move.x) * (at.above + length * move.above)).sum(-1)
    ahead = ahead + ((at.slack + length * move.slack) * (at.row + length * move.row)).sum(-1)
    pairs = (has_low.sum(-1) + has_high.sum(-1) + problem.most.shape[-1]).clamp(min=1)
    aim = ((ahead / pairs / gap.clamp(min=1e-300)).clamp(0, 1) ** 3 * gap)[:, None]
    move = direction(
        has_low * (aim - low * at.below - move.x * move.below),
        has_high * (aim - high * at.above + move.x * move.above),
        aim - at.slack * at.row - move.slack * move.row,
    )
    length = (_BACK_OFF * _length(at, move, low, high, 2.0, sides)).clamp(max=1.0)[:, None]
    return _State(*(old + length * new for old, new in zip(at, move, strict=True)))


def _length(
    at: _State, move: _State, low: Tensor, high: Tensor, most: float, sides: tuple[Tensor, Tensor, Tensor]
) -> Tensor:
    """Return the longest step up to `most` that keeps slacks and multipliers positive; shape (B,)."""
    _, has_low, has_high = sides
    pairs = [
        (low, move.x * has_low), (high, -move.x * has_high), (at.slack, move.slack),
        (at.below.where(has_low, torch.ones_like(low)), move.below * has_low),
        (at.above.where(has_high, torch.ones_like(low)), move.above * has_high),
        (at.row, move.row),
    ]  # fmt: skip
    fastest = torch.cat([-step / value for value, step in pairs], dim=-1).amax(-1)
    return torch.where(fastest > 1 / most, 1 / fastest.clamp(min=1 / most), torch.full_like(fastest, most))
