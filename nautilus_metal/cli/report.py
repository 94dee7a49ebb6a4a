"""`nautilus-metal report DIR`: make the report page again, from what a run or a data catalog holds."""

import argparse
from pathlib import Path
from typing import Any

from nautilus_metal.errors import InputError

PAGE, RUNS = "report.html", ("backtest", "live")


def add_report(commands: Any) -> None:
    """Add the command to the parser's."""
    command = commands.add_parser(
        "report",
        help="make the report page of a run's folder, or of a data catalog, again",
        description="Make report.html from the files that a backtest of this package wrote into DIR, or from the "
        "risk reports that a NautilusTrader data catalog in DIR holds, written or streamed.",
    )
    command.add_argument("folder", type=Path, metavar="DIR", help="out/NAME of a backtest, or a data catalog")
    command.add_argument("--out", type=Path, metavar="FILE", help="the page (default DIR/report.html)")
    command.add_argument("--instance", metavar="ID", help="of runs streamed into a catalog (default: the last)")
    command.set_defaults(action=_report)


def _report(arguments: argparse.Namespace) -> int:
    folder: Path = arguments.folder
    path = arguments.out or folder / PAGE
    text, conclusion = _made(folder, arguments.instance)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"`--out` must be a file that can be written, {path}: {error.strerror}") from None
    print("\n".join(conclusion))
    print(path)
    return 0


def _made(folder: Path, instance: str | None) -> tuple[str, list[str]]:
    """Return the page of a folder, and what it comes to in sentences."""
    from nautilus_metal.report.hedge_page import hedge_page
    from nautilus_metal.report.hedge_saved import load_hedge_run
    from nautilus_metal.report.page import page
    from nautilus_metal.report.saved import SUMMARY, load_run, read_summary, run_of_reports

    if _is_catalog(folder) and not (folder / SUMMARY).exists():
        from nautilus_metal.host.catalog import read_closes

        title = f"Risk reports of {folder.resolve().name}"
        run = run_of_reports(_stored(folder, instance), title, read_closes(folder))
        return page(run), run.conclusion()
    facts = read_summary(folder)
    if "main_hedge" in facts:
        hedged = load_hedge_run(folder, facts)
        return hedge_page(hedged), hedged.conclusion()
    run = load_run(folder, facts)
    return page(run), run.conclusion()


def _is_catalog(folder: Path) -> bool:
    return any((folder / name).is_dir() for name in ("data", *RUNS))


def _stored(folder: Path, instance: str | None) -> list[Any]:
    """Return the reports that a catalog holds: those streamed by one run, else those written."""
    from nautilus_metal.host.catalog import read_streamed, read_written
    from nautilus_metal.messages import RiskReport

    runs = [run for kind in RUNS for run in (folder / kind).glob("*") if run.is_dir()]
    runs.sort(key=lambda run: run.stat().st_mtime)
    if instance is not None:
        runs = [run for run in runs if run.name == instance]
        if not runs:
            raise InputError(f"`--instance` must be a run streamed into {folder}, was {instance}")
    for run in reversed(runs):
        if found := read_streamed(folder, run.parent.name, run.name, RiskReport):
            return found
    return [] if instance is not None else read_written(folder, RiskReport)
