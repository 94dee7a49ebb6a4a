"""Sweeps: the grid that is read, the runs on Ray, what is kept and what is made again."""

import csv
import json
from datetime import date
from pathlib import Path

import pytest

from nautilus_metal.cli.main import main
from nautilus_metal.cli.options import settings
from nautilus_metal.cli.sweep_grid import Run, flat, options_of, read_grid
from nautilus_metal.errors import InputError

STUDY = """
from pathlib import Path

def run(speed, seed, out):
    print("speed", speed)
    with (Path(out).parent / "calls").open("a") as calls:
        calls.write(f"{speed} {seed}\\n")
    if speed == 3 and not (Path(out).parent / "mended").exists():
        raise ValueError("too fast")
    return {"profit": speed * 10.0 + seed, "detail": {"name": "x", "curve": [1, 2]}}

def nothing(speed, seed):
    return speed
"""
GRID = """
function = "a_study_of_tests:run"
out = "outcomes"
columns = ["profit"]
[fixed]
seed = 7
[grid]
speed = [1, 2, 3]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("a_study_of_tests.py").write_text(STUDY)
    Path("grid.toml").write_text(GRID)
    return tmp_path


def rows() -> dict[str, dict[str, str]]:
    with Path("outcomes/results.csv").open(newline="") as file:
        return {row["speed"]: row for row in csv.DictReader(file)}


@pytest.mark.slow
def test_a_sweep_goes_on_where_it_was_stopped(folder, capsys):
    assert main(["sweep", "grid.toml", "--processes", "2"]) == 1
    streams = capsys.readouterr()
    assert "[3/3]" in streams.err
    assert "failed: seed=7 speed=3: ValueError: too fast" in streams.err
    assert rows()["2"]["profit"] == "27.0"
    assert rows()["3"]["error"] == "ValueError: too fast"
    assert rows()["1"]["detail.name"] == "x"
    key = rows()["3"]["run"]
    assert "Traceback" in Path(f"outcomes/{key}/log.txt").read_text()
    assert json.loads(Path(f"outcomes/{key}/result.json").read_text())["parameters"] == {"seed": 7, "speed": 3}
    assert next(line.split() for line in streams.out.splitlines() if line.startswith("3"))[1] == "n/a"

    Path("outcomes/mended").touch()
    assert main(["sweep", "grid.toml", "--processes", "1"]) == 0
    assert "2 of 3 runs are done" in capsys.readouterr().err
    assert rows()["3"]["profit"] == "37.0"
    assert sorted(Path("outcomes/calls").read_text().split("\n")[:-1]) == ["1 7", "2 7", "3 7", "3 7"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("function =", "functions =", "grid.toml: there is no key `functions`; known are backtest, function"),
        ("[grid]", "[grid", "grid.toml is no TOML"),
        ('"a_study_of_tests:run"', '"a_study_of_tests"', "`function` must be like module:name, was a_study_of_tests"),
        ("_tests:run", "_tests:walk", "is not to be had: module 'a_study_of_tests' has no attribute 'walk'"),
        ("a_study_of_tests:run", "a_study_of_none:run", "is not to be had: No module named"),
        ("[1, 2, 3]", "[]", "`speed` of the grid must be a list of values, was []"),
        ("[1, 2, 3]", "1", "`speed` of the grid must be a list of values, was 1"),
        ("seed = 7", "speed = 7", "`speed` must be either fixed or in the grid, was both"),
        ("[grid]\nspeed = [1, 2, 3]", "", "`[grid]` must name at least one parameter"),
        ("function =", 'backtest = "portfolio_risk"\nfunction =', "must name either a `backtest` or a `function`"),
        ('function = "a_study_of_tests:run"', 'backtest = "portfolio_risk"\n', None),
    ],
)
def test_a_grid_that_is_wrong_is_one_line(folder, capsys, old, new, message):
    Path("grid.toml").write_text(GRID.replace(old, new))
    if message is None:  # a setting that no backtest has shows when it runs, an option of a wrong kind at once
        Path("grid.toml").write_text(GRID.replace(old, new).replace("seed = 7", 'seed = "seven"'))
        message = "`seed` must be a whole number, was 'seven'"
    assert main(["sweep", "grid.toml"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_missing_grid_and_no_processes(folder, capsys):
    assert main(["sweep", "none.toml"]) == 2
    assert "the grid none.toml cannot be read: No such file" in capsys.readouterr().err
    assert main(["sweep", "grid.toml", "--processes", "0"]) == 2
    assert "`processes` must be at least 1, was 0" in capsys.readouterr().err


def test_cells_of_a_backtest_become_its_options(tmp_path):
    path = tmp_path / "grid.toml"
    path.write_text(
        'backtest = "portfolio_risk"\n[fixed]\nperiod = [2004-01-01, 2005-06-30]\n'
        '[grid]\nmodel = ["normal", ["normal", "historical"]]\n"RSI.period" = [7, 14]\n'
    )
    grid = read_grid(path)
    assert len(grid.runs) == len({run.key for run in grid.runs}) == 4
    assert grid.varied == ("model", "RSI.period")
    options = options_of(grid.runs[-1], Path("x"))
    assert options.models == ("normal", "historical")
    assert (options.start, options.end) == (date(2004, 1, 1), date(2005, 6, 30))
    assert options.settings == {"RSI.period": 14}
    assert not options.progress


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"period": ["2004-01-01"]}, "`period` must be a list of the first and the last day"),
        ({"start": "soon"}, "`start` must be a date like 2006-01-31, was 'soon'"),
        ({"scenarios": 5}, "`scenarios` must be at least 100"),
    ],
)
def test_cells_that_no_backtest_can_have(parameters, message):
    with pytest.raises(InputError, match=message):
        options_of(Run("portfolio_risk", parameters), Path())


def test_nested_figures_become_columns():
    assert dict(flat({"a": {"b": 1.5, "c": {"d": "x"}}, "curve": [1], "none": None})) == {
        "a.b": 1.5,
        "a.c.d": "x",
        "none": None,
    }


def test_settings_are_toml_or_text():
    assert settings(["a.b=21", 'c=["x", "y"]', "d=plain text"]) == {"a.b": 21, "c": ["x", "y"], "d": "plain text"}
    with pytest.raises(InputError, match="`set` must be like NAME=VALUE, was period"):
        settings(["period"])


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("RSI.length=3", "portfolio_risk has no setting `RSI.length`; known are strategies, RSI.notional"),
        ("RSI.period=many", "`RSI.period`: Expected `int`, got `str`"),
        ("RSI.period=0", "`period` must be at least 1 bar, was 0"),
        ("strategies=HODL", "`strategies` must be among RSI, MACD, BOLL, RISK, was HODL"),
    ],
)
def test_settings_of_the_demo(capsys, tmp_path, word, message):
    command = ["backtest", "portfolio_risk", "--start", "2004-01-01", "--end", "2005-06-30", "--quiet"]
    assert main([*command, "--out", str(tmp_path), "--set", word]) == 2
    assert message in capsys.readouterr().err
