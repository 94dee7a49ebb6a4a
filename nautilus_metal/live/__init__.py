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
from nautilus_metal.live.soak import Latencies, Sample, Soak, Window, grown, soak_rows, windows

__all__ = [
    "Console",
    "Latencies",
    "LiveNode",
    "ReplayData",
    "ReplayDataClient",
    "ReplayDataClientConfig",
    "ReplayDataClientFactory",
    "ReplayFaults",
    "Sample",
    "Soak",
    "Window",
    "grown",
    "live_config",
    "node_config",
    "read_settings",
    "soak_rows",
    "windows",
]
