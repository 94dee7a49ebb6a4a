"""Results in files, one a machine, and the README's tables made of them."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nautilus_metal.bench.case import Result, strongest
from nautilus_metal.bench.table import ABSENT, size_text, time_text
from nautilus_metal.errors import InputError

FOLDER = Path(__file__).parent / "results"
README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- made by `nautilus-metal bench --save` -->", "<!-- end -->"
_MACHINE = ("device_name", "cpu_name", "cores")
_OURSELVES = ("ours", "always the")  # peers that are this package in another way or place
_HEADERS = ("Work", "Size", "Ours", "Times the floor", "Strongest peer", "Its time", "Peer / ours")


def machine_name(environment: Mapping[str, Any]) -> str:
    """Name a machine by its hardware alone.

    >>> machine_name({"device": "cpu", "device_name": "AMD EPYC", "cores": 2})
    'amd-epyc-2-cores'
    >>> machine_name({"device": "cuda:0", "device_name": "NVIDIA H100 80GB HBM3", "cores": 16})
    'nvidia-h100-80gb-hbm3'
    """
    cores = f" {environment['cores']} cores" if environment["device"] == "cpu" else ""
    return re.sub(r"[^a-z0-9]+", "-", f"{environment['device_name']}{cores}".lower()).strip("-")


def save(values: Mapping[str, Any], folder: Path = FOLDER) -> Path:
    """Write the results of this machine; cases that were not measured now stay as they were measured before.

    Parameters
    ----------
    values : mapping
        What `table.as_values` gives.
    folder : Path
        Where the files are.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If an answer disagreed with a peer's: such results are not kept. Or if the folder cannot be written.
    """
    wrong = [row["case"] for row in values["results"] if Result.read(row).wrong]
    if wrong:
        raise InputError(f"`save` must have answers that agree, they differ in {', '.join(dict.fromkeys(wrong))}")
    path = folder / f"{machine_name(values['environment'])}.json"
    kept, versions = _kept(path, values)
    about = {**values["environment"], "versions": versions}
    whole = {**values, "environment": about, "results": [*kept, *values["results"]]}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"`save` must be able to write {path}: {error}") from None
    return path


def _kept(path: Path, values: Mapping[str, Any]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Rows of other cases, where this machine has a file of the same versions, and the versions of all rows.

    A package that was missing in one of the runs had no part in its rows: the other run's version is that of both.
    """
    about = values["environment"]
    versions = dict(about["versions"])
    if not path.exists():
        return [], versions
    before = json.loads(path.read_text(encoding="utf-8"))
    held = {name: number for name, number in before["environment"]["versions"].items() if number != ABSENT}
    found = {name: number for name, number in versions.items() if number != ABSENT}
    if any(before["environment"][name] != about[name] for name in _MACHINE) or any(
        held[name] != found[name] for name in held.keys() & found.keys()
    ):
        return [], versions
    measured = {row["case"] for row in values["results"]}
    return [row for row in before["results"] if row["case"] not in measured], versions | held | found


def performance_text(folder: Path = FOLDER) -> str:
    """Make the tables of the README's section on performance, one for each machine."""
    parts = [_machine_text(json.loads(path.read_text(encoding="utf-8"))) for path in sorted(folder.glob("*.json"))]
    return f"{BEGIN}\n\n" + "\n\n".join(parts) + f"\n\n{END}"


def refresh(readme: Path = README, folder: Path = FOLDER) -> bool:
    """Put the tables between the README's markers; False without a README that has them, as where it is installed."""
    text = readme.read_text(encoding="utf-8") if readme.exists() else ""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        return False
    readme.write_text(before + performance_text(folder) + after, encoding="utf-8")
    return True


def _machine_text(values: Mapping[str, Any]) -> str:
    about, results = values["environment"], [Result.read(row) for row in values["results"]]
    shown = strongest(results)
    loads = sorted(row.load for row in shown if row.load is not None)
    load = f"; load average {loads[0]:.1f} to {loads[-1]:.1f}" if loads else ""
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items() if number[0].isdigit())
    rows = [_HEADERS, tuple("---" for _ in _HEADERS), *map(_cells, shown)]
    return "\n".join((
        f"**{about['device_name']}**, {about['cores']} CPU cores{load} ({about['date']}: {versions})",
        "",
        *("| " + " | ".join(cells) + " |" for cells in rows),
        "",
        _standing(shown),
    ))  # fmt: skip


def _cells(result: Result) -> tuple[str, ...]:
    assert result.ours is not None
    assert result.theirs is not None
    assert result.ratio is not None
    each = "" if result.unit == "call" else f" a {result.unit}"
    above, ratio = result.above_floor, result.ratio
    return (
        f"`{result.case}`",
        size_text(result),
        time_text(result.ours.median) + each,
        "" if above is None else f"{above.median:.3g}",
        result.peer,
        time_text(result.theirs.median) + each,
        f"{ratio.median:.3g} ({ratio.low:.3g} to {ratio.high:.3g})",
    )


def _standing(shown: Sequence[Result]) -> str:
    """Say how many rows ours leads, and name those that it does not."""
    rivals = [row for row in shown if not row.peer.startswith(_OURSELVES)]
    behind = [row for row in rivals if row.ratio is not None and row.ratio.median < 1]
    names = ", ".join(f"`{row.case}` at {size_text(row)} (by {row.peer})" for row in behind)
    lead = f"Ours leads {len(rivals) - len(behind)} of {len(rivals)} rows"
    return f"{lead}; it is behind in {names}." if behind else f"{lead}."
