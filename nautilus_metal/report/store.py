"""Risk reports in a Parquet file, by the message's own Arrow schema."""

from pathlib import Path
from types import TracebackType
from typing import Any

ROWS_PER_GROUP = 1_000


class ReportWriter:
    """Write messages to one Parquet file as they come; use it as a context manager.

    Parameters
    ----------
    path : Path
        The file; an older one is replaced.
    message : type
        The class of the messages, which names their Arrow schema.
    """

    def __init__(self, path: Path, message: Any) -> None:
        import msgspec  # like pyarrow, it comes with the host
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._encode = msgspec.json.encode
        # time stamps are whole numbers here; in the schema of a message under the host's 2.x they are dates
        kinds = ((one.name, pa.int64() if pa.types.is_timestamp(one.type) else one.type) for one in message._schema)
        self._schema = pa.schema(list(kinds))
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []
        self._open = True

    def add(self, message: Any) -> None:
        """Take one message, and write a row group when enough have come."""
        # the message's own `to_arrow` makes a batch of one row, which for thousands of them costs more than the rows
        row = message.to_dict()
        self._rows.append({name: self._encode(v).decode() if isinstance(v, dict) else v for name, v in row.items()})
        if len(self._rows) >= ROWS_PER_GROUP:
            self._flush()

    def close(self) -> None:
        """Write what is left; the file can be read from now on."""
        if self._open:
            self._open = False
            self._flush()
            self._writer.close()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
            self._rows.clear()

    def __enter__(self) -> "ReportWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
