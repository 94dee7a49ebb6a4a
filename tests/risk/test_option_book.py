"""VaR of books with options: against a plain float64 loop, closed forms, parity, and its own symmetries."""

import math
from statistics import NormalDist

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.errors import InputError
from nautilus_metal.kernels.normals import standard_normals
from nautilus_metal.risk import Book, Option, Position, assess
from nautilus_metal.risk.greeks import book_greeks
from nautilus_metal.risk.models import build
from nautilus_metal.risk.request import Request
from tests.risk.cases import history
from tests.risk.option_cases import black_scholes, figures, held, losses, mixed_book, option, premium

LEVELS = (0.95, 0.99)
YEARS = 1 / 252


def both(risk) -> np.ndarray:
    return np.array([risk.var[level] for level in LEVELS] + [risk.es[level] for level in LEVELS])


def parts(risk) -> np.ndarray:
    return np.array([rows[level] for rows in (risk.component_var, risk.component_es) for level in LEVELS])


def standardised(returns: np.ndarray) -> np.ndarray:
    return (returns - returns.mean(axis=1, keepdims=True)) / returns.std(axis=1, keepdims=True)


def check(risk, sample: np.ndarray, rtol: float) -> None:
    expected, components = figures(sample, LEVELS)
    np.testing.assert_allclose(both(risk), expected, rtol=rtol)
    np.testing.assert_allclose(parts(risk), components, rtol=rtol, atol=rtol * expected[0])
    total = sample.sum(axis=1)
    assert risk.worst_loss == pytest.approx(total.max(), rel=rtol)
    np.testing.assert_allclose(risk.worst_scenario, sample[total.argmax()], rtol=rtol, atol=rtol * total.max())


@pytest.mark.parametrize(("precision", "rtol"), [("float32", 2e-4), ("float64", 1e-9)])
@pytest.mark.parametrize("law", [{}, {"vol_of_vol": 0.05}, {"vol_of_vol": 0.06, "spot_vol_correlation": -0.8}])
def test_history_revalued_by_a_plain_loop(precision: str, rtol: float, law: dict) -> None:
    book, window = mixed_book(), history(3)
    returns, log_volatility = window.T, None
    if law:
        noise = standard_normals(3, window.shape[0], seed=5, first_row=1).numpy()
        rho = law.get("spot_vol_correlation", 0.0)
        log_volatility = law["vol_of_vol"] * (rho * standardised(returns) + math.sqrt(1 - rho**2) * noise)
    with ComputeEngine("cpu", precision) as engine:
        risk = assess(book, window, "historical", LEVELS, seed=5, engine=engine, sampler="pseudo", **law)
    check(risk, losses(book, returns, log_volatility, YEARS), rtol)
    assert risk.sampler == ("pseudo" if law else "empirical")
    assert risk.model_details["revaluation"] == "full"
    assert risk.drift < (1e-4 if precision == "float32" else 1e-11)


def test_drawn_scenarios_by_a_plain_loop(engine: ComputeEngine) -> None:
    """Spot and volatility over a horizon of four periods, from the rows of the normal stream that are said."""
    window = history(1)
    book = Book([held(-2, option("put", 95.0), multiplier=100), Position("S", -80, 100.0)])
    law = {"vol_of_vol": 0.07, "spot_vol_correlation": -0.6}
    law |= {"sampler": "pseudo", "periods_per_year": 365}
    risk = assess(book, window, "normal", LEVELS, 4, 3000, 2, engine, **law)
    z, noise = standard_normals(2, 3000, seed=2, first_row=1).numpy()
    returns = 2 * window.std(ddof=1) * z
    log_volatility = 0.07 * 2 * (-0.6 * z + 0.8 * noise)
    check(risk, losses(book, returns[None], log_volatility[None], 4 / 365), 2e-4)


def test_noise_of_volatility_is_not_that_which_draws_the_dates(engine: ComputeEngine) -> None:
    """Paths of filtered history take the first rows of the stream, one for each period."""
    window, book = history(1), Book([held(-2, option("put", 95.0))])
    paths = build("filtered_historical", torch.from_numpy(window.T.copy()), Request(3, 1000, 4, "sobol"), {})
    returns = paths.empirical.numpy()
    noise = standard_normals(1, 1000, 4, "sobol", first_row=3).numpy()
    log_volatility = 0.05 * math.sqrt(3) * (0.6 * standardised(returns) + 0.8 * noise)
    law = {"vol_of_vol": 0.05, "spot_vol_correlation": 0.6, "sampler": "sobol"}
    risk = assess(book, window, "filtered_historical", LEVELS, 3, 1000, 4, engine, **law)
    check(risk, losses(book, returns, log_volatility, 3 * YEARS), 2e-4)


def test_delta_gamma_is_the_expansion_in_spot_volatility_and_time() -> None:
    """Second order in each spot, first in each volatility and in time, by the book's Greeks."""
    book, window = mixed_book(), history(3)
    greeks, index = book_greeks(book), book.instrument_index
    noise = standard_normals(3, len(window), 0, "sobol", first_row=1).numpy()
    x, changes = np.expm1(window.T)[index], np.expm1(0.05 * noise)[index]
    volatility = np.array([p.option.volatility if p.option else 0.0 for p in book.positions])
    gains = greeks.cash_delta[:, None] * x + 0.5 * greeks.cash_gamma[:, None] * x**2
    gains += (greeks.vega * volatility)[:, None] * changes + greeks.theta[:, None] * YEARS
    risk = assess(book, window, "historical", LEVELS, sampler="sobol", vol_of_vol=0.05)
    found = [risk.delta_gamma_var[level] for level in LEVELS] + [risk.delta_gamma_es[level] for level in LEVELS]
    np.testing.assert_allclose(found, figures(-gains.T, LEVELS)[0], rtol=1e-4)


def test_drift_shows_a_device_that_computes_wrongly(monkeypatch: pytest.MonkeyPatch) -> None:
    from nautilus_metal.risk import option_evaluation

    def wrong(tables: object) -> tuple:
        full, expanded = original(tables)
        return (full if tables.engine is None else full * 1.001), expanded

    original = option_evaluation._losses
    monkeypatch.setattr(option_evaluation, "_losses", wrong)
    assert 0.001 < assess(mixed_book(), history(3), "historical").drift < 0.01


@pytest.mark.parametrize("model", ["student_t", "filtered_historical", "historical"])
@pytest.mark.parametrize("horizon", [1, 5])
def test_every_model_splits_its_figures(engine: ComputeEngine, model: str, horizon: int) -> None:
    book, law = mixed_book(), {"vol_of_vol": 0.05, "spot_vol_correlation": -0.5}
    risk = assess(book, history(3), model, LEVELS, horizon, 4000, engine=engine, **law)
    np.testing.assert_allclose(parts(risk).sum(axis=1), both(risk), rtol=1e-4)
    assert risk.worst_scenario.sum() == pytest.approx(risk.worst_loss, rel=1e-4)
    for level in LEVELS:
        np.testing.assert_allclose(risk.marginal_var[level] * book.values, risk.component_var[level], rtol=1e-6)
        assert risk.es[level] > risk.var[level] > risk.var_se[level] > 0


def test_a_long_call_has_the_quantile_of_its_spot() -> None:
    """P&L is monotone in the spot, so its quantile is the spot's, through Black-Scholes."""
    window, o = history(1), option()
    risk = assess(Book([held(1, o)]), window, "normal", (0.99,), 1, 2**16, sampler="sobol")
    fall = NormalDist().inv_cdf(0.01) * window.std(ddof=1)
    expected = premium(o) - black_scholes(o, o.spot * math.exp(fall), o.volatility, o.expiry - YEARS)
    assert risk.var[0.99] == pytest.approx(expected, rel=2e-3)


def test_delta_gamma_is_the_full_figure_where_moves_are_small() -> None:
    window = history(3) * 1e-3
    law = {"vol_of_vol": 1e-4, "spot_vol_correlation": -0.5, "periods_per_year": 1e7}
    lasting = [p for p in mixed_book().positions if p.option is None or p.option.expiry > 0.1]
    book = Book(lasting, xrates={"EUR": 1.08})
    with ComputeEngine("cpu", "float64") as engine:
        risk = assess(book, window, "normal", LEVELS, engine=engine, **law)
    for level in LEVELS:
        assert risk.delta_gamma_var[level] == pytest.approx(risk.var[level], rel=1e-3)
        assert risk.delta_gamma_es[level] == pytest.approx(risk.es[level], rel=1e-3)


def test_delta_gamma_misses_what_it_cannot_see() -> None:
    """It knows nothing of a strike far away, and lets gamma grow without end at a strike close by."""
    window = history(1) * 3
    wide = [held(-1, option("put", 85.0, expiry=0.03)), held(-1, option("call", 115.0, expiry=0.03))]
    near = [held(-1, option("put", expiry=0.03)), held(-1, option("call", expiry=0.03))]
    strangle, straddle = (assess(Book(legs), window, "student_t", (0.99,), degrees=4) for legs in (wide, near))
    assert strangle.es[0.99] > 1.3 * strangle.delta_gamma_es[0.99]
    assert straddle.es[0.99] < 0.9 * straddle.delta_gamma_es[0.99]


def test_no_options_no_delta_gamma() -> None:
    book, window = Book.linear(quantities=[1, -2], prices=[10, 20]), history(2)
    plain = assess(book, window)
    armed = assess(book, window, vol_of_vol=0.1, spot_vol_correlation=-0.5, periods_per_year=365)
    assert plain.delta_gamma_var is None
    assert plain.delta_gamma_es is None
    assert (plain.var, plain.es, plain.model_details) == (armed.var, armed.es, armed.model_details)


@pytest.mark.parametrize("strike", [1e-3, 50.0, 99.9, 100.0, 130.0, 1e5])
def test_a_call_less_a_put_is_a_forward(engine: ComputeEngine, strike: float) -> None:
    """To rounding, at any strike and whatever volatility does, because each option is priced out of the money."""
    legs = [option(kind, strike, rate=0.0, dividend_yield=0.0) for kind in ("call", "put")]
    window, law = history(1), {"vol_of_vol": 0.2, "spot_vol_correlation": 0.3}
    forward = assess(Book([held(5, legs[0], "C"), held(-5, legs[1], "P")]), window, engine=engine, **law)
    stock = assess(Book([Position("S", 5, 100.0)]), window, engine=engine, revaluation="full")
    np.testing.assert_allclose(both(forward), both(stock), rtol=2e-6)


def test_time_that_passes_is_a_loss() -> None:
    """Prices that never move leave the decay, to the end of an option that expires within the horizon."""
    window = np.zeros((300, 1))
    for expiry in (0.25, 3.5 * YEARS):
        o = option(expiry=expiry)
        risk = assess(Book([held(10, o)]), window, "historical", (0.95,), horizon=5)
        decay = premium(o) - black_scholes(o, o.spot, o.volatility, max(0.0, expiry - 5 * YEARS))
        assert risk.var[0.95] == pytest.approx(10 * decay, rel=1e-5)


def test_an_option_without_quantity_changes_nothing() -> None:
    window, stocks = history(2), [Position("S", 10, 100.0), Position("T", -5, 40.0)]
    plain = assess(Book(stocks), window, "historical")
    more = assess(Book([*stocks, held(0, option())]), window, "historical")
    np.testing.assert_allclose(both(more), both(plain), rtol=1e-5)
    assert more.component_var[0.99][2] == 0
    assert more.marginal_var[0.99][2] != 0


def test_an_option_without_a_price_has_no_marginal() -> None:
    worthless = Position("P1", -1, 0.0, 100, option=option("put", 20.0))
    risk = assess(Book([worthless, Position("S", 1, 100.0)]), history(1), "historical")
    assert np.isnan(risk.marginal_var[0.99]).tolist() == [True, False]
    assert np.isfinite(risk.component_var[0.99]).all()


def test_incremental_is_the_difference_of_two_assessments(engine: ComputeEngine) -> None:
    book, window = mixed_book(), history(3)
    law = {"vol_of_vol": 0.05, "spot_vol_correlation": -0.5, "engine": engine, "scenarios": 2000}
    risk = assess(book, window, "normal", LEVELS, **law)
    for i in range(6):  # without the last ones, which are the only options on theirs, volatilities would be fewer
        rest = Book([p for j, p in enumerate(book.positions) if j != i], xrates=book.xrates)
        without = assess(rest, window, "normal", LEVELS, **law)
        for level in LEVELS:
            change = risk.var[level] - without.var[level]
            assert risk.incremental_var[level][i] == pytest.approx(change, abs=1e-4 * risk.var[level])


@pytest.mark.parametrize("count", [1, 7, 1000, 100_000])
def test_any_number_of_options_in_bounded_memory(count: int) -> None:
    """Parts of one position have its risk, and scratch memory stays a few pieces however many there are."""
    window, o = history(1), option("put", 97.0)
    with ComputeEngine("cpu") as engine:
        whole = assess(Book([held(1, o)]), window, "historical", engine=engine, vol_of_vol=0.05)
        split = [Position(str(i), 1 / count, premium(o), option=o) for i in range(count)]
        risk = assess(Book(split), window, "historical", engine=engine, vol_of_vol=0.05)
        np.testing.assert_allclose(both(risk), both(whole), rtol=1e-4)
        np.testing.assert_allclose(parts(risk).sum(axis=1), both(whole), rtol=1e-4)
        assert engine.pool.stats().peak_usage_mb < 64


def test_pieces_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    from nautilus_metal.risk import option_tables

    book, window, law = mixed_book(), history(3), {"vol_of_vol": 0.05, "spot_vol_correlation": -0.5}
    whole = assess(book, window, "normal", LEVELS, scenarios=1501, **law)
    for piece, market in ((64, 2**22), (5, 2**22), (2**20, 100)):
        monkeypatch.setattr(option_tables, "_PIECE", piece)
        monkeypatch.setattr(option_tables, "_MARKET_PIECE", market)
        small = assess(book, window, "normal", LEVELS, scenarios=1501, **law)
        np.testing.assert_allclose(both(small), both(whole), rtol=1e-5)
        np.testing.assert_allclose(parts(small), parts(whole), rtol=1e-4, atol=1e-4 * whole.var[0.95])
        np.testing.assert_allclose(small.incremental_var[0.95], whole.incremental_var[0.95], atol=1e-3)


def test_the_law_of_volatility_is_estimated_where_it_is_not_given() -> None:
    window = history(2)
    rng = np.random.default_rng(3)
    changes = -2.0 * window[-200:, 1] + rng.normal(scale=0.02, size=200)
    book = Book([held(1, option()), held(1, option(underlying="T"))])
    given = {"T": changes}

    def law(**options: object) -> tuple[dict, dict]:
        details = assess(book, window, "normal", (0.95,), scenarios=500, volatility_returns=given, **options)
        return details.model_details["vol_of_vol"], details.model_details["spot_vol_correlation"]

    deviation, correlation = law()
    assert deviation == {"S": 0.0, "T": pytest.approx(changes.std(ddof=1))}
    assert correlation == {"S": 0.0, "T": pytest.approx(np.corrcoef(changes, window[-200:, 1])[0, 1])}
    assert law(vol_of_vol=0.1)[0] == {"S": 0.1, "T": 0.1}
    assert law(spot_vol_correlation={"T": 0.2})[1] == {"S": 0.0, "T": 0.2}


@settings(max_examples=20, deadline=None)
@given(
    quantity=st.floats(-1e6, 1e6).filter(lambda q: abs(q) > 1e-3),
    moneyness=st.floats(0.3, 3.0),
    expiry=st.floats(0.0, 10.0),
    volatility=st.floats(0.0, 3.0),
    kind=st.sampled_from(["call", "put"]),
)
def test_any_option_has_finite_figures_that_scale(
    quantity: float, moneyness: float, expiry: float, volatility: float, kind: str
) -> None:
    o = option(kind, 100.0 * moneyness, expiry=expiry, volatility=volatility)
    window, law = history(1), {"vol_of_vol": 0.1, "spot_vol_correlation": -0.9}
    once, twice = (assess(Book([held(q, o)]), window, "historical", **law) for q in (quantity, 2 * quantity))
    assert np.isfinite(both(once)).all()
    np.testing.assert_allclose(both(twice), 2 * both(once), rtol=1e-6)
    if quantity > 0:
        assert once.worst_loss <= quantity * premium(o) * (1 + 1e-5) + 1e-4 * quantity


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"vol_of_vol": -0.1}, "vol_of_vol"),
        ({"vol_of_vol": math.nan}, "vol_of_vol"),
        ({"vol_of_vol": {"S": math.inf}}, "vol_of_vol` of S"),
        ({"spot_vol_correlation": 1.5}, "spot_vol_correlation"),
        ({"spot_vol_correlation": {"S": "high"}}, "spot_vol_correlation` of S"),
        ({"volatility_returns": {"S": [0.1, math.nan, 0.2]}}, "volatility_returns` of S"),
        ({"volatility_returns": {"S": [0.1]}}, "volatility_returns` of S"),
        ({"volatility_returns": {"S": "words"}}, "volatility_returns` of S"),
        ({"periods_per_year": 0.0}, "periods_per_year"),
        ({"periods_per_year": math.nan}, "periods_per_year"),
        ({"revaluation": "linear"}, "revaluation"),
    ],
)
def test_wrong_settings(options: dict, argument: str) -> None:
    with pytest.raises(InputError, match=f"`{argument}"):
        assess(Book([held(1, option())]), history(1), "normal", **options)


@pytest.mark.parametrize(
    ("terms", "argument"),
    [
        ({"underlying": ""}, "underlying"),
        ({"kind": "binary"}, "kind"),
        ({"kind": None}, "kind"),
        ({"strike": 0.0}, "strike"),
        ({"strike": math.nan}, "strike"),
        ({"spot": -1.0}, "spot"),
        ({"spot": "much"}, "spot"),
        ({"expiry": -0.1}, "expiry"),
        ({"volatility": -0.2}, "volatility"),
        ({"volatility": math.inf}, "volatility"),
        ({"rate": math.nan}, "rate"),
        ({"dividend_yield": None}, "dividend_yield"),
    ],
)
def test_wrong_terms(terms: dict, argument: str) -> None:
    good = {"underlying": "S", "kind": "call", "strike": 100.0, "expiry": 1.0, "volatility": 0.2, "spot": 100.0}
    with pytest.raises(InputError, match=f"`{argument}`"):
        Option(**{**good, **terms})


def test_an_option_must_be_one() -> None:
    with pytest.raises(InputError, match="`option` of X"):
        Position("X", 1, 2.0, option="call")
