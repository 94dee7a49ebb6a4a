"""The terms of one option contract and its model, checked: every error names its argument."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nautilus_metal.errors import InputError
from nautilus_metal.kernels.closed_forms import Inputs
from nautilus_metal.kernels.contracts import checked_number, kind_sign
from nautilus_metal.kernels.payoffs import AVERAGES, BARRIERS, LOOKBACKS

REQUIRED = object()

# Options of each style with their defaults; None is chosen by the model or means that there is none.
STYLES: dict[str, dict[str, Any]] = {
    "european": {},
    "digital": {"payout": 1.0},
    "asian": {"average": "arithmetic", "observations": 52},
    "barrier": {"barrier": REQUIRED, "barrier_type": REQUIRED},
    "lookback": {"lookback_type": "fixed"},
    "basket": {"weights": REQUIRED, "correlation": REQUIRED},
    "spread": {"correlation": REQUIRED},
    "american": {"exercise_dates": None},
    "bermudan": {"exercise_dates": REQUIRED},
}
MODELS: dict[str, dict[str, Any]] = {
    "black_scholes": {},
    "merton": {"jump_intensity": REQUIRED, "jump_mean": REQUIRED, "jump_std": REQUIRED},
    "heston": {
        "mean_reversion": REQUIRED,
        "long_run_volatility": REQUIRED,
        "volatility_of_variance": REQUIRED,
        "spot_correlation": REQUIRED,
    },
}
COMMON = {"steps": None, "control_variates": True}
MULTI_ASSET = ("basket", "spread")
_CHOICES = {"average": AVERAGES, "barrier_type": tuple(BARRIERS), "lookback_type": LOOKBACKS}
_WHOLE = ("observations", "exercise_dates", "steps")
_POSITIVE = ("payout", "barrier", "mean_reversion", "volatility_of_variance")
_NOT_NEGATIVE = ("jump_intensity", "jump_std", "long_run_volatility")


@dataclass(frozen=True)
class Terms:
    """A checked contract.

    Attributes
    ----------
    sign : float
        +1 for a call, -1 for a put.
    style, model : str
        Rows of `STYLES` and `MODELS`.
    strike : float
        Exercise price; NaN for a floating lookback.
    inputs : Inputs
        Market, float64; assets on the first axis.
    options : mapping
        Those of the style, the model and `COMMON`.
    correlation : Tensor
        Of the assets, shape (assets, assets), float64.
    """

    sign: float
    style: str
    model: str
    strike: float
    inputs: Inputs
    options: Mapping[str, Any]
    correlation: Tensor

    @property
    def assets(self) -> int:
        """How many underlyings."""
        return len(self.inputs.spot)

    @property
    def total_volatility(self) -> float:
        """Of the first asset up to expiry."""
        return float(self.inputs.volatility[0] * self.inputs.expiry.sqrt())

    def number(self, name: str) -> float:
        """One plain market figure of the first asset, by its name."""
        return float(getattr(self.inputs, name).reshape(-1)[0])


def choice(name: str, value: Any, rows: Any) -> Any:
    """Return `value` if it is one of `rows`."""
    if not isinstance(value, str) or value not in rows:
        raise InputError(f"`{name}` must be one of {', '.join(rows)}, was {value!r}")
    return value


def whole(name: str, value: Any, least: int) -> int:
    """Return `value` as a whole number of at least `least`."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise InputError(f"`{name}` must be a whole number, was {value!r}")
    if value < least:
        raise InputError(f"`{name}` must be at least {least}, was {value}")
    return int(value)


def checked_terms(
    kind: str, style: str, market: Mapping[str, Any], strike: Any, model: str, contract: Mapping[str, Any]
) -> Terms:
    """Check a contract with its market and model.

    Raises
    ------
    InputError
        Naming the first argument that is wrong, missing or unknown.
    """
    sign = kind_sign(kind if isinstance(kind, str) else repr(kind))
    assert isinstance(sign, float)
    choice("style", style, STYLES)
    choice("model", model, MODELS)
    options = _options(style, model, contract)
    assets = _assets(style, market["spot"])
    inputs = Inputs(
        _row("spot", market["spot"], assets, above=0.0),
        _row("volatility", market["volatility"], assets),
        _scalar("rate", market["rate"]),
        _scalar("expiry", market["expiry"]),
        _row("dividend_yield", market["dividend_yield"], assets),
    )
    if assets > 1 and model != "black_scholes":
        raise InputError(f"`model` must be 'black_scholes' for style {style!r}, was {model!r}")
    correlation = torch.eye(assets, dtype=torch.float64)
    if style in MULTI_ASSET:
        correlation = _correlation(options["correlation"], assets)
        if "weights" in options:
            options["weights"] = _row("weights", options["weights"], assets)
    return Terms(sign, style, model, _strike(style, strike, options), inputs, options, correlation)


def _strike(style: str, strike: Any, options: Mapping[str, Any]) -> float:
    if options.get("lookback_type") == "floating":
        if strike is not None:
            raise InputError(f"`strike` must be None for a floating lookback, was {strike!r}")
        return math.nan
    if strike is None:
        raise InputError(f"`strike` must be given for style {style!r}")
    return checked_number("strike", strike, above=None if style in MULTI_ASSET else 0.0)


def _options(style: str, model: str, contract: Mapping[str, Any]) -> dict[str, Any]:
    known = STYLES[style] | MODELS[model] | COMMON
    for name in contract:
        if name not in known:
            allowed = ", ".join(f"`{each}`" for each in known)
            raise InputError(f"`{name}` is no option of style {style!r} under model {model!r}; they are {allowed}")
    options = known | dict(contract)
    for name, value in options.items():
        if value is REQUIRED:
            raise InputError(f"`{name}` must be given for style {style!r} under model {model!r}")
        options[name] = _option(name, value)
    return options


def _option(name: str, value: Any) -> Any:
    if name in _CHOICES:
        return choice(name, value, _CHOICES[name])
    if name in _WHOLE:
        return None if value is None else whole(name, value, 1)
    if name in ("weights", "correlation"):
        return value
    if name == "control_variates":
        if not isinstance(value, bool):
            raise InputError(f"`control_variates` must be True or False, was {value!r}")
        return value
    number = checked_number(name, value, above=0.0 if name in _POSITIVE else None)
    if name in _NOT_NEGATIVE and number < 0:
        raise InputError(f"`{name}` must be at least 0, was {number}")
    if name == "spot_correlation" and not -1.0 < number < 1.0:
        raise InputError(f"`spot_correlation` must lie between -1 and 1, was {number}")
    return number


def _assets(style: str, spot: Any) -> int:
    array = _array("spot", spot)
    if style not in MULTI_ASSET:
        if array.ndim:
            raise InputError(f"`spot` must be one number for style {style!r}, was of shape {array.shape}")
        return 1
    if array.ndim != 1 or len(array) < 2 or (style == "spread" and len(array) != 2):
        wanted = "two prices" if style == "spread" else "a sequence of at least two prices"
        raise InputError(f"`spot` must be {wanted} for style {style!r}, was of shape {array.shape}")
    return len(array)


def _array(name: str, value: Any) -> np.ndarray:
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"`{name}` must be numbers, was {value!r}") from None


def _row(name: str, value: Any, assets: int, above: float | None = None) -> Tensor:
    array = _array(name, value)
    if array.shape not in ((), (assets,)):
        raise InputError(f"`{name}` must be one number or {assets}, was of shape {array.shape}")
    for number in array.reshape(-1):
        checked_number(name, float(number), above)
    return torch.from_numpy(np.broadcast_to(array, (assets,)).copy())


def _scalar(name: str, value: Any) -> Tensor:
    return torch.tensor(checked_number(name, value), dtype=torch.float64)


def _correlation(value: Any, assets: int) -> Tensor:
    """A number for every pair, or a matrix; must have a Cholesky factor."""
    array = _array("correlation", value)
    if array.ndim == 0:
        array = np.where(np.eye(assets, dtype=bool), 1.0, array)
    if array.shape != (assets, assets):
        square = (assets, assets)
        raise InputError(f"`correlation` must be one number or of shape {square}, was of shape {array.shape}")
    if not np.isfinite(array).all():
        raise InputError("`correlation` must be finite, held a NaN or an infinity")
    if not np.allclose(array, array.T) or not np.allclose(np.diag(array), 1.0):
        raise InputError("`correlation` must be symmetric with a diagonal of ones")
    lowest = float(np.linalg.eigvalsh(array)[0])
    if lowest < -1e-10:
        raise InputError(f"`correlation` must be positive semi-definite, had the eigenvalue {lowest:.3g}")
    return torch.from_numpy(array.copy())
