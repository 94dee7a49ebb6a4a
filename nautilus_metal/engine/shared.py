"""The engines that the whole process shares."""

import threading

import torch

from nautilus_metal.engine.compute import ComputeEngine, _checked_dtype, _checked_seed, budget_bytes
from nautilus_metal.engine.devices import resolve
from nautilus_metal.engine.pool import MemoryPool

_lock = threading.Lock()
_engines: dict[tuple[torch.device, torch.dtype, int], "SharedEngine"] = {}
_pools: dict[torch.device, MemoryPool] = {}


class SharedEngine(ComputeEngine):
    """An engine of `shared_engine`: it outlives its users, so `close` does nothing."""

    def _make_pool(self, budget: int) -> MemoryPool:
        if self.device not in _pools:
            _pools[self.device] = MemoryPool(self.device, budget)
        return _pools[self.device]

    def close(self) -> None:
        """Do nothing: others use this engine too."""


def shared_engine(
    device: str | torch.device = "auto",
    precision: str = "auto",
    memory_fraction: float | None = None,
    seed: int = 0,
) -> ComputeEngine:
    """Get the engine that the process shares for these settings, made on first use.

    Engines of one physical device share one memory pool. A `memory_fraction` that is given sets that pool's budget
    anew; without one the budget stays as it is.

    Parameters
    ----------
    device, precision, memory_fraction, seed
        As for `ComputeEngine`.

    Returns
    -------
    ComputeEngine
        The same object for the same device, precision and seed. Its `close` does nothing.

    Raises
    ------
    InputError, DeviceError
        As for `ComputeEngine`.
    OutOfDeviceMemory
        If a `memory_fraction` asks for less than what is on loan from the pool now.
    """
    where = resolve(device)
    key = (where, _checked_dtype(precision, where.type), _checked_seed(seed))
    with _lock:
        if memory_fraction is not None and where in _pools:
            _pools[where].resize(budget_bytes(where, memory_fraction))
        if key not in _engines:
            _engines[key] = SharedEngine(where, precision, memory_fraction, seed)
        return _engines[key]


def shared_pools() -> list[MemoryPool]:
    """List the pools that shared engines have made so far."""
    with _lock:
        return list(_pools.values())
