"""The front door of the risk room: a book and a return history in, a `RiskAssessment` out."""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from nautilus_metal.engine import ComputeEngine, shared_engine, threads_for
from nautilus_metal.engine.fused_options import has_loop
from nautilus_metal.engine.team import ALONE, Team
from nautilus_metal.engine.threads import torch_alone
from nautilus_metal.errors import InputError
from nautilus_metal.kernels.tail import check_levels
from nautilus_metal.risk.assessment import RiskAssessment
from nautilus_metal.risk.book import Array, Book
from nautilus_metal.risk.checks import above
from nautilus_metal.risk.evaluation import Figures, Task, evaluate, losses_without
from nautilus_metal.risk.inputs import Inputs
from nautilus_metal.risk.models import build, check_options, model_named
from nautilus_metal.risk.option_evaluation import OptionFigures, evaluate_options, option_losses_without
from nautilus_metal.risk.option_task import OptionTask
from nautilus_metal.risk.request import Request
from nautilus_metal.risk.volatility_law import ByUnderlying, VolatilityLaw

REVALUATIONS = ("linear", "full")
_OPTION_FIGURES = (
    *("var", "es", "var_se", "es_se", "delta_gamma_var", "delta_gamma_es"),
    *("component_var", "component_es", "marginal_var", "marginal_es"),
)


def assess(
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
    periods_per_year: float = 252.0,
    vol_of_vol: ByUnderlying = None,
    spot_vol_correlation: ByUnderlying = None,
    volatility_returns: Mapping[str, ArrayLike] | None = None,
    team: Team = ALONE,
    **model_options: Any,
) -> RiskAssessment:
    r"""Compute value at risk and expected shortfall of a book.

    Parameters
    ----------
    book : Book
        The positions.
    returns : array_like or data frame
        Log returns, shape (periods, instruments), oldest first, columns in the order of `book.instruments`. A frame
        whose columns name the instruments is read by name, in whatever order, and may have more columns.
    model : str
        The scenario model, a row of `nautilus_metal.risk.MODELS`: "normal", "student_t", "historical",
        "filtered_historical", "garch", "gjr", "jump_diffusion", "gaussian_copula" or "t_copula".
    levels : sequence of float, default (0.95, 0.99)
        Confidence levels, each above 0.5 and below 1.
    horizon : int, default 1
        Periods ahead.
    scenarios : int, default 10_000
        Scenarios to draw. Models whose sample is history itself use that and say so in `scenarios`.
    seed : int, default 0
        Selects the scenario stream; the same seed gives the same figures on every device to float32 rounding.
    engine : ComputeEngine, optional
        Where to compute; the process' shared engine where not given.
    sampler : {"sobol", "pseudo"}
        How scenarios are drawn.
    revaluation : {"linear", "full"}, optional
        P&L as value times log return, or times exp(log return) - 1. The default is the model's: linear for the
        parametric models, which gives a normal book its closed form, full for those made of history. A book with
        options is always revalued in full: each option by Black-Scholes, with the horizon off its time to expiry.
    periods_per_year : float, default 252.0
        Periods of the return history in a year, by which options age.
    vol_of_vol, spot_vol_correlation : float or mapping of str to float, optional
        How implied volatilities move in the scenarios: see `nautilus_metal.risk.volatility_law.VolatilityLaw`.
    volatility_returns : mapping of str to array_like, optional
        A history to estimate them from where they are not given; without one implied volatilities stay.
    team : Team, optional
        Processes that share the scenarios: each calls this with the same arguments and has the same figures, which
        are those of one process to the rounding of the device's numbers. See `nautilus_metal.engine.team.joined`.
    **model_options
        Options of the model: `covariance`, `mean`, `decay`, `degrees`, `filter`, `innovations`, ...

    Returns
    -------
    RiskAssessment
        The figures, with what made them. An empty book has figures of zero.

    Raises
    ------
    InputError
        If an argument is outside its range, the history does not fit the book, or holds a NaN.

    References
    ----------
    Tasche (2008), "Capital allocation to business units and sub-portfolios: the Euler principle".

    Examples
    --------
    >>> history = np.random.default_rng(0).normal(scale=0.01, size=(500, 2))
    >>> book = Book.linear(quantities=[100, -50], prices=[10.0, 20.0])
    >>> risk = assess(book, history, levels=(0.99,), engine=ComputeEngine("cpu"))
    >>> bool(risk.es[0.99] > risk.var[0.99] > 0)
    True
    """
    started = time.perf_counter()
    if not isinstance(book, Book):
        raise InputError(f"`book` must be a Book, was {type(book).__name__}")
    row = model_named(model)
    check_options(model, model_options)
    request = Request(horizon, scenarios, seed, sampler)
    confidence = checked_levels(levels)
    linear = is_linear(book, row.linear, revaluation)
    law = VolatilityLaw(vol_of_vol, spot_vol_correlation, volatility_returns)
    years = horizon / above(periods_per_year, 0.0, "`periods_per_year`")
    engine = engine or shared_engine()
    facts: dict[str, Any] = {"model": model, "seed": seed, "horizon": horizon}
    facts["precision"] = str(engine.dtype).removeprefix("torch.")
    held = bool(book.positions)
    window = checked_window(book, returns, horizon) if held else torch.zeros(0, 0, dtype=torch.float64)
    dates = getattr(returns, "index", None) if hasattr(returns, "columns") else None  # of a frame
    facts["inputs"] = Inputs(book, window, model, model_options, request, confidence, linear, law, years, dates)
    if not held:
        return _empty(book, confidence, facts | {"device": str(engine.device)}, started)
    if len(book.option_index):
        elements = (len(window) + len(book.option_index)) * max(window.shape[1], request.scenarios)
        with torch_alone() if has_loop(engine.device) else threads_for(elements):
            fitted = build(model, window, request, model_options)
            options = OptionTask(book, fitted, request, confidence, law, window, years)
            return _option_assessment(options, engine, evaluate_options(options, engine, team), facts, started)
    with threads_for(len(window) * max(window.shape[1], request.scenarios)):
        fitted = build(model, window, request, model_options)
        task = Task(book.exposures, fitted, request, confidence, linear)
        figures = evaluate(task, engine, team)
    facts |= {
        "sampler": request.sampler if fitted.drawn else "empirical",
        "scenarios": fitted.count,
        "model_details": dict(fitted.details) | {"revaluation": "linear" if linear else "full"},
    }
    return _assessment(book, task, engine, figures, facts, started)


def is_linear(book: Book, default: bool, revaluation: str | None) -> bool:
    """Whether the book's P&L is taken linear in the log return, `default` being the model's way."""
    if revaluation not in (None, *REVALUATIONS):
        raise InputError(f"`revaluation` must be one of {', '.join(REVALUATIONS)}, was {revaluation!r}")
    if len(book.option_index):
        if revaluation == "linear":
            raise InputError("`revaluation` of a book with options must be full, was 'linear'")
        return False
    return default if revaluation is None else revaluation == "linear"


def checked_levels(levels: Sequence[float]) -> tuple[float, ...]:
    """Return confidence levels as floats, each in (0.5, 1)."""
    try:
        confidence = tuple(float(level) for level in levels)
    except (TypeError, ValueError):
        raise InputError(f"`levels` must be a sequence of numbers such as (0.95, 0.99), was {levels!r}") from None
    check_levels(None, confidence)
    return confidence


def checked_window(book: Book, returns: ArrayLike, horizon: int) -> Tensor:
    """The history as a contiguous float64 tensor of shape (assets, periods)."""
    history = _history(returns)
    names = getattr(returns, "columns", None)
    if names is not None:
        history = _by_name(book, history, [str(name) for name in names])
    if history.ndim == 1 and len(book.instruments) == 1:
        history = history[:, None]
    if history.ndim != 2 or history.shape[1] != len(book.instruments):
        raise InputError(
            f"`returns` must be of shape (periods, {len(book.instruments)}), a column for each instrument of the "
            f"book, was of shape {history.shape}"
        )
    if len(history) < max(2, horizon):
        raise InputError(f"`returns` must hold at least {max(2, horizon)} periods, held {len(history)}")
    if not np.isfinite(history).all():
        period, column = np.argwhere(~np.isfinite(history))[0]
        name, number = book.instruments[column], history[period, column]
        raise InputError(f"`returns` must be finite, was {number} for {name} in period {period}")
    return torch.from_numpy(np.array(history.T, order="C"))


def _history(returns: ArrayLike) -> Array:
    if isinstance(returns, Tensor):
        returns = returns.detach().cpu().numpy()
    try:
        return np.asarray(returns, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"`returns` must be a matrix of numbers: {error}") from None


def _by_name(book: Book, history: Array, names: list[str]) -> Array:
    """Columns of a frame in the order of the book, where the frame knows the book's names; else as they are."""
    known = [name for name in book.instruments if name in names]
    if not known:
        return history
    for name in book.instruments:
        if names.count(name) != 1:
            raise InputError(f"`returns` must have one column {name}, had {names.count(name)}")
    return history[:, [names.index(name) for name in book.instruments]]


def _assessment(
    book: Book, task: Task, engine: ComputeEngine, figures: Figures, facts: Mapping[str, Any], started: float
) -> RiskAssessment:
    index, values = book.instrument_index, book.values
    by_level = partial(_by_level, task.levels)

    def incremental() -> dict[float, Array]:
        return by_level(figures.var[:, None] - losses_without(task, values, index.tolist(), engine))

    marginal_var, marginal_es = figures.marginal_var[:, index], figures.marginal_es[:, index]
    return RiskAssessment(
        book=book,
        value=book.value,
        var=by_level(figures.var),
        es=by_level(figures.es),
        var_se=by_level(figures.var_se),
        es_se=by_level(figures.es_se),
        component_var=by_level(marginal_var * values),
        component_es=by_level(marginal_es * values),
        marginal_var=by_level(marginal_var),
        marginal_es=by_level(marginal_es),
        device=figures.device,
        worst_loss=figures.worst_loss,
        worst_scenario=figures.worst_unit[index] * values,
        drift=figures.drift,
        milliseconds=(time.perf_counter() - started) * 1e3,
        _incremental=incremental,
        **facts,
    )


def _option_assessment(
    task: OptionTask, engine: ComputeEngine, figures: OptionFigures, facts: Mapping[str, Any], started: float
) -> RiskAssessment:
    by_level, fitted, names = partial(_by_level, task.levels), task.scenarios, task.book.instruments
    moving = [names[row] for row in task.volatility_rows[0]]
    law = [dict(zip(moving, row.tolist(), strict=True)) for row in task.volatility_law]
    by_name: dict[str, Any] = {name: by_level(getattr(figures, name)) for name in _OPTION_FIGURES}
    return RiskAssessment(
        book=task.book,
        value=task.book.value,
        **by_name,
        device=figures.device,
        worst_loss=figures.worst_loss,
        worst_scenario=figures.worst_scenario,
        drift=figures.drift,
        sampler=task.request.sampler if fitted.drawn or task.noisy else "empirical",
        scenarios=fitted.count,
        model_details={
            **fitted.details,
            "revaluation": "full",
            "vol_of_vol": law[0],
            "spot_vol_correlation": law[1],
        },
        milliseconds=(time.perf_counter() - started) * 1e3,
        _incremental=lambda: by_level(figures.var[:, None] - option_losses_without(task, engine)),
        **facts,
    )


def _by_level(levels: Sequence[float], rows: Array) -> dict[float, Any]:
    return dict(zip(levels, rows.tolist() if rows.ndim == 1 else rows, strict=True))


def _empty(book: Book, levels: tuple[float, ...], facts: Mapping[str, Any], started: float) -> RiskAssessment:
    """A book without positions cannot lose: zeros, from no scenario."""
    zeros, nothing = dict.fromkeys(levels, 0.0), dict.fromkeys(levels, np.zeros(0))
    return RiskAssessment(
        book=book,
        value=0.0,
        var=zeros,
        es=zeros,
        var_se=zeros,
        es_se=zeros,
        component_var=nothing,
        component_es=nothing,
        marginal_var=nothing,
        marginal_es=nothing,
        worst_loss=0.0,
        worst_scenario=np.zeros(0),
        sampler="none",
        model_details={},
        scenarios=0,
        drift=None,
        milliseconds=(time.perf_counter() - started) * 1e3,
        _incremental=lambda: nothing,
        **facts,
    )
