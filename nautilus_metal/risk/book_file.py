"""A book, the history of its returns and how to assess it, in one JSON file."""

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from nautilus_metal.errors import InputError
from nautilus_metal.risk.book import Book, Position
from nautilus_metal.risk.frames import log_returns, read_frame
from nautilus_metal.risk.option import Option

SETTINGS = (
    *("model", "levels", "horizon", "scenarios", "seed", "sampler", "revaluation", "periods_per_year"),
    *("vol_of_vol", "spot_vol_correlation"),
)
_KEYS = ("positions", "base_currency", "xrates", "returns", "prices", "options", *SETTINGS)


@dataclass(frozen=True, eq=False)
class BookFile:
    """What a file holds.

    Attributes
    ----------
    book : Book
        The positions.
    returns : pandas.DataFrame
        Log returns by instrument.
    settings : mapping
        Further arguments of `nautilus_metal.risk.assess`, the model's options among them.
    """

    book: Book
    returns: Any
    settings: Mapping[str, Any]


def read_book(path: Path) -> BookFile:
    """Read a book file.

    The file is a JSON object. `positions` is a list of objects with the fields of `Position` (`option` with those of
    `Option`); `returns` names a file of log returns, or `prices` one of prices, CSV or Parquet, beside the book file.
    All else may be left out: `base_currency`, `xrates`, the arguments of `assess` (`model`, `levels`, `horizon`,
    `scenarios`, `seed`, `sampler`, ...), and `options`, an object of options of the model.

    Raises
    ------
    InputError
        If the file or one it names is not there, or anything in it is not as above; the message says where.
    """
    content = _content(path)
    unknown = [key for key in content if key not in _KEYS]
    if unknown:
        raise InputError(f"{path.name}: there is no key `{unknown[0]}`; known are {', '.join(_KEYS)}")
    rows = content.get("positions")
    if not isinstance(rows, list):
        raise InputError(f"{path.name}: `positions` must be a list of objects, was {rows!r}")
    positions = [_position(row, f"{path.name}: `positions[{i}]`") for i, row in enumerate(rows)]
    book = Book(positions, content.get("base_currency", "USD"), content.get("xrates", {}))
    chosen = {key: content[key] for key in SETTINGS if key in content}
    options = content.get("options", {})
    if not isinstance(options, dict):
        raise InputError(f"{path.name}: `options` must be an object of options of the model, was {options!r}")
    return BookFile(book, _history(path, content), chosen | options)


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"the book {path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{path.name} is no JSON: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path.name} must hold a JSON object, held {type(content).__name__}")
    return content


def _position(row: Any, where: str) -> Position:
    row = _checked(row, Position, where)
    if row.get("option") is not None:
        row = row | {"option": Option(**_checked(row["option"], Option, f"{where}: `option`"))}
    return Position(**row)


def _checked(row: Any, kind: type[Position | Option], where: str) -> dict[str, Any]:
    """The fields of an object, all of which `kind` knows, and all that it needs."""
    if not isinstance(row, dict):
        raise InputError(f"{where} must be an object, was {row!r}")
    known = {field.name: field for field in fields(kind)}
    for name in row:
        if name not in known:
            raise InputError(f"{where} has no field `{name}`; known are {', '.join(known)}")
    for name, field in known.items():
        if field.default is MISSING and name not in row:
            raise InputError(f"{where} must have a field `{name}`")
    return row


def _history(path: Path, content: Mapping[str, Any]) -> Any:
    given = [key for key in ("returns", "prices") if key in content]
    if len(given) != 1:
        raise InputError(f"{path.name} must name either `returns` or `prices`, named {' and '.join(given) or 'none'}")
    name, what = content[given[0]], f"`{given[0]}` of {path.name}"
    if not isinstance(name, str):
        raise InputError(f"{what} must be the name of a file, was {name!r}")
    frame = read_frame(path.parent / name, what)
    return frame if given[0] == "returns" else log_returns(frame, what)
