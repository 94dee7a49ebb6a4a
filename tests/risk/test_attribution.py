"""The parts of a change of VaR: they add up, name the thing that changed, and agree with closed forms and loops."""

import math
from dataclasses import replace
from itertools import permutations
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.errors import InputError
from nautilus_metal.risk import Book, Position, assess
from nautilus_metal.risk.attribution import PARTS, explain_change
from tests.risk.cases import EVERY_MODEL, history, random_book
from tests.risk.option_cases import mixed_book

LEVELS = (0.95, 0.99)
EXACT = 1e-9  # of VaR


@pytest.fixture(scope="module")
def exact():
    """An engine in double precision, so that what did not change differs by nothing but rounding of that."""
    with ComputeEngine("cpu", precision="float64") as made:
        yield made


def settings_of(case):
    return {"model": "normal", "scenarios": 2_000} | EVERY_MODEL[case]


def others_of(change, *names):
    return [change.parts[name] for name in PARTS if name not in names]


def scaled(book, factor):
    positions = [replace(p, quantity=p.quantity * factor) for p in book.positions]
    return Book(positions, book.base_currency, book.xrates)


@pytest.mark.parametrize("order", [None, PARTS, PARTS[::-1]], ids=["shapley", "forward", "backward"])
@pytest.mark.parametrize("case", EVERY_MODEL)
def test_the_parts_add_up_whatever_changed(case, order, engine):
    data, model = history(periods=450), settings_of(case)
    before = assess(random_book(6, 0), data[:400], engine=engine, **model)
    after = assess(random_book(6, 1), 1.2 * data[50:], engine=engine, seed=4, **model)
    for level, change in explain_change(before, after, order=order, engine=engine).items():
        assert change.change == after.var[level] - before.var[level]
        assert abs(math.fsum(change.parts.values()) - change.change) <= EXACT * before.var[level]
        assert abs(change.parts["positions"]) > 0
        assert abs(change.parts["volatility"]) > 0
        assert change.parts["model"] == 0


@pytest.mark.parametrize("case", EVERY_MODEL)
def test_the_same_twice_is_nothing_at_all(case, engine):
    book, data, model = random_book(6, 0), history(), settings_of(case)
    before, after = (assess(book, data, engine=engine, **model) for _ in range(2))
    for change in explain_change(before, after, engine=engine).values():
        assert set(change.parts.values()) == {0.0}
        assert set(change.standard_errors.values()) <= {0.0, None}


CHANGES = {
    "positions": ({}, lambda book, data: (scaled(book, 1.7), data)),
    "model": ({"revaluation": "full"}, lambda book, data: (book, data)),
    "noise": ({"seed": 9, "scenarios": 3_000}, lambda book, data: (book, data)),
}


@pytest.mark.parametrize("part", CHANGES)
@pytest.mark.parametrize("case", ["normal", "student_t", "filtered-10"])
def test_one_change_alone_is_one_part_alone(case, part, engine):
    options, changed = CHANGES[part]
    model = settings_of(case) | {"revaluation": "linear"}
    book, data = random_book(6, 0), history()
    before = assess(book, data, engine=engine, **model)
    after = assess(*changed(book, data), engine=engine, **model | options)
    for change in explain_change(before, after, engine=engine).values():
        assert change.parts[part] == change.change != 0
        assert others_of(change, part) == [0.0] * 4


@pytest.mark.parametrize("case", EVERY_MODEL)
def test_all_returns_times_a_factor_are_volatility(case, exact):
    book, data, model = random_book(6, 0), history(), settings_of(case)
    before = assess(book, data, engine=exact, **model)
    after = assess(book, 1.1 * data, engine=exact, **model)
    for level, change in explain_change(before, after, engine=exact).items():
        assert abs(change.parts["volatility"] - change.change) <= EXACT * before.var[level]
        assert max(map(abs, others_of(change, "volatility"))) <= EXACT * before.var[level]


@settings(max_examples=15)
@given(
    factors=st.lists(st.floats(0.3, 3.0), min_size=3, max_size=3),
    quantities=st.lists(st.floats(-50, 50), min_size=6, max_size=6),
    seed=st.integers(0, 1_000),
)
def test_each_own_factor_is_volatility_and_the_parts_add_up(exact, factors, quantities, seed):
    data = history(assets=3, seed=seed)
    books = [
        Book.linear(quantities=[*some, 7.0], prices=[20.0, 90.0, 3.0, 11.0], instruments=["A", "B", "C", "A"])
        for some in (quantities[:3], quantities[3:])
    ]
    before = assess(books[0], data, scenarios=500, engine=exact)
    after = assess(books[1], data * factors, scenarios=500, engine=exact)
    for level, change in explain_change(before, after, engine=exact).items():
        size = EXACT * max(before.var[level], after.var[level])
        assert abs(math.fsum(change.parts.values()) - change.change) <= size
        assert max(map(abs, others_of(change, "positions", "volatility"))) <= size


def test_a_window_of_the_same_volatilities_is_correlation(exact):
    rng = np.random.default_rng(3)
    shocks = np.linalg.qr(rng.normal(size=(500, 3)))[0]
    shocks = (shocks - shocks.mean(axis=0)) / (shocks - shocks.mean(axis=0)).std(axis=0)
    mixed = shocks.copy()
    mixed[:, 1] = 0.8 * shocks[:, 0] + 0.6 * shocks[:, 1]
    mixed[:, 1] /= mixed[:, 1].std()
    book = Book.linear(quantities=[1, 1, 1], prices=[100.0, 100.0, 100.0])
    before, after = (assess(book, 0.01 * window, engine=exact) for window in (shocks, mixed))
    change = explain_change(before, after, engine=exact)[0.99]
    assert change.parts["correlation"] > 0.2 * before.var[0.99]
    assert max(map(abs, others_of(change, "correlation"))) <= EXACT * before.var[0.99]


def closed_form(amounts, volatilities, correlation):
    """99% VaR of a normal linear book."""
    by_risk = amounts * volatilities
    return NormalDist().inv_cdf(0.99) * math.sqrt(by_risk @ correlation @ by_risk)


@pytest.mark.parametrize("order", [None, PARTS, ("correlation", "noise", "volatility", "model", "positions")])
def test_parts_of_a_normal_linear_book_are_those_of_the_closed_form(order, exact):
    data = [history(assets=4, seed=seed) for seed in (0, 1)]
    amounts = [np.array([1e5, -4e4, 7e4, 2e4]), np.array([6e4, 5e4, 7e4, -9e4])]
    facts = []
    for window in data:
        sigma = np.cov(window.T)
        deviation = np.sqrt(np.diag(sigma))
        facts.append((deviation, sigma / np.outer(deviation, deviation)))

    def var(changed):
        held, volatility, correlation = (int(name in changed) for name in PARTS[:3])
        return closed_form(amounts[held], facts[volatility][0], facts[correlation][1])

    expected = dict.fromkeys(PARTS, 0.0)
    walks = list(permutations(PARTS[:3])) if order is None else [[name for name in order if name in PARTS[:3]]]
    for walk in walks:
        for step, name in enumerate(walk):
            expected[name] += (var(walk[: step + 1]) - var(walk[:step])) / len(walks)
    before, after = (
        assess(Book.linear(quantities=amount, prices=np.ones(4)), window, engine=exact, scenarios=50_000,
               sampler="pseudo")
        for amount, window in zip(amounts, data, strict=True)
    )  # fmt: skip
    change = explain_change(before, after, order=order, engine=exact)[0.99]
    for name in PARTS[:3]:
        error = change.standard_errors[name]
        assert abs(change.parts[name] - expected[name]) < 4 * error
        assert error < 0.02 * before.var[0.99]


def test_standard_errors_are_the_spread_over_seeds(exact):
    data, found, errors = history(assets=4, periods=450), [], []
    books = [Book.linear(quantities=q, prices=np.full(4, 100.0)) for q in ([50, -20, 30, 10], [60, -10, 25, 25])]
    for seed in range(60):
        ends = zip(books, (data[:400], 1.3 * data[50:]), strict=True)
        before, after = (
            assess(b, w, levels=(0.95,), engine=exact, scenarios=2_000, sampler="pseudo", seed=seed) for b, w in ends
        )
        change = explain_change(before, after, engine=exact)[0.95]
        found.append([change.parts[name] for name in PARTS[:3]])
        errors.append([change.standard_errors[name] for name in PARTS[:3]])
    ratio = np.mean(errors, axis=0) / np.std(found, axis=0, ddof=1)
    assert (ratio > 0.7).all()  # a standard deviation of 60 draws is within 9% (one standard error)
    assert (ratio < 1.4).all()


def test_history_itself_has_no_error_of_a_simulation(engine):
    book, data = random_book(6, 0), history()
    before, after = (assess(book, window, "historical", engine=engine) for window in (data[:400], data[100:]))
    change = explain_change(before, after, engine=engine)[0.99]
    assert set(change.standard_errors.values()) == {None}
    assert change.parts["noise"] == change.parts["model"] == 0


@pytest.mark.parametrize("model", ["normal", "historical", "filtered_historical", "student_t"])
def test_what_comes_and_goes_is_positions(model, exact):
    data = history(assets=3)
    options = {"degrees": 5.0} if model == "student_t" else {}
    whole = [Position("A", 100, 50.0), Position("B", -40, 80.0), Position("C", 70, 20.0)]
    few = assess(Book(whole[:2]), data[:, :2], model, engine=exact, **options)
    many = assess(Book(whole), data, model, engine=exact, **options)
    for before, after in ((few, many), (many, few)):
        change = explain_change(before, after, engine=exact)[0.99]
        assert abs(change.parts["positions"] - change.change) <= EXACT * before.var[0.99]
        assert abs(change.change) > 0.01 * before.var[0.99]


def test_a_changed_place_in_the_stream_is_noise_where_it_is_drawn(exact):
    data = history(assets=2)
    forward, back = [Position("A", 100, 50.0), Position("B", 40, 80.0)], [0, 1]
    before = assess(Book(forward), data, engine=exact)
    after = assess(Book(forward[::-1]), data[:, back[::-1]], engine=exact)
    change = explain_change(before, after, engine=exact)[0.99]
    assert abs(change.parts["noise"]) < 4 * change.standard_errors["noise"]
    assert abs(change.parts["positions"]) <= EXACT * before.var[0.99]


def test_from_nothing_and_to_nothing(engine):
    data, book = history(), random_book(6, 0)
    full, empty = assess(book, data, engine=engine), assess(Book([]), data[:0], engine=engine)
    come, gone = (explain_change(*ends, engine=engine)[0.99] for ends in ((empty, full), (full, empty)))
    assert come.parts["positions"] == pytest.approx(full.var[0.99], rel=EXACT)
    assert gone.parts["positions"] == pytest.approx(-full.var[0.99], rel=EXACT)
    assert set(explain_change(empty, empty, engine=engine)[0.99].parts.values()) == {0.0}


def test_a_short_history_of_a_new_instrument_is_repeated(engine):
    data = history(assets=2, periods=500)
    before = assess(Book([Position("A", 10, 50.0)]), data[:, :1], engine=engine)
    after = assess(Book([Position("A", 10, 50.0), Position("B", 5, 50.0)]), data[-120:], engine=engine)
    change = explain_change(before, after, engine=engine)[0.99]
    assert abs(math.fsum(change.parts.values()) - change.change) <= EXACT * before.var[0.99]


def with_volatility(book, factor):
    positions = [
        p if p.option is None else replace(p, option=replace(p.option, volatility=factor * p.option.volatility))
        for p in book.positions
    ]
    return Book(positions, book.base_currency, book.xrates)


@pytest.mark.parametrize("law", [{}, {"vol_of_vol": 0.05, "spot_vol_correlation": -0.6}], ids=["still", "moving"])
def test_implied_volatilities_are_volatility(law, engine):
    book, data = mixed_book(), history(assets=3)
    before = assess(book, data, engine=engine, scenarios=2_000, **law)
    after = assess(with_volatility(book, 1.2), data, engine=engine, scenarios=2_000, **law)
    change = explain_change(before, after, engine=engine)[0.99]
    assert change.parts["volatility"] == change.change != 0
    assert others_of(change, "volatility") == [0.0] * 4


def test_the_law_of_volatility_is_volatility(engine):
    book, data = mixed_book(), history(assets=3)
    before, after = (assess(book, data, engine=engine, scenarios=2_000, vol_of_vol=v) for v in (0.0, 0.1))
    change = explain_change(before, after, engine=engine)[0.99]
    assert change.parts["volatility"] == change.change != 0


def test_options_that_come_and_age_are_positions(engine):
    book, data = mixed_book(), history(assets=3, periods=450)
    aged = Book(
        [p if p.option is None else replace(p, option=replace(p.option, expiry=0.9 * p.option.expiry))
         for p in book.positions[:-3]],
        book.base_currency, book.xrates,
    )  # fmt: skip
    before = assess(book, data[:400], "student_t", engine=engine, scenarios=2_000, vol_of_vol=0.04)
    after = assess(aged, data[50:, :2], "student_t", engine=engine, scenarios=2_000, vol_of_vol=0.05, seed=1)
    for level, change in explain_change(before, after, engine=engine).items():
        assert abs(math.fsum(change.parts.values()) - change.change) <= EXACT * before.var[level]
        assert all(change.parts[name] for name in ("positions", "volatility", "correlation", "noise"))
        assert all(error > 0 for name, error in change.standard_errors.items() if name != "model")


def test_a_model_can_change_from_draws_to_history(engine):
    book, data = random_book(6, 0), history()
    before = assess(book, data, "normal", engine=engine)
    after = assess(book, data, "filtered_historical", engine=engine)
    change = explain_change(before, after, engine=engine)[0.99]
    assert change.parts["model"] == change.change != 0
    assert change.standard_errors["model"] == pytest.approx(before.var_se[0.99], rel=1e-3)


def test_plain_values_have_everything(engine):
    book, data = random_book(6, 0), history()
    before, after = assess(book, data, engine=engine), assess(scaled(book, 2), data, engine=engine)
    entry = explain_change(before, after, engine=engine)[0.95].to_dict()
    assert entry["change"] == entry["after"] - entry["before"] == entry["parts"]["positions"]
    assert entry["method"] == "shapley"
    assert set(entry["standard_errors"]) == set(PARTS)


BAD = {
    "levels": (lambda book, data: assess(book, data, levels=(0.9,)), {}, "must have a level of `before`"),
    "currency": (
        lambda book, data: assess(Book(book.positions, "EUR", {"USD": 0.9}), data), {}, "currency of `before`, USD"
    ),
    "order": (assess, {"order": ("positions", "noise")}, "`order` must have positions"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    book, data = random_book(6, 0), history()
    made, options, text = BAD[case]
    with pytest.raises(InputError, match=text):
        explain_change(assess(book, data), made(book, data), **options)
