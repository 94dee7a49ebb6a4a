"""Many allocation problems at once: a frontier, a bootstrap, a rebalancing history."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nautilus_metal.errors import InputError
from nautilus_metal.risk.allocation_problem import Case
from nautilus_metal.risk.allocation_terms import Constraints
from nautilus_metal.risk.checks import at_least

_DEFAULT = Constraints()


def frontier_cases(target_returns: Sequence[float], constraints: Constraints = _DEFAULT) -> list[Case]:
    """Make a case for each least expected return, per period: the least risk at each is the efficient frontier."""
    return [Case(replace(constraints, target_return=float(target))) for target in target_returns]


def bootstrap_cases(scenarios: int, samples: int, seed: int, constraints: Constraints = _DEFAULT) -> list[Case]:
    """Make cases whose scenarios are drawn with replacement from all, as how often each was drawn.

    Parameters
    ----------
    scenarios : int
        Rows of the returns.
    samples : int
        Number of cases.
    seed : int
        Of the draws; each case carries it.
    constraints : Constraints, optional
        Of every case.

    References
    ----------
    Efron (1979), "Bootstrap methods: another look at the jackknife", Annals of Statistics 7(1).
    """
    at_least(samples, 1, "`samples`")
    draw = np.random.default_rng(seed)
    even = np.full(scenarios, 1 / scenarios)
    return [Case(constraints, probability=draw.multinomial(scenarios, even), seed=seed) for _ in range(samples)]


def history_cases(
    scenarios: int, window: int, ends: Sequence[int], constraints: Constraints = _DEFAULT
) -> list[Case]:
    """Make a case for each date of a rebalancing history, on the window of returns before it.

    Parameters
    ----------
    scenarios : int
        Rows of the returns, in order of time.
    window : int
        Returns that each case sees.
    ends : sequence of int
        Of each case: the number of the first return that it does not see.
    constraints : Constraints, optional
        Of every case: that the weights of one date are the next one's `previous` is for calls in a row.
    """
    cases = []
    for end in ends:
        if not 2 <= window <= end <= scenarios:
            raise InputError(f"`ends` must lie from `window` ({window}, at least 2) to {scenarios}, was {end}")
        inside = np.zeros(scenarios)
        inside[end - window : end] = 1.0
        cases.append(Case(constraints, probability=inside))
    return cases
