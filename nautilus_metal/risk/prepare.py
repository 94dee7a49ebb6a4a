"""What a model's first fit would otherwise do in the middle of a running system."""

from collections.abc import Callable
from typing import Any

import torch

from nautilus_metal.engine.fused_degrees import log_sum_kernel
from nautilus_metal.engine.fused_garch import fused_likelihood
from nautilus_metal.engine.fused_volatility import shocks_kernel

_HOST = torch.device("cpu")
_LOOPS: dict[str, tuple[Callable[[torch.device], Any], ...]] = {
    "student_t": (log_sum_kernel,),
    "filtered_historical": (shocks_kernel,),
    "garch": (fused_likelihood, log_sum_kernel),
    "gjr": (fused_likelihood, log_sum_kernel),
}


def prepare(model: str) -> None:
    """Compile the loops that a model's fit runs on the CPU, or load them where this machine has compiled them before.

    Compiling keeps the interpreter's lock for seconds, and loading for a fraction of one: too long beside an
    event loop. Without the extra `fast`, and for models that are fitted without a loop, there is nothing to do.

    Parameters
    ----------
    model : str
        A row of `nautilus_metal.risk.models.MODELS`.
    """
    for compiled in _LOOPS.get(model, ()):
        compiled(_HOST)
