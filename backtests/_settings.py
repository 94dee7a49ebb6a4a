"""How the default model's settings were chosen: the least quantile loss on the demo's book from 1990 to 2005.

Run after the demo, on its reports:

    nautilus-metal backtest portfolio_risk --end 2005-12-31 --model historical --out out/settings
    python backtests/_settings.py out/settings/risk_reports.parquet

It re-assesses each day's book with every row of `GRID` and prints exceptions, tests and the quantile loss. No day
after 2005 is read, so that 2006 to 2022 stays untouched by the choice.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from skfolio.datasets import load_sp500_dataset

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.risk import Book, assess
from nautilus_metal.risk.validation import score

LAST_YEAR = 2005
LEVELS = (0.95, 0.99)
FIRST_DAY = 500  # index of the first scored day: every window has at least this many returns
WINDOWS = (500, 1000, 1500)
FILTERS = (
    *({"filter": "ewma", "decay": decay} for decay in (0.94, 0.96, 0.97, 0.98, 0.99)),
    {"filter": "garch", "alpha": 0.05, "beta": 0.90, "gamma": 0.0},
    {"filter": "garch", "alpha": 0.03, "beta": 0.90, "gamma": 0.06},
)
GRID = [(window, options) for window in WINDOWS for options in FILTERS]


def books(reports: Path, prices: pd.DataFrame) -> list[tuple[int, Book]]:
    """Read what was held at each day's close, with the day's row in the price table."""
    row = {day.date(): i for i, day in enumerate(prices.index)}
    held = []
    for report in pq.read_table(reports, columns=["ts_event", "positions"]).to_pylist():
        day = row[pd.Timestamp(report["ts_event"]).date()]
        positions = json.loads(report["positions"])
        names = [name.split(".")[0] for name in positions]
        if names and prices.index[day].year <= LAST_YEAR and day >= FIRST_DAY:
            quantities = [position["quantity"] for position in positions.values()]
            held.append((day, Book.linear(quantities=quantities, prices=prices.iloc[day][names], instruments=names)))
    return held


def quantile_loss(pnl: np.ndarray, var: np.ndarray, level: float) -> float:
    """Mean of the quantile score (Koenker and Bassett 1978), which the true quantile minimises."""
    excess = -pnl - var
    return float(np.mean(np.maximum(level * excess, (level - 1) * excess)))


def main(reports: Path) -> None:
    """Print a row for each setting, the best last."""
    prices = load_sp500_dataset()
    prices = prices[prices.index.year <= LAST_YEAR]
    returns, engine, rows = np.diff(np.log(prices.to_numpy()), axis=0), ComputeEngine("cpu"), []
    held = [(day, book) for day, book in books(reports, prices) if day + 1 < len(prices)]
    for window, options in GRID:
        pnl, var = [], {level: [] for level in LEVELS}
        for day, book in held:
            columns = [prices.columns.get_loc(name) for name in book.instruments]
            history = returns[max(0, day - window) : day, columns]
            risk = assess(book, history, "filtered_historical", LEVELS, engine=engine, **options)
            pnl.append(float(book.values @ np.expm1(returns[day, columns])))
            for level in LEVELS:
                var[level].append(risk.var[level])
        loss = sum(quantile_loss(np.array(pnl), np.array(var[level]), level) for level in LEVELS)
        verdicts = {level: score(pnl, var[level], level) for level in LEVELS}
        rows.append((loss, window, options, verdicts))
        print(".", end="", flush=True, file=sys.stderr)
    print(file=sys.stderr)
    for loss, window, options, verdicts in sorted(rows, key=lambda row: -row[0]):
        texts = [f"{level:.0%}: {v.exceptions}/{v.expected:.0f} p={v.kupiec_p:.3f}" for level, v in verdicts.items()]
        tests = "  ".join(texts)
        print(f"{loss:8.1f}  window {window:5d}  {tests}  {options}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
