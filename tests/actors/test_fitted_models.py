"""RiskActors by models that are fitted anew at every tick, in a whole backtest."""

import numpy as np
import pytest

from nautilus_metal.actors import (
    HedgeActor,
    HedgeActorConfig,
    RiskActor,
    RiskActorConfig,
    RiskGate,
    RiskGateConfig,
)
from nautilus_metal.engine import fused
from nautilus_metal.risk import Book, assess
from tests.actors.test_gate import Desk, largest

A, B = "AAA.XNYS", "BBB.XNYS"


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("garch", {"innovations": "t"}),
        ("gjr", {"innovations": "empirical"}),
        ("jump_diffusion", {}),
        ("t_copula", {}),
    ],
)
def test_a_backtest_has_its_reports(system, script, daily, random_walk, model, options):
    run = system()
    for seed, name in enumerate((A, B)):
        run.add(name, random_walk(seed, 62), first_day=1)
    settings = {"window": 60, "min_observations": 50, "levels": (0.95,), "warm_up": False, "scenarios": 1_000}
    actor = RiskActor(
        RiskActorConfig(bar_types=(daily(A), daily(B)), model=model, model_options=options, **settings)
    )
    run.run([actor], [script({A: {1: 10}, B: {1: -5}})])
    stated = [report for report in run.reports if report.levels]
    assert len(stated) == 62 - 50
    for report in stated:
        assert report.model == model
        assert report.es(0.95) > report.var(0.95) > 0


@pytest.mark.parametrize(
    ("model", "options"), [("garch", {"innovations": "t"}), ("gjr", {"innovations": "normal"}), ("t_copula", {})]
)
def test_a_gate_weighs_orders_by_them(system, daily, random_walk, model, options):
    """The figure in a denial, and the most that would pass, are those of assessments on the history until then."""
    run, closes, day = system(), random_walk(1, 62), 60
    run.add(A, closes)
    settings = {"window": 55, "min_observations": 50, "levels": (0.95,), "scenarios": 1_000, "keep_scenarios": True}
    settings |= {"model": model, "model_options": options, "var_limit": {0.95: 5_000.0}}
    desk = Desk(daily, [A], {day: lambda desk: desk.trade(90_000)})
    run.run([RiskActor(RiskActorConfig(bar_types=(daily(A),), **settings)), RiskGate(RiskGateConfig())], [desk])

    def var(quantity: float) -> float:
        past = np.diff(np.log(closes[: day - 1]))[-55:, None]
        book = Book.linear(quantities=[quantity], prices=[closes[day - 2]])
        return assess(book, past, model, (0.95,), scenarios=1_000, **options).var[0.95]

    (reason,) = desk.reasons()
    most = largest(reason)
    assert reason.startswith(f"RISK_GATE: 95% VaR would be {var(90_000):,.0f} USD, limit 5,000")
    assert var(most) <= 5_000 < var(most + 1)


@pytest.mark.parametrize("model", ["student_t", "filtered_historical", "garch", "gjr", "normal"])
@pytest.mark.parametrize("make", ["risk", "hedge"])
def test_what_a_fit_runs_is_compiled_before_the_first_tick(daily, monkeypatch, make, model):
    """In the first tick it would keep the lock of the interpreter from a live node's event loop."""
    monkeypatch.setattr(fused, "_kernels", {})
    if make == "risk":
        RiskActor(RiskActorConfig(bar_types=(daily(A),), model=model))
    else:
        hedged = {"ETH.BINANCE": ["ETH-PERP.BINANCE"]}
        bars = (daily("ETH.BINANCE"),)
        HedgeActor(HedgeActorConfig(instruments=hedged, bar_types=bars, target="minimum_es", model=model))
    fitted = ["garch", "log_sum"]
    known = {"student_t": ["log_sum"], "filtered_historical": ["filtered_shocks"], "garch": fitted, "gjr": fitted}
    kernels = fused._kernels.get("numba")
    assert (kernels.verdicts if kernels else {}) == dict.fromkeys(known.get(model, []), True)
