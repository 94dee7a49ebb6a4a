"""Precision of networks: the short type of devices that have one."""

from contextlib import AbstractContextManager, nullcontext

import torch


def mixed_dtype(device: torch.device) -> torch.dtype | None:
    """Return the short type in which a device multiplies matrices faster; None where it has none.

    bfloat16 has float32's range, so that no loss needs to be scaled. Most CPUs emulate it: none.
    """
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    if device.type == "mps" and torch.amp.is_autocast_available("mps"):
        return torch.bfloat16
    return None


def cast(device: torch.device, dtype: torch.dtype | None) -> AbstractContextManager[object]:
    """Let matrix products run in `dtype`; None changes nothing."""
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)
