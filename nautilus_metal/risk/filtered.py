"""Filtered historical simulation: past shocks at today's volatility."""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from nautilus_metal.engine.fused_volatility import fused_shocks
from nautilus_metal.errors import InputError
from nautilus_metal.kernels.normals import uniforms
from nautilus_metal.kernels.volatility import (
    VarianceFilter,
    ewma_filter,
    garch_filter,
    variance_innovation,
)
from nautilus_metal.risk.request import Request, Scenarios, empirical, refuse_unused

_LEAST_VARIANCE = 0.01  # of the window's
_FILTER_DECAY = 0.97
_GARCH = {"alpha": 0.03, "beta": 0.90, "gamma": 0.06}  # least quantile loss on 1990-2005: backtests/_settings.py


def filtered_historical(
    window: Tensor,
    request: Request,
    filter: str = "garch",  # noqa: A002 - the literature's word
    decay: float | None = None,
    alpha: float | None = None,
    beta: float | None = None,
    gamma: float | None = None,
) -> Scenarios:
    """Past returns in units of their own volatility, brought to today's volatility asset by asset.

    Vectors of one date stay together, which keeps the dependence between assets without a model of it. Over one
    period each date is one scenario; over several, dates are drawn with replacement and the volatility follows
    each path. A volatility under a tenth of the window's is raised to that: stale prices, not calm markets, bring it
    so low, and the first move after them would count as a shock without measure.

    Parameters
    ----------
    window : Tensor
        Shape (assets, periods).
    request : Request
        What is asked for; over one period the number of scenarios is that of the window.
    filter : {"garch", "ewma"}
        Volatility filter; "garch" with `gamma` above zero is the GJR filter. Both have their coefficients given,
        the constant of "garch" set by variance targeting.
    decay : float, optional
        Of "ewma", 0.97 if not given.
    alpha, beta, gamma : float, optional
        Of "garch"; 0.03, 0.90 and 0.06 if not given.

    References
    ----------
    Barone-Adesi, Giannopoulos and Vosper (1999), "VaR without correlations for portfolios of derivative
    securities", Journal of Futures Markets 19(5).
    Hull and White (1998), "Incorporating volatility updating into the historical simulation method for VaR",
    Journal of Risk 1(1).
    """
    coefficients, details = _chosen_filter(filter, decay, {"alpha": alpha, "beta": beta, "gamma": gamma})
    long_run = window.square().mean(dim=-1)
    residuals, variance = fused_shocks(window, coefficients, _LEAST_VARIANCE * long_run)

    # a shock adds its weighted square times the variance of its day, so that it multiplies that variance
    def growth() -> Tensor:
        return coefficients.beta + variance_innovation(residuals, torch.zeros_like(long_run[:, None]), coefficients)

    constant = variance_innovation(torch.zeros_like(long_run), long_run, coefficients)
    return from_residuals(residuals, growth, constant, variance, request, details)


def from_residuals(
    residuals: Tensor,
    growth: Callable[[], Tensor],
    constant: Tensor,
    variance: Tensor,
    request: Request,
    details: Mapping[str, Any],
) -> Scenarios:
    """Scenarios of past shocks at today's variance: the dates themselves over one period, drawn over several.

    Parameters
    ----------
    residuals : Tensor
        In units of their volatility, shape (assets, periods).
    growth : callable
        Gives what a period's variance is multiplied by after each of them, of that shape.
    constant, variance : Tensor
        What is added to it every period, and the variance of the first period ahead, shape (assets,).
    request : Request
        What is asked for.
    details : mapping
        For the report.
    """
    if request.horizon == 1:
        return empirical(residuals, variance.sqrt(), details, drawn=False)
    dates = _dates(residuals.shape[1], request.horizon, request.scenarios, request.seed, request.sampler)
    factors = growth()
    steps = ((residuals.index_select(1, days), factors.index_select(1, days)) for days in dates)
    paths = volatility_paths(steps, constant, variance, request.scenarios)
    return empirical(paths, torch.ones_like(variance), details, drawn=True)


def volatility_paths(
    steps: Iterable[tuple[Tensor, Tensor]], constant: Tensor, variance: Tensor, scenarios: int
) -> Tensor:
    """Sum log returns whose variance follows their shocks, shape (assets, scenarios).

    Parameters
    ----------
    steps : iterable of tuple of Tensor
        For each period the shocks of unit variance, and what they multiply the variance by.
    constant, variance : Tensor
        As for `from_residuals`.
    scenarios : int
        Paths.
    """
    level = variance[:, None].repeat(1, scenarios)
    total = torch.zeros_like(level)
    for shocks, growth in steps:
        total.addcmul_(shocks, level.sqrt())
        level.mul_(growth).add_(constant[:, None])
    return total


def floored(variance: Tensor, long_run: Tensor) -> Tensor:
    """Raise variances, shape (assets, periods), to a hundredth of the window's, shape (assets,)."""
    return torch.maximum(variance, _LEAST_VARIANCE * long_run[:, None])


def _chosen_filter(
    name: str, decay: float | None, garch: Mapping[str, float | None]
) -> tuple[VarianceFilter, dict[str, Any]]:
    if name == "ewma":
        refuse_unused("filter='ewma'", **garch)
        chosen = _FILTER_DECAY if decay is None else decay
        return ewma_filter(chosen), {"filter": name, "decay": chosen}
    if name == "garch":
        refuse_unused("filter='garch'", decay=decay)
        coefficients = _GARCH | {key: number for key, number in garch.items() if number is not None}
        return garch_filter(**coefficients), {"filter": name} | coefficients
    raise InputError(f"`filter` must be one of ewma, garch, was {name!r}")


@lru_cache(maxsize=2)
def _dates(periods: int, horizon: int, scenarios: int, seed: int, sampler: str) -> Tensor:
    """Draw dates of the window with replacement, shape (horizon, scenarios)."""
    draws = uniforms(horizon, scenarios, seed, sampler).mul_(periods)
    return draws.to(torch.int32).clamp_(max=periods - 1)
