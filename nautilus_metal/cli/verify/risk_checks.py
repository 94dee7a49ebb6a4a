"""Checks of whole risk figures: every scenario model, and options revalued in its scenarios."""

from functools import cache, partial

import numpy as np

from nautilus_metal.cli.verify.check import Check, Outputs
from nautilus_metal.engine import ComputeEngine
from nautilus_metal.risk import MODELS, Book, Option, Position, assess

LEVELS = (0.95, 0.99)
FIGURE_TOLERANCE = 1e-5
ERROR_TOLERANCE = 1e-4
OPTION_TOLERANCE = 5e-5
ASSETS = 12


@cache
def _history() -> np.ndarray:
    rng = np.random.default_rng(9)
    return rng.standard_t(5, size=(750, 1)) * 0.008 + rng.standard_t(5, size=(750, ASSETS)) * 0.01


def _stocks() -> Book:
    rng = np.random.default_rng(2)
    return Book.linear(quantities=rng.integers(-300, 300, ASSETS), prices=rng.uniform(5.0, 400.0, ASSETS))


def _options() -> Book:
    """A stock with calls and puts on it, and another stock."""
    positions = [Position("A", 100, 100.0), Position("B", -50, 40.0)]
    for kind, strike, expiry in (("call", 105.0, 0.25), ("put", 95.0, 0.25), ("put", 80.0, 1.0)):
        terms = Option("A", kind, strike, expiry, volatility=0.2, spot=100.0)
        positions.append(Position(f"{kind} {strike:g} {expiry:g}", -5, 4.0, multiplier=100, option=terms))
    return Book(positions)


def _figures(model: str, engine: ComputeEngine) -> Outputs:
    risk = assess(_stocks(), _history(), model, LEVELS, scenarios=8_000, engine=engine)
    return [list(figure.values()) for figure in (risk.var, risk.es)]


def _errors(model: str, engine: ComputeEngine) -> Outputs:
    risk = assess(_stocks(), _history(), model, LEVELS, scenarios=8_000, engine=engine)
    return [list(figure.values()) for figure in (risk.var_se, risk.es_se)]


def _option_figures(engine: ComputeEngine) -> Outputs:
    risk = assess(
        _options(), _history()[:, :2], "normal", LEVELS, scenarios=8_000, engine=engine,
        vol_of_vol=0.05, spot_vol_correlation=-0.6,
    )
    parts = [list(part.values()) for part in (risk.component_var, risk.component_es)]
    return [list(risk.var.values()), list(risk.es.values()), *parts]


CHECKS: tuple[Check, ...] = (
    *(Check(f"assess, {model}", partial(_figures, model), FIGURE_TOLERANCE) for model in MODELS),
    *(Check(f"assess, {model}, errors", partial(_errors, model), ERROR_TOLERANCE) for model in MODELS),
    Check("assess, options, by option_scenarios", _option_figures, OPTION_TOLERANCE),
)
