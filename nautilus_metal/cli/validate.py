"""`nautilus-metal validate`: every scenario model against history, in one table."""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nautilus_metal.cli.options import day, levels
from nautilus_metal.errors import InputError

_DESCRIPTION = """\
Rolls one-day VaR and expected shortfall of every model over a history of daily returns, each day from the days before
it alone, and tests them on the days that followed. Without --returns or --prices the history is that of 20 stocks of
the S&P 500, 1990 to 2022, which comes with skfolio. The book has constant weights: equal ones, or those of
--weights. p-values under 0.05 reject; an e-process rejects from a wealth of 20 on."""
_HEADINGS = (
    "model", "level", "exceptions", "expected", "Kupiec", "indep.", "cond. cov.", "Basel", "ES", "ES bias",
    "FZ score", "rank", "e-wealth", "verdict",
)  # fmt: skip
_TEST_NAMES = {
    "kupiec": "Kupiec",
    "independence": "indep.",
    "coverage": "cond. cov.",
    "shortfall": "ES",
    "bias": "ES bias",
    "basel": "Basel",
    "e_process": "e-process",
}


def add_validate(commands: argparse._SubParsersAction) -> None:
    """Add the command with its options."""
    command = commands.add_parser(
        "validate",
        help="test every scenario model's VaR and expected shortfall on history: one table",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    source = command.add_mutually_exclusive_group()
    source.add_argument("--returns", type=Path, metavar="FILE", help="log returns, CSV or Parquet, a column each")
    source.add_argument("--prices", type=Path, metavar="FILE", help="prices instead, of which log returns are made")
    command.add_argument("--weights", type=_weights, metavar="NAME=W,...", help="of the book (default: equal ones)")
    command.add_argument("--model", type=_names, metavar="MODEL,...", help="only these (default: all)")
    command.add_argument("--levels", type=levels, metavar="LEVEL,...", help="confidence levels (0.95,0.975,0.99)")
    command.add_argument("--window", type=int, default=1000, help="returns that a day's figures are made of (1000)")
    command.add_argument("--refit", type=int, default=63, help="days between two fits of the costly models (63)")
    command.add_argument("--scenarios", type=int, default=5_000, help="scenarios of a day (5000)")
    command.add_argument("--seed", type=int, default=0, help="of the scenarios (0)")
    command.add_argument("--start", type=day, metavar="YYYY-MM-DD", help="first day of the history that is used")
    command.add_argument("--end", type=day, metavar="YYYY-MM-DD", help="last day of it")
    command.add_argument("--device", default="cpu", help="cpu (default), auto, mps, cuda or cuda:1")
    command.add_argument("--workers", type=int, help="processes (default: one for each core, on a GPU one)")
    command.add_argument("--json", action="store_true", dest="as_json", help="print JSON")
    command.add_argument("--out", type=Path, metavar="FILE", help="write every day's figures to a .parquet or .csv")
    command.add_argument("--quiet", action="store_true", help="no progress")
    command.set_defaults(action=validate)


def validate(arguments: argparse.Namespace) -> int:
    """Run the study and print its table.

    Returns
    -------
    int
        0.

    Raises
    ------
    InputError
        If a file cannot be read, or an option is out of range.
    """
    from nautilus_metal.risk.study import CANDIDATES, LEVELS, plan_study, state_all
    from nautilus_metal.risk.study_table import verdicts

    started = time.perf_counter()
    if arguments.out and arguments.out.suffix not in (".parquet", ".csv"):
        raise InputError(f"`out` must be a .parquet or .csv file, was {arguments.out.name}")
    if arguments.workers is not None and arguments.workers < 1:
        raise InputError(f"`workers` must be at least 1, was {arguments.workers}")
    title, frame = _history(arguments)
    plan = plan_study(
        frame,
        _by_column(arguments.weights, [str(name) for name in frame.columns]),
        levels=arguments.levels or LEVELS,
        window=arguments.window,
        refit=arguments.refit,
        scenarios=arguments.scenarios,
        seed=arguments.seed,
        device=arguments.device,
    )
    names = arguments.model or tuple(CANDIDATES)
    done: list[str] = []

    def told(name: str) -> None:
        done.append(name)
        if not arguments.quiet:
            seconds = time.perf_counter() - started
            print(f"[{len(done)}/{len(names)}] {name} ({seconds:.0f} s)", file=sys.stderr, flush=True)

    stated = state_all(plan, names, arguments.workers, told)
    rows = verdicts(plan, stated, arguments.workers)
    if arguments.out:
        _write(arguments.out, frame.index[plan.window :], plan, stated)
    facts = _facts(title, frame, plan, time.perf_counter() - started)
    values = [asdict(row) for row in rows]
    if arguments.as_json:
        print(json.dumps(facts | {"rows": values}, indent=2, allow_nan=False))
    else:
        print(_page(facts, values, names))
    return 0


def _history(arguments: argparse.Namespace) -> tuple[str, Any]:
    """Return what the history is called, and its log returns by instrument."""
    from nautilus_metal.risk.frames import log_returns, read_frame

    path = arguments.returns or arguments.prices
    if path is None:
        try:
            from skfolio.datasets import load_sp500_dataset
        except ImportError:
            raise InputError("the bundled prices come with skfolio: pip install 'nautilus_metal[examples]'") from None
        title, frame = "20 stocks of the S&P 500", log_returns(load_sp500_dataset())
    elif arguments.returns:
        title, frame = path.name, read_frame(path)
    else:
        title, frame = path.name, log_returns(read_frame(path, "`prices`"))
    if arguments.start or arguments.end:
        if not hasattr(frame.index, "date"):
            raise InputError(f"`start` and `end` need dates, {title} has none")
        first, last = arguments.start or frame.index[0].date(), arguments.end or frame.index[-1].date()
        frame = frame.loc[str(first) : str(last)]
    return title, frame


def _by_column(weights: Mapping[str, float] | None, columns: Sequence[str]) -> list[float] | None:
    if weights is None:
        return None
    for name in weights:
        if name not in columns:
            raise InputError(f"`weights` must name columns of the history ({', '.join(columns)}), has {name}")
    return [weights.get(name, 0.0) for name in columns]


def _facts(title: str, frame: Any, plan: Any, seconds: float) -> dict[str, Any]:
    first, last = frame.index[plan.window], frame.index[-1]
    dated = hasattr(first, "date")
    return {
        "history": title,
        "instruments": len(frame.columns),
        "history_days": len(frame),
        "tested_days": len(plan.days),
        "first": str(first.date()) if dated else int(first),
        "last": str(last.date()) if dated else int(last),
        "window": plan.window,
        "refit": plan.refit,
        "scenarios": plan.request.scenarios,
        "seed": plan.request.seed,
        "device": plan.device,
        "seconds": round(seconds, 1),
    }


def _page(facts: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    from nautilus_metal.report.terminal import table
    from nautilus_metal.report.verdict import p_text, percent

    cells: list[Sequence[str]] = [_HEADINGS]
    for row in rows:
        p_values = [p_text(row[name]) for name in ("kupiec_p", "independence_p", "coverage_p")]
        shortfall = [p_text(row[name]) for name in ("shortfall_p", "bias_p")]
        counts = (percent(row["level"]), f"{row['exceptions']:,}", f"{row['expected']:,.1f}")
        score = (f"{row['score']:.4f}", str(row["rank"]), f"{row['wealth']:.3g}")
        failed = [_TEST_NAMES[name] for name in row["failed"]]
        verdict = "pass" if not failed else f"FAIL {len(failed)} of {len(_TEST_NAMES)}"
        cells.append((row["model"], *counts, *p_values, row["zone"], *shortfall, *score, verdict))
    heading = (
        f"{facts['history']}: {facts['instruments']} instruments, {facts['history_days']:,} days; "
        f"{facts['tested_days']:,} tested, {facts['first']} to {facts['last']}"
    )
    return "\n".join([heading, "", table(cells), "", *_footer(facts, names)])


def _footer(facts: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Say how each model was kept up to date, and what the columns are."""
    from nautilus_metal.risk.study import CANDIDATES

    ways = {
        "daily": "fitted to every day's window",
        "filtered": f"coefficients fitted every {facts['refit']} days, volatility and correlation of every day",
        "held": f"fitted every {facts['refit']} days and held between",
    }
    lines = [
        f"{', '.join(name for name in names if CANDIDATES[name].refit == way)}: {text}"
        for way, text in ways.items()
        if any(CANDIDATES[name].refit == way for name in names)
    ]
    lines.append(
        f"Windows of {facts['window']:,} days, {facts['scenarios']:,} scenarios a day where they are drawn, seed "
        f"{facts['seed']}; no figure has seen its own day or a later one."
    )
    lines.append(
        "Kupiec, indep. (Christoffersen), cond. cov. and ES (Acerbi and Szekely: unconditional, relative minimally "
        "biased) are p-values; FZ score is Fissler and Ziegel's mean, the least is rank 1 of its level."
    )
    lines.append(f"{facts['seconds']:.0f} s on {facts['device']}")
    return lines


def _write(path: Path, index: Any, plan: Any, stated: Sequence[Any]) -> None:
    """Write a row for each day, model and level."""
    import numpy as np
    import pandas as pd

    parts = []
    for one in stated:
        for column, level in enumerate(plan.levels):
            figures = {"var": one.var[:, column], "es": one.es[:, column]}
            parts.append(pd.DataFrame({"day": index, "model": one.name, "level": level, "pnl": plan.pnl, **figures}))
    frame = pd.concat(parts, ignore_index=True)
    frame["exception"] = np.asarray(-frame["pnl"] > frame["var"])
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path, index=False)


def _weights(text: str) -> dict[str, float]:
    try:
        pairs = [part.split("=") for part in text.split(",")]
        return {name.strip(): float(number) for name, number in pairs}
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be like AAPL=0.6,KO=0.4, was {text}") from None


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
