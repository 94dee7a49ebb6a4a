"""Bars and quotes as NautilusTrader 2.x makes, stamps and stores them, and the config of a data client."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nautilus_trader.live import DataClientConfig, InstrumentProviderConfig, RoutingConfig
from nautilus_trader.live.config import resolve_path
from nautilus_trader.model import Bar, BarType, InstrumentId, Price, Quantity, QuoteTick
from nautilus_trader.persistence import ParquetDataCatalog

from nautilus_metal.host.v2_config import Settings as NautilusConfig
from nautilus_metal.host.v2_config import decoded

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


class LiveDataClientConfig(NautilusConfig, DataClientConfig):
    """Settings of a data client: fields by annotation, and those that the host keeps itself."""

    handle_revised_bars: bool = False
    instrument_provider: InstrumentProviderConfig = InstrumentProviderConfig()
    routing: RoutingConfig = RoutingConfig()

    def __new__(cls, **settings: Any) -> Any:
        hints = LiveDataClientConfig.__annotations__
        kept = {name: decoded(settings.get(name, getattr(cls, name)), hints[name]) for name in hints}
        return DataClientConfig.__new__(cls, **kept)


def bars_of(instrument: Any, bar_type: BarType, columns: Sequence[Any], ts: Any) -> list[Bar]:
    """Make bars of columns open, high, low, close and volume."""
    price, size = instrument.make_price, instrument.make_qty
    rows = zip(*(column.tolist() for column in columns), ts.tolist(), strict=True)
    return [
        Bar(bar_type, price(first), price(high), price(low), price(last), size(volume), at, at)
        for first, high, low, last, volume, at in rows
    ]


def restamped(record: Any, ts_event: int, ts_init: int) -> Any:
    """Return a bar or quote with other time stamps."""
    if isinstance(record, Bar):
        prices = record.open, record.high, record.low, record.close, record.volume
        return Bar(record.bar_type, *prices, ts_event, ts_init)
    sides = record.bid_price, record.ask_price, record.bid_size, record.ask_size
    return QuoteTick(record.instrument_id, *sides, ts_event, ts_init)


def read_records(path: str, bar_types: list[str], instruments: list[str]) -> tuple[list[Any], list[Any]]:
    """Read instruments, and their bars and quotes, of a catalog; all where no names are given."""
    if not Path(path).is_dir():  # which the host would make
        return [], []
    catalog = ParquetDataCatalog(path)
    found = catalog.instruments(instrument_ids=instruments or None)
    ids = [str(instrument.id) for instrument in found]
    if not ids:
        return [], []
    return found, [*catalog.query_bars(bar_types or ids), *catalog.query_quote_ticks(ids)]
