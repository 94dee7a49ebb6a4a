"""Arguments and results well below MPS' limit never make a tensor beyond it on the way; nothing is allocated here."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nautilus_metal.kernels import black_scholes
from nautilus_metal.kernels.averages import MOVING_AVERAGES, weighted_average, window_mean
from nautilus_metal.kernels.bollinger import bollinger_moments
from nautilus_metal.kernels.macd import macd
from nautilus_metal.kernels.recurrence import linear_recurrence
from nautilus_metal.kernels.rsi import rsi, rsi_of_averages
from nautilus_metal.kernels.scenarios import ScenarioSet, full_losses, linear_losses, relative_changes
from nautilus_metal.kernels.tail import largest
from nautilus_metal.kernels.volatility import conditional_variance, ewma_filter
from nautilus_metal.kernels.windows import window_moments

LIMIT = 2**30  # elements; 4 GiB of float32, from where some of MPS' operators are silently wrong
ROOM = 2**27  # elements of arguments and results: what kernels may grow eightfold


class Sizes(TorchDispatchMode):
    """Record the largest tensor that an operator makes, and the operator."""

    def __init__(self) -> None:
        super().__init__()
        self.largest, self.made_by = 0, ""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor) and tensor.numel() > self.largest:
                self.largest, self.made_by = tensor.numel(), f"{func} of shape {tuple(tensor.shape)}"
        return out


def fake(*shape: int) -> Tensor:
    return torch.empty(shape, device="meta")


def scenarios(assets: int, count: int) -> ScenarioSet:
    return ScenarioSet(fake(assets, assets), fake(assets, count), fake(assets), fake(count))


SHORT, LONG, SQUARE = (2**23, 16), (1, ROOM), (2**13, 2**14)
# Name: a computation, and the largest of its arguments or results.
CASES: dict[str, Callable[[], Sequence[Tensor]]] = {}
for label, shape in {"many short series": SHORT, "one long series": LONG, "many long series": SQUARE}.items():
    CASES |= {
        f"linear_recurrence, {label}": lambda s=shape: [linear_recurrence(fake(*s), 0.97)],
        f"linear_recurrence, a decay each, {label}": lambda s=shape: [linear_recurrence(fake(*s), fake(s[0]))],
        f"window_moments, {label}": lambda s=shape: window_moments(fake(*s), 20),
        f"window_moments, windows of a million, {label}": lambda s=shape: window_moments(fake(*s), 10**6),
        f"weighted_average, {label}": lambda s=shape: [weighted_average(fake(*s), torch.ones(50))],
        f"weighted_average, long windows, {label}": lambda s=shape: [weighted_average(fake(*s), torch.ones(100))],
        f"bollinger, {label}": lambda s=shape: bollinger_moments(fake(*s), 10**6),
        f"rsi, {label}": lambda s=shape: [rsi(fake(*s), 14)],
        f"rsi of averages, {label}": lambda s=shape: [rsi_of_averages(fake(*s), 10**6, "SIMPLE")],
        f"macd, {label}": lambda s=shape: macd(fake(*s), (12, 26, 9)),
        f"conditional_variance, {label}": lambda s=shape: [conditional_variance(fake(*s), ewma_filter())],
    }
    CASES |= {
        f"{name}, {label}": lambda s=shape, n=name: [MOVING_AVERAGES[n](fake(*s), 40)] for name in MOVING_AVERAGES
    }
CASES |= {
    "rsi, many settings of short series": lambda: [rsi(fake(1, 128), range(1, 2**20))],
    "macd, many settings of short series": lambda: macd(fake(1, 32), [(3, 5, 2)] * 2**20),
    "window_mean, far ends": lambda: [window_mean(fake(1, 16), torch.zeros(2**16), torch.arange(2**16) * 2.0**16)],
    "linear_losses": lambda: [linear_losses(fake(8), 0.0, fake(8, 2**24), fake(2**24))],
    "relative_changes": lambda: [relative_changes(scenarios(8, 2**24), linear=False)],
    "full_losses": lambda: [full_losses(fake(8), scenarios(8, 2**24), fake(8, 2**20))],
    "largest": lambda: largest(fake(ROOM), 2**20),
    "black_scholes.price": lambda: [black_scholes.price(100.0, fake(ROOM), 1.0, 0.0, 0.2)],
    "black_scholes.greeks": lambda: black_scholes.greeks(100.0, fake(ROOM), 1.0, 0.0, 0.2),
}


@pytest.mark.parametrize("name", CASES)
def test_no_tensor_on_the_way_reaches_the_limit(name: str) -> None:
    with Sizes() as sizes:
        results = CASES[name]()
    assert max(result.numel() for result in results) < 2 * ROOM
    assert sizes.largest < LIMIT, sizes.made_by


def test_a_tensor_beyond_the_limit_is_seen() -> None:
    with Sizes() as sizes:
        (fake(2**15, 1) * fake(2**15)).sum()
    assert sizes.largest == LIMIT
    assert "mul" in sizes.made_by
