"""Asked what risk would be, the host answers what a fresh assessment of the changed book says."""

from dataclasses import replace

import numpy as np
import pytest

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.errors import InputError
from nautilus_metal.risk import Book, Position, assess, option_tables, what_if_table
from nautilus_metal.risk.what_if import what_if
from tests.risk.cases import EVERY_MODEL, MODELS, crowded_book, history, random_book
from tests.risk.option_cases import held, mixed_book, option

LEVELS = (0.95, 0.99)
LAW = {"vol_of_vol": {"S": 0.06, "F": 0.04}, "spot_vol_correlation": -0.7}


@pytest.fixture(scope="module")
def exact():
    with ComputeEngine("cpu", precision="float64") as engine:
        yield engine


def changed(book: Book, changes: dict[str, float], more=()) -> Book:
    """The book with the change of each name in the first position of that name."""
    left, positions = dict(changes), []
    for position in (*book.positions, *(replace(p, quantity=0.0) for p in more)):
        positions.append(replace(position, quantity=position.quantity + left.pop(position.instrument, 0.0)))
    assert not left
    return Book(positions, book.base_currency, book.xrates)


def agree(asked, risk, **tolerance) -> None:
    for measure, by_level in asked.items():
        assert list(by_level) == list(risk.levels)
        np.testing.assert_allclose([*by_level.values()], [*getattr(risk, measure).values()], **tolerance)


@pytest.mark.parametrize("options", EVERY_MODEL.values(), ids=EVERY_MODEL)
def test_a_plain_book_changed_is_the_changed_book_assessed(options, exact):
    book, settings = random_book(6, 1), {"scenarios": 4_000, "seed": 3, **options}
    asked = what_if(book, history(), levels=LEVELS, engine=exact, **settings)
    for changes in ({}, {"2": 70.0}, {"0": -150.0, "3": 12.5, "5": -1.0}):
        risk = assess(changed(book, changes), history(), levels=LEVELS, engine=exact, **settings)
        agree(asked.figures(changes), risk, rtol=1e-10)


@pytest.mark.parametrize("law", [{}, LAW], ids=["flat", "moving"])
@pytest.mark.parametrize("horizon", [1, 5])
@pytest.mark.parametrize("model", MODELS)
def test_options_are_revalued_in_full(model, horizon, law, exact):
    book = mixed_book()
    settings = {"model": model, "horizon": horizon, "scenarios": 4_000, "seed": 5, **law}
    put = option("put", 45.0, "F", spot=50.0)
    candidates = [held(1, option("call", 110.0), multiplier=100), held(1, put, "", 20, "EUR")]
    past = history(3)
    asked = what_if(book, past, levels=LEVELS, engine=exact, candidates=candidates, **settings)
    assert asked.covers("S call 110")
    for changes in ({}, {"S": -55.0, "S call 105": 4.0}, {"S call 110": -2.0, "F put 45": 3.0, "EURUSD": -1_000.0}):
        risk = assess(changed(book, changes, candidates), past, levels=LEVELS, engine=exact, **settings)
        agree(asked.figures(changes), risk, rtol=1e-9)


@pytest.mark.parametrize("model", MODELS)
def test_every_device_answers_as_it_assesses(engine, model):
    past, settings = history(4), {"scenarios": 4_000, "levels": LEVELS, "engine": engine}
    for book, changes in ((random_book(4, 2), {"1": 40.0}), (mixed_book(), {"S put 90": -3.0})):
        columns = past[:, : len(book.instruments)]
        asked = what_if(book, columns, model, **settings)
        agree(asked.figures(changes), assess(changed(book, changes), columns, model, **settings), rtol=2e-5)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("plain", [True, False], ids=["plain", "options"])
def test_where_memory_is_short_the_table_is_made_in_pieces(plain, model, monkeypatch):
    """Of a pool that holds a fifth of the normals, and pieces small enough to be many."""
    scenarios, book = 20_000, random_book(6, 1) if plain else mixed_book()
    past, settings = history(6 if plain else 3), {"model": model, "horizon": 5, "scenarios": scenarios}
    monkeypatch.setattr(what_if_table, "_PIECE", 2**14)
    monkeypatch.setattr(option_tables, "_PIECE", 2**14)
    monkeypatch.setattr(option_tables, "_MARKET_PIECE", 2**14)
    with ComputeEngine("cpu") as roomy:
        whole = what_if(book, past, levels=LEVELS, engine=roomy, **settings, **({} if plain else LAW))
        share = 0.2 * 32 * 8 * scenarios / (roomy.status()["total_mb"] * 2**20)
    with ComputeEngine("cpu", memory_fraction=share) as engine:
        made = what_if(book, past, levels=LEVELS, engine=engine, **settings, **({} if plain else LAW))
        assert engine.pool.stats().peak_usage_mb * 2**20 <= engine.pool.budget_bytes
    np.testing.assert_allclose(made.table, whole.table, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(made.losses, whole.losses, rtol=1e-4, atol=1e-4 * np.abs(whole.losses).max())


def test_candidates_leave_the_figures_of_the_book_as_they_are(exact):
    past, book = history(6), random_book(4, 4)
    candidates = [Position("X", 0, 30.0, 10.0), Position("Y", 0, 12.0)]
    for model in ("normal", "historical", "filtered_historical"):
        settings = {"model": model, "levels": LEVELS, "scenarios": 4_000, "engine": exact}
        agree(what_if(book, past, candidates=candidates, **settings).figures({}),
              assess(book, past[:, :4], **settings), rtol=1e-10)  # fmt: skip
        new = changed(book, {"Y": 900.0}, candidates)
        agree(what_if(book, past, candidates=candidates, **settings).figures({"Y": 900.0}),
              assess(new, past, **settings), rtol=1e-10)  # fmt: skip


def test_positions_of_one_instrument_and_other_currencies(exact):
    book, past = crowded_book(), history(3)
    asked = what_if(book, past, "historical", LEVELS, engine=exact)
    assert (asked.quantities, asked.prices["B"]) == ({"A": 100.0, "B": -23.0, "C": 5.0}, 80.0)
    agree(asked.figures({}), assess(book, past, "historical", LEVELS, engine=exact), rtol=1e-10)
    changes = {"A": -60.0, "B": 5.0}
    risk = assess(changed(book, changes), past, "historical", LEVELS, engine=exact)
    agree(asked.figures(changes), risk, rtol=1e-10)


def test_no_positions_no_loss():
    asked = what_if(Book([]), np.zeros((0, 0)), levels=LEVELS)
    assert asked.figures({}) == {"var": dict.fromkeys(LEVELS, 0.0), "es": dict.fromkeys(LEVELS, 0.0)}
    with pytest.raises(InputError, match="with scenarios, was of A"):
        asked.figures({"A": 1.0})


def test_a_book_of_candidates_alone(exact):
    asked = what_if(Book([]), history(1), "historical", LEVELS, engine=exact, candidates=[Position("A", 7, 10.0)])
    assert asked.figures({})["var"][0.99] == 0.0
    risk = assess(Book([Position("A", -3, 10.0)]), history(1), "historical", LEVELS, engine=exact)
    agree(asked.figures({"A": -3.0}), risk, rtol=1e-12)


def test_changes_come_after_changes(engine):
    past, book = history(), random_book(6, 1)
    asked = what_if(book, past, "historical", LEVELS, engine=engine)
    first = {str(i): 10.0 * i - 25.0 for i in range(6)}
    after = asked.changed(first)
    assert after.quantities == {name: quantity + first[name] for name, quantity in asked.quantities.items()}
    both = {name: change + (7.0 if name == "2" else 0.0) for name, change in first.items()}
    risk = assess(changed(book, both), past, "historical", LEVELS, engine=engine)
    agree(after.figures({"2": 7.0}), risk, rtol=2e-5)
    agree(asked.figures(both), risk, rtol=2e-5)


@pytest.mark.parametrize("measure", ["var", "es"])
@pytest.mark.parametrize("side", [1, -1])
def test_the_largest_part_ends_at_the_limit(measure, side, exact):
    """Against a scan of a thousand quantities."""
    book, past = random_book(6, 1), history()
    asked = what_if(book, past, "historical", LEVELS, engine=exact)
    limit = 1.3 * asked.figures({})[measure][0.99]
    found = asked.largest("2", side * 4_000.0, {measure: {0.99: limit}})
    assert 0 < side * found < 4_000
    assert limit * (1 - 1e-4) < asked.figures({"2": found})[measure][0.99] <= limit
    scan = np.linspace(0, side * 4_000.0, 1_001)
    allowed = [q for q in scan if asked.figures({"2": q})[measure][0.99] <= limit]
    assert abs(max(allowed, key=abs) - found) <= 4.0


@pytest.mark.parametrize("name", ["S call 105", "S put 90", "EURUSD"])
@pytest.mark.parametrize("side", [1, -1])
def test_limits_hold_at_the_largest_part_of_an_order_in_options(name, side, exact):
    """And a twentieth more of the order does not pass, for a book within its limits and one beyond them."""
    asked = what_if(mixed_book(), history(3), "filtered_historical", LEVELS, engine=exact, **LAW)
    for share in (1.2, 0.9):
        limits = {m: {level: share * value for level, value in row.items()} for m, row in asked.figures({}).items()}
        order = side * 5_000.0
        found = asked.largest(name, order, limits)

        def holds(quantity, limits=limits):
            figures = asked.figures({name: quantity})
            return all(figures[m][level] <= limits[m][level] for m in limits for level in LEVELS)

        assert holds(found) or (found == 0.0 and share < 1)
        assert found == order or not holds(found + order / 20)
        assert share < 1 or found != 0.0


def test_the_tightest_limit_counts(exact):
    asked = what_if(random_book(6, 1), history(), "historical", LEVELS, engine=exact)
    now = asked.figures({})
    wide, tight = {"var": {0.95: 2 * now["var"][0.95]}}, {"es": {0.99: 1.1 * now["es"][0.99]}}
    both = asked.largest("2", 4_000.0, {**wide, **tight})
    assert both == pytest.approx(asked.largest("2", 4_000.0, tight), rel=1e-4)
    assert both < asked.largest("2", 4_000.0, wide)
    after = asked.changed({"2": 5.0}).largest("2", 4_000.0 - 5.0, tight)
    assert after == pytest.approx(both - 5.0, rel=1e-4)
    assert asked.largest("2", 3.0, {"var": {0.99: 1e12}}) == 3.0


def test_an_order_that_first_brings_the_book_under_its_limit_and_then_over_it_again(exact):
    """A hedge four times too large: about twice the hedge is allowed, though nothing at all is not."""
    past = history(1)
    asked = what_if(Book([Position("A", 100, 10.0)]), past, "historical", LEVELS, engine=exact)
    limit = {"es": {0.99: 0.5 * asked.figures({})["es"][0.99]}}
    found = asked.largest("A", -400.0, limit)
    short = what_if(Book([Position("A", -1, 10.0)]), past, "historical", LEVELS, engine=exact)
    assert found == pytest.approx(-100.0 - limit["es"][0.99] / short.figures({})["es"][0.99], rel=1e-4)
    assert asked.largest("A", 400.0, limit) == 0.0


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda w: w.figures({"Z": 1.0}), "with scenarios, was of Z"),
        (lambda w: w.figures({"0": float("nan")}), "change of 0 must be a finite number"),
        (lambda w: w.largest("0", float("inf"), {}), "`quantity` must be a finite number"),
        (lambda w: w.largest("0", 1.0, {"var": {0.9: 5.0}}), "`limits` must be on var or es at"),
        (lambda w: w.largest("0", 1.0, {"cvar": {0.99: 5.0}}), "`limits` must be on var or es at"),
        (lambda w: w.largest("0", 1.0, {"var": {0.99: 0.0}}), "must be above 0"),
    ],
)
def test_what_cannot_be_asked(ask, message):
    with pytest.raises(InputError, match=message):
        ask(what_if(random_book(2, 0), history(2), levels=LEVELS, scenarios=500))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "magic"}, "`model` must be one of"),
        ({"levels": (0.9999,)}, "needs at least"),
        ({"scenarios": 1}, "`scenarios` must be a whole number"),
        ({"revaluation": "half"}, "`revaluation` must be one of"),
        ({"candidates": [Position("X", 1, 10.0)]}, r"shape \(periods, 3\)"),
    ],
)
def test_settings_are_refused_as_by_assess(options, message):
    with pytest.raises(InputError, match=message):
        what_if(random_book(2, 0), history(2), **{"scenarios": 500, **options})
