"""What `nautilus-metal bench` does."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from nautilus_metal.bench.case import Case, Result
from nautilus_metal.bench.cases import CASES
from nautilus_metal.bench.chart import write_chart
from nautilus_metal.bench.classic import classic_lines
from nautilus_metal.bench.rates import Rates, measure_rates
from nautilus_metal.bench.runner import run
from nautilus_metal.bench.saved import refresh, save
from nautilus_metal.bench.table import as_values, environment, table
from nautilus_metal.engine import ComputeEngine
from nautilus_metal.engine.placement import Placement
from nautilus_metal.engine.placement_measure import SIZES
from nautilus_metal.engine.placement_store import cache_file, calibrate
from nautilus_metal.errors import InputError
from nautilus_metal.risk.pricing_work import ALL_WORK


def run_bench(
    case: str | None = None,
    device: str = "auto",
    quick: bool = False,
    as_json: bool = False,
    out: Path | None = None,
    keep: bool = False,
) -> int:
    """Measure one case or all of them, and print the result.

    Parameters
    ----------
    case : str, optional
        A key of `CASES`, or several with commas between them; all by default.
    device : str
        Where ours runs; see `ComputeEngine`.
    quick : bool
        Small sizes, three rounds.
    as_json : bool
        Print JSON in place of a table.
    out : Path, optional
        A folder to write bench.json, bench.svg and bench.png into.
    keep : bool
        Keep the results as those of this machine, in the package's own folder, and make the README's tables anew.

    Returns
    -------
    int
        0, or 1 where an answer disagreed with a peer's.

    Raises
    ------
    InputError
        If there is no such case, quick results are to be kept, or a file cannot be written.
    """
    if keep and quick:
        raise InputError("`save` must have full sizes: leave `quick` away")
    cases = _chosen(case)
    with ComputeEngine(device) as engine:
        rates = measure_rates(engine, quick)
        results = run(cases, engine, quick, rates, _say)
        values = json.dumps(as_values(results, engine, rates), indent=2)
        remarks = _remarks(cases, results, engine)
        print(values if as_json else "\n".join((table(results, engine), "", *_floors(cases, rates), *remarks)))
        for path in _written(results, engine, values, out):
            print(path, file=sys.stderr)
        if keep:
            print(save(json.loads(values)), file=sys.stderr)
            refresh()
    return 1 if any(result.wrong for result in results) else 0


def _say(name: str) -> None:
    print(f"measuring {name}", file=sys.stderr, flush=True)


def _chosen(names: str | None) -> list[Case]:
    chosen = list(CASES) if names is None else names.split(",")
    for name in chosen:
        if name not in CASES:
            raise InputError(f"`case` must be one of {', '.join(CASES)}, was {name!r}")
    return [CASES[name] for name in chosen]


def _floors(cases: Sequence[Case], rates: Rates) -> Iterator[str]:
    """What the floors are made of."""
    copies = ", ".join(f"{speed / 1e9:.1f} at {size / 2**20:g} MiB" for size, speed in rates.copy.items())
    yield f"Measured in this run: copies {copies} (GB/s, read plus written)"
    for what, speeds in (("matrix products, GFLOP/s", rates.matmul), ("exponentials, G/s", rates.exponentials)):
        if speeds:
            yield f"  {what}: " + ", ".join(f"{speed / 1e9:.1f} {name}" for name, speed in speeds.items())
    for case in cases:
        if case.floor is not None:
            yield f"  floor of {case.name}: {case.floor.says}"


def _remarks(cases: Sequence[Case], results: Sequence[Result], engine: ComputeEngine) -> Iterator[str]:
    for case in cases:
        said = case.remark([result for result in results if result.case == case.name], engine)
        if said:
            yield said


def _written(results: Sequence[Result], engine: ComputeEngine, values: str, out: Path | None) -> list[Path]:
    if out is None:
        return []
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "bench.json").write_text(values + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"`out` must be a folder that can be written: {error}") from None
    return [out / "bench.json", *write_chart(results, environment(engine), out)]


def run_classic(device: str = "auto", quick: bool = False) -> int:
    """Print the rows of the older package's table as this machine has them: see `classic.classic_lines`."""
    with ComputeEngine(device) as engine:
        for line in classic_lines(engine, quick):
            print(line, flush=True)
    return 0


def run_calibration(device: str = "auto") -> int:
    """Measure where work goes on this machine, store it, and print each choice with its reason."""
    with ComputeEngine(device) as engine:
        found = calibrate(engine, ALL_WORK, fresh=True)
        placement = Placement(engine.pool, found)
        print(f"{engine.device}: {found.device_name}, beside {found.cpu_name}")
        for kind in found.times:
            for size in SIZES:
                print(f"  {placement.explain(engine, kind, size)}")
        if not found.times:
            print("  it is the CPU: there is no other device whose work could be compared with it")
        print(f"stored in {cache_file(engine)}")
    return 0
