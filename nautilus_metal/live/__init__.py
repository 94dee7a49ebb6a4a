"""Live nodes: their configuration, a replay that needs no network, and the run itself."""

from nautilus_metal.host import (
    LiveNode,
    ReplayData,
    ReplayDataClient,
    ReplayDataClientConfig,
    ReplayDataClientFactory,
    ReplayFaults,
)
from nautilus_metal.live.config import live_config, node_config, read_settings
from nautilus_metal.live.console import Console

__all__ = [
    "Console",
    "LiveNode",
    "ReplayData",
    "ReplayDataClient",
    "ReplayDataClientConfig",
    "ReplayDataClientFactory",
    "ReplayFaults",
    "live_config",
    "node_config",
    "read_settings",
]
