"""Precision of recurrences."""

from contextlib import AbstractContextManager, nullcontext

import torch


def whole_products(device: torch.device) -> AbstractContextManager[object]:
    """Let recurrences run in whole float32, and the same way each time.

    By default cuDNN rounds their factors to TF32, whose 10 bits would tell a device from the CPU at the third digit.
    """
    if device.type != "cuda":
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
