"""Kept results: one file a machine, and the README's tables made of nothing else."""

import json

import pytest

from nautilus_metal.bench.case import Result
from nautilus_metal.bench.cases import CASES
from nautilus_metal.bench.saved import BEGIN, END, FOLDER, README, machine_name, performance_text, refresh, save
from nautilus_metal.errors import InputError

ABOUT = {
    "device": "cpu", "device_name": "AMD EPYC", "cpu_name": "AMD EPYC", "cores": 2, "date": "2026-11-22",
    "versions": {"torch": "2.15.0", "cupy": "not installed"},
}  # fmt: skip


def row(case: str, peer: str, mine: float, its: float, **changes: object) -> dict[str, object]:
    """A result as JSON holds it, every spread without width."""

    def flat(value: float) -> dict[str, float]:
        return {"median": value, "low": value, "high": value}

    plain = {
        "case": case, "peer": peer, "size": {"bars": 10_000}, "device": "cpu", "ours": flat(mine),
        "theirs": flat(its), "ratio": flat(its / mine), "rounds": 21, "unit": "call", "floor": mine / 2,
        "above_floor": flat(2.0), "bound": False, "load": 1.5, "problem": None,
    }  # fmt: skip
    return plain | changes


def values(*rows: dict[str, object], **about: object) -> dict[str, object]:
    return {"environment": ABOUT | about, "results": list(rows)}


def test_a_machine_has_one_file_by_its_hardware(tmp_path):
    path = save(values(row("rsi", "TA-Lib", 1e-5, 2e-5)), tmp_path)
    assert path.name == "amd-epyc-2-cores.json"
    assert save(values(row("rsi", "TA-Lib", 2e-5, 2e-5)), tmp_path) == path
    assert len(list(tmp_path.iterdir())) == 1
    other = ABOUT | {"device": "mps", "device_name": "Apple M4 Max GPU (Metal)"}
    assert machine_name(other) == "apple-m4-max-gpu-metal"


def test_other_cases_stay_and_the_same_ones_are_replaced(tmp_path):
    save(values(row("rsi", "TA-Lib", 1e-5, 2e-5), row("macd", "TA-Lib", 1e-5, 2e-5)), tmp_path)
    path = save(values(row("macd", "TA-Lib", 3e-5, 2e-5)), tmp_path)
    kept = json.loads(path.read_text(encoding="utf-8"))["results"]
    assert [(found["case"], found["ours"]["median"]) for found in kept] == [("rsi", 1e-5), ("macd", 3e-5)]
    path = save(values(row("macd", "TA-Lib", 4e-5, 2e-5), versions={"torch": "3.0"}), tmp_path)
    assert [found["case"] for found in json.loads(path.read_text(encoding="utf-8"))["results"]] == ["macd"]


def test_a_package_that_one_run_had_not_keeps_no_rows_out(tmp_path):
    save(values(row("rsi", "TA-Lib", 1e-5, 2e-5)), tmp_path)
    path = save(values(row("macd", "CuPy", 3e-5, 2e-5), versions={"torch": "2.15.0", "cupy": "14.2"}), tmp_path)
    path = save(values(row("lstm", "torch", 3e-5, 2e-5), versions={"torch": "2.15.0"}), tmp_path)
    held = json.loads(path.read_text(encoding="utf-8"))
    assert [found["case"] for found in held["results"]] == ["rsi", "macd", "lstm"]
    assert held["environment"]["versions"] == {"torch": "2.15.0", "cupy": "14.2"}


def test_wrong_answers_are_not_kept(tmp_path):
    wrong = row("rsi", "TA-Lib", 1.0, 1.0, problem="answers differ: 1 is not 2")
    with pytest.raises(InputError, match="`save` must have answers that agree, they differ in rsi"):
        save(values(wrong), tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="must be able to write"):
        save(values(row("rsi", "TA-Lib", 1.0, 1.0)), tmp_path / "file")


def test_a_row_of_the_text_is_the_strongest_peer(tmp_path):
    save(
        values(
            row("rsi", "TA-Lib", 1e-5, 2e-5),
            row("rsi", "numba loop", 1e-5, 0.5e-5),
            row("rsi", "stores alone", 1e-5, 1e-6, bound=True),
            row("lstm", "torch", 1e-3, 2e-3, above_floor=None, floor=None, load=3.0),
            row("gate", "assess", 1.0, 1.0, ours=None, theirs=None, ratio=None, problem="x is not installed"),
        ),
        tmp_path,
    )
    assert performance_text(tmp_path).splitlines() == [
        BEGIN,
        "",
        "**AMD EPYC**, 2 CPU cores; load average 1.5 to 3.0 (2026-11-22: torch 2.15.0)",
        "",
        "| Work | Size | Ours | Times the floor | Strongest peer | Its time | Peer / ours |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| `rsi` | 10,000 bars | 10 us | 2 | numba loop | 5 us | 0.5 (0.5 to 0.5) |",
        "| `lstm` | 10,000 bars | 1 ms |  | torch | 2 ms | 2 (2 to 2) |",
        "",
        "Ours leads 1 of 2 rows; it is behind in `rsi` at 10,000 bars (by numba loop).",
        "",
        END,
    ]


def test_a_readme_is_made_anew_between_its_markers_only(tmp_path):
    save(values(row("rsi", "TA-Lib", 1e-5, 2e-5)), tmp_path / "results")
    readme = tmp_path / "README.md"
    assert not refresh(readme, tmp_path / "results")
    readme.write_text("before\n")
    assert not refresh(readme, tmp_path / "results")
    assert readme.read_text() == "before\n"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    for _ in range(2):
        assert refresh(readme, tmp_path / "results")
        assert readme.read_text() == f"before\n{performance_text(tmp_path / 'results')}\nafter\n"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_a_kept_file_is_of_its_machine_and_of_cases_that_exist(path):
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert path.stem == machine_name(kept["environment"])
    results = [Result.read(found) for found in kept["results"]]
    assert {result.case for result in results} <= set(CASES)
    assert not any(result.wrong for result in results)


def test_the_readme_says_what_was_measured():
    text = README.read_text(encoding="utf-8")
    start, end = text.index(BEGIN), text.index(END) + len(END)
    assert text[start:end] == performance_text(), "`nautilus-metal bench --save` writes both"
    assert text.index("## Performance") < start < text.index("## Data and terms")
