"""`nautilus-metal demo`: everything at work on this machine, in one run, with the figures as they come out."""

import argparse
import time


def add_demo(commands: argparse._SubParsersAction) -> None:
    """Add the command with its options."""
    command = commands.add_parser(
        "demo",
        help="show everything at work: options, indicators, training, memory, portfolios, GPU against CPU",
        description="A tour of the package on the best device here, about a minute. FORCE_CPU_FALLBACK=1 keeps to "
        "the CPU.",
    )
    command.add_argument("--quick", action="store_true", help="small sizes: a look in some seconds")
    command.set_defaults(action=demo)


def demo(arguments: argparse.Namespace) -> int:
    """Run every part and print what it finds.

    Returns
    -------
    int
        0.

    Raises
    ------
    InputError
        If the package that the prices come with is not installed.
    """
    from nautilus_metal.cli.demo_parts import FULL, PARTS, QUICK, load_market

    size = QUICK if arguments.quick else FULL
    market = load_market(size.days)
    started = time.perf_counter()
    for number, (title, part) in enumerate(PARTS, 1):
        print(f"[{number}/{len(PARTS)}] {title}", flush=True)
        begun = time.perf_counter()
        for line in part(size, market):
            print(f"  {line}", flush=True)
        print(f"  ({time.perf_counter() - begun:.1f} s)\n", flush=True)
    print(f"All {len(PARTS)} parts in {time.perf_counter() - started:.1f} s")
    return 0
