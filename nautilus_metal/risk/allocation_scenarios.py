"""Scenario returns on a device: what portfolios lose on them, and sums over their tails, in bounded memory."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.engine.governor import in_pieces, room
from nautilus_metal.risk.book import Array

_ROWS = 65_536  # scenarios gathered at once


class Scenarios:
    """Returns of many assets in many scenarios, held once.

    On the CPU they are the caller's own array where its type fits. On a device they are uploaded once where they take
    less than half of its room, else they pass through it in pieces each time that portfolios are valued on them.

    Parameters
    ----------
    engine : ComputeEngine
        Where to work.
    returns : ndarray, shape (scenarios, assets)
        float32 is worked on in float32, all else in the most exact type of the device.
    """

    def __init__(self, engine: ComputeEngine, returns: Array) -> None:
        self.engine = engine
        self.dtype = torch.float32 if returns.dtype == np.float32 else engine.exact_dtype
        self.count, self.assets = returns.shape
        self._host = returns
        self._each = self.assets * self.dtype.itemsize
        on_cpu = engine.device.type == "cpu"
        self._parts: list[Tensor] | None = None
        if on_cpu:
            kind = np.float32 if self.dtype == torch.float32 else np.float64
            self._parts = [torch.from_numpy(np.require(returns, kind, ["C", "W"]))]
        elif self.count * self._each <= room(engine) // 2:
            self._parts = in_pieces(engine, self.count, self._each, self._upload)

    @property
    def streamed(self) -> bool:
        """Whether the scenarios pass through the device in pieces."""
        return self._parts is None

    def _upload(self, engine: ComputeEngine, first: int, last: int) -> Tensor:
        return engine.upload(self._host[first:last], self.dtype)

    def losses(self, weights: Tensor) -> Tensor:
        """Return what portfolios lose in each scenario.

        Parameters
        ----------
        weights : Tensor
            Shape (B, assets), on the host.

        Returns
        -------
        Tensor
            Shape (B, scenarios), on the device.
        """
        minus = -weights
        if self._parts is not None:
            moved = {part.device: minus.to(self.dtype).to(part.device) for part in self._parts}
            parts = [moved[part.device] @ part.T for part in self._parts]
        else:
            parts = in_pieces(self.engine, self.count, 2 * self._each, self._stream(minus))
        device = self.engine.device
        return parts[0].to(device) if len(parts) == 1 else torch.cat([part.to(device) for part in parts], dim=1)

    def _stream(self, weights: Tensor) -> Callable[[ComputeEngine, int, int], Tensor]:
        def work(engine: ComputeEngine, first: int, last: int) -> Tensor:
            return engine.upload(weights, self.dtype) @ self._upload(engine, first, last).T

        return work

    def rows(self, index: Tensor) -> Tensor:
        """Gather scenarios by number (on the host); shape (count, assets), on the device."""
        if self._parts is None or len(self._parts) > 1:
            return self.engine.upload(self._host[index.numpy()], self.dtype)
        return self._parts[0][index.to(self._parts[0].device)]

    def moments(self, weight: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted sum of the scenarios' returns, and their weighted scatter about the mean over `free` ones.

        Parameters
        ----------
        weight : Tensor
            Of each scenario in the sum, shape (scenarios,), on the host; most are zero.
        free : Tensor
            Weights of the scatter, shape (scenarios,), on the host; most are zero.

        Returns
        -------
        tuple of Tensor
            Shapes (assets,) and (assets, assets), float64 on the host.
        """
        total = torch.zeros(self.assets, dtype=torch.float64)
        scatter = torch.zeros(self.assets, self.assets, dtype=torch.float64)
        mean = torch.zeros(self.assets, dtype=torch.float64)
        for index in torch.nonzero((weight > 0) | (free > 0)).squeeze(-1).split(_ROWS):
            rows = self.rows(index)
            both = torch.stack([weight[index], free[index]]).to(self.dtype).to(rows.device)
            sums = (both @ rows).to("cpu").to(torch.float64)
            total += sums[0]
            mean += sums[1]
            inner = torch.nonzero(free[index] > 0).squeeze(-1)
            part = rows[inner.to(rows.device)]
            scatter += ((part * both[1][inner.to(rows.device)][:, None]).T @ part).to("cpu").to(torch.float64)
        mass = float(free.sum())
        return total, scatter - torch.outer(mean, mean) / mass if mass > 0 else scatter
