"""Tail statistics of a sample of losses: value at risk and expected shortfall as weighted order statistics.

Both figures, their standard errors and their split over positions come from the sorted losses with weights that
depend on the sample's size alone, so that one table, made once for a scenario count, turns the tail into all of them.
The weights of a figure sum to one, which makes the split over positions add up to the figure.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from nautilus_metal.errors import InputError

_WINDOW = 7.0  # standard deviations of the quantile's rank that its weights reach; the rest is below 1e-11
_SORTED = 100  # on CUDA, sorting all takes less time than `topk` for a tail of more than this part
_NODES = 16  # Gauss-Legendre nodes for each rank's share of the beta density


class Run(NamedTuple):
    """Ranks of descending losses that weigh in a figure of a sample of one loss less: all others have no weight."""

    first: int
    weights: NDArray[np.float64]


class TailWeights(NamedTuple):
    """Weights of the largest losses, in descending order: the levels' quantiles first, then their tail means.

    Attributes
    ----------
    figures : Tensor
        Shape (tail, 2 * levels), float64; each column sums to one.
    without_one : tuple of Run
        By figure, the same for a sample of one loss less, by which the standard errors are made.
    """

    figures: Tensor
    without_one: tuple[Run, ...]

    @property
    def size(self) -> int:
        """The number of largest losses that the weights cover."""
        return self.figures.shape[0]

    @property
    def levels(self) -> int:
        """The number of levels."""
        return self.figures.shape[1] // 2


@lru_cache(maxsize=64)
def tail_weights(count: int, levels: tuple[float, ...]) -> TailWeights:
    r"""Make the weights of the sorted losses for value at risk and expected shortfall.

    The quantile is Harrell and Davis' (1982): rank k of n ascending losses weighs
    :math:`I_{k/n}(a, b) - I_{(k-1)/n}(a, b)` with the beta distribution of :math:`a = (n+1)p`,
    :math:`b = (n+1)(1-p)`. The shortfall is the mean of the worst :math:`n(1-p)` losses, the last of them counted in
    part (Acerbi and Tasche 2002).

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
    >>> [round(float(column.sum()), 12) for column in tail_weights(1000, (0.99,)).figures.T]
    [1.0, 1.0]
    """
    check_levels(count, levels)
    whole, without_one = _figure_weights(count, levels), _figure_weights(count - 1, levels)
    size = max(len(whole), len(without_one))
    return TailWeights(pad(whole, (0, 0, 0, size - len(whole))), tuple(map(_run, without_one.T.numpy())))


def _run(column: NDArray[np.float64]) -> Run:
    ranks = np.flatnonzero(column)
    return Run(int(ranks[0]), column[ranks[0] : ranks[-1] + 1].copy())


@lru_cache(maxsize=64)  # a growing window asks for each count twice: as the whole, and a period later as one less
def _figure_weights(count: int, levels: tuple[float, ...]) -> Tensor:
    size = max(_reach(count, level)[1] for level in levels)
    columns = [_quantile_weights(count, level, size) for level in levels]
    columns += [_shortfall_weights(count, level, size) for level in levels]
    return torch.stack(columns, dim=1)


def check_levels(count: int | None, levels: tuple[float, ...]) -> None:
    """Refuse levels outside (0.5, 1), repeated ones, and those that leave less than one of `count` losses beyond."""
    if not levels:
        raise InputError("`levels` must name at least one confidence level, was empty")
    for level in levels:
        if not 0.5 < level < 1:
            raise InputError(f"`levels` must lie between 0.5 and 1 (confidence levels), was {level}")
        if count is not None and count * (1 - level) < 1 - 1e-9:
            needed = math.ceil((1 - 1e-9) / (1 - level))
            raise InputError(f"`levels`: {level} needs at least {needed} scenarios, there are {count}")
    if len(set(levels)) < len(levels):
        raise InputError(f"`levels` must differ from each other, were {levels}")


def _reach(count: int, level: float) -> tuple[int, int]:
    """Ranks with a weight: so many deviations of a binomial rank, with Wilson and Hilferty's term for its skew."""
    centre, reach = count * (1 - level), _WINDOW * math.sqrt(count * level * (1 - level))
    return max(0, math.floor(centre - reach)), min(count, math.ceil(centre + reach + _WINDOW**2 / 3) + 2)


def _quantile_weights(count: int, level: float, size: int) -> Tensor:
    """Integrate the beta density over each rank's cell; descending ranks, shape (size,)."""
    a, b = (count + 1) * level, (count + 1) * (1 - level)
    nodes, node_weights = _gauss_legendre(_NODES)
    first, last = _reach(count, level)
    ranks = torch.arange(first, min(size, last), dtype=torch.float64)
    survival = (ranks[:, None] + (nodes + 1) / 2) / count  # 1 - u at the nodes of each cell
    log_density = (a - 1) * torch.log1p(-survival) + (b - 1) * survival.log()
    log_beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    weights = torch.zeros(size, dtype=torch.float64)
    weights[first : first + len(ranks)] = (log_density - log_beta).exp() @ node_weights / (2 * count)
    if first == 0:
        weights[0] = (1 - weights[1:].sum()).clamp(min=0)  # its cell may hold a singularity, which nodes miss
    return weights / weights.sum()


@lru_cache(maxsize=1)
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
    if losses.is_cuda and size * _SORTED >= losses.shape[-1] > size:
        values, index = torch.sort(losses, dim=-1, descending=True, stable=True)
        return values[..., :size], index[..., :size]
    values, index = torch.topk(losses, size, dim=-1, sorted=True)
    return values, index


def jackknife_error(worst: NDArray[np.float64], weights: TailWeights, count: int) -> NDArray[np.float64]:
    r"""Standard errors of the figures of independent losses, from the figures without each loss in turn.

    .. math:: \sqrt{\frac{n-1}{n} \sum_j (T_{(j)} - \bar T)^2}

    Leaving out a loss instead of the next smaller one replaces it by that one at their common rank k: with the
    weights w of n - 1 losses, :math:`T_{(k+1)} - T_{(k)} = w_k (x_k - x_{k+1})`. Losses under the tail have no
    weight, so that leaving out any of them is like leaving out the tail's last.

    Parameters
    ----------
    worst : ndarray
        The largest losses in descending order, shape (tail,).
    weights : TailWeights
        Of the sample that they are the tail of.
    count : int
        The size of that sample, n.

    Returns
    -------
    ndarray
        Shape (2 * levels,), in the losses' unit.

    References
    ----------
    Harrell and Davis (1982), who give the quantile this error.
    Efron and Stein (1981), "The jackknife estimate of variance", Annals of Statistics 9(3).
    """
    errors = []
    for run in weights.without_one:
        before, after = _influence(run, worst)
        squares, total = np.einsum("i,i", after, after), after.sum()  # `@` waits for threads
        spread = squares + (run.first + 1) * before**2 - (total + (run.first + 1) * before) ** 2 / count
        errors.append(math.sqrt(max(0.0, spread) * (count - 1) / count))
    return np.array(errors)


def _influence(run: Run, worst: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """`jackknife_influence` of one figure: of each loss up to the run's first, and of those after it in turn."""
    first, last = run.first, min(run.first + len(run.weights), len(worst) - 1)
    after = worst[first:last] - worst[first + 1 : last + 1]
    after *= run.weights[: last - first]
    np.cumsum(after, out=after)
    total = float(after[-1])
    after -= total
    return -total, after


def jackknife_influence(worst: NDArray[np.float64], weights: TailWeights) -> NDArray[np.float64]:
    """Figures without each loss of the tail in turn, less the figures without a loss under it.

    Parameters
    ----------
    worst, weights
        As in `jackknife_error`.

    Returns
    -------
    ndarray
        Shape (tail, 2 * levels), in the losses' unit.
    """
    figures = np.zeros((2 * weights.levels, len(worst)))  # long axis last
    for row, run in zip(figures, weights.without_one, strict=True):
        before, after = _influence(run, worst)
        row[: run.first + 1] = before
        row[run.first + 1 : run.first + 1 + len(after)] = after
    return figures.T
