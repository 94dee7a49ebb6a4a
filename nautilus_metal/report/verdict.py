"""Was the VaR right: every model's reports against the profit and loss that followed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nautilus_metal.errors import InputError
from nautilus_metal.report.series import Array, CleanPnl, RiskSeries, clean_pnl
from nautilus_metal.risk.validation import VarScore, exceptions, score

PASS_P_VALUE = 0.05


@dataclass(frozen=True, eq=False)
class ModelResult:
    """One model's reports, the clean P&L that followed, and the verdicts.

    Attributes
    ----------
    series : RiskSeries
        The reports.
    pnl : CleanPnl
        Days with something held.
    scores : dict
        `VarScore` by level, over all those days.
    holdout : dict
        The same over the days from `holdout_from` on, which no setting was chosen on; empty without such a date,
        or where that is all days.
    """

    series: RiskSeries
    pnl: CleanPnl
    scores: dict[float, VarScore]
    holdout: dict[float, VarScore]

    @property
    def empty_days(self) -> int:
        """Reports on an empty book: no test is made on them."""
        return int((~self.series.held & (self.series.missing == 0)).sum())

    @property
    def uncovered_days(self) -> int:
        """Reports that cover nothing of what was held, as in the first days of history: no test either."""
        return int((~self.series.held & (self.series.missing > 0)).sum())

    def var(self, level: float) -> Array:
        """VaR stated before each day of the P&L, shape (days,)."""
        return self.series.var[self.pnl.row, self.series.levels.index(level)]

    def es(self, level: float) -> Array:
        """Expected shortfall stated before each day of the P&L, shape (days,)."""
        return self.series.es[self.pnl.row, self.series.levels.index(level)]

    def hits(self, level: float) -> NDArray[np.bool_]:
        """Mark the days whose loss exceeded VaR, shape (days,)."""
        return exceptions(self.pnl.total, self.var(level))

    def passes(self, holdout: bool = False) -> bool:
        """Return whether Kupiec's test rejects none of the levels (p at least 0.05)."""
        scores = self.holdout if holdout else self.scores
        return bool(scores) and all((s.kupiec_p or 0.0) >= PASS_P_VALUE for s in scores.values())


def judge(
    series: RiskSeries,
    ts: ArrayLike,
    instruments: Sequence[str],
    closes: ArrayLike,
    holdout_from: int | None = None,
) -> ModelResult:
    """Score one model's reports on clean P&L.

    Parameters
    ----------
    series : RiskSeries
        The reports.
    ts, instruments, closes
        The price history, as in `clean_pnl`.
    holdout_from : int, optional
        UNIX nanoseconds from which on days are scored a second time on their own.
    """
    return scored(series, clean_pnl(series, ts, instruments, closes), holdout_from)


def scored(series: RiskSeries, pnl: CleanPnl, holdout_from: int | None = None) -> ModelResult:
    """Score one model's reports on a P&L that is paired with them already; `holdout_from` as in `judge`."""
    late = np.zeros(len(pnl.ts), dtype=bool) if holdout_from is None else pnl.ts >= holdout_from
    scores: list[dict[float, VarScore]] = [{}, {}]
    for column, level in enumerate(series.levels):
        var = series.var[pnl.row, column]
        scores[0][level] = score(pnl.total, var, level)
        if late.any() and not late.all():
            scores[1][level] = score(pnl.total[late], var[late], level)
    return ModelResult(series, pnl, scores[0], scores[1])


def rolling_exceptions(hits: ArrayLike, window: int = 250) -> Array:
    """Count exceptions over the trailing `window` days.

    Parameters
    ----------
    hits : array_like of bool, shape (days,)
        Exceptions by day.
    window : int
        Days; Basel's is 250.

    Returns
    -------
    ndarray, shape (days,)
        NaN on the first `window - 1` days.

    Examples
    --------
    >>> rolling_exceptions([True, False, True, True], window=2).tolist()
    [nan, 1.0, 1.0, 2.0]
    """
    if window < 1:
        raise InputError(f"`window` must be at least 1 day, was {window}")
    total = np.concatenate([[0.0], np.cumsum(np.asarray(hits, dtype=np.float64))])
    counts = np.full(len(total) - 1, np.nan)
    counts[window - 1 :] = total[window:] - total[:-window]
    return counts


def conclusion(results: Sequence[ModelResult], main: str, holdout_from: str | None = None) -> list[str]:
    """Say in plain sentences whether the models' VaR was right, the main one's first.

    Parameters
    ----------
    results : sequence of ModelResult
        Every model run.
    main : str
        The model that the sentence is about.
    holdout_from : str, optional
        The date from which on no setting was chosen.
    """
    chosen = next(result for result in results if result.series.model == main)
    if not len(chosen.pnl.ts):
        return ["Nothing was held on any day that had a report: there is no verdict."]
    sentences = [_coverage(main, chosen.scores, "")]
    if chosen.holdout:
        sentences.append(_coverage(main, chosen.holdout, f" from {holdout_from} on, untouched by tuning"))
    passing = [result.series.model for result in results if result.passes(holdout=bool(chosen.holdout))]
    if not passing:
        sentences.append("No model that was run passes Kupiec's test at every level.")
    elif main not in passing:
        sentences.append(f"Models that do pass: {', '.join(passing)}.")
    return sentences


def _coverage(model: str, scores: dict[float, VarScore], period: str) -> str:
    counts = "; ".join(
        f"{percent(level)} VaR exceeded on {s.exceptions:,} of {s.days:,} days ({s.expected:,.1f} expected, "
        f"Kupiec p {p_text(s.kupiec_p)})"
        for level, s in scores.items()
    )
    failed = [(level, s) for level, s in scores.items() if (s.kupiec_p or 0.0) < PASS_P_VALUE]
    verdict = "passes Kupiec's test at every level"
    if failed:
        ways = (f"too {'many' if s.exceptions > s.expected else 'few'} at {percent(level)}" for level, s in failed)
        verdict = f"FAILS Kupiec's test ({', '.join(ways)})"
    clustered = [f"{percent(level)} (p {p_text(s.christoffersen_p)})" for level, s in scores.items() if clusters(s)]
    also = f" Christoffersen's test, by which they must also come alone, rejects {', '.join(clustered)}."
    return f"{model}{period} {verdict}: {counts}.{also if clustered else ''}"


def clusters(entry: VarScore) -> bool:
    """Return whether Christoffersen's test rejects (p under 0.05)."""
    return entry.christoffersen_p is not None and entry.christoffersen_p < PASS_P_VALUE


def percent(level: float) -> str:
    """Write a confidence level in percent.

    >>> percent(0.975)
    '97.5%'
    """
    return f"{level * 100:g}%"


def p_text(value: float | None) -> str:
    """Write a p-value with three digits."""
    return "n/a" if value is None else f"{value:.3f}"
