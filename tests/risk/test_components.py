"""The split over positions: it adds up, is the derivative, and knows what leaving a position out does."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.risk import Book, RiskAssessment, assess
from tests.risk.cases import EVERY_MODEL, crowded_book, history, random_book

LEVELS = (0.9, 0.95, 0.975, 0.99)

every_model = pytest.mark.parametrize("options", EVERY_MODEL.values(), ids=EVERY_MODEL)


def add_up(risk: RiskAssessment, tolerance: float = 1e-5) -> None:
    """Components and the worst scenario add up to the figures."""
    for level in risk.levels:
        assert risk.component_var[level].sum() == pytest.approx(risk.var[level], rel=tolerance)
        assert risk.component_es[level].sum() == pytest.approx(risk.es[level], rel=tolerance)
        values = risk.book.values
        np.testing.assert_allclose(risk.marginal_var[level] * values, risk.component_var[level], rtol=1e-12)
        np.testing.assert_allclose(risk.marginal_es[level] * values, risk.component_es[level], rtol=1e-12)
    assert risk.worst_scenario.sum() == pytest.approx(risk.worst_loss, rel=tolerance)
    assert risk.worst_loss >= max(risk.es.values())


@every_model
def test_components_add_up(engine: ComputeEngine, options: dict) -> None:
    for number in range(3):
        add_up(assess(random_book(6, number), history(), levels=LEVELS, engine=engine, **options))


@every_model
def test_several_positions_of_one_instrument(engine: ComputeEngine, options: dict) -> None:
    book = crowded_book()
    risk = assess(book, history(3), levels=LEVELS, engine=engine, **options)
    add_up(risk)
    net = Book.linear(quantities=book.exposures, prices=[1, 1, 1])
    alone = assess(net, history(3), levels=LEVELS, engine=engine, **options)
    for level in LEVELS:
        assert risk.var[level] == alone.var[level]
        split = np.bincount(book.instrument_index, weights=risk.component_var[level])
        np.testing.assert_allclose(split, alone.component_var[level], rtol=1e-9)
        marginal = risk.marginal_var[level]
        assert marginal[0] == marginal[2] == marginal[4]  # by unit of currency, whoever holds it
        assert risk.component_var[level][2] == -risk.component_var[level][4]


@pytest.mark.parametrize("model", ["normal", "student_t"])
def test_a_hedged_book_adds_up_in_float32(engine: ComputeEngine, model: str) -> None:
    """Two nearly equal series, long and short: the gross is 100,000 times the risk."""
    one = history(1)
    window = np.column_stack([one, one + 1e-6 * np.random.default_rng(0).normal(size=one.shape)])
    book = Book.linear(quantities=[1e6, -1e6], prices=[100, 100])
    risk = assess(book, window, model, engine=engine)
    add_up(risk)
    with ComputeEngine("cpu", "float64") as exact:
        assert risk.var[0.99] == pytest.approx(assess(book, window, model, engine=exact).var[0.99], rel=1e-5)


@every_model
def test_marginals_are_finite_differences(options: dict) -> None:
    """On the same scenarios the change of VaR and ES for one more unit is the marginal: in float64, to 1e-4."""
    book, window = random_book(4, 2), history(4)
    step = 1e-5 * np.abs(book.values).max()
    with ComputeEngine("cpu", "float64") as engine:
        risk = assess(book, window, engine=engine, **options)
        for i in range(4):
            moved = []
            for sign in (1, -1):
                values = book.values.copy()
                values[i] += sign * step
                shifted = Book.linear(quantities=values, prices=np.ones(4))
                moved.append(assess(shifted, window, engine=engine, **options))
            for level in risk.levels:
                for figure, marginal in (("var", risk.marginal_var), ("es", risk.marginal_es)):
                    up, down = (getattr(one, figure)[level] for one in moved)
                    found = (up - down) / (2 * step)
                    assert found == pytest.approx(marginal[level][i], abs=2e-3 * np.abs(marginal[level]).max())


@every_model
def test_incremental_is_the_book_without_the_position(engine: ComputeEngine, options: dict) -> None:
    book, window = random_book(4, 6), history(4)
    risk = assess(book, window, engine=engine, **options)
    for i in range(4):
        values = book.values.copy()
        values[i] = 0.0
        rest = assess(Book.linear(quantities=values, prices=np.ones(4)), window, engine=engine, **options)
        for level in risk.levels:
            expected = risk.var[level] - rest.var[level]
            assert risk.incremental_var[level][i] == pytest.approx(expected, abs=3e-6 * risk.var[level])


def test_incremental_of_positions_that_share_an_instrument(engine: ComputeEngine) -> None:
    book, window = crowded_book(), history(3)
    risk = assess(book, window, "filtered_historical", engine=engine)
    for i in range(len(book.positions)):
        rest = Book([p for j, p in enumerate(book.positions) if j != i], xrates=book.xrates)
        order = [book.instruments.index(name) for name in rest.instruments]
        without = assess(rest, window[:, order], "filtered_historical", engine=engine)
        for level in risk.levels:
            expected = risk.var[level] - without.var[level]
            assert risk.incremental_var[level][i] == pytest.approx(expected, abs=1e-5 * risk.var[level])


def test_incremental_is_computed_once_and_only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    from nautilus_metal.risk import assess as module_function
    from nautilus_metal.risk import evaluation

    calls = []
    original = evaluation.largest
    monkeypatch.setattr(evaluation, "largest", lambda *a: calls.append(1) or original(*a))
    with ComputeEngine("cpu") as engine:
        risk = module_function(random_book(4, 0), history(4), engine=engine)
        assert len(calls) == 1
        assert risk.incremental_var is risk.incremental_var
        assert len(calls) == 5


def test_normal_components_are_the_analytic_euler_split(engine: ComputeEngine) -> None:
    """Sigma v v_i / (v' Sigma v)^(1/2) times the quantile, within Monte Carlo error of the conditional mean."""
    window = history(8)
    sigma, z = np.cov(window.T), stats.norm.ppf(LEVELS)
    for number in range(5):
        book = random_book(8, number)
        values = book.values
        spread = np.sqrt(values @ sigma @ values)
        split = values * (sigma @ values) / spread
        residual = np.sqrt(np.maximum(values**2 * sigma.diagonal() - split**2, 0))  # of a loss, given the book's
        risk = assess(book, window, levels=LEVELS, scenarios=40_000, seed=number, engine=engine)
        for i, level in enumerate(LEVELS):
            beyond = 40_000 * (1 - level)
            shortfall = stats.norm.pdf(z[i]) / (1 - level)
            error = np.hypot(residual / np.sqrt(beyond), np.abs(split) / spread * risk.es_se[level])
            assert (np.abs(risk.component_es[level] - shortfall * split) < 4 * error).all()
            effective = np.sqrt(np.pi * 40_000 * level * (1 - level))  # losses that the quantile's weights cover
            error = np.hypot(residual / np.sqrt(effective), np.abs(split) / spread * risk.var_se[level])
            assert (np.abs(risk.component_var[level] - z[i] * split) < 4 * error).all()


@settings(max_examples=60, deadline=None)
@given(
    quantities=st.lists(st.floats(-1000, 1000).filter(lambda x: abs(x) > 1), min_size=2, max_size=6),
    name=st.sampled_from(sorted(EVERY_MODEL)),
)
def test_any_book_adds_up(quantities: list[float], name: str) -> None:
    book = Book.linear(quantities=quantities, prices=[10.0] * len(quantities))
    window = history(len(quantities), 250)
    with ComputeEngine("cpu") as engine:
        add_up(assess(book, window, levels=(0.95,), scenarios=1000, engine=engine, **EVERY_MODEL[name]))
