"""Verdicts on a study: every test of `nautilus_metal.risk.validation`, one row for each model and level."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.risk.book import Array
from nautilus_metal.risk.study import Plan, Stated
from nautilus_metal.risk.validation import (
    EProcess,
    acerbi_szekely,
    christoffersen,
    christoffersen_independence,
    diebold_mariano,
    e_process,
    empirical_law,
    exceptions,
    fissler_ziegel_score,
    kupiec,
    traffic_light,
)

SIGNIFICANCE = 0.05
SIMULATIONS = 999


@dataclass(frozen=True)
class Row:
    """One model at one level.

    Attributes
    ----------
    model : str
        Key of the candidate.
    level : float
        Confidence level.
    days, exceptions : int
        Days tested, and those whose loss exceeded VaR.
    expected : float
        Exceptions that a right model has on average.
    kupiec_p, independence_p, coverage_p : float
        Unconditional coverage, Christoffersen's independence, and both together.
    zone : str
        Basel's traffic light of the whole series.
    shortfall_p, bias_p : float
        Acerbi and Szekely's unconditional and relative minimally biased tests of the shortfall; P&L is simulated
        with the shape that the model's own scenarios have.
    score : float
        Mean Fissler-Ziegel score of VaR and shortfall.
    rank : int
        Of the score among the models at this level, 1 being the best.
    behind_p : float or None
        Diebold and Mariano's test of the score against the best one's; None for that.
    wealth : float
        The e-process' highest wealth: from 20 on the model is rejected at 5%, whenever one looks.
    failed : tuple of str
        Tests that reject at 5%.
    """

    model: str
    level: float
    days: int
    exceptions: int
    expected: float
    kupiec_p: float
    independence_p: float
    coverage_p: float
    zone: str
    shortfall_p: float | None
    bias_p: float | None
    score: float
    rank: int
    behind_p: float | None
    wealth: float
    failed: tuple[str, ...]


def verdicts(plan: Plan, stated: Sequence[Stated], engine: ComputeEngine) -> list[Row]:
    """Test every model at every level.

    Parameters
    ----------
    plan : Plan
        The study's.
    stated : sequence of Stated
        See `nautilus_metal.risk.study.state_all`.
    engine : ComputeEngine
        Where P&L is simulated for the shortfall's tests.

    Returns
    -------
    list of Row
        By model, then by level.
    """
    pnl, rows = plan.pnl, []
    series = [[_figures(pnl, one, column, level) for column, level in enumerate(plan.levels)] for one in stated]
    for number, one in enumerate(stated):
        law = empirical_law(one.shape)
        for column, level in enumerate(plan.levels):
            var, es, score = series[number][column]
            means = [float(other[column][2].mean()) for other in series]
            best = int(np.argmin(means))
            hits = exceptions(pnl, var)
            count, days = int(hits.sum()), len(hits)
            shortfall = acerbi_szekely(pnl, var, es, level, law, simulations=SIMULATIONS, engine=engine)
            highest = max(0.0, float(e_process(pnl, var, es, level).max()))
            wealth = math.exp(min(highest, 700.0))
            tests = {
                "kupiec_p": kupiec(count, days, level).p_value,
                "independence_p": christoffersen_independence(hits).p_value,
                "coverage_p": christoffersen(hits, level).p_value,
                "shortfall_p": shortfall.unconditional.p_value,
                "bias_p": shortfall.min_bias_relative.p_value,
            }
            zone = traffic_light(count, days, level)
            failed = [name.removesuffix("_p") for name, p in tests.items() if p is not None and p < SIGNIFICANCE]
            failed += [name for name, bad in (("basel", zone == "red"), ("e_process", _alarm(wealth, level))) if bad]
            rows.append(
                Row(
                    model=one.name,
                    level=level,
                    days=days,
                    exceptions=count,
                    expected=days * (1 - level),
                    zone=zone,
                    score=means[number],
                    rank=1 + sum(mean < means[number] for mean in means),
                    behind_p=None if number == best else diebold_mariano(score, series[best][column][2]).p_value,
                    wealth=wealth,
                    failed=tuple(failed),
                    **tests,
                )
            )
    return rows


def _alarm(wealth: float, level: float) -> bool:
    return wealth >= EProcess(level).bound


def _figures(pnl: Array, one: Stated, column: int, level: float) -> tuple[Array, Array, Array]:
    var, es = one.var[:, column], one.es[:, column]
    return var, es, fissler_ziegel_score(pnl, var, es, level)
