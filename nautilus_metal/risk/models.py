"""Scenario models: from a window of returns to joint scenarios of the next periods; each is a row of `MODELS`."""

import inspect
import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from nautilus_metal.engine import threads_for
from nautilus_metal.errors import InputError
from nautilus_metal.kernels import covariance as estimators
from nautilus_metal.kernels.garch_fit import LEAST_PERIODS
from nautilus_metal.kernels.volatility import conditional_variance, ewma_filter, standardise
from nautilus_metal.risk.copula import gaussian_copula, t_copula
from nautilus_metal.risk.degrees import fit_degrees
from nautilus_metal.risk.filtered import filtered_historical
from nautilus_metal.risk.garch import INNOVATIONS, garch, gjr
from nautilus_metal.risk.jumps import jump_diffusion
from nautilus_metal.risk.request import Request, Scenarios, empirical, overlapping, refuse_unused

MEANS = ("zero", "sample")


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
    least : int
        Periods of history that it needs.
    """

    build: Callable[..., Scenarios]
    linear: bool
    least: int = 2

    @cached_property
    def options(self) -> tuple[str, ...]:
        """Names of the options that the model takes."""
        return tuple(inspect.signature(self.build).parameters)[2:]


def normal(
    window: Tensor,
    request: Request,
    covariance: str = "sample",
    mean: str = "zero",
    decay: float | None = None,
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
    decay : float, optional
        Of "ewma", 0.94 if not given.
    degrees : float, optional
        Of a Student-t with the same covariance; None for the normal law.
    """
    details: dict[str, Any] = {"covariance": covariance, "mean": mean}
    if covariance == "ewma":
        details["decay"] = _EWMA_DECAY if decay is None else decay
        sigma = estimators.ewma_covariance(window, details["decay"])
    elif covariance in _PLAIN_ESTIMATORS:
        refuse_unused(f"covariance={covariance!r}", decay=decay)
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
        details=details | ({} if degrees is None else {"degrees": degrees}),
    )


_EWMA_DECAY = 0.94  # RiskMetrics (1996) for daily returns
_PLAIN_ESTIMATORS = {
    "sample": estimators.sample_covariance,
    "ledoit_wolf": estimators.ledoit_wolf_covariance,
}


def student_t(
    window: Tensor,
    request: Request,
    covariance: str = "sample",
    mean: str = "zero",
    decay: float | None = None,
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
        Degrees of freedom, above 2; fitted by maximum likelihood over `risk.degrees.DEGREES_GRID` where not given.
    """
    if degrees is None:
        degrees = fit_degrees(_squares(window, covariance, _EWMA_DECAY if decay is None else decay))
    if not 2 < degrees < math.inf:
        raise InputError(f"`degrees` must be a number above 2, was {degrees}")
    return normal(window, request, covariance, mean, decay, float(degrees))


def historical(window: Tensor, request: Request) -> Scenarios:
    r"""The window itself: each past period, or overlapping run of periods, is one scenario of equal weight.

    The number of scenarios is that of the window, whatever was asked for: repeating them adds no information.
    Overlapping runs share returns, which widens the standard errors by :math:`\sqrt{\sum_{|k|<h} (1-|k|/h)^2}`, the
    sum of the squared autocorrelations of sums over h periods.
    """
    horizon = request.horizon
    overlap = math.sqrt((2 * horizon**2 + 1) / (3 * horizon))
    sums = overlapping(window, horizon)
    return empirical(sums, torch.ones_like(window[:, 0]), {}, drawn=False, error_scale=overlap)


MODELS: dict[str, Model] = {
    "normal": Model(normal, linear=True),
    "student_t": Model(student_t, linear=True),
    "historical": Model(historical, linear=False),
    "filtered_historical": Model(filtered_historical, linear=False),
    "garch": Model(garch, linear=False, least=LEAST_PERIODS),
    "gjr": Model(gjr, linear=False, least=LEAST_PERIODS),
    "jump_diffusion": Model(jump_diffusion, linear=False),
    "gaussian_copula": Model(gaussian_copula, linear=False),
    "t_copula": Model(t_copula, linear=False),
}


_NUMBERS = ("decay", "degrees", "alpha", "beta", "gamma")


def model_named(name: str) -> Model:
    """Return the table's row `name`."""
    if not isinstance(name, str) or name not in MODELS:
        raise InputError(f"`model` must be one of {', '.join(MODELS)}, was {name!r}")
    return MODELS[name]


def build(name: str, window: Tensor, request: Request, options: Mapping[str, Any]) -> Scenarios:
    """Fit the model of the table's row `name`; errors as for `check_options`."""
    check_options(name, options)
    row = MODELS[name]
    # Models with a closed form are fitted to the window alone: more threads would only wait for each other.
    with threads_for(window.numel()) if row.linear else nullcontext():
        return row.build(window, request, **options)


def scenario_count(name: str, periods: int, request: Request, options: Mapping[str, Any] | None = None) -> int:
    """Count the scenarios that a model makes from a window of `periods` returns.

    Raises
    ------
    InputError
        If the model needs more periods.
    """
    least = model_named(name).least
    if periods < least:
        raise InputError(f"the model {name} needs a history of at least {least} periods, was given {periods}")
    if name == "historical":
        return periods - request.horizon + 1
    dates = name == "filtered_historical" or (options or {}).get("innovations") == "empirical"
    return periods if dates and request.horizon == 1 else request.scenarios


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
    for option, value in options.items():
        if option in _NUMBERS and value is not None and (isinstance(value, bool) or not isinstance(value, Real)):
            raise InputError(f"`{option}` must be a number, was {value!r}")
    if options.get("innovations", INNOVATIONS[0]) not in INNOVATIONS:
        raise InputError(f"`innovations` must be one of {', '.join(INNOVATIONS)}, was {options['innovations']!r}")


def _squares(window: Tensor, covariance: str, decay: float) -> Tensor:
    """Squares in units of the variance that the covariance stands for: conditional for "ewma", else the window's."""
    if covariance == "ewma":
        return standardise(window, conditional_variance(window, ewma_filter(decay))[:, :-1]).square()
    squares = (window - window.mean(dim=-1, keepdim=True)).square_()
    return squares.div_(squares.mean(dim=-1, keepdim=True).clamp(min=1e-300))


def _expected(window: Tensor, mean: str) -> Tensor:
    if mean not in MEANS:
        raise InputError(f"`mean` must be one of {', '.join(MEANS)}, was {mean!r}")
    return window.mean(dim=-1) if mean == "sample" else torch.zeros(len(window), dtype=window.dtype)
