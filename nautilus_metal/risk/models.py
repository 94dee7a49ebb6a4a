"""Scenario models: from a window of returns to joint scenarios of the next periods; each is a row of `MODELS`."""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nautilus_metal.errors import InputError
from nautilus_metal.kernels import covariance as estimators
from nautilus_metal.kernels.normals import uniforms
from nautilus_metal.kernels.volatility import (
    VarianceFilter,
    conditional_variance,
    ewma_filter,
    garch_filter,
    standardise,
    variance_innovation,
)

DEGREES_GRID = (2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 30.0, 100.0)
MEANS = ("zero", "sample")


@dataclass(frozen=True)
class Request:
    """What is asked of a model: periods ahead, scenarios, and the stream they come from."""

    horizon: int
    scenarios: int
    seed: int
    sampler: str


@dataclass(frozen=True)
class Scenarios:
    """A model fitted to a window, ready to be evaluated on any device.

    Attributes
    ----------
    loading : Tensor
        Shape (assets, assets), or (assets,) for a diagonal matrix; float64 on the host, like all of these.
    shift : Tensor
        Mean log return over the horizon, shape (assets,).
    count : int
        The number of scenarios.
    empirical : Tensor or None
        Factors taken from history, shape (assets, count); None where they are standard normals of the seed.
    degrees : float or None
        Degrees of freedom of the Student-t mixing variable; None for a normal.
    details : mapping
        What the fit chose, for the report.
    drawn : bool
        Whether the seed and the sampler had a part in them.
    """

    loading: Tensor
    shift: Tensor
    count: int
    empirical: Tensor | None
    degrees: float | None
    details: Mapping[str, Any]
    drawn: bool = True


@dataclass(frozen=True)
class Model:
    """A row of the table of models.

    Attributes
    ----------
    build : callable
        `(window, request, **options) -> Scenarios`, the window float64 of shape (assets, periods).
    linear : bool
        Whether P&L is taken linear in the log return by default (then a normal book has a closed form), or
        revalued in full.
    """

    build: Callable[..., Scenarios]
    linear: bool

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the options that the model takes."""
        return tuple(inspect.signature(self.build).parameters)[2:]


def normal(
    window: Tensor,
    request: Request,
    covariance: str = "sample",
    mean: str = "zero",
    decay: float = 0.94,
    degrees: float | None = None,
) -> Scenarios:
    """Multivariate normal log returns, independent over the periods of the horizon.

    Parameters
    ----------
    window : Tensor
        Shape (assets, periods).
    request : Request
        What is asked for.
    covariance : {"sample", "ewma", "ledoit_wolf"}
        The estimator.
    mean : {"zero", "sample"}
        Expected log return.
    decay : float, default 0.94
        Of "ewma".
    degrees : float, optional
        Of a Student-t with the same covariance; None for the normal law.
    """
    if covariance == "ewma":
        sigma = estimators.ewma_covariance(window, decay)
    elif covariance in _PLAIN_ESTIMATORS:
        sigma = _PLAIN_ESTIMATORS[covariance](window)
    else:
        allowed = ", ".join(["ewma", *_PLAIN_ESTIMATORS])
        raise InputError(f"`covariance` must be one of {allowed}, was {covariance!r}")
    return Scenarios(
        loading=estimators.factor(sigma) * math.sqrt(request.horizon),
        shift=_expected(window, mean) * request.horizon,
        count=request.scenarios,
        empirical=None,
        degrees=degrees,
        details={"covariance": covariance, "mean": mean} | ({} if degrees is None else {"degrees": degrees}),
    )


_PLAIN_ESTIMATORS = {
    "sample": estimators.sample_covariance,
    "ledoit_wolf": estimators.ledoit_wolf_covariance,
}


def student_t(
    window: Tensor,
    request: Request,
    covariance: str = "sample",
    mean: str = "zero",
    decay: float = 0.94,
    degrees: float | None = None,
) -> Scenarios:
    """Multivariate Student-t log returns with the estimated covariance (not scale matrix).

    Over a longer horizon the covariance grows with it and the degrees of freedom stay, which keeps tails a little
    fatter than a sum of independent periods has.

    Parameters
    ----------
    window, request, covariance, mean, decay
        As for the normal model.
    degrees : float, optional
        Degrees of freedom, above 2; fitted by maximum likelihood over `DEGREES_GRID` where not given.
    """
    if degrees is None:
        degrees = fit_degrees(_standardised(window, covariance, decay))
    if not degrees > 2:
        raise InputError(f"`degrees` must be above 2, was {degrees}")
    return normal(window, request, covariance, mean, decay, float(degrees))


def historical(window: Tensor, request: Request) -> Scenarios:
    """The window itself: each past period, or overlapping run of periods, is one scenario of equal weight.

    The number of scenarios is that of the window, whatever was asked for: repeating them adds no information.
    """
    sums = window.unfold(-1, request.horizon, 1).sum(dim=-1) if request.horizon > 1 else window
    return _empirical(sums, torch.ones_like(window[:, 0]), {}, drawn=False)


def filtered_historical(
    window: Tensor,
    request: Request,
    filter: str = "ewma",  # noqa: A002 - the literature's word
    decay: float = 0.97,
    alpha: float = 0.05,
    beta: float = 0.90,
    gamma: float = 0.0,
) -> Scenarios:
    """Past returns in units of their own volatility, brought to today's volatility asset by asset.

    Vectors of one date stay together, which keeps the dependence between assets without a model of it. Over one
    period each date is one scenario; over several, dates are drawn with replacement and the volatility follows
    each path.

    Parameters
    ----------
    window : Tensor
        Shape (assets, periods).
    request : Request
        What is asked for; over one period the number of scenarios is that of the window.
    filter : {"ewma", "garch"}
        Volatility filter; "garch" with `gamma` above zero is the GJR filter. Both have their coefficients given,
        the constant set by variance targeting.
    decay : float, default 0.97
        Of "ewma".
    alpha, beta, gamma : float
        Of "garch".

    References
    ----------
    Barone-Adesi, Giannopoulos and Vosper (1999), "VaR without correlations for portfolios of derivative
    securities", Journal of Futures Markets 19(5).
    Hull and White (1998), "Incorporating volatility updating into the historical simulation method for VaR",
    Journal of Risk 1(1).
    """
    if filter == "ewma":
        coefficients, details = ewma_filter(decay), {"filter": filter, "decay": decay}
    elif filter == "garch":
        coefficients = garch_filter(alpha, beta, gamma)
        details = {"filter": filter, "alpha": alpha, "beta": beta, "gamma": gamma}
    else:
        raise InputError(f"`filter` must be one of ewma, garch, was {filter!r}")
    variance = conditional_variance(window, coefficients)
    residuals = standardise(window, variance[:, :-1])
    if request.horizon == 1:
        return _empirical(residuals, variance[:, -1].sqrt(), details, drawn=False)
    paths = _filtered_paths(residuals, variance[:, -1], (window**2).mean(dim=-1), coefficients, request)
    return _empirical(paths, torch.ones_like(variance[:, -1]), details, drawn=True)


MODELS: dict[str, Model] = {
    "normal": Model(normal, linear=True),
    "student_t": Model(student_t, linear=True),
    "historical": Model(historical, linear=False),
    "filtered_historical": Model(filtered_historical, linear=False),
}


def model_named(name: str) -> Model:
    """Return the table's row `name`."""
    if name not in MODELS:
        raise InputError(f"`model` must be one of {', '.join(MODELS)}, was {name!r}")
    return MODELS[name]


def build(name: str, window: Tensor, request: Request, options: Mapping[str, Any]) -> Scenarios:
    """Fit the model of the table's row `name`; errors as for `check_options`."""
    check_options(name, options)
    return MODELS[name].build(window, request, **options)


def scenario_count(name: str, periods: int, request: Request) -> int:
    """Count the scenarios that a model makes from a window of `periods` returns."""
    if name == "historical":
        return periods - request.horizon + 1
    return periods if name == "filtered_historical" and request.horizon == 1 else request.scenarios


def check_options(name: str, options: Mapping[str, Any]) -> None:
    """Refuse an unknown model, and options that it does not take.

    Raises
    ------
    InputError
        If there is no such model, or it does not take one of the options.
    """
    allowed = tuple(option for option in model_named(name).options if (name, option) != ("normal", "degrees"))
    for option in options:
        if option not in allowed:
            known = ", ".join(allowed) or "none"
            raise InputError(f"`{option}` is no option of the model {name}, which takes {known}")


def fit_degrees(standardised: Tensor) -> float:
    """Choose the degrees of freedom of a unit-variance Student-t by maximum likelihood over `DEGREES_GRID`.

    Parameters
    ----------
    standardised : Tensor
        Returns of unit variance; all elements are pooled.
    """
    squares = (standardised.to(torch.float32) ** 2).flatten()
    likelihoods = []
    for degrees in DEGREES_GRID:
        constant = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2) - 0.5 * math.log(math.pi * (degrees - 2))
        likelihoods.append(constant - (degrees + 1) / 2 * float(torch.log1p(squares / (degrees - 2)).mean()))
    return DEGREES_GRID[max(range(len(likelihoods)), key=likelihoods.__getitem__)]


def _standardised(window: Tensor, covariance: str, decay: float) -> Tensor:
    """In units of the volatility that the covariance stands for: conditional for "ewma", else the window's."""
    if covariance == "ewma":
        return standardise(window, conditional_variance(window, ewma_filter(decay))[:, :-1])
    return standardise(window - window.mean(dim=-1, keepdim=True), window.var(dim=-1, keepdim=True).expand_as(window))


def _expected(window: Tensor, mean: str) -> Tensor:
    if mean not in MEANS:
        raise InputError(f"`mean` must be one of {', '.join(MEANS)}, was {mean!r}")
    return window.mean(dim=-1) if mean == "sample" else torch.zeros_like(window[:, 0])


def _empirical(factors: Tensor, loading: Tensor, details: Mapping[str, Any], drawn: bool) -> Scenarios:
    return Scenarios(loading, torch.zeros_like(loading), factors.shape[1], factors, None, details, drawn)


def _filtered_paths(
    residuals: Tensor, variance: Tensor, long_run: Tensor, coefficients: VarianceFilter, request: Request
) -> Tensor:
    """Sum simulated log returns over the horizon, shape (assets, scenarios)."""
    draws = uniforms(request.horizon, request.scenarios, request.seed, request.sampler)
    dates = (draws * residuals.shape[1]).long().clamp(max=residuals.shape[1] - 1)
    level = variance[:, None].expand(-1, request.scenarios)
    total = torch.zeros_like(level)
    for period in range(request.horizon):
        step = level.sqrt() * residuals[:, dates[period]]
        total = total + step
        level = coefficients.beta * level + variance_innovation(step, long_run[:, None], coefficients)
    return total
