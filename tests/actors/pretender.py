"""An engine on the CPU that passes for a GPU's, and fails or hangs when it is told to."""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from nautilus_metal.engine import ComputeEngine


class Pretender(ComputeEngine):
    """Claims to be cuda:0; `trouble` is called before every transfer, and may raise or block."""

    def __init__(self, trouble: Callable[[], None] = lambda: None) -> None:
        super().__init__("cpu")
        self.trouble = trouble
        self.device = torch.device("cuda:0")

    def upload(self, array: Any, dtype: torch.dtype | None = None) -> torch.Tensor:
        self.trouble()
        self.device = torch.device("cpu")
        try:
            return super().upload(array, dtype)
        finally:
            self.device = torch.device("cuda:0")


class FaultAt(TorchDispatchMode):
    """Lets a number of operators through and fails at the next one, as a driver does."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.left = number
        self.fired = False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if self.left == 0:
            self.fired, self.left = True, -1
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        self.left -= 1
        return func(*args, **(kwargs or {}))
