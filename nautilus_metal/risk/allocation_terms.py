"""What a portfolio may be: bounds, groups, budget, turnover and costs, read and checked by name."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nautilus_metal.errors import InputError
from nautilus_metal.risk.book import Array
from nautilus_metal.risk.checks import at_least, finite

PerAsset = float | Sequence[float] | Array | Mapping[str, float]


@dataclass(frozen=True)
class Group:
    """Limits of what some assets hold together.

    Parameters
    ----------
    assets : mapping of str to float, or sequence of str
        Members by name, with their share in the group where it is not 1.
    lower, upper : float
        Least and most that they hold; without limit where not given.
    """

    assets: Mapping[str, float] | Sequence[str]
    lower: float = -math.inf
    upper: float = math.inf


@dataclass(frozen=True, kw_only=True)
class Constraints:
    """What a portfolio may be; the default is long only, fully invested.

    What is given for each asset is one number for all, a sequence in the order of the assets, or a mapping by name
    (assets not named get the default).

    Parameters
    ----------
    lower, upper : float, sequence or mapping, default 0.0 and 1.0
        Bounds of each weight, finite.
    budget : float, default 1.0
        Sum of all weights.
    groups : mapping of str to Group, optional
        Limits on sums of weights, by a name that errors use.
    previous : float, sequence or mapping, default 0.0
        Weights held now; of what `turnover` and `costs` are counted.
    turnover : float, optional
        The most that may be traded: sum of the absolute changes of weights, bought and sold.
    costs : float, sequence or mapping, default 0.0
        What trading a weight of 1 costs, as a share of the portfolio.
    target_return : float, optional
        The least expected return, per period.
    """

    lower: PerAsset = 0.0
    upper: PerAsset = 1.0
    budget: float = 1.0
    groups: Mapping[str, Group] = field(default_factory=dict)
    previous: PerAsset = 0.0
    turnover: float | None = None
    costs: PerAsset = 0.0
    target_return: float | None = None


@dataclass(frozen=True, eq=False)
class Terms:
    """Constraints as numbers, for N assets.

    Attributes
    ----------
    lower, upper, previous, costs : ndarray, shape (N,)
        As in `Constraints`.
    budget : float
        As in `Constraints`.
    turnover : float or None
        As in `Constraints`.
    rows : ndarray, shape (K, N)
        Each row times the weights is at most its entry of `most`.
    most : ndarray, shape (K,)
        See there.
    names : tuple of str
        What each row says, for errors.
    """

    lower: Array
    upper: Array
    previous: Array
    costs: Array
    budget: float
    turnover: float | None
    rows: Array
    most: Array
    names: tuple[str, ...]

    @property
    def trades(self) -> bool:
        """Whether what is traded matters."""
        return self.turnover is not None or bool(self.costs.any())

    def violation(self, weights: Array) -> float:
        """By how much weights break the constraints at most; 0 where they keep them."""
        off = [abs(float(weights.sum()) - self.budget)]
        if self.turnover is not None:
            off.append(float(np.abs(weights - self.previous).sum()) - self.turnover)
        parts = (self.lower - weights, weights - self.upper, self.rows @ weights - self.most)
        return max(0.0, *off, *(float(part.max(initial=0.0)) for part in parts))


def terms_of(constraints: Constraints, assets: Sequence[str], expected: Array) -> Terms:
    """Read constraints for given assets.

    Raises
    ------
    InputError
        If a number is not finite, an asset is not known, or a bound lies above its counterpart.
    """
    lower = per_asset(constraints.lower, assets, "lower", 0.0)
    upper = per_asset(constraints.upper, assets, "upper", 1.0)
    for name, low, high in zip(assets, lower, upper, strict=True):
        if low > high:
            raise InputError(f"`lower` must not be above `upper`, that of {name} was {low:g} against {high:g}")
    costs = per_asset(constraints.costs, assets, "costs", 0.0)
    if costs.min() < 0:
        raise InputError(f"`costs` must be at least 0, that of {assets[int(costs.argmin())]} was {costs.min():g}")
    turnover = constraints.turnover
    if turnover is not None:
        at_least(turnover, 0.0, "`turnover`")
    rows, most, names = _rows(constraints, assets, expected)
    return Terms(
        lower,
        upper,
        per_asset(constraints.previous, assets, "previous", 0.0),
        costs,
        finite(constraints.budget, "`budget`"),
        turnover,
        rows,
        most,
        names,
    )


def per_asset(given: PerAsset, assets: Sequence[str], name: str, default: float) -> Array:
    """Read a number for each asset: one for all, in order, or by name."""
    if isinstance(given, Mapping):
        _known(given, assets, f"`{name}`")
        values = [finite(given.get(asset, default), f"`{name}` of {asset}") for asset in assets]
        return np.array(values, dtype=np.float64)
    array = np.asarray(given, dtype=np.float64)
    if array.ndim == 0:
        return np.full(len(assets), finite(given, f"`{name}`"))
    if array.shape != (len(assets),):
        count = len(assets)
        raise InputError(f"`{name}` must have one number for each of the {count} assets, had shape {array.shape}")
    if not np.isfinite(array).all():
        raise InputError(f"`{name}` must be finite, that of {assets[int(np.argmin(np.isfinite(array)))]} was not")
    return array.copy()


def _known(names: Mapping[str, Any] | Sequence[str], assets: Sequence[str], what: str) -> None:
    known = set(assets)
    for name in names:
        if name not in known:
            raise InputError(f"{what} must name assets of the returns, was for {name!r}")


def _rows(constraints: Constraints, assets: Sequence[str], expected: Array) -> tuple[Array, Array, tuple[str, ...]]:
    rows: list[Array] = []
    most: list[float] = []
    names: list[str] = []
    for name, group in constraints.groups.items():
        if isinstance(group.assets, str) or not len(group.assets):
            raise InputError(f"`groups`: {name} must name assets, was {group.assets!r}")
        _known(group.assets, assets, f"`groups`: {name}")
        if math.isnan(group.lower) or math.isnan(group.upper) or group.lower > group.upper:
            raise InputError(f"`groups`: {name} must have `lower` up to `upper`, was {group.lower} to {group.upper}")
        share = group.assets if isinstance(group.assets, Mapping) else dict.fromkeys(group.assets, 1.0)
        row = np.array([share.get(asset, 0.0) for asset in assets])
        for sign, limit, side in ((1.0, group.upper, "upper"), (-1.0, group.lower, "lower")):
            if math.isfinite(limit):
                rows.append(sign * row)
                most.append(sign * limit)
                names.append(f"the {side} limit of group {name} ({limit:g})")
    if constraints.target_return is not None:
        target = finite(constraints.target_return, "`target_return`")
        rows.append(-expected)
        most.append(-target)
        names.append(f"the target return ({target:g})")
    shape = (len(rows), len(assets))
    return np.array(rows, dtype=np.float64).reshape(shape), np.array(most, dtype=np.float64), tuple(names)
