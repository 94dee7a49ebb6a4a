"""Risk reports as arrays, and the profit or loss that came after each of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nautilus_metal.errors import InputError
from nautilus_metal.risk.validation import clean_contributions

Array = NDArray[np.float64]
LongArray = NDArray[np.int64]
GREEKS = ("cash delta", "cash gamma for 1%", "vega for one point of volatility", "theta for one day")

HEAD_OF_SERIES = ("source", "model", "sampler", "device", "base_currency", "seed", "scenarios", "horizon")


@dataclass(frozen=True, eq=False)
class RiskSeries:
    """Every report of one risk actor; T reports, N instruments, L levels.

    Attributes
    ----------
    source, model, sampler, device, base_currency : str
        As in the reports.
    seed, scenarios, horizon : int
        As in the reports.
    levels : tuple of float
        Confidence levels, ascending.
    instruments : tuple of str
        Everything that was held in any report.
    ts : ndarray of int64, shape (T,)
        UNIX nanoseconds of the prices, ascending.
    var, es : ndarray, shape (T, L)
        Value at risk and expected shortfall, positive losses.
    quantity, price, value : ndarray, shape (T, N)
        What was held: 0, NaN and 0 where nothing was.
    component_var : ndarray, shape (T, N, L)
        Each instrument's part of the VaR; 0 where nothing was held.
    milliseconds, pool_hit_rate, drift : ndarray, shape (T,)
        As in the reports; NaN where there was nothing to measure.
    greeks : ndarray, shape (T, 4)
        Of the whole book, in the order of `GREEKS`; NaN where no option is held.
    missing : ndarray of int64, shape (T,)
        How many positions the report lists as uncovered.
    uncovered : dict
        By instrument: (number of reports that list it, the reason of the last one).
    """

    source: str
    model: str
    sampler: str
    device: str
    base_currency: str
    seed: int
    scenarios: int
    horizon: int
    levels: tuple[float, ...]
    instruments: tuple[str, ...]
    ts: LongArray
    var: Array
    es: Array
    quantity: Array
    price: Array
    value: Array
    component_var: Array
    milliseconds: Array
    pool_hit_rate: Array
    drift: Array
    greeks: Array
    missing: LongArray
    uncovered: dict[str, tuple[int, str]]

    @property
    def held(self) -> NDArray[np.bool_]:
        """Whether the figures are of any position, shape (T,)."""
        return (self.quantity != 0).any(axis=1)


class SeriesCollector:
    """Turn reports into one `RiskSeries` for each source as they come.

    Only numbers are kept, so that years of reports with dozens of positions fit. A report with the time stamp of
    the one before (positions changed within it) replaces that one.
    """

    def __init__(self) -> None:
        self._rows: dict[str, list[_Row]] = {}
        self._uncovered: dict[str, dict[str, tuple[int, str]]] = {}

    def add(self, report: Any) -> None:
        """Take in a `RiskReport`."""
        rows = self._rows.setdefault(report.source, [])
        if rows and report.ts_event < rows[-1].head.ts_event:
            raise InputError(f"reports of {report.source} must come in time order, {report.ts_event} came late")
        row = _Row(report)
        if rows and report.ts_event == rows[-1].head.ts_event:
            rows[-1] = row
        else:
            rows.append(row)
        missing = self._uncovered.setdefault(report.source, {})
        for name, reason in report.uncovered.items():
            missing[name] = (missing.get(name, (0, ""))[0] + 1, reason)

    def series(self) -> list[RiskSeries]:
        """Return what came so far, in order of first report."""
        return [_stack(rows, self._uncovered[source]) for source, rows in self._rows.items()]


@dataclass(frozen=True, eq=False)
class CleanPnl:
    """Profit of yesterday's positions at today's prices; D days that follow a report, N instruments.

    Attributes
    ----------
    ts : ndarray of int64, shape (D,)
        UNIX nanoseconds of the day on which the profit was made.
    row : ndarray of int64, shape (D,)
        The report it is compared with, a row of the series.
    contributions : ndarray, shape (D, N)
        By instrument of the series, in its base currency at yesterday's exchange rates.
    """

    ts: LongArray
    row: LongArray
    contributions: Array

    @property
    def total(self) -> Array:
        """Of the whole book, shape (D,); positive is a gain."""
        return self.contributions.sum(axis=1)


def collect(reports: Iterable[Any]) -> list[RiskSeries]:
    """Turn reports that are already there into one series for each source."""
    collector = SeriesCollector()
    for report in reports:
        collector.add(report)
    return collector.series()


def clean_pnl(series: RiskSeries, ts: ArrayLike, instruments: Sequence[str], closes: ArrayLike) -> CleanPnl:
    """Pair every report with the next prices: yesterday's positions at today's closes.

    Parameters
    ----------
    series : RiskSeries
        The reports.
    ts : array_like of int, shape (D,)
        UNIX nanoseconds of the price history, ascending; every report's time stamp is one of them.
    instruments : sequence of str
        Names of the price history's columns.
    closes : array_like, shape (D, N)
        Prices, the last known one where a day has none.

    Returns
    -------
    CleanPnl
        Without a day for a report on the last time stamp, and without days on which the book was empty.

    Raises
    ------
    InputError
        A report's time stamp, or an instrument that it holds, is not in the price history.
    """
    times, prices = np.asarray(ts, dtype=np.int64), np.asarray(closes, dtype=np.float64)
    position = np.searchsorted(times, series.ts)
    found = (position < len(times)) & (times[np.minimum(position, len(times) - 1)] == series.ts)
    if not found.all():
        raise InputError(f"`ts` must hold every report's time stamp, {int(series.ts[~found][0])} is missing")
    unknown = sorted(set(series.instruments) - set(instruments))
    if unknown:
        raise InputError(f"`instruments` must hold everything that was held, {', '.join(unknown)} is missing")
    rows = np.flatnonzero(series.held & (position + series.horizon < len(times)))
    columns = [list(instruments).index(name) for name in series.instruments]
    after = position[rows] + series.horizon
    return CleanPnl(times[after], rows.astype(np.int64), _contributions(series, rows, prices[after][:, columns]))


def _contributions(series: RiskSeries, rows: LongArray, new_prices: Array) -> Array:
    """Value change of each position."""
    change = clean_contributions(series.quantity[rows], series.price[rows], series.value[rows], new_prices)
    if not np.isfinite(change).all():
        raise InputError("`closes` must be finite wherever something is held, a NaN or infinity came")
    return change


@dataclass(frozen=True)
class _Head:
    """A report without its dictionaries."""

    ts_event: int
    source: str
    model: str
    sampler: str
    device: str
    base_currency: str
    seed: int
    scenarios: int
    horizon: int
    milliseconds: float
    pool_hit_rate: float | None
    drift: float | None


class _Row:
    """The numbers of one report."""

    __slots__ = ("components", "greeks", "head", "lines", "measures", "missing", "names")

    def __init__(self, report: Any) -> None:
        self.head = _Head(**{name: getattr(report, name) for name in _Head.__dataclass_fields__})
        self.missing = len(report.uncovered)
        self.measures = {key: (entry["var"], entry["es"]) for key, entry in report.levels.items()}
        self.names = tuple(report.positions)
        lines = list(report.positions.values())
        self.lines = np.array([(x["quantity"], x["price"], x["value"]) for x in lines]).reshape(-1, 3)
        self.greeks = _greeks(lines)
        self.components = np.array(
            [[x["component_var"].get(key, 0.0) for key in self.measures] for x in lines]
        ).reshape(len(lines), len(self.measures))


def _stack(rows: list[_Row], uncovered: dict[str, tuple[int, str]]) -> RiskSeries:
    # an empty book has no sampler and no scenarios: facts are those of the last report that computed something
    head = next((row.head for row in reversed(rows) if row.names), rows[-1].head)
    keys = sorted({key for row in rows for key in row.measures}, key=float)
    names = tuple(sorted({name for row in rows for name in row.names}))
    index, shape = {name: i for i, name in enumerate(names)}, (len(rows), len(names))
    measures = np.full((2, len(rows), len(keys)), np.nan)
    lines, components = np.zeros((3, *shape)), np.zeros((*shape, len(keys)))
    lines[1] = np.nan
    for t, row in enumerate(rows):
        level_columns = [keys.index(key) for key in row.measures]
        if level_columns:
            measures[:, t, level_columns] = np.array(list(row.measures.values())).T
        columns = [index[name] for name in row.names]
        if columns:
            lines[:, t, columns] = row.lines.T
            components[t, np.array(columns)[:, None], level_columns] = row.components
    shared = {name: getattr(head, name) for name in HEAD_OF_SERIES}
    return RiskSeries(
        **shared,
        levels=tuple(float(key) for key in keys),
        instruments=names,
        ts=np.array([row.head.ts_event for row in rows], dtype=np.int64),
        var=measures[0],
        es=measures[1],
        quantity=lines[0],
        price=lines[1],
        value=lines[2],
        component_var=components,
        milliseconds=np.array([row.head.milliseconds for row in rows]),
        pool_hit_rate=np.array([_or_nan(row.head.pool_hit_rate) for row in rows]),
        drift=np.array([_or_nan(row.head.drift) for row in rows]),
        greeks=np.array([row.greeks for row in rows]),
        missing=np.array([row.missing for row in rows], dtype=np.int64),
        uncovered=uncovered,
    )


def _greeks(lines: Sequence[Any]) -> tuple[float, ...]:
    """Sum the sensitivities of a report's positions in the order of `GREEKS`; a plain position has its value."""
    options = [line for line in lines if "delta" in line]
    if not options:
        return (np.nan,) * len(GREEKS)
    plain = sum(line["value"] for line in lines if "delta" not in line)
    return (
        plain + sum(line["delta"] * line["spot"] for line in options),
        sum(line["gamma"] * line["spot"] ** 2 for line in options) / 100,
        sum(line["vega"] for line in options) / 100,
        sum(line["theta"] for line in options) / 365,
    )


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else value
