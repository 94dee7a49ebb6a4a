"""The options that every backtest has, and their checks."""

import argparse
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from nautilus_metal.errors import InputError

MAIN_MODEL = "filtered_historical"
DEFAULT_MODELS = (MAIN_MODEL, "normal")
ALL_MODELS = (*DEFAULT_MODELS, "student_t", "historical")


@dataclass(frozen=True)
class BacktestOptions:
    """What the user asked for.

    Parameters
    ----------
    name : str
        The backtest.
    device : str
        "auto", or a device by name.
    models : tuple of str
        Scenario models to run, the main one first.
    scenarios : int
        Scenarios of one risk tick.
    start, end : date, optional
        First and last day; the data's own where missing.
    out : Path
        Folder of the outputs, made if it is not there.
    seed : int
        Of the scenario stream.
    progress : bool
        Whether to show the progress bar.
    settings : mapping
        What the backtest alone knows, by name.
    """

    name: str
    device: str = "auto"
    models: tuple[str, ...] = DEFAULT_MODELS
    scenarios: int = 10_000
    start: date | None = None
    end: date | None = None
    out: Path = Path("out")
    seed: int = 0
    progress: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.scenarios < 100:
            raise InputError(f"`scenarios` must be at least 100, was {self.scenarios}")
        if self.seed < 0:
            raise InputError(f"`seed` must be at least 0, was {self.seed}")
        if self.start and self.end and self.end <= self.start:
            raise InputError(f"`end` must be after `start` ({self.start}), was {self.end}")

    def check_settings(self, known: Iterable[str]) -> None:
        """Raise an `InputError` unless every setting is in `known`."""
        names = tuple(known)
        for name in self.settings:
            if name not in names:
                raise InputError(f"{self.name} has no setting `{name}`; known are {', '.join(names) or 'none'}")

    def check_models(self, known: Iterable[str]) -> None:
        """Raise an `InputError` unless every model is in `known`."""
        names = tuple(known)
        for model in self.models:
            if model not in names:
                raise InputError(f"`model` must be one of {', '.join(names)} or all, was {model}")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a backtest to a parser."""
    parser.add_argument("--device", default="auto", help="auto (default), mps, cuda, cuda:1 or cpu")
    parser.add_argument(
        "--model",
        type=models,
        default=DEFAULT_MODELS,
        metavar="MODEL",
        help=f"scenario models, comma-separated, the main one first (default {','.join(DEFAULT_MODELS)}); "
        f"all is {','.join(ALL_MODELS)}",
    )
    parser.add_argument("--scenarios", type=int, default=10_000, help="scenarios of one risk tick (default 10000)")
    parser.add_argument("--start", type=day, metavar="YYYY-MM-DD", help="first day (default: the data's first)")
    parser.add_argument("--end", type=day, metavar="YYYY-MM-DD", help="last day (default: the data's last)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="folder of the outputs (default out/NAME)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the scenarios (default 0)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="settings",
        metavar="NAME=VALUE",
        help="a setting of this backtest alone, such as RSI.period=21; may be given several times",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def parsed(name: str, arguments: argparse.Namespace) -> BacktestOptions:
    """Turn parsed arguments into checked options."""
    return BacktestOptions(
        name=name,
        device=arguments.device,
        models=arguments.model,
        scenarios=arguments.scenarios,
        start=arguments.start,
        end=arguments.end,
        out=arguments.out or Path("out") / name,
        seed=arguments.seed,
        progress=not arguments.quiet,
        settings=settings(arguments.settings),
    )


def settings(words: Sequence[str]) -> dict[str, Any]:
    """Read ``name=value`` words; a value is TOML, or text where it is none."""
    found = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise InputError(f"`set` must be like NAME=VALUE, was {word}")
        try:
            found[name] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            found[name] = text
    return found


def day(text: str) -> date:
    """Read an ISO date."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a date like 2006-01-31, was {text}") from None


def levels(text: str) -> tuple[float, ...]:
    """Read comma-separated confidence levels."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be numbers like 0.95,0.99, was {text}") from None


def models(text: str) -> tuple[str, ...]:
    """Read a comma-separated list of models, or "all"; a name that comes twice counts once."""
    if text.strip() == "all":
        return ALL_MODELS
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not names:
        raise argparse.ArgumentTypeError("must name at least one model")
    return names
