"""P&L of each position in each scenario of the VaR: what hedges are fitted on."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from nautilus_metal.errors import InputError
from nautilus_metal.kernels import black_scholes
from nautilus_metal.kernels.option_scenarios import JointScenarios, Moves, moves
from nautilus_metal.kernels.scenarios import relative_changes
from nautilus_metal.risk.book import Array, Book
from nautilus_metal.risk.draws import sample_normals, sample_scenarios
from nautilus_metal.risk.models import build, check_options, model_named
from nautilus_metal.risk.option_task import OptionTask
from nautilus_metal.risk.request import Request
from nautilus_metal.risk.volatility_law import ByUnderlying, VolatilityLaw


def scenario_pnl(
    book: Book,
    returns: ArrayLike,
    model: str = "filtered_historical",
    horizon: int = 1,
    scenarios: int = 10_000,
    seed: int = 0,
    *,
    sampler: str = "sobol",
    periods_per_year: float = 252.0,
    vol_of_vol: ByUnderlying = None,
    spot_vol_correlation: ByUnderlying = None,
    volatility_returns: Mapping[str, ArrayLike] | None = None,
    **model_options: Any,
) -> Array:
    """Value every position in every scenario, in float64 on the host.

    The scenarios are those of `nautilus_metal.risk.assess` with the same arguments for any book on the same
    instruments in the same order: add candidates for a hedge to a book, each as one unit, and their rows are what
    `minimum_variance_hedge` and `minimum_es_hedge` take.

    Parameters
    ----------
    book : Book
        The positions.
    returns : array_like
        Log returns, shape (periods, instruments), oldest first, columns in the order of `book.instruments`.
    model, horizon, scenarios, seed, sampler, periods_per_year, **model_options
        As in `assess`.
    vol_of_vol, spot_vol_correlation, volatility_returns
        As in `assess`.

    Returns
    -------
    ndarray, shape (positions, scenarios)
        P&L in the book's base currency; a loss is negative.

    Raises
    ------
    InputError
        If the history does not fit the book, or an argument is outside its range.

    Examples
    --------
    >>> history = np.random.default_rng(0).normal(scale=0.01, size=(300, 1))
    >>> book = Book.linear(quantities=[10], prices=[100.0])
    >>> scenario_pnl(book, history, "historical").shape
    (1, 300)
    """
    history = np.asarray(returns, dtype=np.float64)
    if history.ndim != 2 or history.shape[1] != len(book.instruments) or not np.isfinite(history).all():
        shape = f"(periods, {len(book.instruments)})"
        raise InputError(f"`returns` must be finite and of shape {shape}, was of shape {history.shape}")
    row = model_named(model)
    check_options(model, model_options)
    request = Request(horizon, scenarios, seed, sampler)
    window = torch.from_numpy(np.array(history.T, order="C"))
    fitted = build(model, window, request, model_options)
    spots = sample_scenarios(fitted, request, fitted.count)
    if not len(book.option_index):
        changes = relative_changes(spots, row.linear).numpy()
        return book.values[:, None] * changes[book.instrument_index]
    law = VolatilityLaw(vol_of_vol, spot_vol_correlation, volatility_returns)
    task = OptionTask(book, fitted, request, (), law, window, horizon / periods_per_year)
    places, noise = torch.from_numpy(task.volatility_rows[0]), None
    if task.noisy:
        # the rows of normals after those of the returns, as the VaR has them
        skipped = fitted.loading.shape[-1] if fitted.empirical is None else horizon - 1
        drawn = replace(request, scenarios=fitted.count)
        noise = sample_normals(skipped + len(places), fitted.count, drawn)[skipped:]
    slope, centre, spread = torch.from_numpy(task.volatility_factors)
    joint = JointScenarios(spots, places, slope, centre, spread, noise)
    buffer = torch.empty((2 * len(window) + len(places)) * fitted.count, dtype=torch.float64)
    market = moves(joint, buffer)
    pnl = book.values[:, None] * market.changes.numpy()[book.instrument_index]
    pnl[book.option_index] = _option_pnl(task, market).numpy()
    return pnl


def _option_pnl(task: OptionTask, market: Moves) -> Tensor:
    """Value of each option at the horizon less today's, shape (options, scenarios)."""
    terms = {name: column[:, None] for name, column in task.market.items()}
    later = dict(terms)
    later["spot"] = terms["spot"] * (1.0 + market.changes[torch.from_numpy(task.rows)])
    later["expiry"] = task.left[:, None]
    if market.volatility is not None:
        later["volatility"] = terms["volatility"] * market.volatility[torch.from_numpy(task.volatility_rows[1])]
    units = torch.from_numpy(task.book.units[task.book.option_index])[:, None]
    return units * (black_scholes.price(**later) - black_scholes.price(**terms))
