"""Greeks of a book: finite differences of its value, multipliers and rates applied, sums that add up."""

import dataclasses

import numpy as np
import pytest

from nautilus_metal.risk import Book, Position
from nautilus_metal.risk.greeks import MEASURES, book_greeks
from tests.risk.option_cases import black_scholes, held, mixed_book, option


def value(position: Position, **bumps: float) -> float:
    """Of one option position by the textbook formula, its terms moved."""
    o = position.option
    moved = dataclasses.replace(o, **{name: getattr(o, name) + bump for name, bump in bumps.items()})
    rate = 1.08 if position.currency == "EUR" else 1.0
    price = black_scholes(moved, moved.spot, moved.volatility, moved.expiry)
    return position.quantity * position.multiplier * rate * price


def slope(position: Position, name: str, step: float, **base: float) -> float:
    up, down = ({**base, name: base.get(name, 0.0) + side * step} for side in (1, -1))
    return (value(position, **up) - value(position, **down)) / (2 * step)


def test_options_are_finite_differences() -> None:
    book = mixed_book()
    greeks = book_greeks(book)
    for i in book.option_index:
        position = book.positions[i]
        step = 1e-3 * position.option.spot
        size = abs(position.quantity * position.multiplier)
        delta = slope(position, "spot", step)
        higher, lower = (slope(position, "spot", step, spot=side * step) for side in (1, -1))
        wilder, calmer = (slope(position, "spot", step, volatility=side * 1e-4) for side in (1, -1))
        expected = {
            "delta": delta,
            "gamma": (higher - lower) / (2 * step),
            "vega": slope(position, "volatility", 1e-5),
            "theta": -slope(position, "expiry", 1e-6),
            "rho": slope(position, "rate", 1e-5),
            "vanna": (wilder - calmer) / 2e-4,
        }
        for name, number in expected.items():
            assert getattr(greeks, name)[i] == pytest.approx(number, rel=5e-3, abs=1e-4 * size), (name, i)
        assert greeks.cash_delta[i] == pytest.approx(greeks.delta[i] * position.option.spot)
        assert greeks.cash_gamma[i] == pytest.approx(greeks.gamma[i] * position.option.spot**2)


def test_plain_positions_have_a_delta_and_nothing_else() -> None:
    greeks = book_greeks(Book([Position("F", -2, 50.0, 20, "EUR")], xrates={"EUR": 1.1}))
    assert greeks.delta.tolist() == [pytest.approx(-44.0)]
    assert greeks.cash_delta.tolist() == [pytest.approx(-2200.0)]
    for name in ("gamma", "cash_gamma", "vega", "theta", "rho", "vanna", "volga"):
        assert getattr(greeks, name).tolist() == [0.0]


def test_sums() -> None:
    book = mixed_book()
    greeks = book_greeks(book)
    for name in MEASURES:
        column = getattr(greeks, name)
        assert column.shape == (len(book.positions),)
        assert greeks.total[name] == pytest.approx(column.sum())
        on_stock = [i for i, p in enumerate(book.positions) if p.factor == "S"]
        assert greeks.by_underlying["S"][name] == pytest.approx(column[on_stock].sum())
    assert list(greeks.by_underlying) == ["S", "F", "EURUSD"]


def test_an_empty_book_has_none() -> None:
    greeks = book_greeks(Book([]))
    assert greeks.delta.shape == (0,)
    assert set(greeks.total.values()) == {0.0}
    assert greeks.by_underlying == {}


@pytest.mark.parametrize("terms", [{"expiry": 0.0}, {"volatility": 0.0}, {"expiry": 0.0, "strike": 1.0}])
def test_options_without_uncertainty_are_finite(terms: dict) -> None:
    greeks = book_greeks(Book([held(3, option(**terms))]))
    assert np.isfinite([getattr(greeks, name) for name in MEASURES]).all()


def test_a_book_is_differentiated_once_and_its_figures_are_for_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    book = mixed_book()
    first = book_greeks(book)
    monkeypatch.setattr("nautilus_metal.kernels.black_scholes.greeks", None)
    again = book_greeks(book)
    assert again.total == first.total
    with pytest.raises(ValueError, match="read-only"):
        again.delta[0] = 0.0
    with pytest.raises(TypeError, match="not callable"):
        book_greeks(Book(book.positions, book.base_currency, book.xrates))
