"""A primal-dual interior-point method for batches of quadratic programmes, tails among them, in float64."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from nautilus_metal.kernels.portfolio import Programme, Solution, scaled, times
from nautilus_metal.kernels.portfolio_tail import TailTerm

_STEPS = 80
_BACK_OFF = 0.995  # share of the way to the boundary that a step may go
_PATIENCE = 4  # steps without progress: the rest is rounding
_TINY = 1e-13


class _Batch(NamedTuple):
    """The problems, the objective of the order of one, and what there is of variables and pairs."""

    programme: Programme
    tail: TailTerm | None
    limits: Tensor  # of `image`
    free: Tensor
    live: Tensor
    straight: Tensor  # whether the objective has no quadratic term, shape (B, 1)

    @property
    def own(self) -> int:
        """Pairs that are not the tail's."""
        return self.limits.shape[1]

    @property
    def pairs(self) -> Tensor:
        """How many there are, at least one; shape (B,)."""
        return self.live.sum(-1).clamp(min=1)

    def image(self, x: Tensor) -> Tensor:
        """What lower bounds, upper bounds and rows limit."""
        return torch.cat([-x, x, times(self.programme.rows, x)], dim=1)

    def pull(self, dual: Tensor) -> Tensor:
        """The transpose of `image`."""
        low, high, row = dual.tensor_split((self.free.shape[1], 2 * self.free.shape[1]), dim=1)
        return high - low + times(self.programme.rows.mT, row)

    def take(self, index: Tensor) -> "_Batch":
        tail = None if self.tail is None else self.tail.take(index)
        return _Batch(self.programme.take(index), tail, *(field[index] for field in self[2:]))


class _State(NamedTuple):
    """The iterate: point, multipliers of equalities, and pairs of a slack and its multiplier.

    Pairs are of lower bounds, upper bounds and rows, then of the tail: of what losses lie below the value at risk,
    and of what they lie above. A pair that is not there stays at ones.
    """

    x: Tensor
    y: Tensor
    slack: Tensor
    dual: Tensor


class _Off(NamedTuple):
    """What the optimality conditions are off by."""

    slope: Tensor
    equal: Tensor
    limits: Tensor


def interior_point(
    programme: Programme,
    tolerance: float = 1e-10,
    tail: TailTerm | None = None,
    between: Callable[[], None] = lambda: None,
) -> Solution:
    r"""Solve a batch of programmes by Mehrotra's predictor-corrector method.

    Some ten to thirty steps whatever the size, each a Cholesky factor for every problem. Points stay strictly inside
    their bounds; a variable whose bounds are equal is fixed. Problems that are done leave the batch.

    Parameters
    ----------
    programme : Programme
        In float64, on the device to work on; numbers of the order of one, the objective's excepted.
    tolerance : float, default 1e-10
        Of residuals and of the sum of products of pairs, which is the gap where there are no residuals; the objective
        scaled to the order of one.
    tail : TailTerm, optional
        What is added to the objective.
    between : callable, optional
        Called before each step; what it raises ends the work.

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
    batch, factor = _batch(programme, tail)
    state = _start(batch)
    best = state
    worst = torch.full_like(factor, torch.inf)
    left, stalled = torch.arange(len(factor), device=factor.device), torch.zeros_like(factor)
    for step in range(_STEPS + 1):
        off, gap = _residuals(batch, state)
        error = torch.stack([*(one.abs().amax(-1) for one in off if one.shape[-1]), gap * batch.pairs]).amax(0)
        error = error.nan_to_num(torch.inf, torch.inf)
        better = error < worst[left]
        least = torch.minimum(error, worst[left])
        worst = worst.index_copy(0, left, least)
        stalled = torch.where(better, 0, stalled + 1)
        active = (least > tolerance) & (stalled < _PATIENCE) & error.isfinite()
        all_better, some, every = torch.stack([better.all(), active.any(), active.all()]).tolist()
        if all_better and len(left) == len(worst):
            best = state
        else:
            pairs = zip(best, state, strict=True)
            best = _State(*(old.index_put((left[better],), new[better]) for old, new in pairs))
        if step == _STEPS or not some:
            break
        between()
        if not every:
            batch, left, stalled, gap = batch.take(active), left[active], stalled[active], gap[active]
            state, off = _State(*(one[active] for one in state)), _Off(*(one[active] for one in off))
        state = _advance(batch, state, off, gap)
    duals = best.dual[:, 2 * programme.linear.shape[1] :] / factor[:, None]
    row, weight = duals.tensor_split((programme.most.shape[1],), dim=1)
    own = None if tail is None else weight[:, : tail.mass.shape[1]]
    return Solution(best.x, best.y / factor[:, None], row, worst, step, own)


def _batch(programme: Programme, tail: TailTerm | None) -> tuple[_Batch, Tensor]:
    """Scale the objectives, and note what there is; return the factors as well."""
    problem, factor = scaled(programme)
    free = problem.upper > problem.lower
    bounded = torch.cat([free & problem.lower.isfinite(), free & problem.upper.isfinite()], dim=1)
    limits = torch.cat([-problem.lower, problem.upper], dim=1).where(bounded, 0.0)
    live = torch.cat([bounded, torch.ones_like(problem.most, dtype=torch.bool)], dim=1)
    if tail is not None:
        tail = tail._replace(mass=tail.mass * factor[:, None])
        live = torch.cat([live, tail.mass > 0, tail.mass > 0], dim=1)
    limits = torch.cat([limits, problem.most], dim=1)
    straight = (problem.quadratic == 0).flatten(1).all(-1, keepdim=True)
    return _Batch(problem, tail, limits, free.to(limits), live.to(limits), straight), factor


def _start(batch: _Batch) -> _State:
    problem, free = batch.programme, batch.free > 0
    one = torch.ones_like(problem.lower)
    has_low, has_high = problem.lower.isfinite(), problem.upper.isfinite()
    low = torch.where(has_low, problem.lower, torch.where(has_high, problem.upper - 1, -one))
    high = torch.where(has_high, problem.upper, torch.where(has_low, problem.lower + 1, one))
    x = torch.where(free, (low + high) / 2, problem.lower)
    slack = batch.limits - batch.image(x)
    slack[:, 2 * x.shape[1] :].clamp_(min=0.1)
    dual = torch.ones_like(slack)
    if batch.tail is not None:
        x[:, : batch.tail.size], below, above, weight = batch.tail.start(x[:, : batch.tail.size])
        slack = torch.cat([slack, below, above], dim=1)
        dual = torch.cat([dual, weight, batch.tail.mass - weight], dim=1)
    return _State(x, torch.zeros_like(problem.level), *(one.where(batch.live > 0, 1.0) for one in (slack, dual)))


def _residuals(batch: _Batch, at: _State) -> tuple[_Off, Tensor]:
    """Return what the conditions are off by, and the mean complementarity."""
    problem, dual = batch.programme, at.dual * batch.live
    slope = times(problem.quadratic, at.x) + problem.linear + times(problem.equal.mT, at.y)
    slope = slope + batch.pull(dual[:, : batch.own])
    if batch.tail is not None:
        weight = dual[:, batch.own :].chunk(2, dim=1)[0]
        slope[:, : batch.tail.size] -= batch.tail.pull(weight)
    equal = times(problem.equal, at.x) - problem.level
    limits = (batch.image(at.x) + at.slack[:, : batch.own] - batch.limits) * batch.live[:, : batch.own]
    return _Off(slope * batch.free, equal, limits), (at.slack * dual).sum(-1) / batch.pairs


def _advance(batch: _Batch, at: _State, off: _Off, gap: Tensor) -> _State:
    direction = _directions(batch, at, off)
    product = at.slack * at.dual
    move = direction(-product)
    primal, dual = _lengths(batch, at, move, 1.0)
    ahead = (at.slack + primal * move.slack) * (at.dual + dual * move.dual) * batch.live
    aim = ((ahead.sum(-1) / batch.pairs / gap.clamp(min=1e-300)).clamp(0, 1) ** 3 * gap)[:, None]
    move = direction(aim - product - move.slack * move.dual)
    primal, dual = ((_BACK_OFF * most).clamp(max=1.0) for most in _lengths(batch, at, move, 2.0))
    lengths = _State(primal, dual, primal, dual)
    return _State(*(old + length * new for old, length, new in zip(at, lengths, move, strict=True)))


def _directions(batch: _Batch, at: _State, off: _Off) -> Callable[[Tensor], _State]:
    """Factor the linearised conditions; the function solves them for the products of pairs to change by `target`."""
    problem, tail, own, mask = batch.programme, batch.tail, batch.own, batch.free
    ratio = at.dual / at.slack * batch.live
    low, high, row = ratio[:, :own].tensor_split((mask.shape[1], 2 * mask.shape[1]), dim=1)
    system = problem.quadratic + problem.rows.mT @ (problem.rows * row[..., None])
    system.diagonal(dim1=-2, dim2=-1).add_(low + high)
    if tail is not None:
        below, above = ratio[:, own:].chunk(2, dim=1)
        stiff = 1 / (1 / below + 1 / above)
        system[:, : tail.size, : tail.size] += tail.curvature(stiff)
    system = system * mask[:, :, None] * mask[:, None, :]
    trace = system.diagonal(dim1=-2, dim2=-1).mean(-1)
    system.diagonal(dim1=-2, dim2=-1).add_(1 - mask + _TINY * trace[:, None])
    factor, _ = torch.linalg.cholesky_ex(system)
    equal = problem.equal * mask[:, None, :]
    across = torch.cholesky_solve(equal.mT, factor)
    schur = equal @ across
    size = schur.diagonal(dim1=-2, dim2=-1).amax(-1) if schur.shape[-1] else schur.new_ones(len(schur))
    schur.diagonal(dim1=-2, dim2=-1).add_((_TINY * size).clamp(min=1e-300)[:, None])

    def direction(target: Tensor) -> _State:
        share = target / at.slack * batch.live
        right = -off.slope - batch.pull(share[:, :own] + ratio[:, :own] * off.limits)
        if tail is not None:
            for_below, for_above = (target / at.dual)[:, own:].chunk(2, dim=1)
            lift = stiff * (for_below - for_above)
            right[:, : tail.size] += tail.pull(lift)
        right = right * mask
        alone = torch.cholesky_solve(right[..., None], factor).squeeze(-1)
        dy = torch.linalg.solve_ex(schur, times(equal, alone) + off.equal)[0] if schur.shape[-1] else off.equal
        dx = alone - times(across, dy)
        d_slack = -(off.limits + batch.image(dx)) * batch.live[:, :own]
        d_dual = share[:, :own] - ratio[:, :own] * d_slack
        if tail is not None:
            weight = lift - stiff * tail.across(dx[:, : tail.size])
            both = torch.cat([weight, -weight], dim=1)
            rest = (target - at.slack * torch.cat([d_dual, both], dim=1)) / at.dual * batch.live
            d_slack, d_dual = torch.cat([d_slack, rest[:, own:]], dim=1), torch.cat([d_dual, both], dim=1)
        return _State(dx, dy, d_slack, d_dual)

    return direction


def _lengths(batch: _Batch, at: _State, move: _State, most: float) -> tuple[Tensor, Tensor]:
    """The longest steps up to `most` that keep slacks positive, and multipliers; each of shape (B, 1).

    One for both where the objective has a quadratic term: its slope then follows the point.
    """
    primal = 1 / (-move.slack / at.slack).amax(-1, keepdim=True).clamp(min=1 / most)
    dual = 1 / (-move.dual / at.dual).amax(-1, keepdim=True).clamp(min=1 / most)
    both = torch.minimum(primal, dual)
    return torch.where(batch.straight, primal, both), torch.where(batch.straight, dual, both)
