"""`nautilus-metal sweep GRID.toml`: whole backtests over a grid of parameters, side by side on Ray."""

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nautilus_metal.cli.sweep_grid import Grid, Run, read_grid
from nautilus_metal.errors import InputError

TABLE = "results.csv"
_SHOWN = 4  # figures in the printed table where the file names none
_DESCRIPTION = """\
GRID.toml names a `backtest` of the backtests folder or a `function` (module:name) that takes parameters by name and
returns figures by name; `[fixed]` parameters, and under `[grid]` lists of values, all combinations of which are run.
Runs that are done are not made again: the sweep goes on where it was stopped."""


def add_sweep(commands: argparse._SubParsersAction) -> None:
    """Add the command with its options."""
    command = commands.add_parser(
        "sweep",
        help="whole backtests over a grid of parameters, on all cores or a Ray cluster",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("grid", type=Path, metavar="GRID.toml", help="what to run, with which parameters")
    command.add_argument("--address", help="of a Ray cluster to join, HOST:PORT; without it, Ray is started here")
    command.add_argument("--processes", type=int, metavar="N", help="most runs at a time here (default: the cores)")
    command.add_argument("--gpus", type=float, default=0.0, metavar="SHARE", help="share of a GPU for each run (0)")
    command.add_argument("--again", action="store_true", help="make runs again that are done")
    command.set_defaults(action=sweep)


def sweep(arguments: argparse.Namespace) -> int:
    """Make the runs that are not done, write one table of all and print it.

    Returns
    -------
    int
        0, or 1 where a run failed.
    """
    from nautilus_metal.cli.sweep_ray import on_ray
    from nautilus_metal.cli.sweep_run import LOG, function_of, outcome_of

    if arguments.processes is not None and arguments.processes < 1:
        raise InputError(f"`processes` must be at least 1, was {arguments.processes}")
    if not (0.0 <= arguments.gpus <= 1.0 or (arguments.gpus > 1.0 and arguments.gpus.is_integer())):
        raise InputError(f"`gpus` must be a share from 0 to 1, or a whole number, was {arguments.gpus}")
    grid = read_grid(arguments.grid)
    if ":" in grid.runs[0].target:
        function_of(grid.runs[0].target)
    found = {} if arguments.again else {run.key: outcome_of(run, grid.out) for run in grid.runs}
    outcomes = {key: outcome for key, outcome in found.items() if outcome is not None and "figures" in outcome}
    left = [run for run in grid.runs if run.key not in outcomes]
    if outcomes:
        print(f"{len(outcomes)} of {len(grid.runs)} runs are done", file=sys.stderr)
    try:
        if left:
            for run, outcome in on_ray(left, grid.out, arguments.address, arguments.processes, arguments.gpus):
                outcomes[run.key] = outcome
                _tell(run, outcome, len(outcomes), len(grid.runs))
    finally:
        rows = _rows(grid, outcomes)
        if rows:
            _write(rows, grid.out / TABLE)
    print(_printed(grid, rows))
    print(f"\n{grid.out / TABLE}")
    failed = [run for run in grid.runs if "error" in outcomes[run.key]]
    for run in failed:
        log = grid.out / run.key / LOG
        where = f" ({log})" if log.is_file() else ""
        print(f"failed: {run.words()}: {outcomes[run.key]['error']}{where}", file=sys.stderr)
    return 1 if failed else 0


def _tell(run: Run, outcome: dict[str, Any], done: int, total: int) -> None:
    end = "failed" if "error" in outcome else f"{outcome['seconds']:.1f} s"
    print(f"[{done}/{total}] {run.words()}: {end}", file=sys.stderr, flush=True)


def _rows(grid: Grid, outcomes: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each run that has ended: its key, its parameters, its figures or its error."""
    done = [(run, outcomes[run.key]) for run in grid.runs if run.key in outcomes]
    return [
        {"run": run.key}
        | dict(run.parameters)
        | outcome.get("figures", {})
        | {"seconds": outcome.get("seconds"), "error": outcome.get("error")}
        for run, outcome in done
    ]


def _write(rows: Sequence[dict[str, Any]], path: Path) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)


def _printed(grid: Grid, rows: Sequence[dict[str, Any]]) -> str:
    """The table: what varies, the chosen figures (by their whole name or its end), the time."""
    from nautilus_metal.report.terminal import table

    known = {*grid.runs[0].parameters, "run", "seconds", "error"}
    figures = [name for name, value in _merged(rows).items() if name not in known and isinstance(value, int | float)]
    shown = [_named(name, figures) for name in grid.columns] or figures[:_SHOWN]
    names = [*grid.varied, *shown, "seconds"]
    return table([names, *([_cell(row.get(name)) for name in names] for row in rows)], left=len(grid.varied))


def _named(wanted: str, figures: Sequence[str]) -> str:
    found = [name for name in figures if name == wanted or name.endswith(f".{wanted}")]
    if len(found) == 1:
        return found[0]
    print(f"`columns`: {len(found) or 'no'} figures are named {wanted}; {TABLE} has all", file=sys.stderr)
    return wanted


def _merged(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {name: value for row in reversed(rows) for name, value in row.items() if value is not None}


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, list):
        return ":".join(map(str, value))
    return "n/a" if value is None else str(value)
