"""Operators as inexact as those of Apple's GPUs, on the CPU: what a kernel must bear within its tolerance."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

ULP = 2.0**-23

# Relative errors. erfinv is 100 units in the last place off; lgamma 9e-7 by a user's measurement on an M4, here five
# times that; Metal promises 4 units for the elementary functions.
RELATIVE: dict[str, float] = {
    "erfinv": 7e-6,
    "lgamma": 5e-6,
    "special_erfcx": 8 * ULP,
    **dict.fromkeys(("exp", "expm1", "log", "log1p", "sqrt", "rsqrt", "pow", "erf"), 4 * ULP),
}


class MpsGrade(TorchDispatchMode):
    """Spoil float32 results of some operators as MPS does.

    erfc is 1 - erf, which loses the upper tail (pytorch/pytorch#189291).

    Parameters
    ----------
    noise : callable
        Shape -> the share of its error that each element gets, from -1 to 1.
    """

    def __init__(self, noise: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.noise = noise
        self.spoiled: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__.removesuffix("_")
        tail = 1.0 - torch.erf(args[0]) if name in ("erfc", "special_erfc") else None
        out = func(*args, **(kwargs or {}))
        if not isinstance(out, Tensor) or out.dtype != torch.float32:
            return out
        if tail is not None:
            self.spoiled.add("erfc")
            return out.copy_(tail)
        if name in RELATIVE:
            self.spoiled.add(name)
            out.mul_(1.0 + RELATIVE[name] * self.noise(out))
        return out


def either_way(out: Tensor) -> Tensor:
    """Errors of both signs, the same at every call."""
    return 2.0 * torch.rand(out.shape, generator=torch.Generator().manual_seed(out.numel())) - 1.0


NOISES: dict[str, Callable[[Tensor], Tensor]] = {
    "either way": either_way,
    "always up": torch.ones_like,
    "always down": lambda out: -torch.ones_like(out),
}
