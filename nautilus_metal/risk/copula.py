"""Scenarios with each asset's own distribution, as the window has it, joined by a Gaussian or Student-t copula."""

import math
from functools import lru_cache

import torch
from torch import Tensor

from nautilus_metal.errors import InputError
from nautilus_metal.kernels import covariance as estimators
from nautilus_metal.kernels.ranks import kendall, ranks
from nautilus_metal.risk.degrees import DEGREES_GRID
from nautilus_metal.risk.draws import sample_mixing, sample_normals
from nautilus_metal.risk.request import Request, Scenarios, empirical, overlapping
from nautilus_metal.risk.validation.laws import student_law


def gaussian_copula(window: Tensor, request: Request) -> Scenarios:
    """Empirical margins under a Gaussian copula, its correlation that of the window's normal scores.

    Parameters
    ----------
    window : Tensor
        Shape (assets, periods). Over a longer horizon its overlapping sums take the place of the returns.
    request : Request
        What is asked for.

    Notes
    -----
    A margin's quantile is interpolated between the sorted returns, the i-th of n standing at (i - 1/2) / n (Hazen's
    convention, type 5 of Hyndman and Fan 1996), and no scenario lies beyond the window's extremes.

    References
    ----------
    McNeil, Frey and Embrechts (2015), "Quantitative risk management", revised edition, sections 7.2 and 7.5.
    """
    sums = overlapping(window, request.horizon)
    root = estimators.factor(estimators.nearest_correlation(estimators.correlation(_normal_scores(ranks(sums)))))
    normals = root @ sample_normals(len(sums), request.scenarios, request)
    return _scenarios(sums, torch.special.ndtr(normals), {"copula": "gaussian"})


def t_copula(window: Tensor, request: Request, degrees: float | None = None) -> Scenarios:
    r"""Empirical margins under a Student-t copula, in whose tails assets move together.

    Its correlation is :math:`\sin(\pi\tau/2)` of Kendall's tau, raised to a positive definite matrix where needed.

    Parameters
    ----------
    window, request
        As for `gaussian_copula`, with the same margins.
    degrees : float, optional
        Degrees of freedom, above 2; chosen from `risk.degrees.DEGREES_GRID` by maximum likelihood if not given.

    References
    ----------
    Demarta and McNeil (2005), "The t copula and related copulas", International Statistical Review 73(1).
    Lindskog, McNeil and Schmock (2003), "Kendall's tau for elliptical distributions", for the inversion.
    """
    if degrees is not None and not 2 < degrees < math.inf:
        raise InputError(f"`degrees` must be a number above 2, was {degrees}")
    sums = overlapping(window, request.horizon)
    correlation = estimators.nearest_correlation(torch.sin(kendall(sums) * (math.pi / 2)))
    chosen = _copula_degrees(sums, correlation) if degrees is None else float(degrees)
    normals = estimators.factor(correlation) @ sample_normals(len(sums), request.scenarios, request)
    # the mixing variable gives unit variance, the law has unit scale
    drawn = normals * sample_mixing(request.scenarios, request, chosen) * math.sqrt(chosen / (chosen - 2))
    chances = torch.special.ndtr(torch.from_numpy(student_law(chosen).scores(drawn.numpy())))
    return _scenarios(sums, chances, {"copula": "t", "degrees": chosen})


def _scenarios(sums: Tensor, chances: Tensor, details: dict[str, object]) -> Scenarios:
    """Turn chances, shape (assets, scenarios), into returns by the window's quantiles."""
    ordered, count = sums.sort(dim=-1).values, sums.shape[-1]
    place = (chances * count - 0.5).clamp_(0.0, count - 1.0)
    low = place.to(torch.int64).clamp_(max=max(count - 2, 0))
    left = ordered.gather(1, low)
    drawn = torch.lerp(left, ordered.gather(1, (low + 1).clamp_(max=count - 1)), place - low)
    return empirical(drawn, torch.ones_like(sums[:, 0]), details, drawn=True)


def copula_log_likelihood(scores: Tensor, correlation: Tensor, degrees: float) -> float:
    """Log-likelihood of a t copula, a mean over periods.

    Parameters
    ----------
    scores : Tensor
        Quantiles of Student's law with those degrees at the observations' ranks, shape (assets, periods).
    correlation : Tensor
        Positive definite, shape (assets, assets).
    degrees : float
        Degrees of freedom.
    """
    assets = len(scores)
    root = torch.linalg.cholesky(correlation)
    distance = torch.linalg.solve_triangular(root, scores, upper=False).square().sum(dim=0)
    constant = math.lgamma((degrees + assets) / 2) + (assets - 1) * math.lgamma(degrees / 2)
    constant -= assets * math.lgamma((degrees + 1) / 2) + float(root.diagonal().log().sum())
    joint = (degrees + assets) / 2 * torch.log1p(distance / degrees)
    margins = (degrees + 1) / 2 * torch.log1p(scores.square() / degrees).sum(dim=0)
    return constant + float((margins - joint).mean())


def _copula_degrees(sums: Tensor, correlation: Tensor) -> float:
    """Choose the degrees by maximum likelihood at a given correlation; assets that never move have no say."""
    moving = (sums != sums[:, :1]).any(dim=-1)
    kept, correlation = sums[moving], correlation[moving][:, moving]
    if len(kept) < 2:
        return DEGREES_GRID[-1]  # one margin has no copula: any will do
    best, chosen = -math.inf, DEGREES_GRID[0]
    place = ranks(kept)
    for degrees in DEGREES_GRID:
        likelihood = copula_log_likelihood(_student_scores(place, degrees), correlation, degrees)
        if likelihood < best:
            break  # it has one peak
        best, chosen = likelihood, degrees
    return chosen


def _normal_scores(place: Tensor) -> Tensor:
    """Normal scores of ranks (van der Waerden's), rank i of n standing at i / (n + 1)."""
    return torch.special.ndtri(place / (place.shape[-1] + 1))


def _student_scores(place: Tensor, degrees: float) -> Tensor:
    """Student's quantiles at ranks, halves of which may come: looked up among those of all."""
    return _student_quantiles(place.shape[-1], degrees)[(2 * place - 2).to(torch.int64)]


@lru_cache(maxsize=32)
def _student_quantiles(count: int, degrees: float) -> Tensor:
    half_ranks = torch.arange(2, 2 * count + 1, dtype=torch.float64) / 2
    law = student_law(degrees)
    return law.innovations(torch.special.ndtri(half_ranks / (count + 1)), torch.from_numpy(law.quantiles))
