"""What a replay plays: instruments, bars and quotes, from a catalog or from data frames."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nautilus_metal.errors import InputError
from nautilus_metal.host.reading import bar_interval_ns
from nautilus_metal.host.version import MAJOR

if TYPE_CHECKING or MAJOR == 1:
    from nautilus_metal.host.v1_records import (
        Bar,
        BarType,
        InstrumentId,
        Price,
        Quantity,
        QuoteTick,
        bars_of,
        read_records,
    )
else:
    from nautilus_metal.host.v2_records import (
        Bar,
        BarType,
        InstrumentId,
        Price,
        Quantity,
        QuoteTick,
        bars_of,
        read_records,
    )

BAR_COLUMNS = ("open", "high", "low", "close", "volume")
QUOTE_COLUMNS = ("bid_price", "ask_price", "bid_size", "ask_size")
_WEEK_NS = 7 * 86_400 * 10**9


class ReplayData:
    """Instruments with their bars and quotes, in order of time.

    Parameters
    ----------
    instruments : sequence of Instrument
        What the data are of.
    records : iterable of Bar or QuoteTick
        In any order; a record is known from its `ts_init` on.

    Raises
    ------
    InputError
        If there is no record, or one of an instrument that is not there.
    """

    def __init__(self, instruments: Sequence[Any], records: Iterable[Bar | QuoteTick]) -> None:
        self.instruments = tuple(instruments)
        self.records = sorted(records, key=lambda record: record.ts_init)
        self.times = np.fromiter((record.ts_init for record in self.records), np.int64, len(self.records))
        self.bar_types = frozenset(record.bar_type for record in self.records if isinstance(record, Bar))
        self.quoted = frozenset(record.instrument_id for record in self.records if isinstance(record, QuoteTick))
        if not self.records:
            raise InputError("`records` of a replay must be at least one bar or quote, was none")
        known = {instrument.id for instrument in self.instruments}
        of_data = {kind.instrument_id for kind in self.bar_types} | self.quoted
        strange = sorted(str(name) for name in of_data - known)
        if strange:
            raise InputError(f"`instruments` of a replay must hold every instrument of its data, lacked {strange}")

    @property
    def interval(self) -> int:
        """Nanoseconds of the longest time bar up to a week; 1 without time bars."""
        lengths = (bar_interval_ns(kind) for kind in self.bar_types)
        return max((length for length in lengths if length is not None and length <= _WEEK_NS), default=1)

    def between(self, start: int, end: int) -> Sequence[Bar | QuoteTick]:
        """Return the records with `start <= ts_init <= end`."""
        first, last = np.searchsorted(self.times, start, "left"), np.searchsorted(self.times, end, "right")
        return self.records[first:last]

    @classmethod
    def from_frames(
        cls,
        instruments: Sequence[Any],
        bars: Mapping[Any, pd.DataFrame] | None = None,
        quotes: Mapping[Any, pd.DataFrame] | None = None,
    ) -> "ReplayData":
        """Make bars and quotes of data frames.

        Parameters
        ----------
        instruments : sequence of Instrument
            Of every bar and quote.
        bars : mapping of BarType or str to DataFrame, optional
            Columns open, high, low, close, volume; indexed by the time of the close, UTC where it has no zone.
        quotes : mapping of InstrumentId or str to DataFrame, optional
            Columns bid_price, ask_price, bid_size, ask_size; indexed by time.

        Raises
        ------
        InputError
            If an instrument or a column is missing, an index is not of time, or a number is not finite.
        """
        by_id = {instrument.id: instrument for instrument in instruments}
        records: list[Any] = []
        for key, frame in (bars or {}).items():
            bar_type = key if isinstance(key, BarType) else BarType.from_str(key)
            records += _bars(_instrument(by_id, bar_type.instrument_id), bar_type, frame)
        for key, frame in (quotes or {}).items():
            name = key if isinstance(key, InstrumentId) else InstrumentId.from_str(key)
            records += _quotes(_instrument(by_id, name), frame)
        return cls(tuple(instruments), records)

    @classmethod
    def from_catalog(
        cls, path: str, bar_types: Sequence[BarType] = (), instruments: Sequence[InstrumentId] = ()
    ) -> "ReplayData":
        """Read bars and quotes of a `ParquetDataCatalog`.

        Parameters
        ----------
        path : str
            The catalog's folder.
        bar_types : sequence of BarType, optional
            The bars; all of the instruments where none are given.
        instruments : sequence of InstrumentId, optional
            The instruments; all of the catalog where none are given.

        Raises
        ------
        InputError
            If the catalog has nothing of that.
        """
        ids = [str(name) for name in instruments]
        found, records = read_records(path, [str(kind) for kind in bar_types], ids)
        if not found:
            raise InputError(f"`catalog` must hold the instruments of the replay, {path} has none of them")
        return cls(found, records)


def _instrument(by_id: Mapping[Any, Any], name: Any) -> Any:
    if name not in by_id:
        raise InputError(f"`instruments` must hold {name}, of which there are data")
    return by_id[name]


def _columns(frame: pd.DataFrame, names: Sequence[str], what: Any) -> tuple[np.ndarray, list[np.ndarray]]:
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise InputError(f"the frame of {what} must have the columns {', '.join(names)}, lacked {', '.join(missing)}")
    if not isinstance(frame.index, pd.DatetimeIndex):
        raise InputError(f"the frame of {what} must be indexed by time, was by {type(frame.index).__name__}")
    index = frame.index if frame.index.tz is None else frame.index.tz_convert("UTC").tz_localize(None)
    columns = [np.array(frame[name], dtype=np.float64) for name in names]
    if not all(np.isfinite(column).all() for column in columns):
        raise InputError(f"the frame of {what} must have finite numbers only")
    return index.to_numpy().astype("datetime64[ns]").astype(np.uint64), columns


def _bars(instrument: Any, bar_type: BarType, frame: pd.DataFrame) -> list[Bar]:
    ts, columns = _columns(frame, BAR_COLUMNS, bar_type)
    return bars_of(instrument, bar_type, columns, ts)


def _quotes(instrument: Any, frame: pd.DataFrame) -> list[QuoteTick]:
    ts, (bids, asks, bid_sizes, ask_sizes) = _columns(frame, QUOTE_COLUMNS, instrument.id)
    digits, size_digits = instrument.price_precision, instrument.size_precision
    return [
        QuoteTick(
            instrument.id,
            Price(bid, digits),
            Price(ask, digits),
            Quantity(bid_size, size_digits),
            Quantity(ask_size, size_digits),
            int(at),
            int(at),
        )
        for bid, ask, bid_size, ask_size, at in zip(bids, asks, bid_sizes, ask_sizes, ts, strict=True)
    ]
