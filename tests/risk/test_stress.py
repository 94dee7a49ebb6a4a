"""Stress tests: the textbook formula at every node, named rows, and what must always hold."""

import math

import numpy as np
import pytest

from nautilus_metal.errors import InputError
from nautilus_metal.risk import Book, Position
from nautilus_metal.risk.stress import DAYS_PER_YEAR, STRESSES, Stress, stress, stress_grid, stresses
from tests.risk.option_cases import held, losses, mixed_book, option

SPOTS, VOLATILITIES, DAYS = (-0.3, -0.05, 0.0, 0.2), (-0.4, 0.0, 1.0), (0.0, 1.0, 400.0)


def test_every_node_is_the_textbook_formula() -> None:
    book = mixed_book()
    grid = stress_grid(book, SPOTS, VOLATILITIES, DAYS)
    assert grid.shape == (4, 3, 3)
    for i, spot in enumerate(SPOTS):
        for j, volatility in enumerate(VOLATILITIES):
            for k, days in enumerate(DAYS):
                returns, changes = (np.full((3, 1), math.log1p(move)) for move in (spot, volatility))
                expected = -losses(book, returns, changes, days / DAYS_PER_YEAR).sum()
                assert grid[i, j, k] == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_nothing_moves_nothing_happens() -> None:
    assert stress(mixed_book(), Stress()) == 0.0


def test_all_is_lost_where_prices_fall_to_zero() -> None:
    """A stock is gone, a call too, a put is worth its discounted strike."""
    call, put = option(rate=0.0), option("put", rate=0.0)
    book = Book([Position("S", 1, 100.0), held(1, call), held(1, put)])
    expected = -100.0 - book.values[1] + (100.0 - book.values[2])
    assert stress(book, Stress(spot=-1.0)) == pytest.approx(expected)


def test_many_options_are_taken_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    from nautilus_metal.risk import stress as module

    book = mixed_book()
    whole = stress_grid(book, SPOTS, VOLATILITIES, DAYS)
    monkeypatch.setattr(module, "_PIECE", 1)
    np.testing.assert_allclose(stress_grid(book, SPOTS, VOLATILITIES, DAYS), whole, rtol=1e-12)


def test_a_short_straddle_fears_both_sides() -> None:
    book = Book([held(-1, option()), held(-1, option("put"))])
    found = stresses(book)
    assert set(found) == set(STRESSES)
    assert found["crash -20% / vol +50%"] < found["crash -10% / vol +30%"] < 0
    assert found["rally +10% / vol -20%"] < 0
    assert found["spot still / vol +50%"] < 0 < found["spot still / vol -30%"]
    assert found["spot still / a week"] > 0


def test_plain_books_and_empty_ones() -> None:
    book = Book.linear(quantities=[3, -1], prices=[10.0, 5.0])
    np.testing.assert_allclose(stress_grid(book, [-0.1, 0.1], [0.0, 9.0]).squeeze(), [[-2.5, -2.5], [2.5, 2.5]])
    assert stress(Book([]), "crash -20% / vol +50%") == 0.0


@pytest.mark.parametrize(
    ("moves", "argument"),
    [
        (([-1.5], [0.0], [0.0]), "spot"),
        (([math.nan], [0.0], [0.0]), "spot"),
        (("down", [0.0], [0.0]), "spot"),
        (([[0.1, 0.2]], [0.0], [0.0]), "spot"),
        (([0.0], [-2.0], [0.0]), "volatility"),
        (([0.0], [0.0], [-1.0]), "days"),
        (([0.0], [0.0], [math.inf]), "days"),
    ],
)
def test_wrong_moves(moves: tuple, argument: str) -> None:
    with pytest.raises(InputError, match=f"`{argument}` of a stress"):
        stress_grid(mixed_book(), *moves)


@pytest.mark.parametrize("options", [{"spot": -1.01}, {"volatility": "up"}, {"days": -1}, {"days": math.nan}])
def test_wrong_stress(options: dict) -> None:
    with pytest.raises(InputError, match=f"`{next(iter(options))}` of a stress"):
        Stress(**options)


def test_an_unknown_stress() -> None:
    with pytest.raises(InputError, match="`name` must be one of 'crash"):
        stress(mixed_book(), "boom")
