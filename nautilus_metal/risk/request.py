"""What is asked of a scenario model, and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nautilus_metal.errors import InputError
from nautilus_metal.kernels.normals import SAMPLERS


@dataclass(frozen=True)
class Request:
    """What is asked of a model: periods ahead, scenarios, and the stream they come from.

    Raises
    ------
    InputError
        If a number is not whole or too small, or the sampler is unknown.
    """

    horizon: int
    scenarios: int
    seed: int
    sampler: str

    def __post_init__(self) -> None:
        for name, least in (("horizon", 1), ("scenarios", 2), ("seed", 0)):
            number = getattr(self, name)
            if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < least:
                raise InputError(f"`{name}` must be a whole number of at least {least}, was {number!r}")
            object.__setattr__(self, name, int(number))  # numpy's overflow
        if self.sampler not in SAMPLERS:
            raise InputError(f"`sampler` must be one of {', '.join(SAMPLERS)}, was {self.sampler!r}")


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
    error_scale : float
        Factor on the standard errors of independent scenarios.
    """

    loading: Tensor
    shift: Tensor
    count: int
    empirical: Tensor | None
    degrees: float | None
    details: Mapping[str, Any]
    drawn: bool = True
    error_scale: float = 1.0


def empirical(
    factors: Tensor, loading: Tensor, details: Mapping[str, Any], drawn: bool, error_scale: float = 1.0
) -> Scenarios:
    """Scenarios made of history: `loading`, shape (assets,), times `factors`, shape (assets, count)."""
    return Scenarios(loading, torch.zeros_like(loading), factors.shape[1], factors, None, details, drawn, error_scale)


def overlapping(window: Tensor, horizon: int) -> Tensor:
    """Sums over every run of `horizon` periods of a window, shape (assets, periods - horizon + 1)."""
    return window.unfold(-1, horizon, 1).sum(dim=-1) if horizon > 1 else window


def refuse_unused(choice: str, **options: float | None) -> None:
    """Refuse settings that have no effect with `choice`: one that changes nothing is a misunderstanding."""
    for name, number in options.items():
        if number is not None:
            raise InputError(f"`{name}` has no effect with {choice}, was {number}")
