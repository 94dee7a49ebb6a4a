"""Linear books under the parametric models against their closed forms."""

import numpy as np
import pytest
from scipy import stats
from sklearn.covariance import LedoitWolf

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.risk import Book, RiskAssessment, assess
from tests.risk.cases import history, random_book

LEVELS = (0.95, 0.99)
BOOKS = 20
SEED = 1  # 80 pseudo-random figures at three errors: one seed in four has one outside by chance
WINDOW = history(12, 400)


def covariance(name: str) -> np.ndarray:
    if name == "sample":
        return np.cov(WINDOW.T)
    if name == "ledoit_wolf":
        return LedoitWolf().fit(WINDOW).covariance_
    weights = 0.94 ** np.arange(len(WINDOW))[::-1]
    return (WINDOW * (weights / weights.sum())[:, None]).T @ WINDOW


def normal_figures(book: Book, sigma: np.ndarray, mean: np.ndarray, horizon: int) -> dict[str, np.ndarray]:
    spread = np.sqrt(book.exposures @ sigma @ book.exposures * horizon)
    profit = book.exposures @ mean * horizon
    z = stats.norm.ppf(LEVELS)
    return {"var": spread * z - profit, "es": spread * stats.norm.pdf(z) / (1 - np.array(LEVELS)) - profit}


def student_figures(
    book: Book, sigma: np.ndarray, mean: np.ndarray, horizon: int, nu: float
) -> dict[str, np.ndarray]:
    """A portfolio of a multivariate t is a univariate t: McNeil, Frey and Embrechts (2015), chapter 2."""
    spread = np.sqrt(book.exposures @ sigma @ book.exposures * horizon * (nu - 2) / nu)
    profit = book.exposures @ mean * horizon
    q = stats.t.ppf(LEVELS, nu)
    shortfall = stats.t.pdf(q, nu) / (1 - np.array(LEVELS)) * (nu + q**2) / (nu - 1)
    return {"var": spread * q - profit, "es": spread * shortfall - profit}


def distances(risk: RiskAssessment, expected: dict[str, np.ndarray]) -> np.ndarray:
    """Differences in standard errors, all levels of both figures."""
    got = {"var": (risk.var, risk.var_se), "es": (risk.es, risk.es_se)}
    return np.array(
        [(got[m][0][p] - expected[m][i]) / got[m][1][p] for m in ("var", "es") for i, p in enumerate(LEVELS)]
    )


@pytest.mark.parametrize(("mean", "horizon"), [("zero", 1), ("sample", 1), ("zero", 10), ("sample", 10)])
@pytest.mark.parametrize("estimator", ["sample", "ewma", "ledoit_wolf"])
@pytest.mark.parametrize("sampler", ["pseudo", "sobol"])
def test_normal_books_are_within_three_errors(
    engine: ComputeEngine, sampler: str, estimator: str, mean: str, horizon: int
) -> None:
    expected_return = WINDOW.mean(axis=0) if mean == "sample" else np.zeros(12)
    for number in range(BOOKS):
        book = random_book(12, number)
        options = {"covariance": estimator, "mean": mean, "sampler": sampler}
        risk = assess(book, WINDOW, "normal", LEVELS, horizon, seed=SEED, engine=engine, **options)
        expected = normal_figures(book, covariance(estimator), expected_return, horizon)
        assert np.abs(distances(risk, expected)).max() < 3, number


@pytest.mark.parametrize("degrees", [2.5, 3, 5.0, 30])  # up to 4, errors are rough
def test_student_books_are_within_three_errors(engine: ComputeEngine, degrees: float) -> None:
    for number in range(BOOKS):
        book = random_book(12, number)
        options = {"degrees": degrees, "mean": "sample"}
        risk = assess(book, WINDOW, "student_t", LEVELS, 5, seed=SEED, engine=engine, **options)
        expected = student_figures(book, covariance("sample"), WINDOW.mean(axis=0), 5, degrees)
        assert np.abs(distances(risk, expected)).max() < (3 if degrees > 4 else 4), number


@pytest.mark.parametrize("model", ["normal", "student_t"])
def test_errors_are_neither_too_wide_nor_too_narrow(model: str) -> None:
    """Over 250 seeds the distance from the truth in standard errors has mean zero and unit spread."""
    book, options = random_book(12, 0), {} if model == "normal" else {"degrees": 6.0}
    sigma, zero = covariance("sample"), np.zeros(12)
    expected = normal_figures(book, sigma, zero, 1)
    if model == "student_t":
        expected = student_figures(book, sigma, zero, 1, 6.0)
    with ComputeEngine("cpu", "float64") as engine:
        runs = (
            assess(book, WINDOW, model, LEVELS, 1, 4000, seed, engine, sampler="pseudo", **options)
            for seed in range(250)
        )
        found = np.array([distances(risk, expected) for risk in runs])
    assert np.abs(found.mean(axis=0)).max() < 3 / np.sqrt(250) + 0.1  # a little bias of order 1/n is no fault
    assert np.abs(found.std(axis=0) - 1).max() < 0.16


def test_sobol_is_closer_than_its_error_says() -> None:
    with ComputeEngine("cpu") as engine:
        found = []
        for number in range(BOOKS):
            book = random_book(12, number)
            risk = assess(book, WINDOW, levels=LEVELS, scenarios=2**14, sampler="sobol", seed=number, engine=engine)
            expected = normal_figures(book, covariance("sample"), np.zeros(12), 1)
            found.append(distances(risk, expected))
    assert np.std(found) < 0.6


def test_fitted_degrees_are_those_of_the_data() -> None:
    rng = np.random.default_rng(2)
    book = Book.linear(quantities=[1, 1, 1], prices=[1, 1, 1])
    fitted = {}
    with ComputeEngine("cpu") as engine:
        for degrees in (3, 5, 10):
            returns = 0.01 * rng.standard_t(degrees, size=(20_000, 3))
            for estimator in ("sample", "ledoit_wolf"):
                risk = assess(book, returns, "student_t", covariance=estimator, engine=engine)
                fitted[degrees] = risk.model_details["degrees"]
                assert fitted[degrees] == pytest.approx(degrees, rel=0.2)
        returns = 0.01 * rng.normal(size=(20_000, 3))
        assert assess(book, returns, "student_t", engine=engine).model_details["degrees"] >= 30


def test_a_series_that_never_moves_does_not_fatten_the_tails() -> None:
    returns = 0.01 * np.random.default_rng(4).standard_t(8, size=(2000, 4))
    with_constant = np.column_stack([returns, np.zeros(2000), np.zeros(2000)])
    with ComputeEngine("cpu") as engine:
        plain = assess(Book.linear(quantities=[1] * 4, prices=[1] * 4), returns, "student_t", engine=engine)
        mixed = assess(Book.linear(quantities=[1] * 6, prices=[1] * 6), with_constant, "student_t", engine=engine)
    assert mixed.model_details["degrees"] == plain.model_details["degrees"]
