"""Both backtests on a shortened period, end to end: every output, and its figures worked out a second time."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from nautilus_metal.cli import main
from nautilus_metal.cli.options import ALL_MODELS

FILES = {"summary.json", "report.html", "report.png", "risk_reports.parquet"}


def rows_of(folder: Path) -> pd.DataFrame:
    """Read the reports with pandas alone."""
    frame = pd.read_parquet(folder / "risk_reports.parquet")
    for name in ("levels", "positions", "uncovered"):
        frame[name] = [json.loads(text) for text in frame[name]]
    return frame


def verdict_by_hand(reports: pd.DataFrame, closes: pd.DataFrame, level: float) -> dict:
    """Count exceptions of one model in plain Python, and test them with SciPy."""
    days = hits = 0
    series = []
    stamps = closes.index
    for row in reports.itertuples():
        at = stamps.get_loc(row.ts_event)
        if not row.positions or at + 1 == len(stamps):
            continue
        pnl = sum(
            line["quantity"] * (closes.iloc[at + 1][name] - line["price"]) for name, line in row.positions.items()
        )
        hit = -pnl > row.levels[format(level, "g")]["var"]
        series.append(hit)
        days, hits = days + 1, hits + hit
    q = 1 - level

    def log_likelihood(p: float) -> float:
        return stats.binom.logpmf(hits, days, p)

    ratio = 2 * (log_likelihood(hits / days) - log_likelihood(q))
    return {"days": days, "exceptions": hits, "expected": days * q, "kupiec_p": stats.chi2.sf(max(ratio, 0), 1)}


def check(folder: Path, closes: pd.DataFrame, models: tuple[str, ...]) -> dict:
    """Check the files of one run against each other; return the summary."""
    assert {path.name for path in folder.iterdir()} >= FILES
    facts = json.loads((folder / "summary.json").read_text())
    reports = rows_of(folder)
    assert set(facts["models"]) == set(reports["model"]) == set(models)
    for model in models:
        own = reports[reports["model"] == model]
        for level in (0.95, 0.99):
            stated, expected = facts["models"][model][format(level, "g")], verdict_by_hand(own, closes, level)
            for name, value in expected.items():
                assert stated[name] == pytest.approx(value, rel=1e-6), (model, level, name)
            if model == facts["main_model"]:
                page = (folder / "report.html").read_text()
                assert f"{expected['exceptions']:,} / {expected['expected']:,.1f}" in page
        assert facts["empty_book_days"][model] + facts["uncovered_book_days"][model] == sum(
            not positions for positions in own["positions"]
        )
    held = reports[[bool(positions) for positions in reports["positions"]]]
    assert facts["tick_milliseconds"]["median"] == pytest.approx(held["milliseconds"].median())
    assert facts["tick_milliseconds"]["p99"] == pytest.approx(np.percentile(held["milliseconds"], 99))
    for row in held.iloc[::97].itertuples():
        for key, entry in row.levels.items():
            assert entry["es"] >= entry["var"]
            parts = sum(line["component_var"][key] for line in row.positions.values())
            assert parts == pytest.approx(entry["var"], rel=1e-5, abs=1e-5)
    return facts


def closes_of(market) -> pd.DataFrame:
    return pd.DataFrame(market.close, index=market.ts, columns=market.names)


@pytest.mark.slow
def test_portfolio_risk_end_to_end(tmp_path, capsys, device):
    from backtests._data import sp500_stocks
    from backtests.portfolio_risk import STARTING_CASH

    options = ["--start", "2004-06-01", "--end", "2006-06-30", "--device", device, "--scenarios", "1000"]
    options += ["--model", "all"]
    assert main(["backtest", "portfolio_risk", *options, "--out", str(tmp_path)]) == 0
    from datetime import date

    market = sp500_stocks(date(2004, 6, 1), date(2006, 6, 30))
    facts = check(tmp_path, closes_of(market), ALL_MODELS)
    assert facts["market_days"] == len(market.ts)
    assert facts["holdout"]["from"] == "2006-01-01"
    assert facts["device"] == device
    assert facts["scenarios"]["normal"] == 1_000
    assert facts["pool_hit_rate"] > 0.9
    assert facts["portfolio"]["orders"] > 500
    profit = facts["portfolio"]["final_equity"] - STARTING_CASH
    assert math.isclose(facts["portfolio"]["profit"], profit, abs_tol=1e-6)
    printed = capsys.readouterr()
    assert "Kupiec p" in printed.out
    assert f"{len(market.ts)}/{len(market.ts)} days" in printed.err


@pytest.mark.slow
def test_node_config_end_to_end(tmp_path, capsys, device):
    from backtests._data import us_indices

    options = ["--start", "2007-01-01", "--end", "2008-12-31", "--model", "historical,normal", "--scenarios", "500"]
    assert main(["backtest", "node_config", *options, "--device", device, "--out", str(tmp_path), "--quiet"]) == 0
    facts = check(tmp_path, closes_of(us_indices(None, None)), ("historical", "normal"))
    settings = facts["settings"]
    assert settings["reports heard"] == settings["reports read back from the stream"] == facts["reports"]
    assert facts["main_model"] == "historical"
    assert capsys.readouterr().err == ""
    page = (tmp_path / "report.html").read_text()
    assert main(["report", str(tmp_path)]) == 0
    assert (tmp_path / "report.html").read_text() == page
    assert main(["report", str(tmp_path / "catalog")]) == 0  # from the stream and the bars alone
    entry = facts["models"]["normal"]["0.95"]
    cells = f"<td>{entry['days']:,}</td><td>{entry['exceptions']:,}</td><td>{entry['expected']:,.1f}</td>"
    assert cells in (tmp_path / "catalog" / "report.html").read_text()


@pytest.mark.slow
def test_node_config_warms_up_from_the_catalog(tmp_path, device):
    options = ["--start", "2007-01-01", "--end", "2008-06-30", "--model", "historical", "--device", device, "--quiet"]
    assert main(["backtest", "node_config", *options, "--out", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "summary.json").read_text())["uncovered"] == {}


@pytest.mark.slow
def test_the_same_seed_gives_the_same_reports(tmp_path, device):
    options = ["--start", "2007-01-01", "--end", "2008-06-30", "--model", "normal", "--scenarios", "500", "--quiet"]
    frames = []
    for name in ("a", "b"):
        assert main(["backtest", "node_config", *options, "--device", device, "--out", str(tmp_path / name)]) == 0
        frames.append(rows_of(tmp_path / name).drop(columns=["milliseconds", "pool_hit_rate"]))
    pd.testing.assert_frame_equal(*frames)
