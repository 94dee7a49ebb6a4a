"""Inference of an LSTM network: by the fused kernel of `kernels.triton.lstm` in a CUDA graph, on the CPU in parts."""

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from nautilus_metal.engine import fused_cuda
from nautilus_metal.engine.fused import fused_kernels
from nautilus_metal.engine.graphs import graphs
from nautilus_metal.models.networks import FinancialLSTM

PART, LEAST_PART = 1 << 22, 64  # gates of all steps that the CPU holds at once, more would leave its caches; windows
LEAST_BATCH = 128  # windows from which on the fused kernel is faster than cuDNN's
_TOLERANCE = 1e-5  # of what the head makes of its states at most: float32 in both

_packed: "WeakKeyDictionary[nn.Module, tuple[Any, Any]]" = WeakKeyDictionary()


def evaluated(model: nn.Module, window: Tensor) -> Tensor:
    """Evaluate a network on a window, both on one device, without gradients."""
    short = torch.is_autocast_enabled(window.device.type)
    kernels = fused_kernels(window.device, "triton")
    if kernels is None or short or window.dtype != torch.float32 or not isinstance(model, FinancialLSTM):
        return model(window)
    model.checked(window)
    if len(window) < LEAST_BATCH:
        return model(window)

    def fast(lstm: Any) -> tuple[Tensor]:
        weights = packed(model, lstm)

        def work(given: Sequence[Tensor]) -> Tensor:
            return model.head(lstm.last_state(given[0], weights))

        return (graphs().run("lstm", [*weights, *model.head.parameters()], [window.contiguous()], work),)

    def scale() -> float:
        """What the head makes at most of states within -1 and 1: its sums may cancel, their rounding does not."""
        return float(model.head.weight.detach().abs().sum(dim=1).max())

    return kernels.run("lstm_layers", fused_cuda.lstm, fast, lambda: (model(window),), _TOLERANCE, scale)[0]


def handy_batch(model: nn.Module, window: Tensor, device: torch.device) -> int:
    """Windows that are best evaluated at a time: on the CPU as many as leave an LSTM's gates in its caches."""
    if device.type != "cpu" or not isinstance(model, FinancialLSTM):
        return len(window)
    gates = 4 * model.lstm.hidden_size * model.checked(window).shape[1]
    parts = -(-len(window) * gates // max(PART, LEAST_PART * gates))
    return -(-len(window) // parts)


def packed(model: FinancialLSTM, lstm: Any) -> Any:
    """Return the weights as the kernel reads them, made again where training or loading has changed them."""
    state = tuple((weight.data_ptr(), weight._version) for weight in model.lstm.parameters())
    found = _packed.get(model)
    if found is None or found[0] != state:
        found = _packed[model] = (state, lstm.pack_weights(model.lstm))
    return found[1]
