"""The command line: what it finds, what it prints, how it fails."""

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from nautilus_metal.cli import main
from nautilus_metal.cli.backtest import backtests, guarded, load
from nautilus_metal.cli.options import ALL_MODELS, BacktestOptions
from nautilus_metal.errors import DeviceError, InputError, OutOfDeviceMemory

ROOT = Path(__file__).resolve().parents[2]
NAMES = ["allocation", "forecast", "node_config", "option_hedge", "portfolio_risk"]


def usage(capsys, arguments):
    """Run the command, expecting an exit code of 2, and return the last line that it printed on standard error."""
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "COMMAND"),
        (["sing"], "invalid choice"),
        (["backtest", "nope"], "backtest 'nope' is not there"),
        (["backtest", "_common"], "backtest '_common' is not there"),
        (["backtest", "portfolio_risk", "--start", "yesterday"], "must be a date like 2006-01-31, was yesterday"),
        (["backtest", "portfolio_risk", "--start", "2006-13-01"], "must be a date"),
        (["backtest", "node_config", "--start", "2006-01-02", "--end", "2006-01-02"], "`end` must be after `start`"),
        (["backtest", "portfolio_risk", "--scenarios", "10"], "`scenarios` must be at least 100, was 10"),
        (["backtest", "portfolio_risk", "--scenarios", "many"], "invalid int value"),
        (["backtest", "portfolio_risk", "--seed", "-1"], "`seed` must be at least 0, was -1"),
        (["backtest", "portfolio_risk", "--model", ","], "must name at least one model"),
        (["backtest", "portfolio_risk", "--model", "normal,magic"], "`model` must be one of"),
        (["backtest", "portfolio_risk", "--device", "tpu"], "tpu"),
        (["backtest", "portfolio_risk", "--device", "cuda:99"], "cuda:99"),
        (["backtest", "portfolio_risk", "--start", "2030-01-01"], "leaves 0"),
        (["backtest", "node_config", "--end", "1999-06-01"], "must leave at least"),
        (["backtest", "portfolio_risk", "--out", "/dev/null/x"], "`out` must be a folder that can be written"),
        (["bench", "no-such-case"], "no-such-case"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(capsys, arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the checkout's backtests are found from anywhere
    assert words in usage(capsys, arguments)


def test_without_a_name_the_backtests_are_listed(capsys):
    assert main(["backtest"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == NAMES
    assert all(len(line.split()) > 5 for line in lines)


def test_a_backtest_of_the_current_folder_is_run_with_the_options(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "backtests"
    folder.mkdir()
    (folder / "mine_alone.py").write_text('"""Mine."""\n\ndef run(options):\n    print(options)\n    return 5\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert "mine_alone" in backtests()
    code = main(["backtest", "mine_alone", "--model", "normal,normal,historical", "--start", "2001-02-03", "--quiet"])
    assert code == 5
    expected = BacktestOptions(
        name="mine_alone",
        models=("normal", "historical"),
        start=date(2001, 2, 3),
        out=Path("out/mine_alone"),
        progress=False,
    )
    assert repr(expected) in capsys.readouterr().out


def test_a_script_without_run_is_said_so(tmp_path, monkeypatch, capsys):
    (tmp_path / "backtests").mkdir()
    (tmp_path / "backtests" / "empty_one.py").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert "must have a function `run(options)`" in usage(capsys, ["backtest", "empty_one"])


def test_the_default_models_are_the_main_one_and_one_to_compare():
    assert BacktestOptions(name="x").models == ("filtered_historical", "normal") == ALL_MODELS[:2]


@pytest.mark.parametrize(
    ("error", "code"),
    [(InputError("a"), 2), (DeviceError("a"), 2), (OutOfDeviceMemory("a"), 2), (KeyboardInterrupt(), 130)],
)
def test_expected_errors_become_exit_codes(capsys, error, code):
    def fail() -> int:
        raise error

    assert guarded(fail) == code
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_other_errors_keep_their_traceback():
    def fail() -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        guarded(fail)


def test_load_names_what_there_is():
    with pytest.raises(InputError, match=f"found {', '.join(NAMES)}"):
        load("nope")


@pytest.mark.parametrize("package", ["skfolio", "arch"])
def test_a_missing_extra_is_said_in_one_line(capsys, monkeypatch, package, tmp_path):
    monkeypatch.setitem(sys.modules, f"{package}.datasets" if package == "skfolio" else "arch.data.nasdaq", None)
    name = "portfolio_risk" if package == "skfolio" else "node_config"
    line = usage(capsys, ["backtest", name, "--out", str(tmp_path)])
    assert f"prices come with {package}: pip install 'nautilus_metal[examples]'" in line


def test_a_missing_matplotlib_is_said_before_the_run(capsys, monkeypatch, tmp_path):
    import backtests._common as common

    monkeypatch.setattr(common, "find_spec", lambda name: None)
    line = usage(capsys, ["backtest", "portfolio_risk", "--out", str(tmp_path)])
    assert "report.png needs matplotlib" in line


def test_a_catalog_of_somebody_else_is_left_alone(capsys, tmp_path):
    (tmp_path / "catalog").mkdir()
    (tmp_path / "catalog" / "precious").touch()
    assert "somebody else" in usage(capsys, ["backtest", "node_config", "--out", str(tmp_path)])
    assert (tmp_path / "catalog" / "precious").exists()


def test_the_installed_command_answers_from_anywhere(tmp_path):
    for arguments in (["--version"], ["backtest", "--help"], ["backtest"]):
        done = subprocess.run(
            [sys.executable, "-m", "nautilus_metal.cli", *arguments], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout


def test_the_command_line_imports_neither_torch_nor_the_host():
    code = (
        "import sys, nautilus_metal.cli; "
        "sys.exit(bool({'torch', 'nautilus_trader', 'matplotlib', 'pandas'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_a_reader_that_has_gone_is_no_traceback(tmp_path):
    """`nautilus-metal doctor | head -1`, with a reader that closes before anything is written."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "nautilus_metal.cli", "doctor"]
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}  # what it measures is kept there
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False, env=environment)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")
