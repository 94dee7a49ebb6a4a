"""Why VaR changed between two assessments: positions, volatility, correlation, model and noise, adding up."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nautilus_metal.engine import ComputeEngine, shared_engine, threads_for
from nautilus_metal.errors import InputError
from nautilus_metal.kernels.tail import jackknife_influence, tail_weights
from nautilus_metal.risk.assessment import RiskAssessment
from nautilus_metal.risk.attribution_states import PARTS, States
from nautilus_metal.risk.book import Array
from nautilus_metal.risk.tail_scenarios import tail_scenarios

__all__ = ["PARTS", "VarChange", "explain_change"]

State = tuple[bool, ...]


@dataclass(frozen=True)
class VarChange:
    """A change of value at risk at one level, and what it is made of; amounts in the base currency.

    Attributes
    ----------
    level : float
        The confidence level.
    before, after : float
        VaR as the two assessments state it.
    parts : mapping of str to float
        By `PARTS`, adding up to ``after - before``; exactly 0 for what did not change.
    standard_errors : mapping of str to float or None
        Of the parts, from the finite number of scenarios; None where no scenario was drawn.
    method : str
        "shapley", or the order in which things were changed.
    base_currency : str
        Of every amount.
    """

    level: float
    before: float
    after: float
    parts: Mapping[str, float]
    standard_errors: Mapping[str, float | None]
    method: str
    base_currency: str

    @property
    def change(self) -> float:
        """VaR after less VaR before."""
        return self.after - self.before

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "level": self.level,
            "before": self.before,
            "after": self.after,
            "change": self.change,
            "parts": dict(self.parts),
            "standard_errors": dict(self.standard_errors),
            "method": self.method,
            "base_currency": self.base_currency,
        }


def explain_change(
    before: RiskAssessment,
    after: RiskAssessment,
    *,
    order: Sequence[str] | None = None,
    engine: ComputeEngine | None = None,
) -> dict[float, VarChange]:
    r"""Split the change of VaR between two assessments into the parts of what they were made of.

    Nothing but the two assessments is needed: each keeps its book, window, model, options and stream. VaR is
    evaluated again with some things as before and the others as after, on the same scenarios wherever the streams
    are the same:

    ============= ==================================================================================================
    positions     quantities, prices, exchange rates, instruments and options that come and go, time to expiry
    volatility    each instrument's volatility, that is the standard deviation of its log return in the scenarios that
                  the model makes of a window: its returns are multiplied by the ratio of both. For options the
                  implied volatilities too, and the law by which they move
    correlation   the rest of the return window: how returns come together, and the shape of their distribution (for
                  models made of history that is the sample, each column in units of its volatility)
    model         the model and its options, horizon and revaluation
    noise         seed, sampler, number of scenarios, and the place of instruments in the stream
    ============= ==================================================================================================

    An instrument that one window alone has is taken in the other with its last periods of that one, so that it comes
    and goes under positions.

    By default each part is the mean of the changes that its thing makes over all orders in which things can be
    changed, Shapley's value, which depends on no choice; or it is the change in the one `order` that is given.
    What VaR before and after are is taken from the assessments, by which the parts add up to their difference.

    Standard errors are those of differences on common scenarios, by the jackknife: each scenario is left out of all
    evaluations at once. Like all of this package's they take scenarios as independent, which overstates the error of
    the "sobol" sampler.

    Parameters
    ----------
    before, after : RiskAssessment
        From `assess`, or a RiskActor's `last_assessment` at two moments.
    order : sequence of str, optional
        All of `PARTS` in the order in which they are to be changed.
    engine : ComputeEngine, optional
        Where to compute; the process' shared engine where not given.

    Returns
    -------
    dict
        `VarChange` by each level that both assessments have.

    Raises
    ------
    InputError
        If they have no level or not the base currency in common, or `order` is no order of `PARTS`.

    References
    ----------
    Shorrocks (2013), "Decomposition procedures for distributional analysis: a unified framework based on the Shapley
    value", Journal of Economic Inequality 11(1).
    Harrell and Davis (1982), "A new distribution-free quantile estimator", Biometrika 69(3), for the jackknife.

    Examples
    --------
    >>> from nautilus_metal.risk import Book, assess
    >>> history = np.random.default_rng(0).normal(scale=0.01, size=(500, 1))
    >>> book = Book.linear(quantities=[100], prices=[10.0])
    >>> change = explain_change(assess(book, history), assess(book, 1.5 * history))[0.99]
    >>> round(change.parts["volatility"] / change.change, 6), change.parts["positions"]
    (1.0, 0.0)
    """
    levels = _checked(before, after, order)
    states = States(before.inputs, after.inputs)
    weights = _coefficients(states.changed, order)
    engine = engine or shared_engine()
    needed = sorted({state for part in weights.values() for state in part})
    with threads_for(states.size):
        found = [_evaluate(states, state, levels, engine) for state in needed]
    table = {name: np.array([part.get(state, 0.0) for state in needed]) for name, part in weights.items()}
    ends = {states.end(False): before, states.end(True): after}
    explained = {}
    for row, level in enumerate(levels):
        # the ends are as the assessments state them, on whatever device that was
        var = [ends[state].var[level] if state in ends else figures.var[row]
               for state, figures in zip(needed, found, strict=True)]  # fmt: skip
        covariance = _covariance(found, row)
        parts = dict.fromkeys(PARTS, 0.0) | {name: float(line @ np.array(var)) for name, line in table.items()}
        squares = dict.fromkeys(PARTS, 0.0) | {name: float(line @ covariance @ line) for name, line in table.items()}
        drawn = any(figures.stream is not None for figures in found)
        explained[level] = VarChange(
            level=level,
            before=before.var[level],
            after=after.var[level],
            parts=_exact(parts, after.var[level] - before.var[level]),
            standard_errors={name: math.sqrt(max(0.0, s)) if drawn else None for name, s in squares.items()},
            method="shapley" if order is None else ", ".join(order),
            base_currency=before.book.base_currency,
        )
    return explained


def _checked(before: RiskAssessment, after: RiskAssessment, order: Sequence[str] | None) -> tuple[float, ...]:
    """Return the levels that both have."""
    levels = tuple(level for level in before.levels if level in after.levels)
    if not levels:
        raise InputError(f"`after` must have a level of `before` ({before.levels}), had {after.levels}")
    first, second = before.book.base_currency, after.book.base_currency
    if first != second:
        raise InputError(f"`after` must be in the base currency of `before`, {first}, was in {second}")
    if order is not None and sorted(order) != sorted(PARTS):
        raise InputError(f"`order` must have {', '.join(PARTS)}, each once, had {', '.join(map(str, order))}")
    return levels


@dataclass(frozen=True)
class _Figures:
    """A state's VaR, shape (levels,), and what leaving out each scenario of its tail changes in it."""

    var: Array
    index: NDArray[np.int64]
    influence: Array
    count: int
    stream: tuple[Any, ...] | None


def _evaluate(states: States, state: State, levels: tuple[float, ...], engine: ComputeEngine) -> _Figures:
    task = states.task(state)
    if task is None:  # nothing is held
        return _Figures(np.zeros(len(levels)), np.zeros(0, dtype=np.int64), np.zeros((0, len(levels))), 0, None)
    fitted = task.scenarios
    weights = tail_weights(fitted.count, levels)
    tail = tail_scenarios(task, engine, weights.size)
    var = tail.losses @ weights.figures.numpy()[:, : len(levels)]
    influence = jackknife_influence(tail.losses, weights)[:, : len(levels)] * fitted.error_scale
    return _Figures(var, tail.index, influence, fitted.count, states.stream(state, task))


def _coefficients(changed: Sequence[str], order: Sequence[str] | None) -> dict[str, dict[State, float]]:
    """By part that changed: what the VaR of each state counts for it."""
    found: dict[str, dict[State, float]] = {name: {} for name in changed}
    if order is not None:
        walk = [name for name in order if name in changed]
        for step, name in enumerate(walk):
            _add(found[name], set(walk[:step]), name, 1.0)
        return found
    count = len(found)
    for name, terms in found.items():
        others = [other for other in found if other != name]
        for size in range(count):
            weight = math.factorial(size) * math.factorial(count - 1 - size) / math.factorial(count)
            for done in combinations(others, size):
                _add(terms, set(done), name, weight)
    return found


def _add(terms: dict[State, float], done: set[str], name: str, weight: float) -> None:
    """Count the change that `name` makes after `done`."""
    for changed, sign in ((done | {name}, weight), (done, -weight)):
        state = tuple(part in changed for part in PARTS)
        terms[state] = terms.get(state, 0.0) + sign


def _covariance(found: Sequence[_Figures], level: int) -> Array:
    """Covariances of the states' VaR, shape (states, states): those of different streams are independent."""
    covariance = np.zeros((len(found), len(found)))
    for stream in {figures.stream for figures in found if figures.stream is not None}:
        rows = [row for row, figures in enumerate(found) if figures.stream == stream]
        scenarios = np.unique(np.concatenate([found[row].index for row in rows]))
        influence = np.zeros((len(rows), len(scenarios)))
        for line, row in enumerate(rows):
            influence[line, np.searchsorted(scenarios, found[row].index)] = found[row].influence[:, level]
        count, total = found[rows[0]].count, influence.sum(axis=1)
        spread = influence @ influence.T - np.outer(total, total) / count
        covariance[np.ix_(rows, rows)] = spread * (count - 1) / count
    return covariance


def _exact(parts: dict[str, float], change: float) -> dict[str, float]:
    """Put what rounding leaves of the change into the largest part."""
    largest = max(parts, key=lambda name: abs(parts[name]))
    if parts[largest]:
        parts[largest] += change - math.fsum(parts.values())
    return parts
