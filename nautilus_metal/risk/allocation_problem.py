"""Allocation problems as they are asked, checked and with their moments worked out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from nautilus_metal.errors import InputError
from nautilus_metal.risk.allocation_terms import Constraints, PerAsset, Terms, per_asset, terms_of
from nautilus_metal.risk.book import Array
from nautilus_metal.risk.checks import above, finite

OBJECTIVES = ("minimum_variance", "mean_variance", "maximum_sharpe", "risk_parity", "minimum_cvar", "hrp")
SOLVERS = {
    "minimum_variance": ("auto", "interior_point", "admm"),
    "mean_variance": ("auto", "interior_point", "admm"),
    "minimum_cvar": ("auto", "interior_point", "proximal_newton"),
}
_UNCOSTED = ("risk_parity", "hrp")
_DEFAULT = Constraints()


@dataclass(frozen=True, eq=False)
class Case:
    """One of many problems.

    Parameters
    ----------
    constraints : Constraints
        What the portfolio may be.
    risk_aversion : float, default 1.0
        Gamma.
    probability : array_like, shape (scenarios,), optional
        Weight of each scenario, not negative; scaled to a sum of one. Even where not given.
    seed : int, optional
        Of the draw that made `probability`.
    """

    constraints: Constraints = _DEFAULT
    risk_aversion: float = 1.0
    probability: ArrayLike | None = None
    seed: int | None = None


@dataclass(frozen=True, eq=False)
class Problem:
    """What `optimise_many` was asked: B cases of N assets in S scenarios, read and checked."""

    objective: str
    assets: tuple[str, ...]
    returns: Array
    cases: tuple[Case, ...]
    terms: tuple[Terms, ...]
    probability: Array | None
    covariance: Tensor
    expected: Tensor
    shares: Tensor
    level: float
    risk_free_rate: float
    solver: str
    tolerance: float

    def part(self, first: int, last: int) -> "Problem":
        """Return some of the cases."""
        weights = None if self.probability is None else self.probability[first:last]
        return replace(
            self,
            cases=self.cases[first:last],
            terms=self.terms[first:last],
            probability=weights,
            covariance=self.covariance[first:last],
            expected=self.expected[first:last],
        )


def read(
    returns: ArrayLike,
    objective: str,
    cases: Sequence[Case],
    assets: Sequence[str] | None,
    covariance: ArrayLike | None,
    expected_returns: PerAsset | None,
    level: float,
    risk_free_rate: float,
    risk_shares: Mapping[str, float] | Sequence[float] | None,
    solver: str,
    tolerance: float,
) -> Problem:
    """Read and check what `optimise_many` is asked; parameters and errors as there."""
    if objective not in OBJECTIVES:
        raise InputError(f"`objective` must be one of {', '.join(OBJECTIVES)}, was {objective!r}")
    solvers = SOLVERS.get(objective, ("auto",))
    if solver not in solvers:
        raise InputError(f"`solver` must be one of {', '.join(solvers)} for {objective}, was {solver!r}")
    if not cases:
        raise InputError("`cases` must hold at least one problem, was empty")
    above(tolerance, 0.0, "`tolerance`")
    sample = _sample(returns)
    names = _names(assets, sample.shape[1])
    probability = _probability(cases, len(sample))
    mean, scatter = _moments(sample, cases, probability, expected_returns, covariance, names)
    read_terms: dict[tuple[int, int], Terms] = {}
    terms = []
    for i, case in enumerate(cases):
        if objective != "minimum_cvar" or case.risk_aversion != 1.0:
            above(case.risk_aversion, 0.0, "`risk_aversion`")
        own = mean[i].numpy()
        key = (id(case.constraints), 0 if case.constraints.target_return is None else hash(own.tobytes()))
        if key not in read_terms:
            read_terms[key] = _checked_terms(objective, terms_of(case.constraints, names, own), names)
        terms.append(read_terms[key])
    if objective == "minimum_cvar" and not (0.5 < level < 1 and len(sample) * (1 - level) >= 1 - 1e-9):
        raise InputError(
            f"`level` must lie between 0.5 and 1 with at least one of {len(sample)} scenarios beyond, was {level}"
        )
    shares = np.ones(len(names)) if risk_shares is None else per_asset(risk_shares, names, "risk_shares", 0.0)
    if shares.min() <= 0:
        raise InputError(f"`risk_shares` must be above 0, that of {names[int(shares.argmin())]} was {shares.min():g}")
    return Problem(
        objective, names, sample, tuple(cases), tuple(terms), probability, scatter, mean,
        torch.from_numpy(shares / shares.sum()), level, finite(risk_free_rate, "`risk_free_rate`"), solver, tolerance,
    )  # fmt: skip


def _sample(returns: ArrayLike) -> Array:
    sample: Array = np.asarray(returns)
    if sample.dtype.kind not in "iuf" or sample.ndim != 2 or sample.shape[0] < 2 or sample.shape[1] < 1:
        raise InputError(f"`returns` must be numbers of shape (scenarios of 2 or more, assets), was {sample.shape}")
    if sample.dtype != np.float32:
        sample = sample.astype(np.float64, copy=False)
    if not np.isfinite(sample.sum()) or not all(np.isfinite(part).all() for part in np.array_split(sample, 64)):
        column = next(i for i in range(sample.shape[1]) if not np.isfinite(sample[:, i]).all())
        raise InputError(f"`returns` must be finite, those of asset number {column} were not")
    return sample


def _names(assets: Sequence[str] | None, count: int) -> tuple[str, ...]:
    names = tuple(str(i) for i in range(count)) if assets is None else tuple(assets)
    if len(names) != count or len(set(names)) != count:
        raise InputError(f"`assets` must be {count} different names, one for each column, was {names}")
    return names


def _probability(cases: Sequence[Case], count: int) -> Array | None:
    if all(case.probability is None for case in cases):
        return None
    rows = np.empty((len(cases), count))
    for row, case in zip(rows, cases, strict=True):
        given = np.full(count, 1.0) if case.probability is None else np.asarray(case.probability, dtype=np.float64)
        if given.shape != (count,) or not np.isfinite(given).all() or given.min() < 0 or (given > 0).sum() < 2:
            raise InputError(
                f"`probability` must be {count} numbers of at least 0, two of them above, had shape {given.shape}"
            )
        row[:] = given / given.sum()
    return rows


def _checked_terms(objective: str, terms: Terms, names: Sequence[str]) -> Terms:
    if objective in _UNCOSTED and terms.trades:
        raise InputError(f"`constraints` of {objective} must have no turnover and no costs, had them")
    if objective in _UNCOSTED and (terms.lower.min() < 0 or terms.budget <= 0):
        raise InputError(f"`constraints` of {objective} must be long only with a budget above 0, were not")
    if objective == "risk_parity" and terms.upper.min() <= 0:
        name = names[int(terms.upper.argmin())]
        raise InputError(f"`upper` must be above 0 for risk_parity, that of {name} was not")
    if objective == "hrp" and len(terms.most):
        raise InputError(f"`constraints` of hrp must be bounds and a budget alone, had {terms.names[0]}")
    return terms


def _moments(
    sample: Array,
    cases: Sequence[Case],
    probability: Array | None,
    expected: PerAsset | None,
    covariance: ArrayLike | None,
    names: Sequence[str],
) -> tuple[Tensor, Tensor]:
    """Mean and unbiased covariance of each case, shapes (B, N) and (B, N, N)."""
    size = len(names)
    if expected is not None:
        mean = torch.from_numpy(per_asset(expected, names, "expected_returns", 0.0)).expand(len(cases), size)
    if covariance is not None:
        scatter = torch.from_numpy(_checked_covariance(covariance, size)).expand(len(cases), size, size)
    if expected is None or covariance is None:
        weights = np.full((1, len(sample)), 1 / len(sample)) if probability is None else probability
        means, scatters = _weighted_moments(sample, weights, covariance is None)
        if expected is None:
            mean = torch.from_numpy(means).expand(len(cases), size)
        if covariance is None:
            scatter = torch.from_numpy(scatters).expand(len(cases), size, size)
    return mean, scatter


def _weighted_moments(sample: Array, weights: Array, both: bool) -> tuple[Array, Array]:
    size = sample.shape[1]
    means = np.empty((len(weights), size))
    scatters = np.empty((len(weights) if both else 0, size, size))
    for i, weight in enumerate(weights):
        inside = np.flatnonzero(weight)
        total, second = np.zeros(size), np.zeros((size, size))
        for part in np.array_split(inside, max(1, len(inside) * size // 2**23)):
            rows = sample[part].astype(np.float64, copy=False) if len(inside) < len(sample) else (
                sample[part[0] : part[-1] + 1].astype(np.float64, copy=False)
            )  # fmt: skip
            total += weight[part] @ rows
            scaled = rows * np.sqrt(weight[part])[:, None]
            second += scaled.T @ scaled  # numpy does half of a product that it sees to be symmetric
        means[i] = total
        if both:  # about frequencies: as with that many equal observations
            scatters[i] = (second - np.outer(total, total)) / (1 - 1 / len(inside))
    return means, scatters


def _checked_covariance(given: ArrayLike, size: int) -> Array:
    matrix = np.array(given, dtype=np.float64)
    if matrix.shape != (size, size) or not np.isfinite(matrix).all() or not np.allclose(matrix, matrix.T, rtol=1e-8):
        raise InputError(f"`covariance` must be a symmetric, finite matrix of {size} x {size}, was {matrix.shape}")
    least, most = np.linalg.eigvalsh(matrix)[[0, -1]]
    if least < -1e-8 * max(most, 1e-300):
        raise InputError(f"`covariance` must be positive semi-definite, its least eigenvalue was {least:g}")
    return matrix
