"""What a hedged run leaves in its folder, read back, so that its page can be made again."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nautilus_metal.errors import InputError
from nautilus_metal.report.hedge_run import HedgeRun
from nautilus_metal.report.saved import DAILY_PNL, SUMMARY, read_table


def write_hedge_days(run: HedgeRun, path: Path) -> None:
    """Write the daily P&L of every book by source; an older file is replaced."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {"ts": run.ts}
    for book, table in run.books.items():
        columns |= {_column(book, source): table[:, i] for i, source in enumerate(run.sources)}
    pq.write_table(pa.table(columns), path, compression="zstd")


def load_hedge_run(folder: Path, facts: Mapping[str, Any]) -> HedgeRun:
    """Read a hedged run back.

    Parameters
    ----------
    folder : Path
        With `daily_pnl.parquet`.
    facts : mapping
        Its `summary.json`.

    Raises
    ------
    InputError
        If the days are missing, or do not fit the summary.
    """
    path = folder / DAILY_PNL
    if not path.exists():
        raise InputError(f"{folder} has a {SUMMARY} but no {DAILY_PNL}: this run's page cannot be made again")
    columns = read_table(path).to_pydict()
    try:
        labels = facts["labels"]
        sources = tuple(next(iter(facts["attribution"].values())))[:-1]  # the last one is their total
        books = {book: np.column_stack([columns[_column(book, source)] for source in sources]) for book in labels}
        return HedgeRun(
            name=facts["backtest"],
            title=facts["title"],
            ts=np.array(columns["ts"], dtype=np.int64),
            sources=sources,
            books=books,
            labels=labels,
            main=facts["main_hedge"],
            gaps=facts["account_less_attribution"],
            counts=facts["counts"],
            warning=facts["warning"],
            wall_seconds=facts["wall_seconds"],
            currency=facts["base_currency"],
            settings=facts["settings"],
            notes=facts["notes"],
            made_with=facts["versions"],
        )
    except KeyError as error:
        raise InputError(f"{folder / SUMMARY} and {DAILY_PNL} are not of one hedged backtest: {error}") from None


def _column(book: str, source: str) -> str:
    return f"{book}: {source}"
