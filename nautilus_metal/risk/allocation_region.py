"""The feasible sets of many allocation problems as programmes, and what conflicts where one is empty."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from nautilus_metal.errors import InputError
from nautilus_metal.kernels.portfolio import Programme
from nautilus_metal.kernels.portfolio_interior import interior_point
from nautilus_metal.risk.allocation_terms import Terms
from nautilus_metal.risk.book import Array

_EMPTY = 1e-7  # a set whose constraints miss each other by more is empty
_NAMED = 6  # assets to name in an error


def region(terms: Sequence[Terms]) -> Programme:
    """Make programmes without objective of constraints.

    Where trading matters in any problem, every one has as many variables more: what is traded of each asset at least.

    Parameters
    ----------
    terms : sequence of Terms
        For the same assets; those with fewer rows get empty ones.
    """
    trades = any(one.trades for one in terms)
    count = max(len(one.most) for one in terms)
    assets = len(terms[0].lower)
    size = 2 * assets if trades else assets
    blocks = [_rows(one, count, trades) for one in terms]
    lower, upper = (np.zeros((len(terms), size)) for _ in range(2))
    for i, one in enumerate(terms):
        lower[i, :assets], upper[i, :assets] = one.lower, one.upper
        if trades:  # any trade that the bounds allow, and a little room where they allow none
            reach = np.maximum(np.abs(one.upper - one.previous), np.abs(one.lower - one.previous))
            upper[i, assets:] = reach + 1e-3
    equal = np.zeros((len(terms), 1, size))
    equal[:, 0, :assets] = 1.0
    arrays = (
        np.zeros((len(terms), size, size)),
        np.zeros((len(terms), size)),
        lower,
        upper,
        equal,
        np.array([[one.budget] for one in terms]),
        np.stack([rows for rows, _ in blocks]),
        np.stack([most for _, most in blocks]),
    )
    return Programme(*map(torch.from_numpy, arrays))


def _rows(terms: Terms, count: int, trades: bool) -> tuple[Array, Array]:
    assets = len(terms.lower)
    size = 2 * assets if trades else assets
    rows, most = np.zeros((count, size)), np.ones(count)
    rows[: len(terms.most), :assets], most[: len(terms.most)] = terms.rows, terms.most
    if not trades:
        return rows, most
    eye = np.eye(assets)
    bought, sold = np.hstack([eye, -eye]), np.hstack([-eye, -eye])
    total = np.concatenate([np.zeros(assets), np.ones(assets)])[None]
    allowed = [1.0] if terms.turnover is None else [terms.turnover]
    total = total if terms.turnover is not None else 0 * total
    return (
        np.vstack([rows, total, bought, sold]),
        np.concatenate([most, allowed, terms.previous, -terms.previous]),
    )


def check_feasible(terms: Terms, assets: Sequence[str]) -> None:
    """Refuse constraints that no portfolio keeps, naming those that conflict.

    The least common relaxation of all but the bounds is a linear programme; its multipliers are a proof of conflict
    (Farkas 1902), and the constraints with a multiplier are those that the proof needs.

    Raises
    ------
    InputError
        Names bounds, budget, groups, turnover or target return that conflict.
    """
    if terms.violation(_between_bounds(terms)) <= _EMPTY:
        return
    made = region([terms])
    size = made.linear.shape[1]
    one = made.linear.new_ones
    rows = torch.cat([made.equal, -made.equal, made.rows], dim=1)
    most = torch.cat([made.level, -made.level, made.most], dim=1)
    rows = torch.cat([rows, -one(1, rows.shape[1], 1)], dim=2)
    reach = float(1 + rows[0, :, :size].abs().sum(-1).max() * torch.maximum(made.upper, -made.lower).abs().max())
    bounds = [torch.cat([given, end * one(1, 1)], dim=1) for given, end in
              ((made.lower, 0.0), (made.upper, 2 * reach + float(most.abs().max())))]  # fmt: skip
    linear = torch.cat([made.linear, one(1, 1)], dim=1)
    none = one(1, 0, size + 1)
    flat = linear.new_zeros(1, size + 1, size + 1)
    wide = Programme(flat, linear, bounds[0], bounds[1], none, none[..., 0], rows, most)
    found = interior_point(wide)
    if float(found.x[0, -1]) > _EMPTY:
        conflict = _conflict(terms, assets, rows[0], found.row_dual[0])
        raise InputError(f"`constraints` must leave a portfolio: {conflict}")


def _between_bounds(terms: Terms) -> Array:
    """The weights as far from each asset's lower bound to its upper one as the budget asks for."""
    reach = float((terms.upper - terms.lower).sum())
    share = (terms.budget - float(terms.lower.sum())) / reach if reach > 0 else 0.0
    return terms.lower + min(max(share, 0.0), 1.0) * (terms.upper - terms.lower)


def _conflict(terms: Terms, assets: Sequence[str], rows: Tensor, dual: Tensor) -> str:
    count, dual = len(terms.lower), torch.where(dual > 1e-4 * dual.max(), dual, 0.0)
    named = [f"the budget ({terms.budget:g})"] if float(dual[:2].max()) > 0 else []
    named += [name for name, weight in zip(terms.names, dual[2:].tolist(), strict=False) if weight > 0]
    if terms.trades and float(dual[2 + len(terms.names)]) > 0 and terms.turnover is not None:
        named.append(f"the turnover ({terms.turnover:g})")
    pull = (rows[:, :count].T @ dual).numpy()
    used = np.abs(pull) > 1e-4 * max(float(np.abs(pull).max()), 1e-300)
    for side, bounds, taken in (("lower", terms.lower, used & (pull > 0)), ("upper", terms.upper, used & (pull < 0))):
        if taken.any() and float(np.abs(pull).max()) > 1e-6:
            chosen = [assets[i] for i in np.flatnonzero(taken).tolist()]
            text = ", ".join(chosen[:_NAMED]) + (f" and {len(chosen) - _NAMED} more" if len(chosen) > _NAMED else "")
            named.append(f"the {side} bounds of {text} (together {float(bounds[taken].sum()):g})")
    return f"{named[0]} conflicts with {' and '.join(named[1:])}" if len(named) > 1 else "; ".join(named)
