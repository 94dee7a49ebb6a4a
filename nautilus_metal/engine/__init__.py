"""Where kernels run: devices, number types, transfers and the memory pool."""

from nautilus_metal.engine.blocks import MemoryPoolStats
from nautilus_metal.engine.compute import ComputeEngine
from nautilus_metal.engine.devices import available_devices
from nautilus_metal.engine.pool import MemoryPool
from nautilus_metal.engine.shared import shared_engine, shared_pools
from nautilus_metal.engine.threads import threads_for

__all__ = [
    "ComputeEngine",
    "MemoryPool",
    "MemoryPoolStats",
    "available_devices",
    "shared_engine",
    "shared_pools",
    "threads_for",
]
