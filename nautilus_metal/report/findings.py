"""Reports made again from the prices of a backtest: why VaR changed most, and what the worst scenarios are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.report.run import date_text
from nautilus_metal.report.series import Array, LongArray, RiskSeries
from nautilus_metal.risk import Book, RiskAssessment, assess
from nautilus_metal.risk.attribution import explain_change
from nautilus_metal.risk.worst import worst_scenarios

_AGREEMENT = 1e-4  # of VaR: a report that is not made again to this is not explained


@dataclass(frozen=True, eq=False)
class Remaker:
    """Makes the assessment behind a report again, from prices that are all there; D days, N instruments.

    Attributes
    ----------
    series : RiskSeries
        The reports, of linear positions.
    ts : ndarray of int64, shape (D,)
        UNIX nanoseconds of the prices.
    instruments : sequence of str
        Names of the columns of `closes`.
    closes : ndarray, shape (D, N)
        Prices, one on every day.
    window : int
        Returns that the risk actor keeps.
    engine : ComputeEngine, optional
        Where to compute.
    """

    series: RiskSeries
    ts: LongArray
    instruments: Sequence[str]
    closes: Array
    window: int
    engine: ComputeEngine | None = None

    def assessment(self, row: int) -> RiskAssessment | None:
        """Return the assessment of a report; None where nothing was held, or it is not what the report states."""
        series = self.series
        held = np.flatnonzero(series.quantity[row])
        day = int(np.searchsorted(self.ts, series.ts[row]))
        if not len(held) or day < 1:
            return None
        names = [series.instruments[i] for i in held]
        quantity, price, value = (table[row, held] for table in (series.quantity, series.price, series.value))
        book = Book.linear(
            quantities=quantity, prices=price, multipliers=value / (quantity * price), instruments=names,
            base_currency=series.base_currency,
        )  # fmt: skip
        columns = [list(self.instruments).index(name) for name in names]
        logs = np.log(self.closes[max(0, day - self.window) : day + 1][:, columns])
        sampler = "sobol" if series.sampler == "empirical" else series.sampler
        risk = assess(
            book, np.diff(logs, axis=0), series.model, series.levels, series.horizon, series.scenarios, series.seed,
            self.engine, sampler=sampler,
        )  # fmt: skip
        stated = series.var[row]
        agrees = np.allclose(list(risk.var.values()), stated, rtol=_AGREEMENT, atol=0.0)
        return risk if agrees else None

    def dates(self, row: int, periods: int) -> list[str]:
        """Return the days that the window of a report ends on."""
        day = int(np.searchsorted(self.ts, self.series.ts[row]))
        return [date_text(ts) for ts in self.ts[day - periods + 1 : day + 1]]


def largest_changes(remaker: Remaker, level: float, count: int = 8) -> list[dict[str, Any]]:
    """Explain the largest changes of VaR from one report to the next.

    Parameters
    ----------
    remaker : Remaker
        Of the reports.
    level : float
        Of the VaR.
    count : int
        Of changes to look at; those whose reports cannot be made again are left out.

    Returns
    -------
    list of dict
        In order of time: `VarChange.to_dict` with `date` and `date_before`.
    """
    series = remaker.series
    var = series.var[:, series.levels.index(level)]
    change = np.where(series.held[1:] & series.held[:-1], np.abs(np.diff(var)), 0.0)
    chosen = np.sort(np.argsort(-change)[:count])
    found = []
    for row in chosen[change[chosen] > 0].tolist():
        before, after = remaker.assessment(row), remaker.assessment(row + 1)
        if before is not None and after is not None:
            entry = explain_change(before, after, engine=remaker.engine)[level].to_dict()
            dates = {"date_before": date_text(series.ts[row]), "date": date_text(series.ts[row + 1])}
            found.append(dates | entry)
    return found


def worst_of(remaker: Remaker, row: int | None = None, count: int = 10) -> dict[str, Any] | None:
    """Name the worst scenarios of a report, by default of the last one on something held.

    Returns
    -------
    dict or None
        `WorstScenarios.to_dict` with the report's `report` date and `model`; None where it cannot be made again.
    """
    held = np.flatnonzero(remaker.series.held)
    if row is None and not len(held):
        return None
    row = int(held[-1]) if row is None else row
    risk = remaker.assessment(row)
    if risk is None:
        return None
    dates = remaker.dates(row, risk.inputs.window.shape[1])
    found = worst_scenarios(risk, count, dates=dates, engine=remaker.engine).to_dict()
    return {"report": date_text(remaker.series.ts[row]), "model": risk.model} | found


def explained(
    series: RiskSeries, ts: ArrayLike, instruments: Sequence[str], closes: ArrayLike, window: int,
    engine: ComputeEngine | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Return the fields `explained` and `worst` of a `RunReport`; parameters as of `Remaker`."""
    remaker = Remaker(series, np.asarray(ts), instruments, np.asarray(closes, dtype=np.float64), window, engine)
    return {"explained": largest_changes(remaker, max(series.levels)), "worst": worst_of(remaker)}
