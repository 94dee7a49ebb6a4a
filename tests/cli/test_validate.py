"""`nautilus-metal validate` on small histories."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nautilus_metal.cli import main

SMALL = ["--window", "60", "--scenarios", "500", "--workers", "1", "--levels", "0.95", "--quiet"]


@pytest.fixture
def returns(tmp_path: Path) -> Path:
    """A CSV of log returns of two instruments over 160 days."""
    rng = np.random.default_rng(0)
    dates = pd.bdate_range("2020-01-01", periods=160, name="date")
    path = tmp_path / "returns.csv"
    pd.DataFrame(0.01 * rng.standard_t(5, size=(160, 2)), dates, ["AAA", "BBB"]).to_csv(path)
    return path


def test_the_table_of_a_users_returns(returns: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["validate", "--returns", str(returns), "--model", "normal,historical,t_copula", *SMALL]) == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert lines[0] == "returns.csv: 2 instruments, 160 days; 100 tested, 2020-03-25 to 2020-08-11"
    assert [line.split()[0] for line in lines[4:7]] == ["normal", "historical", "t_copula"]
    assert all(line.split()[1] == "95%" and "5.0" in line for line in lines[4:7])
    assert "normal, historical: fitted to every day's window" in text
    assert "t_copula: fitted every 63 days and held between" in text


def test_json_weights_and_the_series(returns: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "deep" / "series.parquet"
    command = ["validate", "--returns", str(returns), "--weights", "BBB=-1", "--model", "normal", "--json"]
    assert main([*command, "--out", str(out), *SMALL]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["tested_days"], found["window"], found["refit"], found["first"]) == (100, 60, 63, "2020-03-25")
    (row,) = found["rows"]
    series = pd.read_parquet(out)
    day = pd.read_csv(returns, index_col=0, parse_dates=True)
    assert len(series) == 100
    assert series["pnl"].to_numpy() == pytest.approx(-np.expm1(day["BBB"].to_numpy()[60:]))
    assert int(series["exception"].sum()) == row["exceptions"] == int((-series["pnl"] > series["var"]).sum())
    assert row["rank"] == 1
    assert set(row["failed"]) <= {"kupiec", "independence", "coverage", "shortfall", "bias", "basel", "e_process"}


def test_prices_give_the_same_as_their_returns(returns: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    frame = pd.read_csv(returns, index_col=0, parse_dates=True)
    first = pd.DataFrame(0.0, [frame.index[0] - pd.Timedelta(days=1)], frame.columns)
    prices = np.exp(pd.concat([first, frame]).cumsum()).rename_axis("date")
    prices.reset_index().to_parquet(tmp_path / "prices.parquet")
    tables = []
    for source in (["--returns", str(returns)], ["--prices", str(tmp_path / "prices.parquet")]):
        assert main(["validate", *source, "--model", "normal", "--json", *SMALL]) == 0
        tables.append(json.loads(capsys.readouterr().out))
    assert tables[0]["rows"][0]["exceptions"] == tables[1]["rows"][0]["exceptions"]
    assert tables[0]["rows"][0]["score"] == pytest.approx(tables[1]["rows"][0]["score"])


def test_the_bundled_history_can_be_cut(capsys: pytest.CaptureFixture) -> None:
    cut = ["--start", "2000-01-01", "--end", "2000-07-31"]
    assert main(["validate", *cut, "--model", "normal", "--json", *SMALL]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["history"], found["instruments"]) == ("20 stocks of the S&P 500", 20)
    assert found["last"] == "2000-07-31"


BAD = {
    "no file": (["--returns", "nothing.csv"], "there is no file nothing.csv"),
    "kind": (["--returns", "returns.txt"], "`returns` must be a .csv or .parquet file, was returns.txt"),
    "weight": (["--weights", "CCC=1"], "`weights` must name columns of the history (AAA, BBB), has CCC"),
    "model": (["--model", "garch"], "`models` must be of normal, student_t"),
    "window": (["--window", "20"], "`window` must be a whole number of at least 50 days, was 20"),
    "days": (["--window", "150"], "`returns` must hold at least 200 days"),
    "out": (["--out", "series.txt"], "`out` must be a .parquet or .csv file, was series.txt"),
    "workers": (["--workers", "0"], "`workers` must be at least 1, was 0"),
    "device": (["--device", "abacus"], "abacus"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line(name: str, returns: Path, capsys: pytest.CaptureFixture) -> None:
    words, message = BAD[name]
    source = [] if "--returns" in words else ["--returns", str(returns)]
    assert main(["validate", *source, *SMALL, *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
