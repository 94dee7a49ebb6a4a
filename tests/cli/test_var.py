"""The var command: a book from a file, by one process and by several that may die."""

import json
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import psutil
import pytest

from nautilus_metal.cli.main import main
from nautilus_metal.engine import ComputeEngine
from nautilus_metal.risk import Book, Option, Position, assess
from nautilus_metal.risk.book_file import read_book

NAMES = ["AAPL", "MSFT", "KO"]
PLAIN = [
    {"instrument": "AAPL", "quantity": 100, "price": 180.0},
    {"instrument": "MSFT", "quantity": -50, "price": 320.0, "currency": "EUR"},
]
CALL = {"underlying": "KO", "kind": "call", "strike": 45, "expiry": 0.2, "volatility": 0.2, "spot": 45.0}
CONTENT = {
    "xrates": {"EUR": 1.1},
    "positions": [*PLAIN, {"instrument": "KO C45", "quantity": -3, "price": 1.6, "multiplier": 100, "option": CALL}],
    "returns": "returns.csv",
    "model": "student_t",
    "levels": [0.9, 0.99],
    "scenarios": 4_000,
    "options": {"degrees": 4.0},
}


def history() -> pd.DataFrame:
    days = pd.date_range("2020-01-01", periods=300, name="date")
    return pd.DataFrame(np.random.default_rng(0).standard_t(4, size=(300, 3)) * 0.008, days, NAMES)


@pytest.fixture
def folder(tmp_path):
    history().to_csv(tmp_path / "returns.csv")
    history().to_parquet(tmp_path / "returns.parquet")
    (100 * np.exp(history().cumsum())).to_csv(tmp_path / "prices.csv")
    write(tmp_path)
    return tmp_path


def same(shared: dict, alone: dict) -> None:
    for row, expected in zip(shared["levels"], alone["levels"], strict=True):
        for name in ("var", "es", "var_standard_error", "es_standard_error"):
            assert row[name] == pytest.approx(expected[name], rel=2e-5)
        assert row["component_var"] == pytest.approx(expected["component_var"], rel=2e-5, abs=2e-5 * expected["var"])


def node(rank: int, port: int, *program: str) -> subprocess.Popen:
    """Start what an operator starts on one machine of two."""
    launcher = ["-m", "torch.distributed.run", "--nnodes=2", f"--node-rank={rank}", "--nproc-per-node=1"]
    return subprocess.Popen(
        [sys.executable, *launcher, "--master-addr=127.0.0.1", f"--master-port={port}", *program],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )


def write(folder, **changes) -> str:
    content = {key: value for key, value in (CONTENT | changes).items() if value is not None}
    (folder / "book.json").write_text(json.dumps(content))
    return str(folder / "book.json")


def test_the_figures_are_those_of_assess(folder, capsys):
    assert main(["var", str(folder / "book.json"), "--device", "cpu", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    option = Position("KO C45", -3, 1.6, 100, option=Option(**CALL))
    plain = [Position("AAPL", 100, 180.0), Position("MSFT", -50, 320.0, currency="EUR")]
    book = Book([*plain, option], "USD", {"EUR": 1.1})
    options = {"model": "student_t", "degrees": 4.0, "levels": (0.9, 0.99), "scenarios": 4_000}
    expected = assess(book, history(), engine=ComputeEngine("cpu"), **options)
    for row in found["levels"]:
        assert row["var"] == expected.var[row["level"]]
        assert row["es_standard_error"] == expected.es_se[row["level"]]
        assert sum(row["component_var"].values()) == pytest.approx(row["var"])
    assert (found["model"], found["scenarios"], found["device"]) == ("student_t", 4_000, "cpu")


@pytest.mark.parametrize(("key", "name"), [("returns", "returns.parquet"), ("prices", "prices.csv")])
def test_a_history_of_another_kind(folder, key, name):
    read = read_book(folder / write(folder, **({"returns": None} | {key: name})))
    expected = history().iloc[1:] if key == "prices" else history()
    np.testing.assert_allclose(read.returns[NAMES], expected, atol=1e-12)


def test_options_of_the_command_come_before_those_of_the_file(folder, capsys):
    command = ["var", str(folder / "book.json"), "--device", "cpu", "--scenarios", "1e3", "--levels", "0.95"]
    assert main([*command, "--seed", "3", "--sampler", "pseudo"]) == 0
    page = capsys.readouterr().out
    assert "1,000 scenarios (pseudo, seed 3)" in page
    assert "95%" in page
    assert "99%" not in page


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"positions": {}}, "book.json: `positions` must be a list of objects, was {}"),
        ({"positions": ["AAPL"]}, "`positions[0]` must be an object, was 'AAPL'"),
        ({"positions": [{"instrument": "AAPL", "qty": 1}]}, "`positions[0]` has no field `qty`; known are"),
        ({"positions": [{"instrument": "AAPL", "quantity": 1}]}, "`positions[0]` must have a field `price`"),
        ({"positions": [PLAIN[0] | {"option": {"kind": "call"}}]}, "`option` must have a field `underlying`"),
        ({"positions": [PLAIN[0] | {"quantity": "many"}]}, "`quantity` of AAPL"),
        ({"xrates": {}}, "`xrates` from EUR to USD for MSFT"),
        ({"model": "magic"}, "`model` must be one of"),
        ({"scenario": 100}, "book.json: there is no key `scenario`; known are positions"),
        ({"options": {"decay": 0.9}}, "`decay`"),
        ({"options": [0.9]}, "`options` must be an object of options of the model, was [0.9]"),
        ({"returns": None}, "must name either `returns` or `prices`, named none"),
        ({"prices": "prices.csv"}, "must name either `returns` or `prices`, named returns and prices"),
        ({"returns": 3}, "`returns` of book.json must be the name of a file, was 3"),
        ({"returns": "missing.csv"}, "there is no file"),
        ({"returns": "returns.xlsx"}, "must be a .csv or .parquet file, was returns.xlsx"),
        ({"returns": "text.csv"}, "text.csv must hold numbers, column AAPL has 'much' in row 2"),
        ({"returns": "late.csv"}, "the dates of late.csv must ascend"),
        ({"returns": None, "prices": "returns.csv"}, "must be above 0, those of AAPL are not"),
    ],
    ids=lambda value: None if isinstance(value, str) else next(iter(value)),
)
def test_a_file_that_is_wrong_is_one_line(folder, capsys, changes, message):
    (folder / "text.csv").write_text("date,AAPL\n2020-01-01,0.1\n2020-01-02,much\n")
    (folder / "late.csv").write_text("date,AAPL\n2020-01-02,0.1\n2020-01-01,0.2\n")
    assert main(["var", write(folder, **changes), "--device", "cpu"]) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    assert message in streams.err
    assert streams.err.count("\n") == 1


@pytest.mark.parametrize(("text", "message"), [("", "is no JSON"), ("[]", "must hold a JSON object, held list")])
def test_a_file_that_is_no_book(folder, capsys, text, message):
    (folder / "book.json").write_text(text)
    assert main(["var", str(folder / "book.json")]) == 2
    assert message in capsys.readouterr().err
    assert main(["var", str(folder / "none.json")]) == 2
    assert "cannot be read: No such file" in capsys.readouterr().err


@pytest.mark.slow
def test_two_processes_give_the_figures_of_one(folder, capsys):
    command = ["var", str(folder / "book.json"), "--device", "cpu", "--json", "--scenarios", "20000"]
    assert main(command) == 0
    alone = json.loads(capsys.readouterr().out)
    done = subprocess.run(
        [sys.executable, "-m", "nautilus_metal.cli", *command, "--processes", "2"],
        capture_output=True, text=True, timeout=240, check=False,
    )
    assert done.returncode == 0, done.stderr
    shared = json.loads(done.stdout)
    assert (shared["processes"], shared["scenarios"]) == (2, 20_000)
    same(shared, alone)


@pytest.mark.slow
def test_two_nodes_give_the_figures_of_one(folder, free_port, capsys):
    command = ["var", str(folder / "book.json"), "--device", "cpu", "--json"]
    nodes = [node(rank, free_port, "-m", "nautilus_metal.cli", *command) for rank in (0, 1)]
    (out, error), (silence, _) = [one.communicate(timeout=240) for one in nodes]
    assert [one.returncode for one in nodes] == [0, 0], error
    assert main(command) == 0
    shared = json.loads(out)
    assert shared["processes"] == 2
    same(shared, json.loads(capsys.readouterr().out))
    assert silence == ""


@pytest.mark.slow
def test_a_node_that_dies_leaves_an_error_and_no_figure(folder, free_port):
    """The second one joins, and is killed before it has answered."""
    member = folder / "member.py"
    member.write_text(
        "import pathlib, time\nfrom nautilus_metal.engine.team import joined\n"
        f"with joined(60): pathlib.Path({str(folder / 'joined')!r}).touch(); time.sleep(600)\n"
    )
    command = ["-m", "nautilus_metal.cli", "var", str(folder / "book.json"), "--device", "cpu", "--timeout", "60"]
    first, second = node(0, free_port, *command), node(1, free_port, str(member))
    end = time.monotonic() + 120
    while not (folder / "joined").exists() and time.monotonic() < end:
        time.sleep(0.05)
    for process in [*psutil.Process(second.pid).children(recursive=True), second]:
        process.kill()
    second.communicate()
    out, error = first.communicate(timeout=240)
    assert (folder / "joined").exists(), error
    assert first.returncode != 0
    assert out == ""
    assert "nautilus-metal: member 0 of 2 has lost the others, so there is no figure" in error
