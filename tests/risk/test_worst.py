"""The worst scenarios: those of the assessment, with losses that add up and agree with all scenarios in float64."""

import numpy as np
import pandas as pd
import pytest

from nautilus_metal.errors import InputError
from nautilus_metal.risk import Book, assess
from nautilus_metal.risk.scenario_pnl import scenario_pnl
from nautilus_metal.risk.worst import worst_scenarios
from tests.risk.cases import EVERY_MODEL, crowded_book, history, random_book
from tests.risk.option_cases import mixed_book


@pytest.mark.parametrize("case", [name for name in EVERY_MODEL if name not in ("normal-full", "historical-linear")])
def test_they_are_the_largest_of_all_scenarios(case, engine):
    book, data = random_book(6, 0), history()
    model = {"model": "normal", "scenarios": 3_000} | EVERY_MODEL[case]
    risk = assess(book, data, engine=engine, **model)
    worst = worst_scenarios(risk, 10, engine=engine)
    every = -scenario_pnl(book, data, **model)
    order = np.argsort(-every.sum(axis=0), kind="stable")[:10]
    assert worst.index.tolist() == order.tolist()
    np.testing.assert_allclose(worst.position_losses, every[:, order], rtol=2e-5, atol=1e-5 * worst.losses[0])
    np.testing.assert_array_equal(worst.losses, worst.position_losses.sum(axis=0))
    assert worst.losses[0] == pytest.approx(risk.worst_loss, rel=1e-5)
    near = {"rtol": 2e-4, "atol": 1e-5 * risk.worst_loss}
    np.testing.assert_allclose(worst.position_losses[:, 0], risk.worst_scenario, **near)


@pytest.mark.parametrize("law", [{}, {"vol_of_vol": 0.05, "spot_vol_correlation": -0.6}], ids=["still", "moving"])
@pytest.mark.parametrize("model", ["normal", "student_t", "filtered_historical"])
def test_options_lose_what_they_lose_in_all_scenarios(model, law, engine):
    book, data = mixed_book(), history(assets=3)
    asked = {"model": model, "scenarios": 2_000, **law}
    risk = assess(book, data, engine=engine, **asked)
    worst = worst_scenarios(risk, 8, engine=engine)
    every = -scenario_pnl(book, data, **asked)
    order = np.argsort(-every.sum(axis=0), kind="stable")[:8]
    assert set(worst.index.tolist()) == set(order.tolist())
    np.testing.assert_allclose(
        worst.position_losses, every[:, worst.index], rtol=1e-4, atol=2e-5 * np.abs(every).max()
    )
    assert bool(worst.volatility_factors) == bool(law)
    assert all(len(row) == 8 and (row > 0).all() for row in worst.volatility_factors.values())


def test_a_sample_in_pieces_has_the_same_worst(engine, monkeypatch):
    from nautilus_metal.risk import tail_scenarios as room

    book, data = random_book(6, 0), history()
    risk = assess(book, data, "student_t", engine=engine, scenarios=9_000)
    whole = worst_scenarios(risk, 12, engine=engine)

    def in_pieces(engine, count, bytes_each, work):
        return [work(engine, first, min(count, first + 2_500)) for first in range(0, count, 2_500)]

    monkeypatch.setattr(room, "in_pieces", in_pieces)
    cut = worst_scenarios(risk, 12, engine=engine)
    assert cut.index.tolist() == whole.index.tolist()
    np.testing.assert_allclose(cut.losses, whole.losses, rtol=1e-6)


def test_history_names_its_days(engine):
    data = history(assets=2, periods=300)
    data[123] = -0.3
    days = pd.bdate_range("2020-01-01", periods=300)
    book = Book.linear(quantities=[10, 5], prices=[100.0, 50.0], instruments=["A", "B"])
    frame = pd.DataFrame(data, columns=["A", "B"], index=days)
    worst = worst_scenarios(assess(book, frame, "historical", engine=engine), 3, engine=engine)
    assert worst.dates[0] == days[123]
    assert worst.periods_ago[0] == 300 - 1 - 123
    np.testing.assert_allclose(worst.returns[:, 0], -0.3, rtol=1e-6)
    runs = worst_scenarios(assess(book, frame, "historical", horizon=5, engine=engine), 5, engine=engine)
    assert set(runs.dates) == set(days[123:128])  # runs of five days that hold that day, by their last one
    named = worst_scenarios(assess(book, data, "historical", engine=engine), 1, dates=range(300), engine=engine)
    assert named.dates == (123,)


def test_drawn_scenarios_have_no_day(engine):
    book, data = random_book(6, 0), history()
    for model in ({"model": "normal"}, {"model": "filtered_historical", "horizon": 5}):
        worst = worst_scenarios(assess(book, data, engine=engine, **model), dates=range(len(data)), engine=engine)
        assert worst.dates is None
        assert worst.periods_ago is None
        assert len(worst.losses) == 10


def test_plain_values_add_up_by_name(engine):
    book = crowded_book()
    worst = worst_scenarios(assess(book, history(assets=3), "historical", engine=engine), 2, engine=engine)
    entry = worst.to_dict()["scenarios"][0]
    assert set(entry["positions"]) == {"A", "B", "C"}
    assert sum(entry["positions"].values()) == pytest.approx(entry["loss"], rel=1e-12)
    assert entry["date"] is None
    assert set(entry["returns"]) == {"A", "B", "C"}


def test_an_empty_book_has_none(engine):
    worst = worst_scenarios(assess(Book([]), np.zeros((0, 0)), engine=engine), engine=engine)
    assert worst.to_dict() == {"base_currency": "USD", "scenarios": []}


def test_all_of_a_small_sample(engine):
    data = history(assets=2, periods=30)
    book = Book.linear(quantities=[1, 1], prices=[10.0, 10.0])
    worst = worst_scenarios(assess(book, data, "historical", levels=(0.9,), engine=engine), 100, engine=engine)
    assert sorted(worst.index.tolist()) == list(range(30))
    assert (np.diff(worst.losses) <= 0).all()


@pytest.mark.parametrize(
    ("count", "dates", "text"),
    [
        (0, None, "`count` must be a whole number of at least 1, was 0"),
        (2.0, None, "`count` must be a whole number"),
        (3, range(7), "`dates` must hold a label for each of the 500 periods, held 7"),
    ],
)
def test_bad_input(count, dates, text):
    risk = assess(random_book(6, 0), history())
    with pytest.raises(InputError, match=text):
        worst_scenarios(risk, count, dates=dates)
