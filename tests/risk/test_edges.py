"""Edges: books and histories that are empty, constant, huge, singular, or come as another kind of object."""

import warnings

import numpy as np
import pytest
import torch

from nautilus_metal.engine import ComputeEngine, shared_engine
from nautilus_metal.risk import Book, Position, assess
from tests.risk.cases import EVERY_MODEL, MODELS, crowded_book, figures, history, random_book, split

every_model = pytest.mark.parametrize("options", EVERY_MODEL.values(), ids=EVERY_MODEL)


@pytest.mark.parametrize("model", MODELS)
def test_an_empty_book_has_no_risk(engine: ComputeEngine, model: str) -> None:
    risk = assess(Book([]), np.zeros((0, 0)), model, engine=engine, horizon=3)
    assert risk.var == risk.es == risk.var_se == risk.es_se == {0.95: 0.0, 0.99: 0.0}
    assert risk.worst_loss == risk.value == 0.0
    assert risk.scenarios == 0
    assert risk.sampler == "none"
    assert risk.drift is None
    assert risk.component_var[0.99].shape == risk.incremental_var[0.99].shape == (0,)


@every_model
def test_a_book_that_cannot_move_has_no_risk(options: dict) -> None:
    with ComputeEngine("cpu") as engine:
        still = assess(random_book(3, 0), np.zeros((300, 3)), engine=engine, **options)
        flat = assess(Book.linear(quantities=[0, 0, 0], prices=[1, 2, 3]), history(3), engine=engine, **options)
    for risk in (still, flat):
        assert figures(risk).tolist() == [0.0] * 9
        assert not split(risk).any()
        assert risk.drift is None


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_shortfall_is_not_below_var_by_rounding(precision: str) -> None:
    """Where all losses are equal, both figures are sums of the same number with other weights."""
    rng = np.random.default_rng(0)
    with ComputeEngine("cpu", precision) as engine:
        for _ in range(50):
            window = np.full((300, 2), 0.01 * rng.normal())
            book = Book.linear(quantities=rng.normal(size=2), prices=[1, 1])
            risk = assess(book, window, "historical", engine=engine)
            assert all(risk.es[level] >= risk.var[level] for level in risk.levels)


@every_model
def test_a_constant_series_among_others_adds_no_risk(options: dict) -> None:
    window, book = history(3), random_book(3, 1)
    window[:, 1] = 0.0
    with ComputeEngine("cpu", "float64") as engine:
        risk = assess(book, window, engine=engine, **options)
    scale = risk.var[0.99]
    if risk.model_details.get("covariance") != "ledoit_wolf":  # which shrinks towards equal variances
        assert abs(risk.component_var[0.99][1]) < 1e-9 * scale
    assert np.isfinite(figures(risk)).all()


@every_model
def test_one_position(engine: ComputeEngine, options: dict) -> None:
    book = Book([Position("X", 3, 7.0)])
    risk = assess(book, history(1)[:, 0], engine=engine, **options)
    for level in risk.levels:
        assert risk.component_var[level].shape == (1,)
        assert risk.incremental_var[level][0] == pytest.approx(risk.var[level], rel=1e-6)
    assert risk.es[0.99] >= risk.var[0.99] >= risk.var[0.95] > 0


@pytest.mark.parametrize("options", [{}, {"model": "student_t"}, {"model": "filtered_historical"}])
def test_more_assets_than_periods(engine: ComputeEngine, options: dict) -> None:
    """500 assets x 300 periods: the covariance is singular."""
    window, book = history(500, 300), random_book(500, 0)
    risk = assess(book, window, engine=engine, **options)
    assert risk.component_var[0.99].sum() == pytest.approx(risk.var[0.99], rel=1e-4)
    assert risk.drift < 1e-4
    if not options:
        spread = np.sqrt(book.values @ np.cov(window.T) @ book.values)
        assert abs(risk.var[0.95] - 1.6448536 * spread) < 4 * risk.var_se[0.95]


@pytest.mark.slow
def test_a_million_scenarios(engine: ComputeEngine) -> None:
    window, book = history(20), random_book(20, 0)
    spread = np.sqrt(book.values @ np.cov(window.T) @ book.values)
    for options in ({}, {"sampler": "sobol"}):
        risk = assess(book, window, levels=(0.99, 0.9999), scenarios=1_000_000, engine=engine, **options)
        assert abs(risk.var[0.99] - 2.3263479 * spread) < 4 * risk.var_se[0.99]
        assert abs(risk.var[0.9999] - 3.7190165 * spread) < 4 * risk.var_se[0.9999]
        assert risk.component_es[0.99].sum() == pytest.approx(risk.es[0.99], rel=1e-5)
        assert risk.var_se[0.99] < 0.002 * risk.var[0.99]


def test_without_an_engine_the_shared_one_serves() -> None:
    risk = assess(random_book(6, 0), history())
    assert risk.device == str(shared_engine().device)


def test_histories_of_any_kind_are_one(engine: ComputeEngine) -> None:
    pandas = pytest.importorskip("pandas")
    window, book = history(3), random_book(3, 0)
    expected = figures(assess(book, window, engine=engine))
    kinds = [
        window.tolist(),
        torch.from_numpy(window),
        torch.tensor(window, requires_grad=True),
        np.asfortranarray(window),
        window.astype(np.longdouble),
        pandas.DataFrame(window),
        pandas.DataFrame(window, columns=["A", "B", "C"]),
    ]
    for kind in kinds:
        np.testing.assert_array_equal(figures(assess(book, kind, engine=engine)), expected)


def test_a_frame_is_read_by_name(engine: ComputeEngine) -> None:
    pandas = pytest.importorskip("pandas")
    window, book = history(3), crowded_book()
    expected = figures(assess(book, window, engine=engine))
    frame = pandas.DataFrame(window, columns=["A", "B", "C"])
    frame["D"] = np.nan
    for columns in (["C", "A", "D", "B"], ["B", "C", "A"], ["A", "B", "C"]):
        np.testing.assert_array_equal(figures(assess(book, frame[columns], engine=engine)), expected)


@pytest.mark.parametrize("order", ["C", "F"])
def test_inputs_stay_as_they_were(engine: ComputeEngine, order: str) -> None:
    window, book = np.asarray(history(6), order=order), random_book(6, 0)
    window.setflags(write=False)
    copy, values = window.copy(), book.values.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch warns once if it shares memory that is read-only
        for options in EVERY_MODEL.values():
            assert assess(book, window, engine=engine, **options).incremental_var
    np.testing.assert_array_equal(window, copy)
    np.testing.assert_array_equal(book.values, values)


def test_a_drift_far_above_the_noise(engine: ComputeEngine) -> None:
    window = 0.05 + 1e-6 * history(2)
    book = Book.linear(quantities=[1, 1], prices=[100, 100])
    risk = assess(book, window, mean="sample", engine=engine)
    with ComputeEngine("cpu", "float64") as exact:
        expected = assess(book, window, mean="sample", engine=exact)
    assert risk.var[0.99] == pytest.approx(expected.var[0.99], rel=1e-6)
    assert risk.var[0.99] < 0
