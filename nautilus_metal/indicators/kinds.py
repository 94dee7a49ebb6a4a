"""The kinds of indicator that a universe can hold, and their names such as "macd(12,26,9)"."""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.errors import InputError
from nautilus_metal.indicators.histories import Array, bollinger_history, macd_history, rsi_history
from nautilus_metal.kernels.bollinger import BollingerSeries, BollingerValues
from nautilus_metal.kernels.macd import MacdSeries, MacdValues
from nautilus_metal.kernels.parameters import band_width, macd_bars, whole_bars
from nautilus_metal.kernels.rsi import RsiSeries

Settings = tuple[Any, ...]


class Kind(NamedTuple):
    """One kind of indicator: its parameters, its outputs, and the mathematics of both ways to compute it."""

    parameters: dict[str, Any]  # names and defaults, in the order of the indicator's name
    outputs: tuple[str, ...]
    check: Callable[..., Settings]
    series: Callable[..., Any]  # (series, *settings): the streaming state of many series
    sweep: Callable[[Array, Sequence[Settings], ComputeEngine | None], Any]  # outputs (settings, ...)


def _sweep_rsi(history: Array, settings: Sequence[Settings], engine: ComputeEngine | None) -> Array:
    return rsi_history(history, [period for (period,) in settings], engine)


def _sweep_bollinger(history: Array, settings: Sequence[Settings], engine: ComputeEngine | None) -> BollingerValues:
    return bollinger_history(history, list(settings), engine)


def _sweep_macd(history: Array, settings: Sequence[Settings], engine: ComputeEngine | None) -> MacdValues:
    return macd_history(history, list(settings), engine)


KINDS = {
    "rsi": Kind(
        {"period": 14}, ("value",), lambda period: (whole_bars("period", period),), RsiSeries, _sweep_rsi
    ),
    "macd": Kind({"fast": 12, "slow": 26, "signal": 9}, MacdValues._fields, macd_bars, MacdSeries, _sweep_macd),
    "bollinger": Kind(
        {"period": 20, "k": 2.0},
        BollingerValues._fields,
        lambda period, k: (whole_bars("period", period), band_width(k)),
        BollingerSeries,
        _sweep_bollinger,
    ),
}

_NAME = re.compile(r"\s*(\w+)\s*(?:\(([^()]*)\))?\s*")


def kind_of(name: Any) -> Kind:
    """Return the row of `KINDS` called `name`; `InputError` if there is none."""
    if not isinstance(name, str) or name.lower() not in KINDS:
        raise InputError(f"`kind` must be one of {', '.join(KINDS)}, was {name!r}")
    return KINDS[name.lower()]


def parse(name: Any) -> tuple[str, Settings]:
    """Read an indicator's name; parameters that are left out at the end take their defaults.

    Returns
    -------
    tuple
        The kind's name and its checked settings.

    Raises
    ------
    InputError
        If the name is not KIND(NUMBER, ...), or a number is outside what the kind accepts.

    Examples
    --------
    >>> parse("MACD(12, 26)")
    ('macd', (12, 26, 9))
    """
    match = _NAME.fullmatch(name) if isinstance(name, str) else None
    if match is None:
        raise InputError(f"`name` must be like 'rsi(14)' or 'macd(12,26,9)', was {name!r}")
    kind, text = match[1].lower(), (match[2] or "").strip()
    row = kind_of(kind)
    numbers = [_number(part, name) for part in text.split(",")] if text else []
    if len(numbers) > len(row.parameters):
        takes = ", ".join(row.parameters)
        raise InputError(f"`name` must give at most {len(row.parameters)} numbers ({takes}) to {kind}, was {name!r}")
    defaults = list(row.parameters.values())
    return kind, row.check(*numbers, *defaults[len(numbers) :])


def canonical(kind: str, settings: Settings) -> str:
    """Write an indicator's name the one way that it is kept under, such as "bollinger(20,2)"."""
    return f"{kind}({','.join(str(number).removesuffix('.0') for number in settings)})"


def sweep_settings(row: Kind, parameters: dict[str, Any]) -> list[Settings]:
    """Pair up the parameter lists of a sweep; single numbers go with every entry.

    Parameters
    ----------
    row : Kind
        The kind that is swept.
    parameters : dict
        Name of a parameter, or its plural, to a number or a sequence of them. Sequences are of one length.

    Returns
    -------
    list of tuple
        Checked settings, in the order of the sequences.

    Raises
    ------
    InputError
        If a name is unknown, no sequence is given, lengths differ, or a number is outside what the kind accepts.
    """
    chosen: dict[str, Any] = dict(row.parameters)
    for name, numbers in parameters.items():
        singular = name if name in row.parameters else name.removesuffix("s")
        if singular not in row.parameters:
            raise InputError(f"`{name}` must be one of {', '.join(row.parameters)}, or its plural")
        chosen[singular] = numbers
    columns = [list(value) if hasattr(value, "__iter__") else value for value in chosen.values()]
    lengths = {len(column) for column in columns if isinstance(column, list)}
    if len(lengths) != 1 or 0 in lengths:
        raise InputError(f"`parameters` must hold sequences of one length of at least 1, were of {sorted(lengths)}")
    count = lengths.pop()
    filled = [column if isinstance(column, list) else [column] * count for column in columns]
    return [row.check(*one) for one in zip(*filled, strict=True)]


def _number(text: str, name: str) -> int | float:
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            continue
    raise InputError(f"`name` must hold numbers in its brackets, was {name!r}")
