"""A small run with known exceptions, from plain numbers."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nautilus_metal.report.run import RunReport
from nautilus_metal.report.series import collect
from nautilus_metal.report.verdict import judge
from tests.report.cases import CHANGES, WORST

DAY = 86_400 * 10**9
DAYS, START = 320, 20 * 365 * DAY
NAMES = ("AAA.SIM", "BBB.SIM")
LEVELS = (0.95, 0.99)


def make_report(day: int, positions: dict[str, tuple[float, float]], var: float = 10.0, **changes: Any) -> Any:
    """Make what a RiskReport looks like; `positions` is (quantity, price) by instrument."""
    lines = {
        name: {
            "quantity": quantity,
            "price": price,
            "value": quantity * price,
            "component_var": {"0.95": var / len(positions), "0.99": 2 * var / len(positions)},
            "component_es": {},
        }
        for name, (quantity, price) in positions.items()
    }
    facts: dict[str, Any] = {
        "ts_event": START + day * DAY,
        "source": "RISK-normal",
        "model": "normal",
        "sampler": "pseudo",
        "device": "cpu",
        "seed": 7,
        "scenarios": 1_000,
        "horizon": 1,
        "base_currency": "USD",
        "levels": {"0.95": {"var": var, "es": 1.5 * var}, "0.99": {"var": 2 * var, "es": 3 * var}},
        "positions": lines,
        "uncovered": {},
        "milliseconds": 2.0,
        "pool_hit_rate": 0.5,
        "drift": 1e-7,
    }
    return SimpleNamespace(**(facts | changes))


@pytest.fixture(scope="session")
def prices() -> tuple[np.ndarray, np.ndarray]:
    """Time stamps (DAYS,), closes (DAYS, 2): AAA moves by 1 a day, and by -30 on every 40th; BBB stands still."""
    ts = START + np.arange(DAYS) * DAY
    moves = np.where(np.arange(DAYS) % 40 == 39, -30.0, 1.0)
    closes = np.column_stack([1_000 + np.cumsum(moves), np.full(DAYS, 50.0)])
    return ts, closes


@pytest.fixture(scope="session")
def run(prices: tuple[np.ndarray, np.ndarray]) -> RunReport:
    """A run of two models: VaR of 10 and of 20, so that each 40th day's loss of 30 is an exception of both levels."""
    ts, closes = prices
    results = []
    for model in ("normal", "student_t"):
        reports = [
            make_report(day, {"AAA.SIM": (1.0, closes[day, 0]), "BBB.SIM": (-2.0, 50.0)}, model=model,
                        source=f"RISK-{model}", uncovered={} if day > 5 else {"CCC.SIM": "no price <yet>"})
            for day in range(DAYS)
        ]  # fmt: skip
        results.append(judge(collect(reports)[0], ts, NAMES, closes, int(ts[200])))
    return RunReport(
        name="toy",
        title="A toy & its <risk>",
        results=results,
        main="normal",
        days=DAYS,
        wall_seconds=1.5,
        portfolio={"starting_cash": 1_000.0, "profit": -123.0, "orders": 4},
        notes=["Made up."],
        holdout_from="1990-07-15",  # the 200th day
    )


@pytest.fixture(scope="session")
def whole(run: RunReport) -> RunReport:
    """The same with explained changes and worst scenarios."""
    return replace(run, explained=CHANGES, worst=WORST)
