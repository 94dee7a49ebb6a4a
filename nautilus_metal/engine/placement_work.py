"""The kinds of work that this room has, as samples by which a device is compared with the CPU beside it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from nautilus_metal.engine.compute import ComputeEngine
from nautilus_metal.engine.fused_histories import LEAST
from nautilus_metal.engine.histories import Array, bollinger_history, macd_history, rsi_history
from nautilus_metal.engine.placement_measure import Work
from nautilus_metal.engine.precision import whole_products
from nautilus_metal.kernels.black_scholes import price
from nautilus_metal.kernels.scenarios import linear_losses
from nautilus_metal.kernels.tail import largest

_ROWS = 32
_BARS = 400  # of a series: the smallest piece of work is then one
_COMPILED = -(-LEAST // _BARS)  # series for which loops are compiled
_STEPS, _WIDTH = 32, 32  # of a recurrent network: its smallest piece of work is then one window


def _losses(engine: ComputeEngine, elements: int) -> Callable[[], Any]:
    """The tail of a linear book's scenario losses; the normals are on the device already."""
    scenarios = elements // _ROWS
    factors = engine.upload(torch.randn(_ROWS, scenarios, generator=torch.Generator().manual_seed(1)))
    net = engine.upload(torch.ones(_ROWS))
    return lambda: engine.download(largest(linear_losses(net, 0.0, factors, None), max(1, scenarios // 50))[0])


def _revaluation(engine: ComputeEngine, elements: int) -> Callable[[], Any]:
    """Black-Scholes prices of one option at many spots that are on the device already."""
    spot = engine.upload(torch.linspace(50.0, 150.0, elements))
    return lambda: engine.download(price(spot, 100.0, 0.5, 0.02, 0.2).sum())


def _series(engine: ComputeEngine, elements: int) -> Callable[[], Any]:
    """RSI, MACD and bands of histories from the host: the elements are the values that go back."""
    rows = max(1, elements // (9 * _BARS))
    history = 100.0 + np.random.default_rng(1).normal(size=(max(rows, _COMPILED), _BARS)).cumsum(axis=1)

    def work(prices: Array) -> Any:
        made = macd_history(prices, (12, 26, 9), engine), bollinger_history(prices, (20, 2.0), engine)
        return [rsi_history(prices, 14, engine), *made[0], *made[1]]

    work(history[:_COMPILED])
    return partial(work, history[:rows])


def _recurrent(engine: ComputeEngine, elements: int) -> Callable[[], Any]:
    """An LSTM over windows from the host, to its last state: the gates of all steps are the largest tensor."""
    windows = torch.linspace(-1.0, 1.0, elements // 4).view(-1, _STEPS, _WIDTH)
    with torch.random.fork_rng(devices=[]):  # the user's own random numbers go on as if nothing had been made
        torch.manual_seed(1)
        network = torch.nn.LSTM(_WIDTH, _WIDTH, batch_first=True).requires_grad_(False).to(engine.device)

    def work() -> Any:
        with whole_products(engine.device):
            return engine.download(network(engine.upload(windows, torch.float32))[0][:, -1])

    return work


WORK: dict[str, Work] = {
    row.name: row
    for row in (
        Work("losses", _losses),
        Work("revaluation", _revaluation),
        Work("series", _series, own_threads=True),
        Work("recurrent", _recurrent),
    )
}
