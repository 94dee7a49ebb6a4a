"""What risk would be after a trade: the scenarios of the VaR kept on the host, asked without a device."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from nautilus_metal.engine import ComputeEngine, shared_engine, threads_for
from nautilus_metal.errors import InputError
from nautilus_metal.kernels.tail import tail_weights
from nautilus_metal.risk.assess import checked_levels, checked_window, is_linear
from nautilus_metal.risk.book import Array, Book, Index, Position
from nautilus_metal.risk.checks import above, finite
from nautilus_metal.risk.crossing import crossing
from nautilus_metal.risk.limits import MEASURES
from nautilus_metal.risk.models import build, check_options, model_named
from nautilus_metal.risk.option_task import OptionTask
from nautilus_metal.risk.request import Request
from nautilus_metal.risk.volatility_law import ByUnderlying, VolatilityLaw
from nautilus_metal.risk.what_if_table import Table, option_table, plain_table

ByMeasure = Mapping[str, Mapping[float, float]]
_FEW = 12  # rows that are added one by one: more are cheaper as one product
_GRID = 16  # parts of an order that are looked at where the book breaks a limit without it


@dataclass(frozen=True, eq=False)
class WhatIf:
    """Scenario losses of a book, and what one more of each instrument makes in each scenario; any thread may ask.

    Attributes
    ----------
    base_currency : str
        Of every amount.
    levels : tuple of float
        Confidence levels.
    quantities : mapping of str to float
        By instrument, what the book holds; 0 for a candidate.
    prices : mapping of str to float
        By instrument, the price that the table counts from; options, whose P&L is not in proportion to theirs, are
        left out.
    rows : mapping of str to int
        By instrument, the row of `table`.
    units : ndarray
        Base currency for each unit of `table` and one of the instrument, shape (rows,).
    table : ndarray
        Relative P&L, shape (rows, scenarios).
    losses : ndarray
        Of the book as it is, shape (scenarios,), a loss is positive.
    weights : ndarray
        That make figures of the largest losses, see `nautilus_metal.kernels.tail.TailWeights`.
    """

    base_currency: str
    levels: tuple[float, ...]
    quantities: Mapping[str, float]
    prices: Mapping[str, float]
    rows: Mapping[str, int]
    units: Array
    table: Table
    losses: Array
    weights: Array = field(repr=False)

    def covers(self, instrument: str) -> bool:
        """Whether there are scenarios of an instrument."""
        return instrument in self.rows

    def figures(self, changes: Mapping[str, float]) -> dict[str, dict[float, float]]:
        """Value at risk and expected shortfall of the book after a change of its quantities.

        They are those that `nautilus_metal.risk.assess` gives for a book of the same instruments with these
        quantities, to rounding.

        Parameters
        ----------
        changes : mapping of str to float
            By instrument: signed change of the quantity.

        Returns
        -------
        dict
            ``{"var": {0.99: ...}, "es": {0.99: ...}}``.

        Raises
        ------
        InputError
            If an instrument has no scenarios here, or a change is not finite.
        """
        found = self._tail(self._losses(changes)).tolist()
        cut = len(self.levels)
        return {
            "var": dict(zip(self.levels, found[:cut], strict=True)),
            "es": dict(zip(self.levels, found[cut:], strict=True)),
        }

    def changed(self, changes: Mapping[str, float]) -> "WhatIf":
        """Return the same of the book after changes, for several questions that have them in common."""
        quantities = {name: quantity + changes.get(name, 0.0) for name, quantity in self.quantities.items()}
        return replace(self, quantities=quantities, losses=self._losses(changes))

    def largest(self, instrument: str, quantity: float, limits: ByMeasure) -> float:
        r"""Find the largest part of an order after which every limit holds.

        Expected shortfall is convex in the quantity (Rockafellar and Uryasev 2002), so that what it allows is one
        stretch, whose end is found from inside. Value at risk need not be: where the book keeps its limits without
        the order, the search starts at nothing and ends at a quantity where a limit is met, beyond which others may
        be allowed again. Where it breaks one without the order, 15 parts are looked at, the largest first, and a
        stretch between two of them is missed. In every case the limits hold at what is returned.

        Parameters
        ----------
        instrument : str
            Its name.
        quantity : float
            Signed.
        limits : mapping
            By measure ("var", "es"), by level.

        Returns
        -------
        float
            Of the sign of `quantity`, not rounded to lots, and a millionth of it or of the limit short of the end.
            Zero where no part keeps the limits.

        References
        ----------
        Rockafellar and Uryasev (2002), "Conditional value-at-risk for general loss distributions", Journal of
        Banking & Finance 26(7).
        """
        quantity = finite(quantity, "`quantity`")
        bounds = self._bounds(limits)
        step = self._losses({instrument: quantity}) - self.losses

        def excess(part: float) -> float:
            """How far the worst figure is over its limit, relative to it."""
            return float((self._tail(self.losses + part * step) / bounds).max()) - 1.0

        top = excess(1.0)
        if top <= 0:
            return quantity
        low, high = (0.0, excess(0.0)), (1.0, top)
        if low[1] > 0:
            below = ((k / _GRID, excess(k / _GRID)) for k in range(_GRID - 1, 0, -1))
            for point in below:
                if point[1] <= 0:
                    low = point
                    break
                high = point
            else:
                return 0.0
        return quantity * crossing(excess, low, high)

    def _bounds(self, limits: ByMeasure) -> Array:
        """Limits in the order of `_tail`, infinite where there is none."""
        known = [(measure, level) for measure in MEASURES for level in self.levels]
        asked = {(measure, level): limit for measure, row in limits.items() for level, limit in row.items()}
        for (measure, level), limit in asked.items():
            if (measure, level) not in known:
                raise InputError(f"`limits` must be on var or es at {self.levels}, was on {measure} at {level}")
            above(limit, 0.0, f"the limit on {measure} at {level}")
        return np.array([asked.get(key, math.inf) for key in known])

    def _losses(self, changes: Mapping[str, float]) -> Array:
        amounts = {}
        for instrument, change in changes.items():
            row = self.rows.get(instrument)
            if row is None:
                raise InputError(f"`changes` must be of instruments with scenarios, was of {instrument}")
            amounts[row] = finite(change, f"the change of {instrument}") * self.units[row]
        if len(amounts) > _FEW:
            every = np.zeros(len(self.table))
            every[list(amounts)] = list(amounts.values())
            # not @: BLAS would wake its threads for this, and wait for them on a busy machine
            losses: Array = self.losses - np.einsum("i,ij->j", every, self.table)
            return losses
        losses = self.losses.copy()
        for row, amount in amounts.items():
            losses -= amount * self.table[row].astype(np.float64)
        return losses

    def _tail(self, losses: Array) -> Array:
        """VaR, then ES, by level."""
        size = len(self.weights)
        if len(losses) > size:
            losses = np.partition(losses, len(losses) - size)[-size:]
        figures: Array = np.sort(losses)[::-1] @ self.weights
        cut = len(self.levels)
        np.maximum(figures[cut:], figures[:cut], out=figures[cut:])
        return figures


def what_if(
    book: Book,
    returns: ArrayLike,
    model: str = "normal",
    levels: Sequence[float] = (0.95, 0.99),
    horizon: int = 1,
    scenarios: int = 10_000,
    seed: int = 0,
    engine: ComputeEngine | None = None,
    *,
    sampler: str = "sobol",
    revaluation: str | None = None,
    candidates: Sequence[Position] = (),
    periods_per_year: float = 252.0,
    vol_of_vol: ByUnderlying = None,
    spot_vol_correlation: ByUnderlying = None,
    volatility_returns: Mapping[str, ArrayLike] | None = None,
    **model_options: Any,
) -> WhatIf:
    """Evaluate the scenarios of a book once, so that changes of its quantities can be asked for in no time.

    Parameters
    ----------
    book : Book
        The positions.
    returns : array_like or data frame
        As in `assess`; its columns are those of ``Book([*book.positions, *candidates]).instruments``.
    candidates : sequence of Position
        What is not held and may be asked for; their quantities count as 0. The model is fitted to their histories
        with those of the book, by which the figures of a model that estimates something over all instruments at once
        ("student_t" its degrees, "ledoit_wolf" its shrinkage) differ a little from those without them.
    model, levels, horizon, scenarios, seed, engine, sampler, revaluation, periods_per_year, vol_of_vol
        As in `assess`, like the rest.

    Returns
    -------
    WhatIf
        On the host. A change of an instrument that several positions have is one of the first of them.

    Raises
    ------
    InputError
        As `assess`.

    Examples
    --------
    >>> history = np.random.default_rng(0).normal(scale=0.01, size=(500, 2))
    >>> book = Book.linear(quantities=[100, -50], prices=[10.0, 20.0], instruments=["A", "B"])
    >>> asked = what_if(book, history, levels=(0.99,), engine=ComputeEngine("cpu"))
    >>> bool(asked.figures({"A": 50})["var"][0.99] > asked.figures({})["var"][0.99])
    True
    """
    row = model_named(model)
    check_options(model, model_options)
    request = Request(horizon, scenarios, seed, sampler)
    confidence = checked_levels(levels)
    law = VolatilityLaw(vol_of_vol, spot_vol_correlation, volatility_returns)
    years = horizon / above(periods_per_year, 0.0, "`periods_per_year`")
    engine = engine or shared_engine()
    unheld = [replace(position, quantity=0.0) for position in candidates]
    whole = Book([*book.positions, *unheld], book.base_currency, book.xrates)
    linear = is_linear(whole, row.linear, revaluation)
    if not whole.positions:
        return _nothing(whole, confidence)
    window = checked_window(whole, returns, horizon)
    options = len(whole.option_index)
    with threads_for((len(window) + options) * max(window.shape[1], scenarios)):
        fitted = build(model, window, request, model_options)
        if options:
            one_each = Book([replace(p, quantity=1.0) for p in whole.positions], whole.base_currency, whole.xrates)
            task = OptionTask(one_each, fitted, request, confidence, law, window, years)
            return _with_options(whole, task, engine)
        table = plain_table(fitted, request, linear, engine)
    return _described(whole, confidence, table, _unit_values(whole), whole.instrument_index)


def _nothing(whole: Book, levels: tuple[float, ...]) -> WhatIf:
    """A book without positions cannot lose: one scenario, of no loss."""
    table, weights = np.zeros((0, 1)), np.ones((1, 2 * len(levels)))
    return WhatIf(whole.base_currency, levels, {}, {}, {}, np.zeros(0), table, np.zeros(1), weights)


def _described(whole: Book, levels: tuple[float, ...], table: Table, units: Array, places: Index) -> WhatIf:
    """`units` and `places`, the row in `table`, are by position."""
    positions = whole.positions
    quantities = dict.fromkeys((p.instrument for p in positions), 0.0)
    first: dict[str, int] = {}
    for i, position in enumerate(positions):
        quantities[position.instrument] += position.quantity
        first.setdefault(position.instrument, i)
    amounts = np.array([p.quantity for p in positions]) * units
    held = np.bincount(places, amounts, minlength=len(table))
    chosen = list(first.values())
    if not np.isfinite(table).all():
        raise InputError("`returns` lead to price changes beyond the range of numbers: are they log returns?")
    return WhatIf(
        base_currency=whole.base_currency,
        levels=levels,
        quantities=quantities,
        prices={name: positions[i].price for name, i in first.items() if positions[i].option is None},
        rows={name: row for row, name in enumerate(first)},
        units=units[chosen],
        table=table[places[chosen]],
        losses=-(held @ table.astype(np.float64, copy=False)),
        weights=tail_weights(table.shape[1], levels).figures.numpy(),
    )


def _unit_values(book: Book) -> Array:
    """Value of one of each position in the base currency, shape (positions,)."""
    xrates = {**book.xrates, book.base_currency: 1.0}
    return np.array([p.price * p.multiplier * xrates[p.currency] for p in book.positions], dtype=np.float64)


def _with_options(whole: Book, task: OptionTask, engine: ComputeEngine) -> WhatIf:
    """`task` is of a book of one of each."""
    index, assets = whole.option_index, len(task.scenarios.shift)
    units, places = _unit_values(whole), whole.instrument_index.copy()
    units[index], places[index] = task.notionals, assets + np.arange(len(index))
    return _described(whole, task.levels, option_table(task, engine), units, places)
