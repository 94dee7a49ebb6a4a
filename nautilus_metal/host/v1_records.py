"""Bars and quotes as NautilusTrader 1.x makes, stamps and stores them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from nautilus_trader.common.config import NautilusConfig, resolve_path
from nautilus_trader.config import LiveDataClientConfig, RoutingConfig
from nautilus_trader.model.data import Bar, BarType, QuoteTick
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.objects import Price, Quantity
from nautilus_trader.persistence.catalog import ParquetDataCatalog

__all__ = [
    "Bar",
    "BarType",
    "InstrumentId",
    "LiveDataClientConfig",
    "NautilusConfig",
    "Price",
    "Quantity",
    "QuoteTick",
    "RoutingConfig",
    "bars_of",
    "read_records",
    "resolve_path",
    "restamped",
]


def bars_of(instrument: Any, bar_type: BarType, columns: Sequence[Any], ts: Any) -> list[Bar]:
    """Make bars of columns open, high, low, close and volume."""
    rounded = [np.round(column, instrument.price_precision) for column in columns[:4]]
    precisions = instrument.price_precision, instrument.size_precision
    made: list[Bar] = Bar.from_raw_arrays_to_list(bar_type, *precisions, *rounded, columns[4], ts, ts.copy())
    return made


def restamped(record: Any, ts_event: int, ts_init: int) -> Any:
    """Return a bar or quote with other time stamps."""
    if isinstance(record, Bar):
        prices = record.open, record.high, record.low, record.close, record.volume
        return Bar(record.bar_type, *prices, ts_event, ts_init, record.is_revision)
    sides = record.bid_price, record.ask_price, record.bid_size, record.ask_size
    return QuoteTick(record.instrument_id, *sides, ts_event, ts_init)


def read_records(path: str, bar_types: list[str], instruments: list[str]) -> tuple[list[Any], list[Any]]:
    """Read instruments, and their bars and quotes, of a catalog; all where no names are given."""
    catalog = ParquetDataCatalog(path)
    found = catalog.instruments(instrument_ids=instruments or None)
    ids = [str(instrument.id) for instrument in found]
    if not ids:
        return [], []
    bars = catalog.bars(bar_types=bar_types) if bar_types else catalog.bars(instrument_ids=ids)
    return found, [*bars, *catalog.quote_ticks(instrument_ids=ids)]
