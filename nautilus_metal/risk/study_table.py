"""Verdicts on a study: every test of `nautilus_metal.risk.validation`, one row for each model and level."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from nautilus_metal.engine import ComputeEngine, shared_engine
from nautilus_metal.risk.book import Array
from nautilus_metal.risk.study import Plan, Stated, shared
from nautilus_metal.risk.validation import (
    EProcess,
    InnovationLaw,
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
_MOST_LOG = 700.0  # of a wealth that is a number


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


def verdicts(plan: Plan, stated: Sequence[Stated], workers: int | None = None) -> list[Row]:
    """Test every model at every level.

    Parameters
    ----------
    plan : Plan
        The study's; P&L is simulated on its device for the shortfall's tests.
    stated : sequence of Stated
        See `nautilus_metal.risk.study.state_all`.
    workers : int, optional
        As for `state_all`.

    Returns
    -------
    list of Row
        By model, then by level.
    """
    tested = dict(shared(partial(_tested, plan), stated, min(plan.workers(workers), len(stated))))
    rows, pnl = [], plan.pnl
    scores = np.array([[_scores(pnl, one, at, level) for at, level in enumerate(plan.levels)] for one in stated])
    means = scores.mean(axis=-1)
    for number, one in enumerate(stated):
        for column, (level, facts) in enumerate(zip(plan.levels, tested[one.name], strict=True)):
            mean, best = means[number, column], int(means[:, column].argmin())
            behind = None if number == best else diebold_mariano(scores[number, column], scores[best, column]).p_value
            rank = 1 + int((means[:, column] < mean).sum())
            rows.append(Row(model=one.name, level=level, score=float(mean), rank=rank, behind_p=behind, **facts))
    return rows


def _scores(pnl: Array, one: Stated, column: int, level: float) -> Array:
    return fissler_ziegel_score(pnl, one.var[:, column], one.es[:, column], level)


def _tested(plan: Plan, one: Stated) -> tuple[str, list[dict[str, Any]]]:
    """Return a model's name and its tests, by level."""
    pnl, law, engine = plan.pnl, empirical_law(one.shape), shared_engine(plan.device)
    return one.name, [_level(pnl, one.var[:, at], one.es[:, at], level, law, engine)
                      for at, level in enumerate(plan.levels)]  # fmt: skip


def _level(
    pnl: Array, var: Array, es: Array, level: float, law: InnovationLaw, engine: ComputeEngine
) -> dict[str, Any]:
    """Return what `Row` says of one model's figures alone."""
    hits = exceptions(pnl, var)
    count, days = int(hits.sum()), len(hits)
    shortfall = acerbi_szekely(pnl, var, es, level, law, simulations=SIMULATIONS, engine=engine)
    highest = max(0.0, float(e_process(pnl, var, es, level).max()))
    p_values = {
        "kupiec_p": kupiec(count, days, level).p_value,
        "independence_p": christoffersen_independence(hits).p_value,
        "coverage_p": christoffersen(hits, level).p_value,
        "shortfall_p": shortfall.unconditional.p_value,
        "bias_p": shortfall.min_bias_relative.p_value,
    }
    zone, alarm = traffic_light(count, days, level), highest >= math.log(EProcess(level).bound)
    failed = [name.removesuffix("_p") for name, p in p_values.items() if p is not None and p < SIGNIFICANCE]
    failed += [name for name, bad in (("basel", zone == "red"), ("e_process", alarm)) if bad]
    return {
        **p_values,
        "days": days,
        "exceptions": count,
        "expected": days * (1 - level),
        "zone": zone,
        "wealth": math.exp(min(highest, _MOST_LOG)),
        "failed": tuple(failed),
    }
