"""GARCH(1,1) and GJR volatilities fitted to each asset, with normal, Student-t or past shocks."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nautilus_metal.engine import ComputeEngine, threads_for
from nautilus_metal.engine.fused_garch import fused_likelihood
from nautilus_metal.errors import InputError
from nautilus_metal.kernels import covariance as estimators
from nautilus_metal.kernels.garch import LEAST_DEGREES, GarchParameters, garch_variance
from nautilus_metal.kernels.garch_fit import GarchFit, fit_garch
from nautilus_metal.kernels.volatility import standardise
from nautilus_metal.risk.degrees import fit_degrees
from nautilus_metal.risk.draws import sample_mixing, sample_normals
from nautilus_metal.risk.filtered import floored, from_residuals, volatility_paths
from nautilus_metal.risk.request import Request, Scenarios, empirical

INNOVATIONS = ("normal", "t", "empirical")
_ON_BOUND = 0.05  # degrees of freedom
LAWS = {"normal": "normal", "t": "t", "empirical": "normal"}  # by which the coefficients are fitted


class GarchFits(NamedTuple):
    """What was fitted to a window.

    Attributes
    ----------
    parameters : GarchParameters
        Of each asset, each of shape (assets,).
    start : Tensor
        Variance before the first period, shape (assets,).
    degrees : float or None
        Common degrees of freedom of Student-t shocks.
    details : dict
        What a report says of the fit: medians over the assets, and how many of them are not as asked for.
    """

    parameters: GarchParameters
    start: Tensor
    degrees: float | None
    details: dict[str, Any]


def garch(window: Tensor, request: Request, innovations: str = "t", mean: str = "zero") -> Scenarios:
    """GARCH(1,1) volatilities, fitted to each asset by maximum likelihood.

    Parameters
    ----------
    window : Tensor
        Shape (assets, periods), at least 50 periods.
    request : Request
        What is asked for; with "empirical" over one period the number of scenarios is that of the window.
    innovations : {"t", "normal", "empirical"}
        Shocks in units of their volatility: multivariate Student-t, all assets with common degrees of freedom fitted
        to the residuals of all, or multivariate normal, both with the residuals' correlation, which is constant; or
        the residuals themselves, vectors of one date staying together (filtered historical simulation), their
        coefficients fitted by normal quasi-likelihood.
    mean : {"zero", "constant"}
        Expected return of each asset, a constant being fitted with the coefficients.

    References
    ----------
    Bollerslev (1990), "Modelling the coherence in short-run nominal exchange rates: a multivariate generalized ARCH
    model", Review of Economics and Statistics 72: constant conditional correlation.
    Harvey, Ruiz and Sentana (1992), "Unobserved component time series models with ARCH disturbances", Journal of
    Econometrics 52: the multivariate Student-t innovation.
    Barone-Adesi, Giannopoulos and Vosper (1999), "VaR without correlations for portfolios of derivative securities",
    Journal of Futures Markets 19(5): "empirical".

    Notes
    -----
    A volatility under a tenth of the window's is raised to that, as in `filtered_historical`.
    """
    fits = garch_fits(window[None], False, innovations, mean)[0]
    return garch_scenarios(window, request, fits, innovations)


def gjr(window: Tensor, request: Request, innovations: str = "t", mean: str = "zero") -> Scenarios:
    """GARCH volatilities that answer more to falls (Glosten, Jagannathan and Runkle 1993); see `garch`."""
    fits = garch_fits(window[None], True, innovations, mean)[0]
    return garch_scenarios(window, request, fits, innovations)


def garch_fits(
    windows: Tensor, asymmetric: bool, innovations: str, mean: str = "zero", engine: ComputeEngine | None = None
) -> list[GarchFits]:
    """Fit the assets of many windows in one batch; a window's result does not depend on the others.

    Where the degrees of freedom of an asset end on their bound, its prices are mostly stale: there is no variance to
    speak of, the likelihood has no bound, and the normal law's coefficients stand in.

    Parameters
    ----------
    windows : Tensor
        Shape (windows, assets, periods), float64 on the host.
    asymmetric : bool
        GJR in place of GARCH.
    innovations, mean : str
        As for `garch`.
    engine : ComputeEngine, optional
        Where to fit, in its exact type; on the host if not given, by a compiled loop where there is one.
    """
    if innovations not in INNOVATIONS:
        raise InputError(f"`innovations` must be one of {', '.join(INNOVATIONS)}, was {innovations!r}")
    series = windows if engine is None else engine.upload(windows.numpy(), engine.exact_dtype)
    likelihood, law = fused_likelihood(series.device), LAWS[innovations]
    with threads_for(series.numel()):
        found = _on_host(fit_garch(series, asymmetric, law, mean, likelihood))
        parameters = torch.stack(found.parameters, -1)
        replaced = parameters[..., 5] < LEAST_DEGREES + _ON_BOUND
        if replaced.any():
            plain = _on_host(fit_garch(series[replaced.to(series.device)], asymmetric, "normal", mean, likelihood))
            parameters[replaced] = torch.stack(plain.parameters, -1)
            found.converged[replaced] = plain.converged
    made = []
    for row, window in enumerate(windows):
        p, start = GarchParameters(*parameters[row].unbind(-1)), found.start[row]
        shocks = _shocks_of(window, p, garch_variance(window, p, start))[0] if innovations == "t" else None
        degrees = None if shocks is None else fit_degrees(_unit(shocks.square()))
        moving = ~found.log_likelihood[row].isnan()
        details = {
            "innovations": innovations,
            **{name: _median(getattr(p, name)[moving]) for name in ("alpha", "gamma", "beta")},
            "not_converged": int((moving & ~found.converged[row]).sum()),
            "normal_instead": int(replaced[row].sum()),
        }
        made.append(GarchFits(p, start, degrees, details | ({} if degrees is None else {"degrees": degrees})))
    return made


def _median(values: Tensor) -> float | None:
    return float(values.median()) if len(values) else None


def _shocks_of(window: Tensor, p: GarchParameters, variance: Tensor) -> tuple[Tensor, Tensor]:
    """Past shocks in units of their volatility, shape (assets, periods), and the next period's variance."""
    residuals = window - p.mu[:, None]
    variance = floored(variance, residuals.square().mean(dim=-1))
    return standardise(residuals, variance[:, :-1]), variance[:, -1]


def _on_host(fit: GarchFit) -> GarchFit:
    # in two steps: mps cannot cast to float64, not even on the way out
    *host, start, value = (one.cpu().to(torch.float64) for one in (*fit.parameters, fit.start, fit.log_likelihood))
    return GarchFit(GarchParameters(*host), start, value, fit.converged.cpu(), fit.iterations)


def garch_scenarios(
    window: Tensor, request: Request, fits: GarchFits, innovations: str, variance: Tensor | None = None
) -> Scenarios:
    """Scenarios of the periods after a window by given coefficients, which may come from an earlier window.

    Parameters
    ----------
    window, request, innovations
        As for `garch`.
    fits : GarchFits
        The coefficients; the variance before the first period is theirs too.
    variance : Tensor, optional
        Of each period and the one after the window, shape (assets, periods + 1), where it is known already.
    """
    p = fits.parameters
    shift, details = p.mu * request.horizon, fits.details
    filtered = garch_variance(window, p, fits.start) if variance is None else variance
    shocks, today = _shocks_of(window, p, filtered)
    if innovations == "empirical":
        made = from_residuals(shocks, lambda: _growth(p, shocks), p.omega, today, request, details)
    else:
        root = estimators.factor(estimators.correlation(shocks))
        degrees = fits.degrees
        if request.horizon == 1:
            return Scenarios(today.sqrt()[:, None] * root, shift, request.scenarios, None, degrees, details)
        steps = ((drawn, _growth(p, drawn)) for drawn in _shocks(root, degrees, request))
        paths = volatility_paths(steps, p.omega, today, request.scenarios)
        made = empirical(paths, torch.ones_like(today), details, drawn=True)
    return Scenarios(made.loading, shift, made.count, made.empirical, None, details, made.drawn)


def _unit(squares: Tensor) -> Tensor:
    return squares / squares.mean(dim=-1, keepdim=True).clamp(min=1e-300)


def _growth(p: GarchParameters, shocks: Tensor) -> Tensor:
    """What a variance is multiplied by after shocks of its unit, shape (assets, ...)."""
    weight = p.alpha[:, None] + p.gamma[:, None] * (shocks < 0)
    return p.beta[:, None] + weight * shocks.square()


def _shocks(root: Tensor, degrees: float | None, request: Request) -> Iterator[Tensor]:
    """Yield correlated shocks of unit variance for each period, shape (assets, scenarios)."""
    assets, count = len(root), request.scenarios
    normals = sample_normals(assets * request.horizon, count, request)
    for period in range(request.horizon):
        shocks = root @ normals[period * assets : (period + 1) * assets]
        row = len(normals) + period if period else 0  # after the normals, but for the row that is kept for it
        yield shocks if degrees is None else shocks.mul_(sample_mixing(count, request, degrees, row))
