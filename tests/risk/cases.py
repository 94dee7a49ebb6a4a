"""Books and return histories that the tests of risk share."""

import numpy as np

from nautilus_metal.risk import Book, Position, RiskAssessment

MODELS = ("normal", "student_t", "historical", "filtered_historical")

EVERY_MODEL = {
    "normal": {},
    "normal-ewma": {"model": "normal", "covariance": "ewma", "mean": "sample"},
    "normal-ledoit_wolf": {"model": "normal", "covariance": "ledoit_wolf"},
    "normal-sobol": {"model": "normal", "sampler": "sobol"},
    "normal-full": {"model": "normal", "revaluation": "full", "horizon": 5},
    "student_t": {"model": "student_t"},
    "student_t-sobol": {"model": "student_t", "degrees": 4, "sampler": "sobol", "mean": "sample"},
    "historical": {"model": "historical"},
    "historical-linear": {"model": "historical", "revaluation": "linear"},
    "historical-10": {"model": "historical", "horizon": 10},
    "filtered": {"model": "filtered_historical"},
    "filtered-ewma": {"model": "filtered_historical", "filter": "ewma"},
    "filtered-10": {"model": "filtered_historical", "horizon": 10},
}


def history(assets: int = 6, periods: int = 500, seed: int = 0) -> np.ndarray:
    """Heavy-tailed log returns with a market factor, shape (periods, assets)."""
    rng = np.random.default_rng(seed)
    market = rng.standard_t(5, size=(periods, 1)) * 0.008
    own = rng.standard_t(5, size=(periods, assets)) * rng.uniform(0.003, 0.02, size=assets)
    return market + own + 0.0004


def random_book(assets: int, seed: int, short: bool = True) -> Book:
    """Positions long and short, of mixed size, price and multiplier."""
    rng = np.random.default_rng(1000 + seed)
    signs = rng.choice([-1, 1], size=assets) if short else np.ones(assets)
    return Book.linear(
        quantities=signs * rng.integers(1, 500, size=assets),
        prices=rng.uniform(5, 400, size=assets),
        multipliers=rng.choice([1, 10, 100], size=assets),
    )


def crowded_book() -> Book:
    """Several positions of one instrument, two of which offset each other, in two currencies."""
    return Book(
        [
            Position("A", 100, 50.0),
            Position("B", -30, 80.0, currency="EUR"),
            Position("A", 250, 50.0),
            Position("C", 5, 20.0, multiplier=100),
            Position("A", -250, 50.0),
            Position("B", 7, 81.0, currency="EUR"),
        ],
        xrates={"EUR": 1.1},
    )


FIGURES = ("var", "es", "var_se", "es_se")


def figures(risk: RiskAssessment) -> np.ndarray:
    """Every scalar figure in one array."""
    return np.array([getattr(risk, name)[level] for name in FIGURES for level in risk.levels] + [risk.worst_loss])


def split(risk: RiskAssessment) -> np.ndarray:
    """Every component, shape (figures, positions)."""
    return np.array([getattr(risk, f"component_{name}")[level] for name in ("var", "es") for level in risk.levels])
