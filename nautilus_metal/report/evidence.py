"""More than counts: exact p-values, tests of the expected shortfall, scores and e-processes of a run's models."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nautilus_metal.report.series import Array
from nautilus_metal.report.verdict import ModelResult
from nautilus_metal.risk.validation import (
    CoverageNull,
    InnovationLaw,
    ShortfallVerdict,
    TestResult,
    acerbi_szekely,
    diebold_mariano,
    e_process,
    fissler_ziegel_score,
    normal_law,
    quantile_score,
    student_law,
)

DEGREES = (2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 30.0)
COVERAGE = ("kupiec", "christoffersen", "haas_mixed")
BOUND = 20.0  # of the e-process: a right model reaches it with a chance of at most 5%, ever
_NULL_DAYS, _SHORTFALL_DAYS = 16_000_000, 4_000_000  # days simulated at most, summed over series
_LEAST, _MOST_NULL, _MOST_SHORTFALL = 199, 9_999, 4_999


@dataclass(frozen=True, eq=False)
class Evidence:
    """What one model's figures of one level are worth.

    Attributes
    ----------
    model : str
        The model.
    level : float
        The confidence level.
    exact, exact_holdout : dict of str to float
        p-values of the `COVERAGE` tests by simulation, of all days and of those that no setting was chosen on; empty
        where there are none.
    simulations : int
        That they are made of.
    days : int
        Days whose expected shortfall can be tested: it is positive, and above VaR.
    shortfall : ShortfallVerdict or None
        Acerbi and Szekely's tests; None without such days.
    quantile_score, shortfall_score : float or None
        Means of `quantile_score` and of `fissler_ziegel_score`, the smaller the better.
    against_main : TestResult or None
        Diebold and Mariano's comparison of the latter with the main model's on the same days; a negative statistic
        speaks for this model.
    log_wealth : ndarray, shape (days of the P&L,)
        Of the e-process, a natural logarithm; days without a shortfall that can be tested leave it as it is.
    """

    model: str
    level: float
    exact: dict[str, float]
    exact_holdout: dict[str, float]
    simulations: int
    days: int
    shortfall: ShortfallVerdict | None
    quantile_score: float | None
    shortfall_score: float | None
    against_main: TestResult | None
    log_wealth: Array

    @property
    def alarm_day(self) -> int | None:
        """The first day of the P&L on which the e-process reached its bound."""
        reached = np.flatnonzero(self.log_wealth >= np.log(BOUND))
        return int(reached[0]) if len(reached) else None


def collect_evidence(
    results: Sequence[ModelResult], main: str, holdout_from: int | None = None
) -> dict[str, dict[float, Evidence]]:
    """Test every model at every level.

    Parameters
    ----------
    results : sequence of ModelResult
        Every model run.
    main : str
        The model that others are compared with.
    holdout_from : int, optional
        UNIX nanoseconds from which on no setting was chosen.
    """
    chosen = next(result for result in results if result.series.model == main)
    return {
        result.series.model: {
            level: _evidence(result, chosen, level, holdout_from) for level in result.series.levels
        }
        for result in results
    }


def tail_law(var: Array, es: Array, level: float) -> InnovationLaw:
    """Return the normal's or the Student-t's shape whose shortfall is as far above its VaR as a model's is.

    Parameters
    ----------
    var, es : ndarray, shape (days,)
        As the model states them, positive.
    level : float
        Confidence level of both.
    """
    ratio = float(np.median(es / var))
    laws = [normal_law(), *map(student_law, DEGREES)]
    return min(laws, key=lambda law: abs(law.expected_shortfall(level) / law.value_at_risk(level) - ratio))


def _evidence(result: ModelResult, main: ModelResult, level: float, holdout_from: int | None) -> Evidence:
    pnl, var, es = result.pnl.total, result.var(level), result.es(level)
    late = np.zeros(len(pnl), dtype=bool) if holdout_from is None else result.pnl.ts >= holdout_from
    hits, good = result.hits(level), _testable(result, level)
    exact, simulations = _exact(hits, level)
    shortfall = quantile = score = None
    wealth = np.zeros(len(pnl))
    if good.any():
        stated = pnl[good], var[good], es[good]
        count = _simulations(_SHORTFALL_DAYS, int(good.sum()), _MOST_SHORTFALL)
        shortfall = acerbi_szekely(*stated, level, tail_law(var[good], es[good], level), simulations=count)
        quantile = float(quantile_score(*stated[:2], level).mean())
        score = float(fissler_ziegel_score(*stated, level).mean())
        path = np.concatenate([[0.0], e_process(*stated, level, bound=BOUND)])
        wealth = path[np.cumsum(good)]
    return Evidence(
        model=result.series.model,
        level=level,
        exact=exact,
        exact_holdout=_exact(hits[late], level)[0] if late.any() and not late.all() else {},
        simulations=simulations,
        days=int(good.sum()),
        shortfall=shortfall,
        quantile_score=quantile,
        shortfall_score=score,
        against_main=_against(result, main, level),
        log_wealth=wealth,
    )


def _testable(result: ModelResult, level: float) -> NDArray[np.bool_]:
    var, es = result.var(level), result.es(level)
    return np.asarray((var > 0) & (es > var))


def _exact(hits: NDArray[np.bool_], level: float) -> tuple[dict[str, float], int]:
    if len(hits) < 2:
        return {}, 0
    simulations = _simulations(_NULL_DAYS, len(hits), _MOST_NULL)
    found = CoverageNull(len(hits), level, simulations).test(hits)
    return {name: found[name].p_value for name in COVERAGE}, simulations


def _simulations(total: int, days: int, most: int) -> int:
    """As many series as so many days make, one less than a round number."""
    return max(_LEAST, min(most, total // days // 100 * 100 - 1))


def _against(result: ModelResult, main: ModelResult, level: float) -> TestResult | None:
    if result is main or level not in main.series.levels:
        return None
    days, own, other = np.intersect1d(
        result.pnl.ts[_testable(result, level)], main.pnl.ts[_testable(main, level)], return_indices=True
    )
    if len(days) < 2:
        return None
    scores = []
    for one, place in ((result, own), (main, other)):
        rows = np.flatnonzero(_testable(one, level))[place]
        stated = one.pnl.total[rows], one.var(level)[rows], one.es(level)[rows]
        scores.append(fissler_ziegel_score(*stated, level))
    if np.ptp(scores[0] - scores[1]) == 0 and np.any(scores[0] != scores[1]):
        return None  # one constant difference on all days has no variance to be judged by
    return diebold_mariano(scores[0], scores[1])
