"""The scenarios that hedges are fitted on are those of the VaR, and a hedge fitted on them lowers it."""

import numpy as np
import pytest

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.errors import InputError
from nautilus_metal.kernels.tail import tail_weights
from nautilus_metal.risk import Book, Option, Position, assess
from nautilus_metal.risk.hedging import HedgeInstrument
from nautilus_metal.risk.scenario_hedges import minimum_es_hedge, minimum_variance_hedge
from nautilus_metal.risk.scenario_pnl import scenario_pnl

HISTORY = np.random.default_rng(5).standard_t(5, size=(600, 2)) * 0.01
LEVELS = (0.95, 0.99)
LAW = {"vol_of_vol": {"A": 0.06, "B": 0.04}, "spot_vol_correlation": -0.7}


def option(name: str, kind: str, strike: float, quantity: float, expiry: float = 0.1) -> Position:
    return Position(f"{name}{kind}{strike}", quantity, 3.0, 100.0,
                    option=Option(name, kind, strike, expiry, 0.2, 100.0, 0.01))  # fmt: skip


PLAIN = Book([Position("A", 100, 100.0), Position("B", -40, 50.0), Position("A", 10, 100.0)])
OPTIONS = Book([option("A", "call", 100, -10), option("A", "put", 100, -10), Position("B", 500, 100.0),
                option("B", "put", 95, 5), option("A", "put", 100, 3, 0.001)])  # fmt: skip


@pytest.mark.parametrize("model", ["normal", "student_t", "historical", "filtered_historical"])
@pytest.mark.parametrize(
    ("book", "law"), [(PLAIN, {}), (OPTIONS, {}), (OPTIONS, LAW)], ids=["plain", "flat", "moving"]
)
@pytest.mark.parametrize("horizon", [1, 5])
def test_the_scenarios_are_those_of_the_var(model, book, law, horizon):
    settings = {"horizon": horizon, "scenarios": 4096, "seed": 3}
    engine = ComputeEngine("cpu", precision="float64")
    risk = assess(book, HISTORY, model, LEVELS, engine=engine, **settings, **law)
    pnl = scenario_pnl(book, HISTORY, model, **settings, **law)
    assert pnl.shape == (len(book.positions), risk.scenarios)
    weights = tail_weights(pnl.shape[1], LEVELS)
    losses = -np.sort(pnl.sum(axis=0))[: weights.size]
    figures = losses @ weights.figures.numpy()
    np.testing.assert_allclose(figures, [*risk.var.values(), *risk.es.values()], rtol=1e-9)
    worst = pnl[:, np.argmin(pnl.sum(axis=0))]
    np.testing.assert_allclose(-worst, risk.worst_scenario, rtol=1e-7, atol=1e-6)


def test_a_hedge_fitted_on_them_lowers_the_var_that_is_stated_then():
    short = [option("A", "call", 100, -10), option("A", "put", 100, -10)]
    candidates = [Position("A", 1, 100.0), option("A", "call", 105, 1), option("A", "put", 95, 1)]
    history, settings = HISTORY[:, :1], {"scenarios": 4096, "vol_of_vol": 0.06, "spot_vol_correlation": -0.7}
    pnl = scenario_pnl(Book([*short, *candidates]), history, **settings)
    book, units = pnl[:2].sum(axis=0), pnl[2:]
    instruments = [HedgeInstrument("A", 0.01), *(HedgeInstrument(one.instrument, 2.0) for one in candidates[1:])]
    engine = ComputeEngine("cpu", precision="float64")
    before = assess(Book(short), history, "filtered_historical", (0.975,), engine=engine, **settings)
    for fit in (minimum_variance_hedge, minimum_es_hedge):
        result = fit(book, instruments, units)
        traded = [Position(c.instrument, result.trades.get(c.instrument, 0.0), c.price, c.multiplier, option=c.option)
                  for c in candidates]  # fmt: skip
        after = assess(Book([*short, *traded]), history, "filtered_historical", (0.975,), engine=engine, **settings)
        assert after.es[0.975] < 0.5 * before.es[0.975]
        if fit is minimum_es_hedge:
            assert result.risk_before == pytest.approx(before.es[0.975], rel=1e-9)
            assert result.after["expected_shortfall"] == pytest.approx(after.es[0.975], rel=1e-9)


@pytest.mark.parametrize("history", [HISTORY[:, :1], HISTORY[0], np.full((300, 2), np.nan)])
def test_a_history_that_does_not_fit_is_refused(history):
    with pytest.raises(InputError, match=r"`returns` must be finite and of shape \(periods, 2\)"):
        scenario_pnl(PLAIN, history)
