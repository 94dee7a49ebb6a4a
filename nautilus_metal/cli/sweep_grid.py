"""A sweep's file: what is run, and the grid of parameters that it is run with."""

import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import product
from pathlib import Path
from typing import Any

from nautilus_metal.cli.options import BacktestOptions
from nautilus_metal.errors import InputError

_KEYS = ("backtest", "function", "out", "columns", "fixed", "grid")
_OPTIONS = ("device", "scenarios", "start", "end", "seed")  # of `BacktestOptions`; all else is a setting
Parameters = Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """One cell of the grid.

    Attributes
    ----------
    target : str
        The name of a backtest, or ``module:function``.
    parameters : mapping
        By name; dates are ISO text.
    """

    target: str
    parameters: Parameters

    @property
    def key(self) -> str:
        """Names the run among all: the same target and parameters have the same key."""
        text = json.dumps([self.target, self.parameters], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def words(self) -> str:
        """Return the parameters as text."""
        return " ".join(f"{name}={_word(value)}" for name, value in self.parameters.items())


@dataclass(frozen=True)
class Grid:
    """A sweep: its runs, the folder of their outcomes, the figures that are shown, names of what varies."""

    runs: Sequence[Run]
    out: Path
    columns: Sequence[str]
    varied: Sequence[str]


def read_grid(path: Path) -> Grid:
    """Read a sweep's file.

    Raises
    ------
    InputError
        If the file is not there, or anything in it is not as the README says; the message says what.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"the grid {path} cannot be read: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path.name} is no TOML: {error}") from None
    for key in content:
        if key not in _KEYS:
            raise InputError(f"{path.name}: there is no key `{key}`; known are {', '.join(_KEYS)}")
    target, fixed, grid = _target(path, content), _plain(content.get("fixed", {})), _plain(content.get("grid", {}))
    if not grid:
        raise InputError(f"{path.name}: `[grid]` must name at least one parameter with a list of values")
    for name, values in grid.items():
        if not isinstance(values, list) or not values:
            raise InputError(f"{path.name}: `{name}` of the grid must be a list of values, was {values!r}")
        if name in fixed:
            raise InputError(f"{path.name}: `{name}` must be either fixed or in the grid, was both")
    cells = (dict(zip(grid, cell, strict=True)) for cell in product(*grid.values()))
    runs = [Run(target, fixed | cell) for cell in cells]
    if "backtest" in content:
        for run in runs:
            options_of(run, Path())  # what is wrong shows before any work
    out = Path(content.get("out", f"out/sweep_{path.stem}"))
    return Grid(runs, out, content.get("columns", ()), tuple(grid))


def options_of(run: Run, out: Path) -> BacktestOptions:
    """Return the options of a backtest's run; `model` is a name or a list, `period` a list of first and last day."""
    given = dict(run.parameters)
    chosen: dict[str, Any] = {name: given.pop(name) for name in _OPTIONS if name in given}
    if "period" in given:
        period = given.pop("period")
        if not isinstance(period, list) or len(period) != 2:
            raise InputError(f"`period` must be a list of the first and the last day, was {period!r}")
        chosen["start"], chosen["end"] = period
    for name in ("start", "end"):
        if name in chosen:
            chosen[name] = _day(name, chosen[name])
    if "model" in given:
        model = given.pop("model")
        chosen["models"] = tuple(model) if isinstance(model, list) else (model,)
    for name in ("scenarios", "seed"):
        if not isinstance(chosen.get(name, 0), int):
            raise InputError(f"`{name}` must be a whole number, was {chosen[name]!r}")
    return BacktestOptions(name=run.target, out=out, progress=False, settings=given, **chosen)


def flat(figures: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the numbers and words of nested mappings by their dotted names; lists are left out."""
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        elif not isinstance(value, list | tuple):
            yield f"{prefix}{name}", value


def _target(path: Path, content: Mapping[str, Any]) -> str:
    given = [content[key] for key in ("backtest", "function") if key in content]
    if len(given) != 1 or not isinstance(given[0], str):
        raise InputError(f"{path.name} must name either a `backtest` or a `function` (module:name)")
    if "function" in content and given[0].count(":") != 1:
        raise InputError(f"{path.name}: `function` must be like module:name, was {given[0]}")
    return given[0]


def _plain(value: Any) -> Any:
    """TOML's values with dates as text, as JSON has them."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value.isoformat() if isinstance(value, date | datetime) else value


def _day(name: str, text: Any) -> date:
    try:
        return date.fromisoformat(text)
    except (TypeError, ValueError):
        raise InputError(f"`{name}` must be a date like 2006-01-31, was {text!r}") from None


def _word(value: Any) -> str:
    return ":".join(map(str, value)) if isinstance(value, list) else str(value)
