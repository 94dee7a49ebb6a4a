"""Tail statistics of a sample of losses: value at risk and expected shortfall as weighted order statistics.

Both figures, their standard errors and their split over positions are linear in the sorted losses, so that one
table of weights, made once for a scenario count, turns the tail into all of them with one matrix product. The
weights of a figure sum to one, which makes the split over positions add up to the figure exactly.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from nautilus_metal.errors import InputError

_WINDOW = 7.0  # standard deviations of the quantile's rank that its weights reach; the rest is below 1e-11
_NODES = 8  # Gauss-Legendre nodes for each rank's share of the beta density


class TailWeights(NamedTuple):
    """Weights of the largest losses, in descending order, for every level.

    Attributes
    ----------
    var, es : Tensor
        Weights of the quantile and of the tail mean, shape (tail, levels), float64.
    spread : Tensor
        Weights whose product with the losses is the quantile's standard error, shape (tail, levels).
    tail_counts : Tensor
        Scenarios beyond each level, n * (1 - level), shape (levels,).
    """

    var: Tensor
    es: Tensor
    spread: Tensor
    tail_counts: Tensor

    @property
    def size(self) -> int:
        """The number of largest losses that the weights cover."""
        return self.var.shape[0]


@lru_cache(maxsize=64)
def tail_weights(count: int, levels: tuple[float, ...]) -> TailWeights:
    r"""Make the weights of the sorted losses for value at risk and expected shortfall.

    The quantile is Harrell and Davis' (1982): rank k of n ascending losses weighs
    :math:`I_{k/n}(a, b) - I_{(k-1)/n}(a, b)` with the beta distribution of :math:`a = (n+1)p`,
        :math:`b = (n+1)(1-p)`. The shortfall is the mean of the worst :math:`n(1-p)` losses, the last of them
    counted in part (Acerbi and Tasche 2002). The quantile's standard error is the standard deviation of its rank,
    :math:`\sqrt{n p (1-p)}`, times the slope of the sorted losses two such deviations to either side.

    Parameters
    ----------
    count : int
        The number of losses, n.
    levels : tuple of float
        Confidence levels in (0.5, 1), each with at least one loss beyond it.

    Raises
    ------
    InputError
        If a level is outside (0.5, 1), or the sample is too small for it.

    References
    ----------
    Harrell and Davis (1982), "A new distribution-free quantile estimator", Biometrika 69(3).
    Acerbi and Tasche (2002), "On the coherence of expected shortfall", Journal of Banking & Finance 26(7).

    Examples
    --------
    >>> weights = tail_weights(1000, (0.99,))
    >>> round(float(weights.var.sum()), 12), round(float(weights.es.sum()), 12)
    (1.0, 1.0)
    """
    check_levels(count, levels)
    size = max(_reach(count, level) for level in levels)
    return TailWeights(
        var=torch.stack([_quantile_weights(count, level, size) for level in levels], dim=1),
        es=torch.stack([_shortfall_weights(count, level, size) for level in levels], dim=1),
        spread=torch.stack([_spread_weights(count, level, size) for level in levels], dim=1),
        tail_counts=torch.tensor([count * (1 - level) for level in levels], dtype=torch.float64),
    )


def check_levels(count: int, levels: tuple[float, ...]) -> None:
    """Refuse levels outside (0.5, 1), repeated ones, and those that leave less than one of `count` losses beyond."""
    if not levels:
        raise InputError("`levels` must name at least one confidence level, was empty")
    if len(set(levels)) < len(levels):
        raise InputError(f"`levels` must differ from each other, were {levels}")
    for level in levels:
        if not 0.5 < level < 1:
            raise InputError(f"`levels` must lie between 0.5 and 1 (confidence levels), was {level}")
        if count * (1 - level) < 1 - 1e-9:
            needed = math.ceil(1 / (1 - level) - 1e-9)
            raise InputError(f"`levels`: {level} needs at least {needed} scenarios, there are {count}")


def _rank_deviation(count: int, level: float) -> float:
    return math.sqrt(count * level * (1 - level))


def _reach(count: int, level: float) -> int:
    return min(count, math.ceil(count * (1 - level) + _WINDOW * _rank_deviation(count, level)) + 2)


def _quantile_weights(count: int, level: float, size: int) -> Tensor:
    """Integrate the beta density over each rank's cell; descending ranks, shape (size,)."""
    a, b = (count + 1) * level, (count + 1) * (1 - level)
    nodes, node_weights = _gauss_legendre(_NODES)
    ranks = torch.arange(size, dtype=torch.float64)
    survival = (ranks[:, None] + (nodes + 1) / 2) / count  # 1 - u at the nodes of each cell
    log_density = (a - 1) * torch.log1p(-survival) + (b - 1) * survival.log()
    log_beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    weights = (log_density - log_beta).exp() @ node_weights / (2 * count)
    weights[ranks > count * (1 - level) + _WINDOW * _rank_deviation(count, level) + 1] = 0.0
    return weights / weights.sum()


def _gauss_legendre(nodes: int) -> tuple[Tensor, Tensor]:
    """Nodes and weights on [-1, 1] from the Jacobi matrix (Golub and Welsch 1969)."""
    k = torch.arange(1, nodes, dtype=torch.float64)
    off = k / torch.sqrt(4 * k * k - 1)
    values, vectors = torch.linalg.eigh(torch.diag(off, 1) + torch.diag(off, -1))
    return values, 2 * vectors[0] ** 2


def _shortfall_weights(count: int, level: float, size: int) -> Tensor:
    beyond = count * (1 - level)
    ranks = torch.arange(size, dtype=torch.float64)
    return (beyond - ranks).clamp(0, 1) / beyond


def _spread_weights(count: int, level: float, size: int) -> Tensor:
    centre, reach = count * (1 - level), 2 * _rank_deviation(count, level)
    upper = max(0, round(centre - reach - 0.5))
    lower = min(size - 1, round(centre + reach - 0.5))
    weights = torch.zeros(size, dtype=torch.float64)
    share = _rank_deviation(count, level) / max(lower - upper, 1)  # the slope of the quantile by rank
    weights[upper] += share
    weights[lower] -= share
    return weights


def largest(losses: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return the `size` largest losses in descending order and where they stand.

    `topk` rather than `quantile`: the latter refuses more than 2**24 elements on some devices.

    Parameters
    ----------
    losses : Tensor
        Shape (scenarios,) or (rows, scenarios).
    size : int
        How many.

    Returns
    -------
    tuple of Tensor
        Values and indices, shape (..., size).
    """
    values, index = torch.topk(losses, size, dim=-1, sorted=True)
    return values, index


def shortfall_error(worst: Tensor, var: Tensor, es: Tensor, weights: TailWeights, levels: Tensor) -> Tensor:
    r"""Standard error of the expected shortfall of independent scenarios.

    .. math:: \sqrt{\frac{\operatorname{Var}(L \mid L > q) + p\,(ES - q)^2}{n (1 - p)}}

    Parameters
    ----------
    worst : Tensor
        The largest losses in descending order, shape (tail,), float64.
    var, es, levels : Tensor
        Figures and confidence levels, shape (levels,), float64.
    weights : TailWeights
        Of the same sample.

    Returns
    -------
    Tensor
        Shape (levels,), in the losses' unit.

    References
    ----------
    Manistre and Hancock (2005), "Variance of the CTE estimator", North American Actuarial Journal 9(2).
    """
    deviation = (worst[:, None] - es[None, :]) ** 2
    within = (deviation * weights.es).sum(dim=0)
    return torch.sqrt((within + levels * (es - var) ** 2) / weights.tail_counts)
