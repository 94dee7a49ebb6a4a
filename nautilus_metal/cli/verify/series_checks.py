"""Checks of the kernels over price histories."""

from functools import cache

import numpy as np
from torch import Tensor

from nautilus_metal.cli.verify.check import Check
from nautilus_metal.engine import ComputeEngine
from nautilus_metal.kernels.averages import MOVING_AVERAGES
from nautilus_metal.kernels.bollinger import bollinger_moments, bollinger_moments_of_averages
from nautilus_metal.kernels.covariance import ewma_covariance, ledoit_wolf_covariance, sample_covariance
from nautilus_metal.kernels.macd import macd, macd_of_averages
from nautilus_metal.kernels.recurrence import linear_recurrence
from nautilus_metal.kernels.rsi import rsi, rsi_of_averages
from nautilus_metal.kernels.volatility import conditional_variance, garch_filter, standardise
from nautilus_metal.kernels.windows import window_moments

# `engine.histories` states an RSI within 5e-3 of 100 and the rest within 1e-3 of the moves for float32; these are
# relative to the largest figure.
RSI_TOLERANCE = 5e-5
MOVES_TOLERANCE = 1e-4
SUM_TOLERANCE = 1e-5
SERIES, BARS = 8, 3_000


@cache
def _returns() -> np.ndarray:
    return np.random.default_rng(7).standard_t(5, size=(SERIES, BARS)) * 0.01


@cache
def _prices() -> np.ndarray:
    """Prices less the first of each series, as histories go to a device without float64."""
    prices = 100 * np.exp(np.cumsum(_returns(), axis=1))
    return prices - prices[:, :1]


def _x(engine: ComputeEngine) -> Tensor:
    return engine.upload(_prices())


def _r(engine: ComputeEngine) -> Tensor:
    return engine.upload(_returns())


def _decays(engine: ComputeEngine) -> Tensor:
    return engine.upload(np.linspace(0.5, 0.99, SERIES))


def _variance(engine: ComputeEngine) -> tuple[Tensor, Tensor]:
    variance = conditional_variance(_r(engine), garch_filter(0.06, 0.9, 0.04))
    return variance, standardise(_r(engine), variance[:, :-1])


def _average(name: str) -> Check:
    return Check(
        f"averages.{name.lower()}", lambda engine: [MOVING_AVERAGES[name](_x(engine), 20)], MOVES_TOLERANCE
    )


CHECKS: tuple[Check, ...] = (
    Check("recurrence.linear_recurrence", lambda e: [linear_recurrence(_r(e), 0.97)], SUM_TOLERANCE),
    Check(
        "recurrence.linear_recurrence, a decay each",
        lambda e: [linear_recurrence(_r(e), _decays(e), initial=0.5)],
        SUM_TOLERANCE,
    ),
    Check("windows.window_moments", lambda e: window_moments(_x(e), 20), MOVES_TOLERANCE),
    Check("windows.window_moments, not contiguous", lambda e: window_moments(_x(e).T[::2].T, 20), MOVES_TOLERANCE),
    *map(_average, MOVING_AVERAGES),
    Check("rsi.rsi", lambda e: [rsi(_x(e), [2, 14, 200])], RSI_TOLERANCE),
    Check("rsi.rsi_of_averages", lambda e: [rsi_of_averages(_x(e), 14, "SIMPLE")], RSI_TOLERANCE),
    Check("macd.macd", lambda e: macd(_x(e), [(12, 26, 9), (5, 35, 5)]), MOVES_TOLERANCE),
    Check("macd.macd_of_averages", lambda e: macd_of_averages(_x(e), 12, 26, 9, "EXPONENTIAL"), MOVES_TOLERANCE),
    Check("bollinger.bollinger_moments", lambda e: bollinger_moments(_x(e), 20), MOVES_TOLERANCE),
    Check(
        "bollinger.bollinger_moments_of_averages",
        lambda e: bollinger_moments_of_averages(_x(e), 20, "HULL"),
        MOVES_TOLERANCE,
    ),
    Check("covariance.sample_covariance", lambda e: [sample_covariance(_r(e))], SUM_TOLERANCE),
    Check("covariance.ewma_covariance", lambda e: [ewma_covariance(_r(e))], SUM_TOLERANCE),
    Check("covariance.ledoit_wolf_covariance", lambda e: [ledoit_wolf_covariance(_r(e))], SUM_TOLERANCE),
    Check("volatility.conditional_variance", _variance, SUM_TOLERANCE),
)
