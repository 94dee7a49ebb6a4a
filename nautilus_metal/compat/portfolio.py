"""Correlation and value at risk of a portfolio, under the names of the function API."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from nautilus_metal.compat.manager import metal_device_manager
from nautilus_metal.compat.results import Array, CorrelationResult, VarResult, made_by
from nautilus_metal.engine import ComputeEngine
from nautilus_metal.engine.devices import KINDS
from nautilus_metal.errors import InputError
from nautilus_metal.kernels.covariance import sample_covariance
from nautilus_metal.risk import Book, assess
from nautilus_metal.risk.checks import above
from nautilus_metal.risk.pricing_checks import whole

_WORKLOAD = "matrix_operations"


def calculate_correlation_metal(returns: ArrayLike) -> CorrelationResult:
    """Compute the sample correlation of returns.

    Parameters
    ----------
    returns : array_like
        Shape (periods, assets), finite, at least 2 periods; no asset may be constant.

    Returns
    -------
    CorrelationResult
        The matrix with its eigenvalues.

    Raises
    ------
    InputError
        If `returns` is not as above.
    """
    history = checked_returns(returns)
    spread = history.std(axis=0)
    if not (spread > 0).all():
        raise InputError(f"`returns` must vary in every column, were constant in column {int(np.argmin(spread))}")
    scaled = ((history - history.mean(axis=0)) / spread).T  # so that float32 loses nothing to a column's scale
    asked = metal_device_manager.config.workload(_WORKLOAD).precision

    def work(engine: ComputeEngine) -> tuple[Array, torch.dtype]:
        dtype = torch.float32 if asked == "float32" else KINDS[engine.device.type].exact_dtype
        with torch.inference_mode():
            return engine.download(sample_covariance(engine.upload(scaled, dtype))), dtype

    chosen = metal_device_manager.place(_WORKLOAD, "losses", history.size)
    (covariance, dtype), done = metal_device_manager.run("correlation", chosen, work)
    deviation = np.sqrt(np.diag(covariance))
    matrix = covariance / np.outer(deviation, deviation)
    np.fill_diagonal(matrix, 1.0)
    matrix = np.clip(0.5 * (matrix + matrix.T), -1.0, 1.0)
    values = np.linalg.eigvalsh(matrix)[::-1]
    rounding = len(values) * values[0] * np.finfo(np.float64).eps
    return CorrelationResult(
        correlation_matrix=matrix,
        eigenvalues=values,
        explained_variance_ratio=values / len(values),
        condition_number=float(values[0] / values[-1]) if values[-1] > rounding else float("inf"),
        **made_by(done, str(dtype).removeprefix("torch.")),  # type: ignore[arg-type]
    )


def calculate_var_metal(
    returns: ArrayLike,
    weights: ArrayLike | None = None,
    confidence_level: float = 0.95,
    *,
    portfolio_value: float = 1.0,
    horizon: int = 1,
    model: str = "normal",
    num_simulations: int = 10_000,
    seed: int = 0,
    **model_options: Any,
) -> VarResult:
    """Compute value at risk and expected shortfall of a portfolio by simulation; see `risk.assess`.

    Parameters
    ----------
    returns : array_like
        Log returns, shape (periods, assets), or (periods,) of the portfolio itself.
    weights : array_like, optional
        Share of each asset in the portfolio's value, negative for short ones; equal if not given.
    confidence_level : float
        Above 0.5 and below 1.
    portfolio_value : float
        In the currency that the figures are wanted in.
    horizon : int
        Periods ahead.
    model : str
        Of the scenarios: normal, student_t, historical or filtered_historical.
    num_simulations : int
        Scenarios.
    seed : int
        Of the scenarios.
    **model_options
        What the model takes.

    Returns
    -------
    VarResult
        Losses are positive.

    Raises
    ------
    InputError
        If an argument is outside its range.
    """
    history = checked_returns(returns)
    assets = history.shape[1]
    shares = np.full(assets, 1.0 / assets) if weights is None else checked_weights(weights, assets)
    value = above(portfolio_value, 0.0, "`portfolio_value`")
    book = Book.linear(quantities=shares * value, prices=np.ones(assets))
    scenarios = whole("num_simulations", num_simulations, 2)
    chosen = metal_device_manager.place("monte_carlo", "losses", assets * scenarios)
    found, done = metal_device_manager.run(
        "value_at_risk",
        chosen,
        lambda engine: assess(
            book, history, model, (confidence_level,), horizon, scenarios, seed, engine, **model_options
        ),
        lambda risk: risk.device,
    )
    level = found.levels[0]
    return VarResult(
        value_at_risk=found.var[level],
        expected_shortfall=found.es[level],
        value_at_risk_error=found.var_se[level],
        expected_shortfall_error=found.es_se[level],
        component_var=found.component_var[level],
        confidence_level=level,
        horizon=found.horizon,
        model=found.model,
        num_simulations=found.scenarios,
        **made_by(done, found.precision),  # type: ignore[arg-type]
    )


def checked_returns(returns: ArrayLike) -> Array:
    """Returns as finite float64 of shape (periods, assets)."""
    try:
        history = np.asarray(returns, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"`returns` must be a matrix of numbers: {error}") from None
    history = history[:, None] if history.ndim == 1 else history
    if history.ndim != 2 or len(history) < 2 or history.shape[1] < 1:
        raise InputError(f"`returns` must be of shape (periods, assets), at least 2 periods, was {history.shape}")
    if not np.isfinite(history).all():
        period, column = np.argwhere(~np.isfinite(history))[0]
        raise InputError(
            f"`returns` must be finite, was {history[period, column]} in period {period}, column {column}"
        )
    return history


def checked_weights(weights: ArrayLike | Sequence[float], assets: int) -> Array:
    try:
        shares = np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"`weights` must be numbers: {error}") from None
    if shares.shape != (assets,) or not np.isfinite(shares).all():
        raise InputError(f"`weights` must be {assets} finite numbers, one a column of `returns`, was {weights!r}")
    return shares
