"""Tables of returns or prices from a user's files."""

from pathlib import Path
from typing import Any

import numpy as np

from nautilus_metal.errors import InputError


def read_frame(path: Path, what: str = "`returns`") -> Any:
    """Read a table with a column for each instrument and a row for each period.

    Parameters
    ----------
    path : Path
        A CSV file (first row names; a first column of dates becomes the index) or a Parquet file.
    what : str
        Its name in errors.

    Returns
    -------
    pandas.DataFrame
        float64, by instrument, oldest first.

    Raises
    ------
    InputError
        If the file is not there, is of another kind, or holds anything but finite numbers.
    """
    import pandas as pd

    readers = {".csv": pd.read_csv, ".parquet": pd.read_parquet}
    if path.suffix.lower() not in readers:
        raise InputError(f"{what} must be a .csv or .parquet file, was {path.name}")
    if not path.is_file():
        raise InputError(f"{what}: there is no file {path}")
    try:
        frame = readers[path.suffix.lower()](path)
    except (ValueError, OSError) as error:  # of pandas and of pyarrow, which derive from these
        raise InputError(f"{what}: {path.name} cannot be read: {error}") from None
    frame = _by_date(frame, what, path)
    for name in frame.columns:
        column = pd.to_numeric(frame[name], errors="coerce")
        wrong = np.flatnonzero(~np.isfinite(column.to_numpy(dtype=np.float64)))
        if len(wrong):
            found = frame[name].iloc[wrong[0]]
            row = wrong[0] + 1
            raise InputError(f"{what}: {path.name} must hold numbers, column {name} has {found!r} in row {row}")
        frame[name] = column.astype(np.float64)
    if frame.empty:
        raise InputError(f"{what}: {path.name} holds no numbers")
    return frame.rename(columns=str)


def _by_date(frame: Any, what: str, path: Path) -> Any:
    """A first column of text or dates as the index, which must ascend."""
    import pandas as pd

    if len(frame.columns) and not pd.api.types.is_numeric_dtype(frame.iloc[:, 0]):
        name = frame.columns[0]
        dates = pd.to_datetime(frame[name], errors="coerce", format="ISO8601")
        if dates.isna().any():
            found = frame[name][dates.isna()].iloc[0]
            raise InputError(f"{what}: {path.name} must begin with ISO dates or numbers, column {name} has {found!r}")
        frame = frame.drop(columns=name).set_axis(dates)
    if isinstance(frame.index, pd.DatetimeIndex) and not frame.index.is_monotonic_increasing:
        raise InputError(f"{what}: the dates of {path.name} must ascend")
    return frame


def log_returns(prices: Any, what: str = "`prices`") -> Any:
    """Turn prices into log returns, one row less.

    Raises
    ------
    InputError
        If a price is not above zero.
    """
    wrong = prices.columns[(prices <= 0).any()]
    if len(wrong):
        raise InputError(f"{what} must be above 0, those of {wrong[0]} are not")
    return np.log(prices).diff().iloc[1:]
