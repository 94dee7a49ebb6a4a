"""Live nodes: their configuration, a replay that needs no network, and the run itself."""

from nautilus_metal.host import (
    LiveNode,
    ReplayData,
    ReplayDataClient,
    ReplayDataClientConfig,
    ReplayDataClientFactory,
    ReplayFaults,
)

__all__ = [
    "LiveNode",
    "ReplayData",
    "ReplayDataClient",
    "ReplayDataClientConfig",
    "ReplayDataClientFactory",
    "ReplayFaults",
]
