"""Messages in a data catalog of NautilusTrader 2.x."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
from nautilus_trader.model import NautilusDataType
from nautilus_trader.persistence import ParquetDataCatalog

from nautilus_metal.host.closes import closes_of


def read_streamed(folder: Path, kind: str, instance_id: str, message: Any) -> list[Any]:
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
    files = (folder / kind / instance_id / "data" / "custom" / message.__name__).glob("*.feather")
    found: list[Any] = []
    for file in sorted(files):
        with pa.ipc.open_stream(file) as batches:
            for batch in batches:
                found.extend(message.from_arrow(batch))
    return sorted(found, key=lambda one: one.ts_init)


def read_written(folder: Path, message: Any) -> list[Any]:
    """Return the messages of one class that were written into a catalog."""
    catalog = ParquetDataCatalog(str(folder))
    return [row.data for row in catalog.query_custom_data(NautilusDataType.Custom(message.__name__))]


def read_closes(folder: Path) -> dict[str, tuple[Any, Any]]:
    """Return the closes of all bars that a catalog holds: by instrument UNIX nanoseconds, ascending, and prices."""
    return closes_of(ParquetDataCatalog(str(folder)).query_bars())


def write_prices(folder: Path, instruments: Iterable[Any], bars: Iterable[list[Any]]) -> None:
    """Write instruments and the bars of each of them into a catalog."""
    catalog = ParquetDataCatalog(str(folder))
    catalog.write_instruments(list(instruments))
    for each in bars:
        catalog.write_bars(each)
