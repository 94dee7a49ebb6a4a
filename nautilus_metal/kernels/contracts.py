"""The arguments that option kernels share: checked numbers, broadcast tensors, calls and puts."""

import math

import torch
from torch import Tensor

from nautilus_metal.errors import InputError

KINDS = {"call": 1.0, "put": -1.0}

Number = float | Tensor
_LOWEST = {"spot": 0.0, "forward": 0.0, "strike": 0.0, "expiry": 0.0, "volatility": 0.0}


def kind_sign(kind: str | Tensor) -> float | Tensor:
    """+1 for a call, -1 for a put; a tensor of signs passes."""
    if isinstance(kind, Tensor):
        return kind
    if not isinstance(kind, str) or kind not in KINDS:
        raise InputError(f"`kind` must be one of {', '.join(KINDS)}, was {kind!r}")
    return KINDS[kind]


def log_ratio(spot: Tensor, strike: Tensor) -> Tensor:
    """ln(spot / strike), accurate relative to itself where the two are close."""
    near = (spot - strike).abs() < 0.5 * strike
    return torch.where(near, torch.log1p((spot - strike) / strike), (spot / strike).log())


def tensors(numbers: dict[str, Number]) -> list[Tensor]:
    """Bring arguments to one dtype and device; plain numbers are checked by name.

    Raises
    ------
    InputError
        If a plain number is not finite, or is negative where that has no meaning.
    """
    given = [number for number in numbers.values() if isinstance(number, Tensor)]
    dtype = torch.float64
    if given:
        dtype = given[0].dtype
        for tensor in given[1:]:
            dtype = torch.promote_types(dtype, tensor.dtype)
    device = next((tensor.device for tensor in given if tensor.dim() > 0), given[0].device if given else None)
    made = []
    for name, number in numbers.items():
        if isinstance(number, Tensor):
            made.append(number.to(dtype=dtype, device=device))
            continue
        made.append(torch.tensor(checked_number(name, number), dtype=dtype, device=device))
    return made


def checked_number(name: str, number: float, above: float | None = None) -> float:
    """Return a plain number that is finite and within what its name allows.

    Raises
    ------
    InputError
        If it is not.

    Examples
    --------
    >>> checked_number("spot", -1.0)
    Traceback (most recent call last):
    nautilus_metal.errors.InputError: `spot` must be at least 0, was -1.0
    """
    try:
        value = float(number)
    except (TypeError, ValueError):
        raise InputError(f"`{name}` must be a number, was {number!r}") from None
    if not math.isfinite(value):
        raise InputError(f"`{name}` must be finite, was {value}")
    if above is not None and value <= above:
        raise InputError(f"`{name}` must be above {above:g}, was {value}")
    lowest = _LOWEST.get(name)
    if lowest is not None and value < lowest:
        raise InputError(f"`{name}` must be at least {lowest:g}, was {value}")
    return value
