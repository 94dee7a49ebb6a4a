"""Least expected shortfall over many scenarios on a device: proximal steps on the tail's weights."""

import torch
from torch import Tensor

from nautilus_metal.engine.cancel import checkpoint
from nautilus_metal.kernels.portfolio import Programme, linear_bound, times
from nautilus_metal.kernels.portfolio_interior import interior_point
from nautilus_metal.kernels.portfolio_tail import Tail, shortfall, smoothed_shortfall
from nautilus_metal.risk.allocation_quadratic import Optimised
from nautilus_metal.risk.allocation_scenarios import Scenarios

_OUTER, _INNER, _HALVINGS = 40, 8, 8
_SHRINK = 0.25
_EDGE = 2  # scenarios at the tail's edge for each asset: with fewer, Newton's matrix tells too little


def proximal_newton(
    programme: Programme,
    scenarios: Scenarios,
    level: float,
    probability: Tensor | None,
    aversion: Tensor,
    tolerance: float,
) -> Optimised:
    r"""Minimise a linear function plus :math:`\gamma` times the expected shortfall over a batch of feasible sets.

    The shortfall is the largest of :math:`\sum_s p_s \ell_s(w)` over the weights p that a tail may have. Steps of a
    proximal method on p (the augmented Lagrangian's) make it smooth; each is solved by Newton's method, whose matrix
    sums over the few scenarios at the tail's edge. So a step costs one product with all scenarios and sums over a
    tail, and every p on the way gives, with the multipliers of the step's programme, a lower bound of the optimum.
    Problems that are done leave the batch after each proximal step.

    Parameters
    ----------
    programme : Programme
        The sets, and the linear function; its quadratic term is not used.
    scenarios : Scenarios
        Returns of the first variables.
    level : float
        Confidence level.
    probability : Tensor, optional
        Of each scenario in each problem, shape (B, scenarios), float64 on the host; even where not given.
    aversion : Tensor
        Gamma, shape (B,).
    tolerance : float
        Stop at a gap of this share of the shortfall.

    References
    ----------
    Rockafellar (1976), "Augmented Lagrangians and applications of the proximal point algorithm in convex
    programming", Mathematics of Operations Research 1(2).
    Qi and Sun (1993), "A nonsmooth version of Newton's method", Mathematical Programming 58.
    """
    search = _Search(programme, scenarios, level, probability, aversion)
    x, upper, lower = search.best.clone(), search.upper.clone(), search.lower.clone()
    left = torch.arange(len(x))
    for outer in range(_OUTER):
        search.proximal_step(tolerance)
        x[left], upper[left], lower[left] = search.best, search.upper, search.lower
        open_ = ~search.done(tolerance)
        if outer == _OUTER - 1 or not bool(open_.any()):
            break
        if not bool(open_.all()):
            search.keep(open_)
            left = left[open_]
        search.sharpen()
    gap, device = (upper - lower).clamp(min=0), str(scenarios.engine.device)
    return Optimised(x, upper, gap, search.steps, "proximal_newton", device)


class _Search:
    """The iterate of `proximal_newton`."""

    def __init__(
        self, programme: Programme, scenarios: Scenarios, level: float, probability: Tensor | None, aversion: Tensor
    ) -> None:
        self._programme, self._scenarios, self._level, self._aversion = programme, scenarios, level, aversion
        self._assets, self.steps, self._taken = scenarios.assets, 0, 0
        self.x = _centre(programme, self._assets)
        self._losses = scenarios.losses(self.x[:, : self._assets])
        count = len(self.x)
        if probability is None:
            self._given = None
            self._probability = self._losses.new_full((1, 1), 1 / scenarios.count).expand(count, scenarios.count)
        else:
            self._given = self._probability = probability.to(scenarios.dtype).to(self._losses.device)
        self._centre = torch.ones_like(self._losses)
        spread = (self._losses - self._losses.mean(-1, keepdim=True)).square().mean(-1).sqrt()
        self._width = (spread.clamp(min=1e-9) * (1 - level)).contiguous()
        self.best, self.upper = self.x, self._objective(self.x, self._losses)
        self.lower = torch.full_like(self.upper, -torch.inf)

    def done(self, tolerance: float) -> Tensor:
        """Whether each problem's gap is small, shape (B,)."""
        scale = (self.upper - (self._programme.linear * self.best).sum(-1)).abs()
        return self.upper - self.lower <= tolerance * scale.clamp(min=1e-12)

    def keep(self, chosen: Tensor) -> None:
        """Go on with some of the problems."""
        self._programme, self._aversion = self._programme.take(chosen), self._aversion[chosen]
        self.x, self.best = self.x[chosen], self.best[chosen]
        self.upper, self.lower = self.upper[chosen], self.lower[chosen]
        there = chosen.to(self._losses.device)
        self._losses, self._probability = self._losses[there], self._probability[there]
        self._centre, self._width = self._centre[there], self._width[there]
        self._given = None if self._given is None else self._probability

    def sharpen(self) -> None:
        """Centre the smoothing at the tail's weights now, and narrow it."""
        tail = self._tail(self._losses)
        self._centre = tail.density
        wide = tail.free.sum(-1) > _EDGE * self._assets
        others = 0.5 if self._taken <= 2 else 1.0 if self._taken < _INNER else 2.0
        self._width = torch.where(wide, _SHRINK, others).to(self._width.dtype) * self._width

    def proximal_step(self, tolerance: float) -> None:
        """Minimise the smoothed objective by Newton steps."""
        for self._taken in range(1, _INNER + 1):
            checkpoint()
            tail = self._tail(self._losses)
            slope, curvature = self._derivatives(tail.density, tail.free)
            step = self._newton(slope, curvature)
            drop = (slope * (step - self.x)).sum(-1)
            if not self._move(step, tail.value, drop) or bool(self.done(tolerance).all()):
                return
            width = self._width.to("cpu").to(torch.float64)
            if bool((-drop <= 1e-3 * (self.upper - self.lower).clamp(min=1e-3 * tolerance * width)).all()):
                return

    def _tail(self, losses: Tensor) -> Tail:
        return smoothed_shortfall(losses, self._probability, self._level, self._centre, self._width)

    def _objective(self, x: Tensor, losses: Tensor) -> Tensor:
        return self._aversion * shortfall(losses, self._level, self._given) + (self._programme.linear * x).sum(-1)

    def _derivatives(self, density: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
        """Slope and curvature of the smoothed objective in all variables, float64 on the host."""
        width = self._width.to("cpu").to(torch.float64)[:, None]
        weight = (self._probability * density).to("cpu").to(torch.float64)
        weight /= weight.sum(-1, keepdim=True)  # rounding must not spoil the bound
        edge = (self._probability * free).to("cpu").to(torch.float64) / width
        pairs = [self._scenarios.moments(*pair) for pair in zip(weight, edge, strict=True)]
        slope = self._programme.linear.clone()
        slope[:, : self._assets] -= self._aversion[:, None] * torch.stack([total for total, _ in pairs])
        curvature = torch.zeros_like(self._programme.quadratic)
        inner = torch.stack([scatter for _, scatter in pairs]) * self._aversion[:, None, None]
        curvature[:, : self._assets, : self._assets] = inner
        return slope, curvature

    def _newton(self, slope: Tensor, curvature: Tensor) -> Tensor:
        """Minimise the model of the smoothed objective, and take the bound that its multipliers give."""
        size = slope.abs().amax(-1)
        curvature.diagonal(dim1=-2, dim2=-1).add_(1e-9 * size[:, None])
        model = self._programme._replace(quadratic=curvature, linear=slope - times(curvature, self.x))
        found = interior_point(model)
        self.steps += 1
        bound = linear_bound(slope, self._programme, found.equal_dual, found.row_dual)
        self.lower = torch.maximum(self.lower, bound)
        return found.x

    def _move(self, aim: Tensor, value: Tensor, drop: Tensor) -> bool:
        """Go towards `aim` as far as it lowers the smoothed objective; return whether anything moved."""
        change = self._scenarios.losses((aim - self.x)[:, : self._assets])
        value = self._whole(value, self.x)
        length = torch.ones_like(drop)
        for _ in range(_HALVINGS):
            losses = self._losses + length.to(change.dtype).to(change.device)[:, None] * change
            x = self.x + length[:, None] * (aim - self.x)
            ahead = self._whole(self._tail(losses).value, x)
            noise = 1e-12 + 4 * torch.finfo(change.dtype).eps * value.abs()
            falls = ahead <= value + 1e-4 * length * drop + noise
            if bool(falls.all()):
                break
            length = torch.where(falls, length, length / 2)
        self.x, self._losses = x, losses
        upper = self._objective(x, losses)
        better = upper < self.upper
        self.best = torch.where(better[:, None], x, self.best)
        self.upper = torch.where(better, upper, self.upper)
        return bool(((-drop) > 1e-14).any())

    def _whole(self, smoothed: Tensor, x: Tensor) -> Tensor:
        return self._aversion * smoothed.to("cpu").to(torch.float64) + (self._programme.linear * x).sum(-1)


def _centre(programme: Programme, assets: int) -> Tensor:
    """Feasible points of little concentration."""
    quadratic = torch.zeros_like(programme.quadratic)
    quadratic[:, :assets, :assets] = torch.eye(assets, dtype=torch.float64)
    return interior_point(programme._replace(quadratic=quadratic, linear=1e-3 * programme.linear)).x
