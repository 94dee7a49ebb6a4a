"""Every scenario model against history: what each stated for a day, from the days before it alone."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from nautilus_metal.engine import ComputeEngine, shared_engine
from nautilus_metal.errors import InputError
from nautilus_metal.kernels.garch import garch_variance
from nautilus_metal.kernels.scenarios import full_losses, linear_losses, net_loading
from nautilus_metal.kernels.tail import check_levels
from nautilus_metal.risk.book import Array
from nautilus_metal.risk.draws import sample_scenarios
from nautilus_metal.risk.evaluation import Task, evaluate
from nautilus_metal.risk.garch import LAWS, GarchFits, garch_fits, garch_scenarios
from nautilus_metal.risk.models import MODELS, build, scenario_count
from nautilus_metal.risk.request import Request, Scenarios

LEVELS = (0.95, 0.975, 0.99)
LEAST_DAYS = 50
_BATCH = 32  # windows fitted at a time, so that their copies for every start fit the memory
_SHAPES = 12  # days whose scenarios give the shape of a model's P&L


class Candidate(NamedTuple):
    """A model with its options, and how it is kept up to date.

    Attributes
    ----------
    model : str
        A row of `nautilus_metal.risk.MODELS`.
    options : mapping
        Of the model.
    refit : str
        "daily": fitted to each day's window; "filtered": coefficients of every refit, by which the volatility goes
        on every day from where the refit's window began; "held": scenarios of every refit.
    """

    model: str
    options: Mapping[str, Any]
    refit: str


CANDIDATES: dict[str, Candidate] = {
    "normal": Candidate("normal", {}, "daily"),
    "student_t": Candidate("student_t", {}, "daily"),
    "historical": Candidate("historical", {}, "daily"),
    "filtered_historical": Candidate("filtered_historical", {}, "daily"),
    **{
        f"{model}_{innovations}": Candidate(model, {"innovations": innovations}, "filtered")
        for model in ("garch", "gjr")
        for innovations in ("normal", "t", "empirical")
    },
    "jump_diffusion": Candidate("jump_diffusion", {}, "held"),
    "gaussian_copula": Candidate("gaussian_copula", {}, "held"),
    "t_copula": Candidate("t_copula", {}, "held"),
}


@dataclass(frozen=True)
class Plan:
    """What is validated, on what.

    Attributes
    ----------
    returns : Tensor
        Log returns, shape (days, instruments), oldest first, float64.
    weights : ndarray
        Of the book, the same every day, shape (instruments,).
    levels : tuple of float
        Confidence levels.
    window, refit : int
        Returns that a day's figures are made from, and days between two fits.
    request : Request
        Scenarios, seed and sampler.
    device : str
        Where scenarios are evaluated; see `ComputeEngine`.
    """

    returns: Tensor
    weights: Array
    levels: tuple[float, ...]
    window: int
    refit: int
    request: Request
    device: str

    @property
    def days(self) -> range:
        """Numbers of the days that figures are stated for."""
        return range(self.window, len(self.returns))

    @property
    def pnl(self) -> Array:
        """Relative profit of those days, the book being brought back to its weights every day, shape (days,)."""
        return torch.expm1(self.returns[self.window :]).numpy() @ self.weights

    def workers(self, asked: int | None) -> int:
        """Processes to share work among: as asked, else the processor's cores, but one for a GPU."""
        return asked or ((os.cpu_count() or 1) if self.device == "cpu" else 1)

    def history(self, day: int) -> Tensor:
        """The window before a day, shape (instruments, window)."""
        return self.returns[day - self.window : day].T.contiguous()


@dataclass(frozen=True, eq=False)
class Stated:
    """What one candidate stated.

    Attributes
    ----------
    name : str
        Key of the candidate.
    var, es : ndarray
        Shape (days, levels), shares of the book's value.
    shape : ndarray
        A sample of the scenarios' profits on some of the days, each day's in units of its quartiles.
    """

    name: str
    var: Array
    es: Array
    shape: Array


def plan_study(
    returns: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    levels: Sequence[float] = LEVELS,
    window: int = 1000,
    refit: int = 63,
    scenarios: int = 5_000,
    seed: int = 0,
    device: str = "cpu",
) -> Plan:
    """Check and gather what a study needs.

    Parameters
    ----------
    returns : array_like or data frame
        Log returns, shape (days, instruments), oldest first.
    weights : array_like, optional
        Of the book, shape (instruments,); equal ones that sum to 1 by default. Negative ones are short.
    levels : sequence of float
        Confidence levels.
    window, refit : int
        Returns that a day's figures are made from, and days between two fits of the costly models.
    scenarios, seed : int
        Of each day's figures; the same stream every day.
    device : str
        "cpu", "cuda", "mps" or "auto".

    Raises
    ------
    InputError
        If a number is out of range, or there are too few days after the first window.
    """
    history = np.asarray(returns, dtype=np.float64)
    if history.ndim != 2 or not history.shape[1] or not np.isfinite(history).all():
        raise InputError(f"`returns` must be finite and of shape (days, instruments), were of shape {history.shape}")
    instruments = history.shape[1]
    book = np.full(instruments, 1 / instruments) if weights is None else np.asarray(weights, dtype=np.float64)
    if book.shape != (instruments,) or not np.isfinite(book).all() or not book.any():
        raise InputError(f"`weights` must be {instruments} finite numbers, not all 0, were {np.asarray(weights)!r}")
    for name, number, least in (("window", window, LEAST_DAYS), ("refit", refit, 1)):
        if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < least:
            raise InputError(f"`{name}` must be a whole number of at least {least} days, was {number!r}")
    if len(history) < window + LEAST_DAYS:
        raise InputError(
            f"`returns` must hold at least {window + LEAST_DAYS} days, {LEAST_DAYS} after the first window of "
            f"{window}, held {len(history)}"
        )
    chosen, request = tuple(float(level) for level in levels), Request(1, scenarios, seed, "sobol")
    check_levels(min(scenarios, window), chosen)
    return Plan(torch.from_numpy(history.copy()), book, chosen, int(window), int(refit), request, device)


def state_all(
    plan: Plan,
    names: Sequence[str] = tuple(CANDIDATES),
    workers: int | None = None,
    told: Callable[[str], None] = lambda name: None,
) -> list[Stated]:
    """State VaR and expected shortfall of every day by each candidate, from the days before it alone.

    Parameters
    ----------
    plan : Plan
        What on; see `plan_study`.
    names : sequence of str
        Rows of `CANDIDATES`.
    workers : int, optional
        Processes that share the candidates; the processor's cores by default on the CPU, else one. The figures do
        not depend on it.
    told : callable
        Is told the name of each candidate that is done.

    Returns
    -------
    list of Stated
        In the order of `names`.
    """
    for name in names:
        if name not in CANDIDATES:
            raise InputError(f"`models` must be of {', '.join(CANDIDATES)}, was {name!r}")
        scenario_count(CANDIDATES[name].model, plan.window, plan.request, CANDIDATES[name].options)
    groups = _groups(names)
    found: dict[str, Stated] = {}
    for finished in shared(partial(state_group, plan), groups, min(plan.workers(workers), len(groups))):
        for one in finished:
            found[one.name] = one
            told(one.name)
    return [found[name] for name in names]


def shared(work: Callable[[Any], Any], tasks: Sequence[Any], workers: int) -> Iterator[Any]:
    """Do the tasks, in so many processes if there are several; answers come in any order."""
    if workers < 2:
        yield from map(work, tasks)
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), _alone) as pool:
        for future in as_completed([pool.submit(work, task) for task in tasks]):
            yield future.result()


def _alone() -> None:
    """A worker has one core."""
    torch.set_num_threads(1)


def _groups(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Candidates that share a fit go together, the costly ones first."""
    groups: dict[Any, tuple[str, ...]] = {}
    for name in sorted(names, key=lambda name: ("filtered", "held", "daily").index(CANDIDATES[name].refit)):
        row = CANDIDATES[name]
        key = (row.model, LAWS[row.options["innovations"]]) if row.refit == "filtered" else name
        groups[key] = (*groups.get(key, ()), name)
    return list(groups.values())


def state_group(plan: Plan, names: tuple[str, ...]) -> list[Stated]:
    """State the figures of candidates that share their fits."""
    engine, rows = shared_engine(plan.device), [CANDIDATES[name] for name in names]
    fits: list[GarchFits] = []
    if rows[0].refit == "filtered":
        options = rows[0].options
        fits = _fits(plan, rows[0].model == "gjr", options["innovations"], None if plan.device == "cpu" else engine)
    return [_stated(plan, name, row, fits, engine) for name, row in zip(names, rows, strict=True)]


def _fits(plan: Plan, asymmetric: bool, innovations: str, engine: ComputeEngine | None) -> list[GarchFits]:
    """Fit the windows of all refits in batches."""
    days = plan.days[:: plan.refit]
    found: list[GarchFits] = []
    for first in range(0, len(days), _BATCH):
        windows = torch.stack([plan.history(day) for day in days[first : first + _BATCH]])
        found += garch_fits(windows, asymmetric, innovations, engine=engine)
    return found


def _stated(plan: Plan, name: str, row: Candidate, fits: Sequence[GarchFits], engine: ComputeEngine) -> Stated:
    linear, days = MODELS[row.model].linear, plan.days
    var, es = (np.empty((len(days), len(plan.levels))) for _ in range(2))
    variances = [_variance(plan, day, fit) for day, fit in zip(days[:: plan.refit], fits, strict=False)]
    shapes, apart = [], max(1, len(days) // _SHAPES)
    for place, day in enumerate(days):
        fresh = place % plan.refit == 0
        if fresh or row.refit != "held":
            window, (number, after) = plan.history(day), divmod(place, plan.refit)
            if row.refit == "filtered":
                known = variances[number][:, after : after + plan.window + 1]
                fitted = garch_scenarios(window, plan.request, fits[number], row.options["innovations"], known)
            else:
                fitted = build(row.model, window, plan.request, row.options)
            figures = evaluate(Task(plan.weights, fitted, plan.request, plan.levels, linear), engine)
        var[place], es[place] = figures.var, figures.es
        if place % apart == 0:
            shapes.append(_shape(plan, fitted, linear))
    return Stated(name, var, es, np.concatenate(shapes))


def _variance(plan: Plan, day: int, fits: GarchFits) -> Tensor:
    """Filter the variances from a refit's window to the next refit, shape (instruments, window + refit)."""
    returns = plan.returns[day - plan.window : day + plan.refit - 1]
    return garch_variance(returns.T.contiguous(), fits.parameters, fits.start)


def _shape(plan: Plan, fitted: Scenarios, linear: bool) -> Array:
    """Profits of the scenarios about their median, in units of their quartiles' distance."""
    drawn, weights = sample_scenarios(fitted, plan.request, fitted.count), torch.from_numpy(plan.weights)
    if linear:
        drift = float(weights @ fitted.shift)
        losses = linear_losses(net_loading(weights, fitted.loading), drift, drawn.factors, drawn.scale)
    else:
        losses = full_losses(weights, drawn, torch.empty(len(weights), fitted.count, dtype=torch.float64))
    low, middle, high = np.quantile(-losses.numpy(), (0.25, 0.5, 0.75))
    return np.asarray((-losses.numpy() - middle) / (high - low))
