"""Expected shortfall as a function to minimise: its smoothing, and as a term of an interior-point method."""

from typing import NamedTuple

import torch
from torch import Tensor

from nautilus_metal.kernels.covariance import products
from nautilus_metal.kernels.portfolio import times

_ROUNDS = 100
_IN_CACHE = 2**21  # elements scaled at once on the host: memory that its allocator hands out again
_AT_ONCE = 2**26  # on a device


class Tail(NamedTuple):
    """The smoothed expected shortfall of some losses.

    Attributes
    ----------
    value : Tensor
        Shape (B,).
    density : Tensor
        Weight of each scenario's loss over its probability, shape (B, scenarios): the slope by the losses is this
        times the probabilities.
    free : Tensor
        Whether a scenario's weight moves with its loss, shape (B, scenarios).
    """

    value: Tensor
    density: Tensor
    free: Tensor


def smoothed_shortfall(losses: Tensor, probability: Tensor, level: float, centre: Tensor, width: Tensor) -> Tail:
    r"""Smooth the expected shortfall by a quadratic penalty on the weights that define it.

    .. math:: \max_q \sum_s \pi_s \left(q_s \ell_s - \tfrac{\mu}{2} (q_s - c_s)^2\right), \quad
              0 \le q_s \le \tfrac{1}{1 - \alpha}, \quad \sum_s \pi_s q_s = 1

    Without the penalty that is the shortfall. The maximum lies at :math:`q = c + (\ell - \tau) / \mu`, cut to its
    bounds; :math:`\tau`, which the sum fixes, is found by Newton steps within a bracket.

    Parameters
    ----------
    losses : Tensor
        Shape (B, scenarios).
    probability : Tensor
        Of each scenario, the same shape; rows sum to one.
    level : float
        Confidence level.
    centre : Tensor
        c, the same shape; feasible weights, such as those of the last call.
    width : Tensor
        mu, in the losses' unit, shape (B,).

    References
    ----------
    Rockafellar and Uryasev (2000), "Optimization of conditional value-at-risk", Journal of Risk 2.
    Nesterov (2005), "Smooth minimization of non-smooth functions", Mathematical Programming 103.

    Examples
    --------
    >>> losses = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    >>> even = torch.full((1, 4), 0.25)
    >>> tail = smoothed_shortfall(losses, even, 0.5, torch.ones(1, 4), torch.tensor([1e-3]))
    >>> round(float(tail.value), 2), tail.density.tolist()
    (3.5, [[0.0, 0.0, 2.0, 2.0]])
    """
    most = 1 / (1 - level)
    mu = width[:, None]
    height = centre * mu + losses  # a scenario's weight is cut to (height - tau) / mu
    low, high = height.amin(-1) - mu[:, 0] * most, height.amax(-1)
    tau = (low + high) / 2
    slack = 4 * torch.finfo(losses.dtype).eps
    for _ in range(_ROUNDS):
        raw = (height - tau[:, None]) / mu
        density = raw.clamp(0, most)
        excess = (probability * density).sum(-1) - 1
        if float(excess.abs().max()) <= slack:
            break
        low, high = torch.where(excess > 0, tau, low), torch.where(excess > 0, high, tau)
        slope = (probability * ((raw > 0) & (raw < most))).sum(-1) / mu[:, 0]
        newton = tau + excess / slope.clamp(min=1e-30)
        inside = (newton > low) & (newton < high)
        following = torch.where(inside, newton, (low + high) / 2)
        if bool((following == tau).all()):
            break
        tau = following
    value = (probability * (density * losses - mu / 2 * (density - centre) ** 2)).sum(-1)
    return Tail(value, density, (raw > 0) & (raw < most))


def shortfall(losses: Tensor, level: float, probability: Tensor | None = None) -> Tensor:
    r"""Expected shortfall of weighted losses: the mean of the worst :math:`1 - \alpha` of their probability.

    Parameters
    ----------
    losses : Tensor
        Shape (B, scenarios).
    level : float
        Confidence level.
    probability : Tensor, optional
        Of each scenario, the same shape; even where not given.

    Returns
    -------
    Tensor
        Shape (B,), float64 on the host.

    References
    ----------
    Acerbi and Tasche (2002), "On the coherence of expected shortfall", Journal of Banking & Finance 26(7).

    Examples
    --------
    >>> shortfall(torch.tensor([[4.0, 1.0, 3.0, 2.0]]), 0.625).tolist()
    [3.6666666666666665]
    """
    count = losses.shape[-1]
    if probability is None:
        worst = torch.topk(losses, min(count, int(count * (1 - level)) + 1), dim=-1).values
        each = torch.full_like(worst, 1 / count, dtype=torch.float64, device="cpu")
    else:
        worst, index = torch.sort(losses, dim=-1, descending=True)
        each = probability.gather(-1, index).to("cpu").to(torch.float64)
    before = each.cumsum(-1) - each
    share = torch.minimum(each, (1 - level - before).clamp(min=0))
    return (share * worst.to("cpu").to(torch.float64)).sum(-1) / (1 - level)


class TailTerm(NamedTuple):
    r"""The term :math:`\sum_s m_s \max(0, -(A x)_s)` of the objectives of B problems, in their first N variables.

    Where a row of A is a scenario's returns and a one, the last of these variables is the value at risk, with a slope
    of one in the objective, and the mass is the probability over :math:`1 - \alpha`, objective and term are the
    expected shortfall. Scenarios are eliminated one by one: none is a row or a variable of a matrix.

    Attributes
    ----------
    rows : Tensor
        A, its last column ones, shape (B, scenarios, N), or (1, scenarios, N) where the problems share it.
    mass : Tensor
        m, shape (B, scenarios); a scenario without mass is not there.

    References
    ----------
    Rockafellar and Uryasev (2000), "Optimization of conditional value-at-risk", Journal of Risk 2.
    """

    rows: Tensor
    mass: Tensor

    @property
    def size(self) -> int:
        """N."""
        return self.rows.shape[-1]

    def take(self, index: Tensor) -> "TailTerm":
        """Return some of the problems."""
        return TailTerm(self.rows if len(self.rows) == 1 else self.rows[index], self.mass[index])

    def across(self, x: Tensor) -> Tensor:
        """A x, shape (B, scenarios)."""
        return x @ self.rows[0].mT if len(self.rows) == 1 else times(self.rows, x)

    def pull(self, weight: Tensor) -> Tensor:
        """Sum over scenarios of a weight, shape (B, scenarios), times the row; shape (B, N)."""
        return weight @ self.rows[0] if len(self.rows) == 1 else times(self.rows.mT, weight)

    def curvature(self, weight: Tensor) -> Tensor:
        """Sum over scenarios of a weight, at least 0, times the row's outer product with itself, shape (B, N, N)."""
        root = weight.sqrt()[..., None]
        total = weight.new_zeros(len(weight), self.size, self.size)
        if weight.device.type == "cpu":
            step = max(1, _IN_CACHE // self.size)
            for i, own in enumerate(self.rows.expand(len(weight), *self.rows.shape[1:])):
                for rows, each in zip(own.split(step), root[i].split(step), strict=True):
                    total[i] += products((rows * each).mT)
            return total
        step = max(1, _AT_ONCE // (len(weight) * self.size))
        for rows, each in zip(self.rows.split(step, dim=1), root.split(step, dim=1), strict=True):
            scaled = rows * each
            total.baddbmm_(scaled.mT, scaled)
        return total

    def start(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Put the value at risk of points at their median loss.

        Returns
        -------
        tuple of Tensor
            The points; by what losses lie below it and above, both widened by their mean distance; and weights in the
            proportion of the masses that sum to one.
        """
        x = x.clone()
        x[:, -1] -= self.across(x).median(-1).values
        room = self.across(x)
        width = room.abs().mean(-1, keepdim=True).clamp(min=1e-9)
        return x, room.clamp(min=0) + width, (-room).clamp(min=0) + width, self.mass / self.mass.sum(-1, keepdim=True)
