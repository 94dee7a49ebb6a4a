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
        import pyarrow.parquet as pq

        self._schema = message._schema
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")
        self._batches: list[Any] = []
        self._open = True

    def add(self, message: Any) -> None:
        """Take one message, and write a row group when enough have come."""
        self._batches.append(message.to_arrow())
        if len(self._batches) >= ROWS_PER_GROUP:
            self._flush()

    def close(self) -> None:
        """Write what is left; the file can be read from now on."""
        if self._open:
            self._open = False
            self._flush()
            self._writer.close()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._batches:
            table = pa.Table.from_batches(self._batches, schema=self._schema)
            self._writer.write_table(table.combine_chunks())
            self._batches.clear()

    def __enter__(self) -> "ReportWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
