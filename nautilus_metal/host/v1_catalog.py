"""Messages in a NautilusTrader data catalog."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nautilus_trader.model.data import Bar
from nautilus_trader.persistence.catalog import ParquetDataCatalog

from nautilus_metal.host.closes import closes_of


def read_streamed(folder: Path, kind: str, instance_id: str, message: type) -> list[Any]:
    """Return the messages of one class that a run has streamed into a catalog.

    Parameters
    ----------
    folder : Path
        The catalog.
    kind : {"backtest", "live"}
        Of the run.
    instance_id : str
        Of its kernel.
    message : type
        A class of custom data.
    """
    catalog = ParquetDataCatalog(folder)
    read = catalog.read_backtest if kind == "backtest" else catalog.read_live_run
    return [getattr(row, "data", row) for row in read(instance_id, data_cls=message)]


def read_written(folder: Path, message: type) -> list[Any]:
    """Return the messages of one class that were written into a catalog."""
    return [getattr(row, "data", row) for row in ParquetDataCatalog(folder).query(message)]


def read_closes(folder: Path) -> dict[str, tuple[Any, Any]]:
    """Return the closes of all bars that a catalog holds: by instrument UNIX nanoseconds, ascending, and prices."""
    return closes_of(ParquetDataCatalog(folder).query(Bar))


def write_prices(folder: Path, instruments: Iterable[Any], bars: Iterable[list[Any]]) -> None:
    """Write instruments and the bars of each of them into a catalog."""
    catalog = ParquetDataCatalog(folder)
    catalog.write_data(list(instruments))
    for each in bars:
        catalog.write_data(each)
