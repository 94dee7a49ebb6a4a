"""`nautilus-metal backtest NAME`: find a script of the backtests folder and run it."""

import argparse
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from nautilus_metal.cli.options import BacktestOptions, add_options, parsed
from nautilus_metal.errors import DeviceError, HostError, InputError, TeamError

FOLDER = "backtests"
USAGE_ERROR, INTERRUPTED, PIPE_CLOSED = 2, 130, 141

Run = Callable[[BacktestOptions], int]


def roots() -> list[Path]:
    """Return the folders that may hold backtests: the current one, then the checkout that this package is in."""
    return list(dict.fromkeys([Path.cwd(), Path(__file__).resolve().parents[2]]))


def backtests() -> dict[str, Path]:
    """Return every backtest found: name and the folder that holds `backtests/`; the nearer one wins."""
    found: dict[str, Path] = {}
    for root in roots():
        for script in sorted((root / FOLDER).glob("*.py")):
            if not script.stem.startswith("_"):
                found.setdefault(script.stem, root)
    return found


def load(name: str) -> Run:
    """Load a backtest's script, as `python backtests/NAME.py` would, and return its `run` function.

    It is loaded from its file and not as a module of a package `backtests`, as several folders may have one.

    Raises
    ------
    InputError
        There is no backtest of that name, or it has no function `run`.
    HostError
        It is written for another version of NautilusTrader.
    """
    found = backtests()
    if name not in found:
        known = ", ".join(sorted(found)) or "none"
        places = " and ".join(str(root / FOLDER) for root in roots())
        raise InputError(f"backtest {name!r} is not there: looked in {places}, found {known}")
    script = found[name] / FOLDER / f"{name}.py"
    if str(found[name]) not in sys.path:
        sys.path.insert(0, str(found[name]))
    spec = importlib.util.spec_from_file_location(f"backtest_{name}", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("nautilus_trader."):
            raise
        raise HostError(f"backtest {name!r} needs NautilusTrader v1: it uses {error.name}") from None
    run: Run | None = getattr(module, "run", None)
    if run is None:
        raise InputError(f"{script} must have a function `run(options)`")
    return run


def list_backtests() -> int:
    """Print the backtests found, each with the first line of its description."""
    found = backtests()
    if not found:
        print("No backtests here. Run from a checkout of nautilus_metal, or from a folder with backtests/NAME.py.")
        return 0
    width = max(map(len, found))
    for name, root in sorted(found.items()):
        print(f"{name.ljust(width)}  {_first_line(root / FOLDER / f'{name}.py')}")
    return 0


def guarded(action: Callable[[], int]) -> int:
    """Run `action`; an expected error becomes one line and an exit code.

    Returns
    -------
    int
        What `action` returned; 2 for bad input, a missing extra, a device that is missing or fails, lost processes;
        130 when interrupted; 141 when the reader of the output, a pager or `head`, has gone.
    """
    try:
        code = action()
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter's last flush fails again
        return PIPE_CLOSED
    except (InputError, DeviceError, HostError, TeamError) as error:
        print(f"nautilus-metal: {error}", file=sys.stderr)
        return USAGE_ERROR
    except KeyboardInterrupt:
        print("nautilus-metal: interrupted", file=sys.stderr)
        return INTERRUPTED


def script_main(name: str, run: Run, argv: Sequence[str] | None = None) -> int:
    """Run a backtest from its own script, with the same options as the command has."""
    parser = argparse.ArgumentParser(prog=f"{FOLDER}/{name}.py", description=(sys.modules[run.__module__].__doc__))
    add_options(parser)
    arguments = parser.parse_args(argv)
    return guarded(lambda: run(parsed(name, arguments)))


def _first_line(script: Path) -> str:
    text = script.read_text(encoding="utf-8").lstrip()
    return text[3:].split("\n", 1)[0].rstrip('"') if text.startswith('"""') else ""
