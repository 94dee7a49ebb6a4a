"""Arrays to and from MLX, where the extra `mlx` is installed, without a copy where that can be."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nautilus_metal.errors import DeviceError


def mlx() -> Any:
    """Return `mlx.core`.

    Raises
    ------
    DeviceError
        If it is not installed, or does not work on this machine.
    """
    if find_spec("mlx") is None:
        raise DeviceError("`backend` 'mlx' needs mlx, which is not installed: pip install 'nautilus_metal[mlx]'")
    try:
        return import_module("mlx.core")
    except ImportError as error:
        raise DeviceError(f"`backend` 'mlx' does not work here: {error}") from error


def mlx_device() -> str:
    """Name the device that MLX computes on: "mlx:gpu" or "mlx:cpu"."""
    mx = mlx()
    return "mlx:gpu" if mx.default_device().type == mx.DeviceType.gpu else "mlx:cpu"


def to_mlx(tensor: Tensor) -> Any:
    """Hand a tensor of the host over as float32; MLX shares its memory where it can, and else copies it once."""
    return mlx().asarray(tensor.detach().to(torch.float32).contiguous().numpy())


def from_mlx(array: Any) -> Tensor:
    """Take an array over as a tensor of the host, in the same memory."""
    mlx().eval(array)
    return torch.from_numpy(np.asarray(array))
