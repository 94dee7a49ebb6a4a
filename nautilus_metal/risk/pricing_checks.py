"""Checks of the arguments of a price, one contract's or a batch's: every error names its argument."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nautilus_metal.errors import InputError
from nautilus_metal.kernels.contracts import checked_number, kind_sign

Array = NDArray[Any]


def choice(name: str, value: Any, rows: Any) -> Any:
    """Return `value` if it is one of `rows`."""
    if not isinstance(value, str) or value not in rows:
        raise InputError(f"`{name}` must be one of {', '.join(rows)}, was {value!r}")
    return value


def switch(name: str, value: Any) -> bool:
    """Return `value` if it is True or False."""
    if not isinstance(value, bool):
        raise InputError(f"`{name}` must be True or False, was {value!r}")
    return value


def whole(name: str, value: Any, least: int) -> int:
    """Return `value` as a whole number of at least `least`."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise InputError(f"`{name}` must be a whole number, was {value!r}")
    if value < least:
        raise InputError(f"`{name}` must be at least {least}, was {value}")
    return int(value)


def numbers(name: str, value: Any, above: float | None = None) -> Array:
    """Return `value` as float64 of any shape, every element within what the name allows.

    Raises
    ------
    InputError
        If it is not numeric, or an element is not finite or outside its range; the place is named.
    """
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"`{name}` must be numbers, was {value!r}") from None
    if array.ndim == 0:
        checked_number(name, float(array), above)
        return array
    suspect = ~np.isfinite(array) | (array < 0) | (array <= (-np.inf if above is None else above))
    for place in np.argwhere(suspect):
        try:
            checked_number(name, array[tuple(place)], above)
        except InputError as error:
            where = f" at {', '.join(map(str, place))}" if len(place) else ""
            raise InputError(f"{error}{where}") from None
    return array


def signs(kind: Any) -> Array:
    """+1 for each call and -1 for each put."""
    names = np.asarray(kind)
    if names.dtype.kind not in "UO":
        raise InputError(f"`kind` must be one of call, put, was {kind!r}")
    flat = names.reshape(-1).tolist()
    found = {each: kind_sign(each if isinstance(each, str) else repr(each)) for each in set(flat)}
    return np.array([found[each] for each in flat], dtype=np.float64).reshape(names.shape)


def per_asset(name: str, value: Any, assets: int, above: float | None = None) -> Array:
    """Return a constant of the model for each asset, from one number or from one for each; shape (assets,)."""
    array = numbers(name, value, above)
    if array.shape not in ((), (assets,)):
        wanted = "one number" if assets == 1 else f"one number or {assets}"
        raise InputError(f"`{name}` must be {wanted}, was of shape {array.shape}")
    return np.broadcast_to(array, (assets,)).copy()


def correlation(name: str, value: Any, assets: int) -> Tensor:
    """A number for every pair, or a matrix; must be positive semi-definite."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"`{name}` must be numbers, was {value!r}") from None
    if array.ndim == 0:
        array = np.where(np.eye(assets, dtype=bool), 1.0, array)
    if array.shape != (assets, assets):
        square = (assets, assets)
        raise InputError(f"`{name}` must be one number or of shape {square}, was of shape {array.shape}")
    if not np.isfinite(array).all():
        raise InputError(f"`{name}` must be finite, held a NaN or an infinity")
    if not np.allclose(array, array.T) or not np.allclose(np.diag(array), 1.0):
        raise InputError(f"`{name}` must be symmetric with a diagonal of ones")
    lowest = float(np.linalg.eigvalsh(array)[0])
    if lowest < -1e-10:
        raise InputError(f"`{name}` must be positive semi-definite, had the eigenvalue {lowest:.3g}")
    return torch.from_numpy(array.copy())
