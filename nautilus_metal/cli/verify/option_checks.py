"""Checks of the option kernels and of prices by simulation."""

from functools import cache, partial
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nautilus_metal.cli.verify.check import Check, Outputs
from nautilus_metal.engine import ComputeEngine
from nautilus_metal.kernels import black_scholes
from nautilus_metal.kernels.gaussian import normal_cdf, normal_density
from nautilus_metal.risk.pricing import price_option

SPOT, RATE, YIELD = 100.0, 0.03, 0.01
FORMULA_TOLERANCE = 1e-5  # of the largest price of the grid
GREEK_TOLERANCE = 1e-4
CDF_TOLERANCE = 1e-6
VOLATILITY_TOLERANCE = 1e-4
SIMULATION_TOLERANCE = 5e-5
DELTA_TOLERANCE = 5e-3  # a barrier's delta is what two large parts leave
EXERCISE_TOLERANCE = 1e-3  # a path may be exercised a date later by rounding

PATHS = 4_096
MARKET: dict[str, Any] = {"spot": 100.0, "strike": 105.0, "expiry": 1.0, "rate": 0.04, "volatility": 0.25}
HESTON = {"model": "heston", "mean_reversion": 1.5, "long_run_volatility": 0.3, "volatility_of_variance": 0.6}
MERTON = {"model": "merton", "jump_intensity": 0.8, "jump_mean": -0.1, "jump_std": 0.2}
PAIR = {"spot": (100.0, 90.0), "volatility": (0.25, 0.35), "dividend_yield": (0.01, 0.02), "correlation": 0.4}
# A simulated contract of each kind of path: style, what it takes, name.
CONTRACTS: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("european", {}, "paths.black_scholes_paths"),
    ("asian", {"observations": 12}, "payoffs.average"),
    ("barrier", {"barrier": 130.0, "barrier_type": "up_and_out"}, "payoffs.survival"),
    ("lookback", {}, "payoffs.lookback"),
    ("basket", PAIR | {"strike": 95.0, "weights": (0.5, 0.5)}, "paths, two assets"),
    ("european", MERTON, "merton.merton_paths"),
    ("european", HESTON | {"spot_correlation": -0.6}, "heston.heston_paths"),
)


@cache
def _grid() -> np.ndarray:
    """Rows of strikes, expiries and volatilities, out to where a price underflows."""
    strikes, expiries = (20.0, 60.0, 95.0, 100.0, 100.001, 105.0, 160.0, 500.0), (1 / 365, 0.1, 1.0, 10.0)
    return np.array(list(product(strikes, expiries, (0.01, 0.2, 0.8, 3.0)))).T


def _terms(engine: ComputeEngine) -> tuple[float, Tensor, Tensor, float, Tensor, float]:
    strike, expiry, volatility = (engine.upload(row) for row in _grid())
    return SPOT, strike, expiry, RATE, volatility, YIELD


def _cdf(engine: ComputeEngine) -> Outputs:
    x = engine.upload(np.linspace(-12.0, 12.0, 4_001))
    return [normal_cdf(x), normal_density(x)]


def _prices(engine: ComputeEngine) -> Outputs:
    terms = _terms(engine)
    return [black_scholes.price(*terms, kind) for kind in ("call", "put")]


@cache
def _quotes() -> tuple[Tensor, ...]:
    """Out-of-the-money prices worth a quote, with strikes, expiries and the sign of the option, in float64."""
    grid = np.array(list(product(np.linspace(80.0, 125.0, 10), (0.1, 0.5, 2.0)))).T
    strike, expiry = (torch.tensor(row) for row in grid)
    sign = torch.where(strike >= SPOT, 1.0, -1.0).to(torch.float64)
    return black_scholes.price(SPOT, strike, expiry, RATE, 0.3, YIELD, sign), strike, expiry, sign


def _implied(engine: ComputeEngine) -> Outputs:
    quote, strike, expiry, sign = (engine.upload(column) for column in _quotes())
    found = black_scholes.implied_volatility(quote, SPOT, strike, expiry, RATE, YIELD, sign)
    return [found.volatility, found.reason]


def _simulated(kind: str, style: str, asked: dict[str, Any], figure: str, engine: ComputeEngine) -> Outputs:
    found = price_option(kind, style, **(MARKET | asked), num_simulations=PATHS, seed=11, engine=engine)
    return [found.price if figure == "price" else np.asarray(found.greeks[figure])]


def _contracts() -> list[Check]:
    rows = []
    for style, asked, name in CONTRACTS:
        rows.append(Check(name, partial(_simulated, "call", style, asked, "price"), SIMULATION_TOLERANCE))
        rows.append(Check(f"{name}, delta", partial(_simulated, "call", style, asked, "delta"), DELTA_TOLERANCE))
    return rows


CHECKS: tuple[Check, ...] = (
    Check("gaussian.normal_cdf", _cdf, CDF_TOLERANCE),
    Check("black_scholes.price", _prices, FORMULA_TOLERANCE),
    Check("black_scholes.greeks", lambda e: black_scholes.greeks(*_terms(e), "put"), GREEK_TOLERANCE),
    Check("black_scholes.digital", lambda e: [black_scholes.digital(*_terms(e), "call")], GREEK_TOLERANCE),
    Check("implied_volatility.implied_volatility", _implied, VOLATILITY_TOLERANCE),
    *_contracts(),
    Check(
        "longstaff_schwartz.stopped_value", partial(_simulated, "put", "american", {}, "price"), EXERCISE_TOLERANCE
    ),
)
