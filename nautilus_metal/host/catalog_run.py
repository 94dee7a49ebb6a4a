"""A backtest by configuration alone, in plain values: what a `CatalogNode` of either version of the host runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple


class Importable(NamedTuple):
    """An actor or a strategy by name, as it stands in a file: ``module:Class``, ``module:Config``, settings."""

    path: str
    config_path: str
    config: dict[str, Any]


@dataclass(frozen=True)
class CatalogRun:
    """Bars of a data catalog, what trades and watches them, and what is streamed back into the catalog.

    Attributes
    ----------
    catalog : Path
        The folder, which holds instruments and bars; history before `start` is served to those who ask for it.
    venue, oms_type, currency : str
        Of the one venue, with a margin account, such as "SIM", "HEDGING", "USD".
    starting_cash, leverage : float
        Of the account.
    bar_types : tuple of str
        To replay.
    actors, strategies : tuple of Importable
        In the order in which they are made.
    streamed : tuple of type
        Classes of messages.
    start, end : int
        UNIX nanoseconds, both replayed.
    """

    catalog: Path
    venue: str
    oms_type: str
    currency: str
    starting_cash: float
    leverage: float
    bar_types: tuple[str, ...]
    actors: tuple[Importable, ...]
    strategies: tuple[Importable, ...]
    streamed: tuple[type, ...]
    start: int
    end: int

    @property
    def balance(self) -> str:
        """The starting cash as the host reads it."""
        return f"{self.starting_cash:.0f} {self.currency}"
