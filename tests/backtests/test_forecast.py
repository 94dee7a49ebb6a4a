"""The forecast backtest on a few years: no look-ahead, and its table worked out a second time from its files."""

import json

import numpy as np
import pandas as pd
import pytest

from nautilus_metal.cli import main
from nautilus_metal.models import load_checkpoint

OPTIONS = ["--start", "1994-06-01", "--end", "1995-06-30"]


@pytest.fixture
def ran(tmp_path, device, capsys):
    assert main(["backtest", "forecast", *OPTIONS, "--device", device, "--out", str(tmp_path)]) == 0
    frame = pd.read_parquet(tmp_path / "forecasts.parquet")
    for name in ("forecasts", "uncovered"):
        frame[name] = [json.loads(text) for text in frame[name]]
    return json.loads((tmp_path / "summary.json").read_text()), frame, tmp_path, capsys.readouterr()


@pytest.mark.slow
def test_forecast_end_to_end(ran, device):
    from skfolio.datasets import load_sp500_dataset

    facts, frame, folder, printed = ran
    prices = np.log(load_sp500_dataset().loc[:"1995-06-30"])
    start = np.searchsorted(prices.index, pd.Timestamp("1994-06-01"))
    assert facts["trained_to"] == str(prices.index[start - 1].date()) < facts["folds"][0] == "1994-06-01"
    kept = load_checkpoint(folder / "model.pt")
    assert pd.Timestamp(kept.facts["trained_to"]).normalize() == prices.index[start - 1]

    days = pd.to_datetime(frame["ts_event"]).dt.normalize()
    errors, naive = [], []
    for day, row in zip(days, frame.itertuples(), strict=True):
        at = prices.index.get_loc(day)
        if at < start:
            assert not row.forecasts
            assert len(row.uncovered) == 20
        elif at + 1 < len(prices):
            for name, line in row.forecasts.items():
                came = prices.iloc[at + 1][name.removesuffix(".SIM")] - prices.iloc[at][name.removesuffix(".SIM")]
                errors.append((line["value"] - came) ** 2)
                naive.append(came**2)
    scores = {score["name"]: score for score in facts["published"]}
    assert len(errors) > 20 * 250
    assert scores["model"]["rmse"] == pytest.approx(np.sqrt(np.mean(errors)), rel=1e-6)
    assert scores["last price"]["rmse"] == pytest.approx(np.sqrt(np.mean(naive)), rel=1e-6)
    assert scores["last price"]["skill"] == pytest.approx(1 - np.mean(errors) / np.mean(naive), rel=1e-4)

    verdicts = {score["verdict"] for score in facts["walk_forward"][1:]}
    assert facts["beats_naive"] == (verdicts == {"better"})
    assert ("does not beat" in printed.out) != facts["beats_naive"]
    assert f"{1e4 * facts['walk_forward'][0]['rmse']:.2f}" in printed.out
    assert " days  " in printed.err
    assert "forecasts/s" in printed.err
    assert "risk ticks" not in printed.err
    assert facts["device"] == device
    assert set(frame["device"].dropna()) == {device}
    assert len(facts["epochs"]) == 4
    assert facts["trained_on"] == sorted(facts["trained_on"])
    assert facts["portfolio"]["orders"] > 0


def test_a_start_without_a_past_is_refused(tmp_path, capsys):
    options = ["--start", "1991-01-02", "--end", "1995-06-30", "--quiet", "--device", "cpu", "--out", str(tmp_path)]
    assert main(["backtest", "forecast", *options]) == 2
    assert "`start` must leave 750 days before it" in capsys.readouterr().err
