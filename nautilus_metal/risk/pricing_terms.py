"""The terms of a batch of option contracts of one style and model, checked."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nautilus_metal.errors import InputError
from nautilus_metal.kernels.closed_forms import Inputs
from nautilus_metal.kernels.payoffs import AVERAGES, BARRIERS, LOOKBACKS
from nautilus_metal.risk.pricing_checks import Array, choice, correlation, numbers, per_asset, signs, switch, whole

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
JOINT = {"merton": {"common_jumps": True, "jump_correlation": None}}  # of several assets under a model
COMMON = {"steps": None, "control_variates": True}
MULTI_ASSET = ("basket", "spread")
_CHOICES = {"average": AVERAGES, "barrier_type": tuple(BARRIERS), "lookback_type": LOOKBACKS}
_WHOLE = ("observations", "exercise_dates", "steps")
_SWITCHES = ("control_variates", "common_jumps")
_BY_CONTRACT = ("payout", "barrier", "weights")
_POSITIVE = ("payout", "barrier", "mean_reversion", "volatility_of_variance")
_NOT_NEGATIVE = ("jump_intensity", "jump_std", "long_run_volatility")


@dataclass(frozen=True)
class Terms:
    """Checked contracts; tensors are float64 on the host.

    Attributes
    ----------
    style, model : str
        Rows of `STYLES` and `MODELS`.
    shape : tuple of int
        Of the batch as it was asked for; empty for one contract. Below it is one axis, `contracts`.
    sign, strike : Tensor
        +1 for a call, -1 for a put, and exercise prices (NaN for a floating lookback), shape (contracts,).
    inputs : Inputs
        Market: shape (assets, contracts), or (contracts,) for rate and expiry.
    amounts : mapping of str to Tensor
        Options of each contract: payout and barrier, shape (contracts,), weights, shape (assets, contracts).
    options : mapping
        The other ones of the style, the model and `COMMON`; constants of the model are tuples, one for each asset.
    correlation, jump_correlation : Tensor
        Of the assets, and of their jumps where these are common, shape (assets, assets).
    """

    style: str
    model: str
    shape: tuple[int, ...]
    sign: Tensor
    strike: Tensor
    inputs: Inputs
    amounts: Mapping[str, Tensor]
    options: Mapping[str, Any]
    correlation: Tensor
    jump_correlation: Tensor

    @property
    def assets(self) -> int:
        """How many underlyings each contract has."""
        return self.inputs.spot.shape[0]

    @property
    def contracts(self) -> int:
        """How many there are."""
        return self.sign.shape[0]

    @property
    def certain(self) -> Array:
        """Which contracts have an asset without any uncertainty left, shape (contracts,)."""
        volatility, expiry = self.inputs.volatility.numpy(), self.inputs.expiry.numpy()
        return np.asarray((volatility * np.sqrt(expiry) == 0).any(0))

    def take(self, index: Any) -> "Terms":
        """Some of the contracts, as a batch of one axis."""
        amounts = {name: amount[..., index] for name, amount in self.amounts.items()}
        inputs = Inputs(*(tensor[..., index] for tensor in self.inputs))
        sign = self.sign[index]
        return replace(self, shape=sign.shape, sign=sign, strike=self.strike[index], inputs=inputs, amounts=amounts)

    def number(self, name: str) -> float:
        """One plain market figure of the only contract's first asset, by its name."""
        return float(getattr(self.inputs, name).numpy().item(0))


def checked_terms(
    kind: Any,
    style: str,
    market: Mapping[str, Any],
    strike: Any,
    model: str,
    contract: Mapping[str, Any],
    batch: bool = True,
) -> Terms:
    """Check contracts with their market and model, and bring them to one shape.

    Raises
    ------
    InputError
        Naming the first argument that is wrong, missing or unknown, that does not fit the others' shape, or that is
        an array where `batch` is False.
    """
    sign = signs(kind)
    choice("style", style, STYLES)
    choice("model", model, MODELS)
    options = _known(style, model, contract)
    assets = _assets(style, market["spot"], batch)
    options = {name: _option(name, value, assets) for name, value in options.items()}
    tail = (assets,) if style in MULTI_ASSET else ()
    rows = {
        "spot": numbers("spot", market["spot"], above=0.0),
        "volatility": numbers("volatility", market["volatility"]),
        "dividend_yield": numbers("dividend_yield", market["dividend_yield"]),
        **({"weights": options.pop("weights")} if "weights" in options else {}),
    }
    plain = {
        "kind": sign,
        "strike": _strike(style, strike, options),
        "rate": numbers("rate", market["rate"]),
        "expiry": numbers("expiry", market["expiry"]),
        **{name: options.pop(name) for name in _BY_CONTRACT if name in options},
    }
    rows = {name: _with_tail(name, array, tail, style) for name, array in rows.items()}
    shape = _shape({n: a.shape[:-1] for n, a in rows.items()} | {n: a.shape for n, a in plain.items()}, batch, style)
    by_asset, by_contract = _together(rows.values(), (*shape, assets)), _together(plain.values(), shape)
    of = dict(zip(rows, by_asset.reshape(len(rows), -1, assets).transpose(1, 2).contiguous(), strict=True))
    of |= zip(plain, by_contract.reshape(len(plain), -1), strict=True)
    inputs = Inputs(of["spot"], of["volatility"], of["rate"], of["expiry"], of["dividend_yield"])
    amounts = {name: of[name] for name in _BY_CONTRACT if name in of}
    return Terms(style, model, shape, of["kind"], of["strike"], inputs, amounts, options, *_joint(options, assets))


def _joint(options: dict[str, Any], assets: int) -> tuple[Tensor, Tensor]:
    """Correlations of the assets and of their common jumps; these follow the assets' where none are given."""
    given, jumps = options.pop("correlation", None), options.pop("jump_correlation", None)
    between = torch.eye(assets, dtype=torch.float64) if given is None else correlation("correlation", given, assets)
    if jumps is None:
        apart = assets > 1 and not options.get("common_jumps")
        return between, torch.eye(assets, dtype=torch.float64) if apart else between
    if not options["common_jumps"]:
        raise InputError(f"`jump_correlation` must be None for jumps that are not common, was {jumps!r}")
    return between, correlation("jump_correlation", jumps, assets)


def _strike(style: str, strike: Any, options: Mapping[str, Any]) -> Array:
    if options.get("lookback_type") == "floating":
        if strike is not None:
            raise InputError(f"`strike` must be None for a floating lookback, was {strike!r}")
        return np.array(np.nan)
    if strike is None:
        raise InputError(f"`strike` must be given for style {style!r}")
    return numbers("strike", strike, above=None if style in MULTI_ASSET else 0.0)


def _known(style: str, model: str, contract: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a style and a model, given or by default."""
    known = STYLES[style] | MODELS[model] | COMMON
    if style in MULTI_ASSET:
        known |= JOINT.get(model, {})
    for name in contract:
        if name not in known:
            allowed = ", ".join(f"`{each}`" for each in known)
            raise InputError(f"`{name}` is no option of style {style!r} under model {model!r}; they are {allowed}")
    for name, value in (known | dict(contract)).items():
        if value is REQUIRED:
            raise InputError(f"`{name}` must be given for style {style!r} under model {model!r}")
    options = known | dict(contract)
    if not options.get("common_jumps", True) or model != "merton":
        return options
    if np.ndim(options["jump_intensity"]):
        raise InputError(f"`jump_intensity` must be one number for common jumps, was {options['jump_intensity']!r}")
    return options


def _option(name: str, value: Any, assets: int) -> Any:
    if name in _CHOICES:
        return choice(name, value, _CHOICES[name])
    if name in _WHOLE:
        return None if value is None else whole(name, value, 1)
    if name in _SWITCHES:
        return switch(name, value)
    if name in ("correlation", "jump_correlation"):
        return value
    above = 0.0 if name in _POSITIVE else None
    if name in _BY_CONTRACT:
        return numbers(name, value, above)
    array = per_asset(name, value, assets, above)
    if name in _NOT_NEGATIVE and (array < 0).any():
        raise InputError(f"`{name}` must be at least 0, was {array.min()}")
    if name == "spot_correlation" and not (abs(array) < 1.0).all():
        raise InputError(f"`spot_correlation` must lie between -1 and 1, was {array[abs(array).argmax()]}")
    return tuple(array.tolist())


def _assets(style: str, spot: Any, batch: bool) -> int:
    if style not in MULTI_ASSET:
        return 1
    shape = numbers("spot", spot, above=0.0).shape
    axes = len(shape) >= 1 if batch else len(shape) == 1
    if not axes or shape[-1] < 2 or (style == "spread" and shape[-1] != 2):
        wanted = "two prices" if style == "spread" else "a sequence of at least two prices"
        each = " for each contract" if batch else ""
        raise InputError(f"`spot` must be {wanted}{each} for style {style!r}, was of shape {shape}")
    return int(shape[-1])


def _with_tail(name: str, array: Array, tail: tuple[int, ...], style: str) -> Array:
    """An array whose last axis is the assets."""
    if not tail or array.ndim == 0:
        return array[..., None]
    if array.shape[-1:] != tail:
        raise InputError(f"`{name}` must be one number or {tail[0]} for style {style!r}, was of shape {array.shape}")
    return array


def _shape(shapes: Mapping[str, tuple[int, ...]], batch: bool, style: str) -> tuple[int, ...]:
    """The broadcast shape of the contracts."""
    found: tuple[int, ...] = ()
    for name, shape in shapes.items():
        if shape and not batch:
            raise InputError(f"`{name}` must be one number for style {style!r}, was of shape {shape}")
        if shape in ((), found):
            continue
        try:
            found = np.broadcast_shapes(found, shape)
        except ValueError:
            raise InputError(f"`{name}` must broadcast to the contracts' {found}, was of shape {shape}") from None
    if 0 in found:
        raise InputError(f"`spot` and the other arguments must make at least one contract, were of shape {found}")
    return found


def _together(arrays: Collection[Array], shape: tuple[int, ...]) -> Tensor:
    """Arrays that broadcast to a shape, one after the other."""
    table = np.empty((len(arrays), *shape))
    for place, array in enumerate(arrays):
        table[place] = array
    return torch.from_numpy(table)
