"""The allocation backtest on a shortened period, end to end: its figures worked out a second time."""

import json
from datetime import date

import numpy as np
import pandas as pd
import pytest

from nautilus_metal.cli import main


@pytest.mark.slow
def test_allocation_end_to_end(tmp_path, capsys, device):
    from backtests._data import sp500_stocks

    options = ["--start", "2007-01-02", "--end", "2008-12-31", "--device", device, "--out", str(tmp_path)]
    assert main(["backtest", "allocation", *options]) == 0
    facts = json.loads((tmp_path / "summary.json").read_text())
    equity = pd.read_csv(tmp_path / "equity.csv", index_col="day")
    weights = pd.read_csv(tmp_path / "weights.csv", index_col="day")
    market = sp500_stocks(date(2007, 1, 2), date(2008, 12, 31))
    assert len(equity) == len(market.ts)
    assert set(facts["books"]) == set(equity.columns) == {"minimum_cvar", "equal_weight"}
    assert np.allclose(weights.sum(axis=1), 1, atol=1e-5)
    assert weights.to_numpy().max() <= 0.2 + 1e-5
    assert len({index[:7] for index in weights.index}) == len(weights)  # one a month
    for name, book in facts["books"].items():
        path = equity[name].loc[facts["first_trade"] :]
        returns = path.pct_change().dropna()
        grown = (path.iloc[-1] / path.iloc[0]) ** (252 / len(returns)) - 1
        assert book["yearly_return"] == pytest.approx(grown, rel=1e-4)
        assert book["volatility"] == pytest.approx(returns.std() * 252**0.5, rel=1e-4)
        tail = np.sort(-returns)[::-1]
        assert book["expected_shortfall"] == pytest.approx(tail[: int(len(tail) * 0.05)].mean(), rel=0.05)
        assert book["yearly_cost"] == pytest.approx(0.001 * book["yearly_turnover"], rel=1e-4)
        assert abs(facts["unexplained"][name]) < 1.0  # fees are booked in whole cents
        assert book["inaccurate_targets"] == 0
    assert facts["books"]["minimum_cvar"]["largest_gap"] <= 1e-5
    assert facts["books"]["minimum_cvar"]["volatility"] < facts["books"]["equal_weight"]["volatility"]
    printed = capsys.readouterr()
    assert "minimum CVaR" in printed.out
    assert " targets/s" in printed.err
    assert "risk ticks" not in printed.err
