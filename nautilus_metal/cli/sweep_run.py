"""One run of a sweep: made in a process of its own, its outcome kept in a folder of its own."""

import contextlib
import importlib
import inspect
import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nautilus_metal.cli.backtest import load
from nautilus_metal.cli.sweep_grid import Run, flat, options_of
from nautilus_metal.errors import InputError

RESULT, LOG, SUMMARY = "result.json", "log.txt", "summary.json"
Outcome = dict[str, Any]
Files = Mapping[str, bytes]


def outcome_of(run: Run, out: Path) -> Outcome | None:
    """Return the outcome of a run that has been made before, None where there is none."""
    try:
        outcome: Outcome = json.loads((out / run.key / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return outcome


def do(run: Run, out: str | None) -> tuple[Outcome, Files]:
    """Make one run, and keep its outcome once it is whole.

    Parameters
    ----------
    run : Run
        What to do.
    out : str or None
        The sweep's folder; what the run prints goes to a log in the run's own. None on a machine that may share no
        folder with the sweep's.

    Returns
    -------
    tuple
        A dict of ``parameters``, ``seconds``, and either ``figures`` or ``error``; without `out` also the files of
        the run's folder by their names in it, for `keep`.
    """
    if out is not None:
        return _made(run, Path(out).resolve() / run.key), {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / run.key
        outcome = _made(run, folder)
        return outcome, {file.relative_to(folder).as_posix(): file.read_bytes() for file in _files(folder)}


def _made(run: Run, folder: Path) -> Outcome:
    folder.mkdir(parents=True, exist_ok=True)
    outcome: Outcome = {"target": run.target, "parameters": dict(run.parameters)}
    started = time.perf_counter()
    with (folder / LOG).open("w", encoding="utf-8") as log:
        try:
            with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
                outcome["figures"] = dict(flat(_figures(run, folder)))
        except Exception as error:  # of the user's own code: a row of the table, and the others go on
            traceback.print_exc(file=log)
            outcome["error"] = f"{type(error).__name__}: {error}"
    outcome["seconds"] = time.perf_counter() - started
    _write(folder / RESULT, json.dumps(outcome, indent=2, default=float).encode())
    return outcome


def keep(run: Run, out: Path, files: Files) -> None:
    """Lay down what a run has left on another machine, its outcome last."""
    for name in sorted(files, key=RESULT.__eq__):
        path = out / run.key / name
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, files[name])


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _write(path: Path, content: bytes) -> None:
    """Write a file in one step, so that half of it never passes for the whole."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_bytes(content)
    fresh.replace(path)


def _figures(run: Run, folder: Path) -> Mapping[str, Any]:
    if ":" not in run.target:
        code = load(run.target)(options_of(run, folder))
        if code:
            raise RuntimeError(f"the backtest ended with exit code {code}")
        return json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    found = function_of(run.target)
    takes_out = "out" in inspect.signature(found).parameters
    figures = found(**run.parameters, **({"out": folder} if takes_out else {}))
    if not isinstance(figures, Mapping):
        raise TypeError(f"{run.target} must return a mapping of figures by name, returned {type(figures).__name__}")
    return figures


def function_of(target: str) -> Any:
    """Import a user's function, from the current folder or wherever Python finds it.

    Raises
    ------
    InputError
        If there is none.
    """
    module, name = target.split(":")
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InputError(f"`function` {target} is not to be had: {error}") from None
