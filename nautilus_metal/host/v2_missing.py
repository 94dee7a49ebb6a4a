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


