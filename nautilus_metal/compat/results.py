"""What the functions of this room return."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nautilus_metal.compat.performance import Operation

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Computed:
    """What made a result.

    Attributes
    ----------
    computation_time_ms : float
        Wall time, the device synchronised.
    metal_accelerated : bool
        Whether a GPU made the figures, Apple's or another one: see `device`.
    device, precision : str
        Where and in what type they were made.
    """

    computation_time_ms: float
    metal_accelerated: bool
    device: str
    precision: str


def made_by(done: Operation, precision: str) -> dict[str, object]:
    """The fields of every result."""
    return {
        "computation_time_ms": done.milliseconds,
        "metal_accelerated": done.on_gpu,
        "device": done.device,
        "precision": precision,
    }


@dataclass(frozen=True, kw_only=True, eq=False)
class OptionsPricingResult(Computed):
    """An option's price with its Greeks and their errors.

    Attributes
    ----------
    option_price : float
        Present value.
    delta, gamma, vega, theta, rho : float or None
        By one unit of the spot, twice so, by 1.00 of volatility, by a year that passes, by 1.00 of the rate. None
        where the device's type could not hold the terms.
    implied_volatility : float or None
        At which the Black-Scholes formula gives `option_price`; None where no volatility does, or the option is not
        European.
    confidence_intervals : mapping of str to (float, float)
        "95%" and "99%", of the price: where its expectation lies, not single payoffs.
    standard_errors : mapping of str to float
        Of "price" and of each Greek.
    num_simulations : int
        Paths that were simulated; 0 where an exact formula was.
    method, sampler : str
        What was used.
    seed : int
        Of the random numbers.
    """

    option_price: float
    delta: float | None
    gamma: float | None
    vega: float | None
    theta: float | None
    rho: float | None
    implied_volatility: float | None
    confidence_intervals: Mapping[str, tuple[float, float]]
    standard_errors: Mapping[str, float | None]
    num_simulations: int
    method: str
    sampler: str
    seed: int


@dataclass(frozen=True, kw_only=True, eq=False)
class TechnicalIndicatorResult(Computed):
    """An indicator over a history, bar by bar.

    Attributes
    ----------
    indicator_name : str
        "RSI", "MACD" or "Bollinger_Bands".
    values : ndarray
        Shape of the prices; NaN before the indicator has enough of them. The RSI, the MACD line, the middle band.
    signals : ndarray of str
        "buy", "sell" or "hold" for each price, by `signal_rule`.
    signal_rule : str
        When it is which.
    confidence : float or None
        In [0, 1], of the last price; None before the indicator has a value there.
    confidence_definition : str
        What that number is. It is no probability.
    lookback_period : int
        The period in bars; of the MACD the slow one.
    signal_line, histogram : ndarray or None
        Of the MACD.
    upper_band, middle_band, lower_band : ndarray or None
        Of Bollinger's bands.
    """

    indicator_name: str
    values: Array
    signals: NDArray[np.str_]
    signal_rule: str
    confidence: float | None
    confidence_definition: str
    lookback_period: int
    signal_line: Array | None = None
    histogram: Array | None = None
    upper_band: Array | None = None
    middle_band: Array | None = None
    lower_band: Array | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class PricePathsResult(Computed):
    """Simulated prices.

    Attributes
    ----------
    paths : ndarray
        Shape (num_steps + 1, num_simulations), the first row being today's price.
    initial_price, time_horizon : float
        As asked for; the horizon in years.
    num_simulations, num_steps : int
        Likewise.
    batches : int
        Parts that the work was done in.
    sampler : str
        "pseudo" or "sobol".
    seed : int
        Of the random numbers.
    """

    paths: NDArray[np.floating]
    initial_price: float
    time_horizon: float
    num_simulations: int
    num_steps: int
    batches: int
    sampler: str
    seed: int

    @property
    def final_prices(self) -> NDArray[np.floating]:
        """Prices at the horizon, shape (num_simulations,)."""
        last: NDArray[np.floating] = self.paths[-1]
        return last


@dataclass(frozen=True, kw_only=True, eq=False)
class CorrelationResult(Computed):
    """Correlations of returns.

    Attributes
    ----------
    correlation_matrix : ndarray
        Shape (assets, assets).
    eigenvalues : ndarray
        Of the matrix, the largest first; they add up to the number of assets.
    explained_variance_ratio : ndarray
        Their shares.
    condition_number : float
        Largest over smallest eigenvalue; inf where the matrix is singular to rounding.
    """

    correlation_matrix: Array
    eigenvalues: Array
    explained_variance_ratio: Array
    condition_number: float


@dataclass(frozen=True, kw_only=True, eq=False)
class VarResult(Computed):
    """Value at risk and expected shortfall of a portfolio; losses are positive.

    Attributes
    ----------
    value_at_risk, expected_shortfall : float
        In the currency of the portfolio's value.
    value_at_risk_error, expected_shortfall_error : float
        Standard errors of both.
    component_var : ndarray
        What each asset adds to the value at risk, shape (assets,).
    confidence_level : float
        As asked for.
    horizon : int
        Periods of the history ahead.
    model : str
        Of the scenarios.
    num_simulations : int
        Scenarios.
    """

    value_at_risk: float
    expected_shortfall: float
    value_at_risk_error: float
    expected_shortfall_error: float
    component_var: Array
    confidence_level: float
    horizon: int
    model: str
    num_simulations: int
