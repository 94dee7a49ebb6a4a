"""`nautilus-metal bench`: times of this machine beside peers and floors."""

import argparse
from pathlib import Path

from nautilus_metal.errors import InputError


def add_bench(commands: argparse._SubParsersAction) -> None:
    """Add the command with its options."""
    command = commands.add_parser(
        "bench",
        help="measure on this machine",
        description="Every case beside its peers, in paired runs, and beside the least time that it can take here; "
        "a time counts only after the answers were compared.",
    )
    command.add_argument("name", nargs="?", help="one case, or several with commas between; all of them without it")
    command.add_argument("--case", help="the same")
    command.add_argument("--device", default="auto", help="auto (default), mps, cuda, cuda:1 or cpu")
    command.add_argument("--quick", action="store_true", help="small sizes, few repetitions")
    command.add_argument("--json", action="store_true", dest="as_json", help="print JSON")
    command.add_argument("--out", type=Path, help="a folder for bench.json and the chart, bench.svg and bench.png")
    command.add_argument(
        "--save", action="store_true", help="keep the results as this machine's, for the README of this package"
    )
    instead = command.add_mutually_exclusive_group()
    instead.add_argument(
        "--classic", action="store_true", help="the rows of the older package's table, with an honest CPU side"
    )
    instead.add_argument(
        "--calibrate", action="store_true", help="measure from where on work goes to the device, store it, say why"
    )
    command.set_defaults(action=bench)


def bench(arguments: argparse.Namespace) -> int:
    """Measure what was asked for.

    Returns
    -------
    int
        0, or 1 where an answer disagreed with a peer's.

    Raises
    ------
    InputError
        If two different cases are named, or an option does not go with another one.
    """
    from nautilus_metal.bench.command import run_bench, run_calibration, run_classic

    name, case = arguments.name, arguments.case
    if name is not None and case is not None and name != case:
        raise InputError(f"`case` must be given once, was {name!r} and {case!r}")
    if arguments.classic or arguments.calibrate:
        given = {"case": name or case, "json": arguments.as_json, "out": arguments.out, "save": arguments.save}
        other = [f"`{option}`" for option, value in given.items() if value]
        if other:
            raise InputError(f"{', '.join(other)} must be left away with `classic` and `calibrate`")
    if arguments.calibrate:
        return run_calibration(arguments.device)
    if arguments.classic:
        return run_classic(arguments.device, arguments.quick)
    return run_bench(
        name or case, arguments.device, arguments.quick, arguments.as_json, arguments.out, arguments.save
    )
