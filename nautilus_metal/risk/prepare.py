"""What a model's first fit would otherwise do in the middle of a running system."""

from collections.abc import Callable
from typing import Any

import torch

from nautilus_metal.engine.fused_garch import fused_likelihood
from nautilus_metal.engine.fused_volatility import shocks_kernel

_HOST = torch.device("cpu")
_LOOPS: dict[str, Callable[[torch.device], Any]] = {
    "filtered_historical": shocks_kernel,
    "garch": fused_likelihood,
    "gjr": fused_likelihood,
}


def prepare(model: str) -> None:
    """Compile the loop that a model's fit runs on the CPU, or load it where this machine has compiled it before.

    Compiling keeps the interpreter's lock for seconds, and loading for a fraction of one: too long beside an
    event loop. Without the extra `fast`, and for models that are fitted without a loop, there is nothing to do.

    Parameters
    ----------
    model : str
        A row of `nautilus_metal.risk.models.MODELS`.
    """
    if model in _LOOPS:
        _LOOPS[model](_HOST)
