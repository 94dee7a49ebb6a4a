"""What `nautilus-metal bench` does."""

import json

from nautilus_metal.bench.cases import CASES
from nautilus_metal.bench.runner import run
from nautilus_metal.bench.table import as_values, table
from nautilus_metal.engine import ComputeEngine
from nautilus_metal.errors import InputError


def run_bench(case: str | None = None, device: str = "auto", quick: bool = False, as_json: bool = False) -> int:
    """Measure one case or all of them, and print the result.

    Parameters
    ----------
    case : str, optional
        A key of `CASES`; all of them by default.
    device : str
        Where ours runs; see `ComputeEngine`.
    quick : bool
        Small sizes, three rounds.
    as_json : bool
        Print JSON in place of a table.

    Returns
    -------
    int
        0, or 1 where an answer disagreed with a peer's.

    Raises
    ------
    InputError
        If there is no such case.
    """
    if case is not None and case not in CASES:
        raise InputError(f"`case` must be one of {', '.join(CASES)}, was {case!r}")
    with ComputeEngine(device) as engine:
        results = run(list(CASES.values()) if case is None else [CASES[case]], engine, quick)
        print(json.dumps(as_values(results, engine), indent=2) if as_json else table(results, engine))
    return 1 if any(result.wrong for result in results) else 0
