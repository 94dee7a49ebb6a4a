"""Hierarchical risk parity: a tree of correlations, and risk split down its branches; in float64 on the host."""

import torch
from torch import Tensor


def correlation_distance(covariance: Tensor) -> Tensor:
    r"""Distance of two assets, :math:`\sqrt{(1 - \rho_{ij}) / 2}`, from 0 to 1; shape (assets, assets)."""
    deviation = covariance.diagonal().sqrt()
    correlation = covariance / (deviation[:, None] * deviation)
    distance = ((1 - correlation.clamp(-1, 1)) / 2).sqrt()
    return distance.fill_diagonal_(0.0)


def single_linkage_order(distance: Tensor) -> list[int]:
    """Order items so that those that single linkage joins early stand side by side.

    Edges of the minimal spanning tree, shortest first, join groups: each group's items stay together, the group that
    was made first on the left, as a dendrogram's leaves stand.

    Parameters
    ----------
    distance : Tensor
        Shape (items, items), symmetric.

    Examples
    --------
    >>> places = torch.tensor([0.0, 10.0, 1.0, 12.0])
    >>> single_linkage_order((places[:, None] - places).abs())
    [0, 2, 1, 3]
    """
    count = len(distance)
    groups: dict[int, tuple[int, list[int]]] = {i: (i, [i]) for i in range(count)}
    owner = list(range(count))
    for made, (_, first, second) in enumerate(sorted(_spanning_tree(distance)), start=count):
        pair = sorted((groups.pop(owner[first]), groups.pop(owner[second])))
        items = pair[0][1] + pair[1][1]
        groups[made] = (made, items)
        for item in items:
            owner[item] = made
    return next(iter(groups.values()))[1]


def _spanning_tree(distance: Tensor) -> list[tuple[float, int, int]]:
    """Edges of the minimal spanning tree (Prim 1957)."""
    count = len(distance)
    nearest, parent = distance[0].clone(), [0] * count
    left, edges = set(range(1, count)), []
    nearest[0] = torch.inf
    while left:
        item = int(nearest.argmin())
        edges.append((float(nearest[item]), min(item, parent[item]), max(item, parent[item])))
        left.remove(item)
        closer = distance[item] < nearest
        for other in left:
            if closer[other]:
                nearest[other], parent[other] = distance[item, other], item
        nearest[item] = torch.inf
    return edges


def hierarchical_risk_parity(covariance: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    r"""Split the budget of one down a list of assets, halves against each other by the inverse of their variance.

    The variance of a half is that of its inverse-variance portfolio. A half gets no more and no less than its assets
    may hold together. The tree is the paper's: single linkage of the distances, leaves as they come.

    Parameters
    ----------
    covariance : Tensor
        Shape (assets, assets), positive variances.
    lower, upper : Tensor
        Bounds of the weights, shape (assets,), between which one can be reached.

    Returns
    -------
    Tensor
        Weights, shape (assets,).

    References
    ----------
    Lopez de Prado (2016), "Building diversified portfolios that outperform out of sample", Journal of Portfolio
    Management 42(4).

    Examples
    --------
    >>> free = torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    >>> hierarchical_risk_parity(torch.diag(torch.tensor([1.0, 3.0], dtype=torch.float64)), *free).tolist()
    [0.75, 0.25]
    """
    weights = torch.ones_like(lower)
    stack = [single_linkage_order(correlation_distance(covariance))]
    while stack:
        items = stack.pop()
        if len(items) < 2:
            continue
        halves = items[: len(items) // 2], items[len(items) // 2 :]
        left, right = (_cluster_variance(covariance, half) for half in halves)
        whole = float(weights[items[0]])
        first = float(right / (left + right))
        least, most = float(lower[halves[0]].sum()) / whole, float(upper[halves[0]].sum()) / whole
        other_least, other_most = float(lower[halves[1]].sum()) / whole, float(upper[halves[1]].sum()) / whole
        first = min(max(first, least, 1 - other_most), most, 1 - other_least)
        weights[halves[0]] *= first
        weights[halves[1]] *= 1 - first
        stack.extend(halves)
    return weights


def _cluster_variance(covariance: Tensor, items: list[int]) -> Tensor:
    part = covariance[items][:, items]
    inverse = 1 / part.diagonal()
    share = inverse / inverse.sum()
    return share @ part @ share
