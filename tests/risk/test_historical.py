"""The models made of history against slow float64 loops."""

import numpy as np
import pytest
from scipy.stats.mstats import hdquantiles

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.errors import InputError
from nautilus_metal.kernels.normals import uniforms
from nautilus_metal.risk import Book, RiskAssessment, assess
from tests.kernels.test_tail import shortfall_by_loop
from tests.risk.cases import history, random_book

LEVELS = (0.9, 0.95, 0.99)
CLOSE = 3e-6  # of float32 sums, relative


def agree(risk: RiskAssessment, losses: np.ndarray) -> None:
    """Compare every figure with those of a float64 sample of losses."""
    assert risk.scenarios == len(losses)
    for level in LEVELS:
        assert risk.var[level] == pytest.approx(float(hdquantiles(losses, [level])[0]), rel=CLOSE)
        assert risk.es[level] == pytest.approx(shortfall_by_loop(losses, level), rel=CLOSE)
    assert risk.worst_loss == pytest.approx(losses.max(), rel=CLOSE)


def variances(series: np.ndarray, weights: tuple[float, float, float]) -> np.ndarray:
    """Period by period, the one after the last included; the constant targets the series' mean square."""
    alpha, beta, gamma = weights
    long_run, found = (series**2).mean(), [(series[:50] ** 2).mean()]
    for value in series:
        shock = (alpha + gamma * (value < 0)) * value**2
        found.append((1 - alpha - beta - gamma / 2) * long_run + shock + beta * found[-1])
    return np.maximum(found, 0.01 * long_run)


FILTERS = {
    "default": ({}, (0.03, 0.9, 0.06)),
    "default-ewma": ({"filter": "ewma"}, (0.03, 0.97, 0.0)),
    "ewma": ({"filter": "ewma", "decay": 0.9}, (0.1, 0.9, 0.0)),
    "garch": ({"alpha": 0.05, "gamma": 0.0}, (0.05, 0.9, 0.0)),
    "gjr": ({"filter": "garch", "alpha": 0.02, "beta": 0.85, "gamma": 0.2}, (0.02, 0.85, 0.2)),
}


@pytest.mark.parametrize("horizon", [1, 2, 10])
def test_historical_is_the_window_revalued(engine: ComputeEngine, horizon: int) -> None:
    window, book = history(5, 300), random_book(5, 3)
    runs = [window[start : start + horizon].sum(axis=0) for start in range(300 - horizon + 1)]
    losses = np.array([-sum(book.exposures[i] * np.expm1(run[i]) for i in range(5)) for run in runs])
    risk = assess(book, window, "historical", LEVELS, horizon, engine=engine)
    agree(risk, losses)
    assert (risk.sampler, risk.seed, risk.model_details["revaluation"]) == ("empirical", 0, "full")
    linear = assess(book, window, "historical", LEVELS, horizon, engine=engine, revaluation="linear")
    agree(linear, -np.array(runs) @ book.exposures)


@pytest.mark.parametrize("name", FILTERS)
def test_filtered_history_is_past_shocks_at_todays_volatility(engine: ComputeEngine, name: str) -> None:
    options, weights = FILTERS[name]
    window, book = history(5, 300), random_book(5, 4)
    scaled = np.empty_like(window)
    for i in range(5):
        variance = variances(window[:, i], weights)
        scaled[:, i] = window[:, i] / np.sqrt(variance[:-1]) * np.sqrt(variance[-1])
    risk = assess(book, window, "filtered_historical", LEVELS, engine=engine, **options)
    agree(risk, -np.expm1(scaled) @ book.exposures)


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("sampler", ["pseudo", "sobol"])
def test_filtered_history_over_a_horizon_follows_each_path(engine: ComputeEngine, name: str, sampler: str) -> None:
    options, weights = FILTERS[name]
    alpha, beta, gamma = weights
    window, book, horizon, count = history(3, 200), random_book(3, 5), 4, 500
    dates = (uniforms(horizon, count, seed=9, sampler=sampler).numpy() * 200).astype(int)
    assert 0 <= dates.min() <= dates.max() < 200
    losses = np.zeros(count)
    for i in range(3):
        variance = variances(window[:, i], weights)
        shocks, long_run = window[:, i] / np.sqrt(variance[:-1]), (window[:, i] ** 2).mean()
        for path in range(count):
            total, level = 0.0, variance[-1]
            for period in range(horizon):
                step = shocks[dates[period, path]] * np.sqrt(level)
                total += step
                level = (1 - alpha - beta - gamma / 2) * long_run + beta * level
                level += (alpha + gamma * (step < 0)) * step**2
            losses[path] -= book.exposures[i] * np.expm1(total)
    risk = assess(
        book, window, "filtered_historical", LEVELS, horizon, count, 9, engine, sampler=sampler, **options
    )
    agree(risk, losses)
    assert risk.sampler == sampler


@pytest.mark.parametrize("name", ["ewma", "garch"])
def test_shocks_after_stale_prices_stay_measured(name: str) -> None:
    """A halted stock keeps its last price for two years; its first move is a shock, not the end of the world."""
    window = history(2, 750)
    window[100:600, 1] = 0.0
    window[600, 1] = 0.02
    book = Book.linear(quantities=[100, -100], prices=[10, 10])
    with ComputeEngine("cpu") as engine:
        stale = assess(book, window, "filtered_historical", engine=engine, filter=name)
        plain = assess(book, window, "historical", engine=engine)
    assert stale.worst_loss < 3 * plain.worst_loss
    assert stale.es[0.99] < 3 * plain.es[0.99]


def test_a_calm_window_is_not_touched_by_the_floor() -> None:
    window = history(1, 1000)
    window[600:] *= 0.15  # a volatility of a sixth of the window's
    book = Book.linear(quantities=[1], prices=[1])
    with ComputeEngine("cpu", "float64") as engine:
        risk = assess(book, window, "filtered_historical", (0.99,), engine=engine, filter="ewma")
    variance = [(window[:50, 0] ** 2).mean()]
    for value in window[:, 0]:
        variance.append(0.03 * value**2 + 0.97 * variance[-1])
    shocks = window[:, 0] / np.sqrt(variance[:-1]) * np.sqrt(variance[-1])
    assert risk.worst_loss == pytest.approx(-np.expm1(shocks).min(), rel=1e-9)


def test_filtering_follows_the_market() -> None:
    window = history(3, 1000)
    calm, wild = window.copy(), window.copy()
    calm[-60:] /= 3
    wild[-60:] *= 3
    book = Book.linear(quantities=[1, 1, 1], prices=[10, 10, 10])
    with ComputeEngine("cpu") as engine:
        figures = [assess(book, one, "filtered_historical", engine=engine).var[0.99] for one in (calm, window, wild)]
    assert figures[0] < 0.85 * figures[1]
    assert figures[2] > 1.5 * figures[1]


@pytest.mark.parametrize(("horizon", "least"), [(5, 0.8), (10, 0.8)])
def test_errors_of_overlapping_runs_are_the_spread_of_the_estimates(horizon: int, least: float) -> None:
    book, rng = Book.linear(quantities=[-100], prices=[1]), np.random.default_rng(8)
    with ComputeEngine("cpu", "float64") as engine:
        runs = [
            assess(book, 0.01 * rng.normal(size=(1000, 1)), "historical", (0.95,), horizon, engine=engine)
            for _ in range(400)
        ]
    for figure, error in (("var", "var_se"), ("es", "es_se")):
        estimates = np.array([getattr(risk, figure)[0.95] for risk in runs])
        errors = np.array([getattr(risk, error)[0.95] for risk in runs])
        assert least < np.sqrt((errors**2).mean()) / estimates.std() < 1.25


def test_a_short_window_names_the_level_that_it_cannot_hold() -> None:
    book = Book.linear(quantities=[1], prices=[1])
    with ComputeEngine("cpu") as engine:
        for model in ("historical", "filtered_historical"):
            with pytest.raises(InputError, match=r"`levels`: 0\.99 needs at least 100 scenarios, there are 99"):
                assess(book, history(1, 99), model, engine=engine)
            assess(book, history(1, 100), model, scenarios=2, engine=engine)  # the window is the sample
        with pytest.raises(InputError, match="there are 96"):
            assess(book, history(1, 100), "historical", horizon=5, engine=engine)
