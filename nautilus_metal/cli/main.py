"""Parse the command line and hand over."""

import argparse
from collections.abc import Sequence

from nautilus_metal import __version__
from nautilus_metal.cli.backtest import guarded, list_backtests, load
from nautilus_metal.cli.bench import add_bench
from nautilus_metal.cli.demo import add_demo
from nautilus_metal.cli.doctor import add_doctor
from nautilus_metal.cli.live import add_live
from nautilus_metal.cli.options import add_options, parsed
from nautilus_metal.cli.report import add_report
from nautilus_metal.cli.sweep import add_sweep
from nautilus_metal.cli.validate import add_validate
from nautilus_metal.cli.var import add_var


def main(argv: Sequence[str] | None = None) -> int:
    """Run the `nautilus-metal` command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process by default.

    Returns
    -------
    int
        The exit code: 0 done, 2 wrong usage, 130 interrupted.
    """
    arguments = _parser().parse_args(argv)
    return guarded(lambda: int(arguments.action(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nautilus-metal", description="GPU indicators and Monte Carlo portfolio risk for NautilusTrader."
    )
    parser.add_argument("--version", action="version", version=f"nautilus_metal {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_backtest(commands)
    add_live(commands)
    add_report(commands)
    add_var(commands)
    add_validate(commands)
    add_sweep(commands)
    add_bench(commands)
    add_doctor(commands)
    add_demo(commands)
    return parser


def _add_backtest(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "backtest",
        help="run backtests/NAME.py; lists them without a name",
        description="Run backtests/NAME.py of the current folder or of this package's checkout.",
    )
    command.add_argument("name", nargs="?", help="the backtest; without it, all are listed")
    add_options(command)
    command.set_defaults(action=_backtest)


def _backtest(arguments: argparse.Namespace) -> int:
    if arguments.name is None:
        return list_backtests()
    options = parsed(arguments.name, arguments)
    return load(arguments.name)(options)
