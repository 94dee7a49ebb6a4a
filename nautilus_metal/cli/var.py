"""`nautilus-metal var BOOK.json`: value at risk of a book from a file, on one device or shared by many processes."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from nautilus_metal.cli.options import levels
from nautilus_metal.errors import InputError

_OVERRIDES = ("model", "levels", "horizon", "scenarios", "seed", "sampler")
_MEMBER = "--processes=0"  # the last word counts: a process that was started here starts no others
_DESCRIPTION = """\
BOOK.json holds `positions` (a list of objects with instrument, quantity, price, and where wanted multiplier, currency
and option), `returns` or `prices` (the name of a CSV or Parquet file beside it, a column for each instrument), and
what `nautilus_metal.risk.assess` takes: model, levels, horizon, scenarios, seed, sampler, options. Where torchrun
starts the command, its processes share the scenarios; --processes starts them on this machine."""


def add_var(commands: argparse._SubParsersAction) -> None:
    """Add the command with its options."""
    command = commands.add_parser(
        "var",
        help="value at risk and expected shortfall of a book from a file, on one device or many",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("book", type=Path, metavar="BOOK.json", help="positions, history and settings")
    command.add_argument("--scenarios", type=_whole, help="scenarios to draw, such as 100000000 or 1e8")
    command.add_argument("--model", help="scenario model")
    command.add_argument("--levels", type=levels, metavar="LEVEL,...", help="confidence levels, such as 0.95,0.99")
    command.add_argument("--horizon", type=int, help="periods ahead")
    command.add_argument("--seed", type=int, help="of the scenarios")
    command.add_argument("--sampler", help="sobol or pseudo")
    command.add_argument("--device", default="auto", help="auto (default), mps, cuda, cuda:1 or cpu")
    command.add_argument("--processes", type=int, metavar="N", default=0, help="share the work among N of them here")
    command.add_argument("--timeout", type=float, default=60.0, help="seconds to wait for other processes (60)")
    command.add_argument("--json", action="store_true", dest="as_json", help="print JSON")
    command.set_defaults(action=var)


def var(arguments: argparse.Namespace) -> int:
    """Assess the book and print its figures; with `processes`, by so many of them.

    Returns
    -------
    int
        0, or what the processes ended with.
    """
    from nautilus_metal.engine.team import joined
    from nautilus_metal.risk.book_file import read_book

    read = read_book(arguments.book)
    if arguments.processes:
        return _start(arguments.processes)
    with joined(arguments.timeout) as team:
        found = _assess(read, arguments, team)
        if team.rank == 0:
            print(json.dumps(found, indent=2, allow_nan=False) if arguments.as_json else _text(found))
    return 0


def _start(processes: int) -> int:
    """Run this very command again in so many processes, which find each other through torchrun."""
    if processes < 1:
        raise InputError(f"`processes` must be at least 1, was {processes}")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    threads = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // processes))}
    command = [*launcher, "-m", "nautilus_metal.cli", *sys.argv[1:], _MEMBER]
    return subprocess.run(command, check=False, env=threads | os.environ).returncode


def _assess(read: Any, arguments: argparse.Namespace, team: Any) -> dict[str, Any]:
    from nautilus_metal.engine import ComputeEngine
    from nautilus_metal.risk import assess

    settings = dict(read.settings)
    settings |= {name: given for name in _OVERRIDES if (given := getattr(arguments, name)) is not None}
    with ComputeEngine(_device(arguments.device)) as engine:
        risk = assess(read.book, read.returns, engine=engine, team=team, **settings)
    book = read.book
    return {
        "base_currency": book.base_currency,
        "value": risk.value,
        "positions": len(book.positions),
        "levels": [
            {
                "level": level,
                "var": risk.var[level],
                "var_standard_error": risk.var_se[level],
                "es": risk.es[level],
                "es_standard_error": risk.es_se[level],
                "component_var": _by_instrument(book, risk.component_var[level]),
            }
            for level in risk.levels
        ],
        "worst_loss": risk.worst_loss,
        **{name: getattr(risk, name) for name in ("model", "horizon", "scenarios", "sampler", "seed", "device")},
        "precision": risk.precision,
        "processes": team.size,
        "drift": risk.drift,
        "milliseconds": risk.milliseconds,
    }


def _device(name: str) -> str:
    """Each process of a machine has a GPU of its own, as far as there are enough."""
    from nautilus_metal.engine.devices import KINDS, resolve
    from nautilus_metal.engine.team import local_rank

    found = resolve(name)
    if found.type != "cuda" or name.startswith("cuda:"):
        return str(found)
    return f"cuda:{local_rank() % KINDS['cuda'].count()}"


def _by_instrument(book: Any, parts: Any) -> dict[str, float]:
    found: dict[str, float] = {}
    for position, part in zip(book.positions, parts.tolist(), strict=True):
        found[position.instrument] = found.get(position.instrument, 0.0) + part
    return found


def _text(found: dict[str, Any]) -> str:
    from nautilus_metal.report.terminal import table
    from nautilus_metal.report.verdict import percent

    rows: list[tuple[str, ...]] = [("level", "VaR", "+-", "ES", "+-")]
    for row in found["levels"]:
        amounts = (row[name] for name in ("var", "var_standard_error", "es", "es_standard_error"))
        rows.append((percent(row["level"]), *(f"{amount:,.2f}" for amount in amounts)))
    last = found["levels"][-1]
    parts = sorted(last["component_var"].items(), key=lambda part: -abs(part[1]))
    shown = [("instrument", f"of the {percent(last['level'])} VaR")]
    shown += [(name, f"{part:,.2f}") for name, part in parts[:10]]
    rest = f"\nand {len(parts) - 10} more" if len(parts) > 10 else ""
    facts = (
        f"{found['model']}, {found['scenarios']:,} scenarios ({found['sampler']}, seed {found['seed']}), horizon "
        f"{found['horizon']}; {found['precision']} on {found['device']}, {found['processes']} "
        f"process{'es' if found['processes'] > 1 else ''}, {found['milliseconds']:,.0f} ms"
    )
    heading = f"{found['positions']} positions worth {found['value']:,.2f} {found['base_currency']}"
    return "\n\n".join([heading, table(rows), table(shown) + rest, facts])


def _whole(text: str) -> int:
    try:
        number = float(text.replace("_", ""))
    except ValueError:
        number = float("nan")
    if not number.is_integer():
        raise argparse.ArgumentTypeError(f"must be a whole number, was {text}")
    return int(number)
