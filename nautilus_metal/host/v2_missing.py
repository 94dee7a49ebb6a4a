"""What this package does under NautilusTrader 1.x only: each name raises, and says so."""

from typing import Any, NoReturn

from nautilus_metal.errors import HostError


def needs_v1(what: str, why: str) -> NoReturn:
    """Raise a `HostError`."""
    raise HostError(f"{what} needs NautilusTrader v1: {why}")


class NodeSettings:
    """Stands where 1.x's node configs are made from a file."""

    def __init__(self, *_arguments: Any) -> None:
        needs_v1("A live node's config from a file", "v2 builds its nodes by code, with another set of settings")


class LiveNode:
    """Stands where 1.x's TradingNode is run."""

    def __init__(self, *_arguments: Any) -> None:
        needs_v1("nautilus_metal.live.LiveNode", "under v2 add the actors to a `LiveNode` of its own")


class _Replay:
    def __init__(self, *_arguments: Any, **_settings: Any) -> None:
        needs_v1("The replay data client", "it is a client of v1's TradingNode")


class ReplayDataClient(_Replay):
    """Stands where 1.x's is."""


class ReplayDataClientConfig(_Replay):
    """Stands where 1.x's is."""


class ReplayDataClientFactory(_Replay):
    """Stands where 1.x's is."""


class ReplayData(_Replay):
    """Stands where 1.x's is."""


class ReplayFaults(_Replay):
    """Stands where 1.x's is."""
