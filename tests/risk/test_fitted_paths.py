"""Fitted models on every road that leads from a book to its figures: questions, options, pieces, teams."""

import numpy as np
import pytest

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.risk import Book, assess, option_tables
from nautilus_metal.risk.what_if import what_if
from tests.risk.cases import history, random_book
from tests.risk.option_cases import held, mixed_book, option
from tests.risk.test_pieces import HISTORY, PLAIN, SCENARIOS, option_book, same, small
from tests.risk.test_team import shared
from tests.risk.test_what_if import LAW, LEVELS, agree, changed

ROWS = {
    "garch_t": {"model": "garch", "innovations": "t"},
    "gjr_empirical": {"model": "gjr", "innovations": "empirical"},
    "jump_diffusion": {"model": "jump_diffusion"},
    "t_copula": {"model": "t_copula"},
}
OVER = {"scenarios": SCENARIOS, "horizon": 2}


@pytest.fixture(scope="module")
def exact():
    with ComputeEngine("cpu", precision="float64") as engine:
        yield engine


@pytest.mark.parametrize("row", ROWS)
def test_a_book_changed_is_the_changed_book_assessed(row, exact):
    book, past = random_book(4, 1), history(4, 250)
    settings = {"scenarios": 4_000, "seed": 3, "levels": LEVELS, "engine": exact} | ROWS[row]
    asked = what_if(book, past, **settings)
    for changes in ({}, {"2": 70.0}, {"0": -150.0, "3": 12.5}):
        agree(asked.figures(changes), assess(changed(book, changes), past, **settings), rtol=1e-10)


@pytest.mark.parametrize("row", ROWS)
def test_incremental_var_is_that_of_the_book_without(row, exact):
    quantities, past = [100.0, -40.0, 25.0], history(3, 250)
    settings = {"scenarios": 4_000, "levels": LEVELS, "engine": exact} | ROWS[row]
    risk = assess(Book.linear(quantities=quantities, prices=[50.0, 80.0, 120.0]), past, **settings)
    for place in range(3):
        left = [0.0 if number == place else one for number, one in enumerate(quantities)]
        without = assess(Book.linear(quantities=left, prices=[50.0, 80.0, 120.0]), past, **settings)
        for level in LEVELS:
            expected = risk.var[level] - without.var[level]
            assert risk.incremental_var[level][place] == pytest.approx(expected, abs=1e-9 * risk.var[level])


@pytest.mark.parametrize("row", ["garch_t", "t_copula"])
def test_options_are_revalued_in_full(row, exact):
    book, past = mixed_book(), history(3, 250)
    candidates = [held(1, option("call", 110.0), multiplier=100)]
    settings = {"horizon": 5, "scenarios": 4_000, "levels": LEVELS, "engine": exact} | LAW | ROWS[row]
    asked = what_if(book, past, candidates=candidates, **settings)
    for changes in ({}, {"S": -55.0, "S call 105": 4.0, "S call 110": -2.0}):
        agree(asked.figures(changes), assess(changed(book, changes, candidates), past, **settings), rtol=1e-9)


@pytest.mark.parametrize("row", ROWS)
def test_a_book_in_pieces_and_one_shared_by_a_team(row):
    alone = assess(PLAIN, HISTORY, engine=ComputeEngine("cpu"), **OVER, **ROWS[row])
    engine = small(0.3)
    same(assess(PLAIN, HISTORY, engine=engine, **OVER, **ROWS[row]), alone, 2e-5)
    assert engine.pool.stats().peak_usage_mb * 2**20 <= engine.pool.budget_bytes
    members = shared(2, PLAIN, **OVER, **ROWS[row])
    for found in members:
        same(found, alone, 2e-5)
    assert members[0].var == members[1].var


@pytest.mark.parametrize("row", ["garch_t", "t_copula"])
def test_a_team_shares_one_day(row):
    """One period of garch is drawn on the device, several on the host."""
    options = {"scenarios": SCENARIOS} | ROWS[row]
    alone = assess(PLAIN, HISTORY, engine=ComputeEngine("cpu"), **options)
    for found in shared(3, PLAIN, **options):
        same(found, alone, 2e-5)


@pytest.mark.parametrize("row", ["garch_t", "t_copula"])
def test_options_in_pieces_and_shared(row, monkeypatch):
    monkeypatch.setattr(option_tables, "_PIECE", 2**14)
    monkeypatch.setattr(option_tables, "_MARKET_PIECE", 2**14)
    book, options = option_book(), OVER | {"vol_of_vol": 0.8, "spot_vol_correlation": -0.6} | ROWS[row]
    alone = assess(book, HISTORY, engine=ComputeEngine("cpu"), **options)
    for found in (assess(book, HISTORY, engine=small(0.6), **options), *shared(2, book, **options)):
        same(found, alone, 2e-5)
        np.testing.assert_allclose(
            [*found.delta_gamma_var.values()], [*alone.delta_gamma_var.values()], rtol=1e-5
        )
