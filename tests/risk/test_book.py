"""A book: values, exposures, exchange rates, and what it refuses."""

from dataclasses import FrozenInstanceError
from decimal import Decimal

import numpy as np
import pytest

from nautilus_metal.errors import InputError
from nautilus_metal.risk import Book, Position


def test_values_are_quantity_times_price_times_multiplier_times_rate() -> None:
    book = Book(
        [
            Position("ES", -2, 4500.0, multiplier=50),
            Position("SAP", 10, 100.0, currency="EUR"),
            Position("ES", 1, 4510.0, multiplier=50),
            Position("GLD", 3, 180.0),
        ],
        xrates={"EUR": 1.25},
    )
    assert book.values.tolist() == [-450_000.0, 1250.0, 225_500.0, 540.0]
    assert book.value == -222_710.0
    assert book.instruments == ("ES", "SAP", "GLD")
    assert book.instrument_index.tolist() == [0, 1, 0, 2]
    assert book.exposures.tolist() == [-224_500.0, 1250.0, 540.0]


def test_the_base_currency_needs_no_rate() -> None:
    book = Book([Position("A", 1, 2.0, currency="CHF"), Position("B", 1, 2.0)], "CHF", {"USD": 0.9})
    assert book.values.tolist() == [2.0, 1.8]


def test_a_linear_book_has_a_position_for_each_column() -> None:
    book = Book.linear(quantities=[1, -2], prices=[3.0, 4.0], multipliers=[10, 1], base_currency="EUR")
    assert book.instruments == ("0", "1")
    assert book.values.tolist() == [30.0, -8.0]
    assert book.positions[0] == Position("0", 1, 3.0, 10, "EUR")
    assert Book.linear(quantities=1, prices=2, instruments=["A"]).positions == (Position("A", 1, 2),)


def test_an_empty_book_is_worth_nothing() -> None:
    book = Book([])
    assert book.value == 0.0
    assert book.instruments == ()
    assert book.exposures.shape == (0,)


def test_numbers_of_any_kind_become_floats() -> None:
    position = Position("A", Decimal("1.5"), np.float32(2.0), np.int64(3))
    assert (position.quantity, position.price, position.multiplier) == (1.5, 2.0, 3.0)
    assert {type(number) for number in (position.quantity, position.price, position.multiplier)} == {float}
    assert Book([Position("A", 1, 1, currency="EUR")], xrates={"EUR": Decimal("1.1")}).value == 1.1


def test_a_book_is_a_snapshot() -> None:
    positions, rates = [Position("A", 1, 2.0, currency="EUR")], {"EUR": 1.1}
    book = Book(positions, xrates=rates)
    positions.append(Position("B", 1, 1.0))
    rates["EUR"] = 5.0
    assert book.value == 2.2
    assert len(book.positions) == 1
    with pytest.raises(TypeError):
        book.xrates["EUR"] = 2.0
    with pytest.raises(FrozenInstanceError):
        book.base_currency = "EUR"
    with pytest.raises(FrozenInstanceError):
        book.positions[0].quantity = 2


@pytest.mark.parametrize("name", ["quantity", "price", "multiplier"])
@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf"), None, "1", True])
def test_numbers_that_are_none_are_refused(name: str, number: object) -> None:
    arguments = {"quantity": 1.0, "price": 2.0, "multiplier": 1.0} | {name: number}
    with pytest.raises(InputError, match=f"`{name}` of AAPL must be a finite number, was"):
        Position("AAPL", **arguments)


def test_zero_and_negative_prices_are_prices() -> None:
    assert Book([Position("CL", 1, -37.63, 1000), Position("X", 5, 0.0)]).values.tolist() == [-37_630.0, 0.0]


@pytest.mark.parametrize("rate", [None, 0.0, -1.1, float("nan"), float("inf"), "1.1"])
def test_a_missing_or_bad_exchange_rate_is_refused(rate: object) -> None:
    rates = {} if rate is None else {"EUR": rate}
    with pytest.raises(InputError, match="`xrates` from EUR to USD for SAP must be"):
        Book([Position("SAP", 1, 100.0, currency="EUR")], xrates=rates)


def test_a_value_beyond_a_float_is_refused() -> None:
    with pytest.raises(InputError, match="`positions` must have finite values"):
        Book([Position("A", 1e300, 1e300)])


def test_what_is_no_position_is_refused() -> None:
    with pytest.raises(InputError, match="`positions` must hold Position objects"):
        Book([("A", 1, 2.0)])


@pytest.mark.parametrize(
    "arguments",
    [
        {"quantities": [1, 2], "prices": [1]},
        {"quantities": [1], "prices": [1], "multipliers": [1, 2]},
        {"quantities": [1, 2], "prices": [1, 2], "instruments": ["A"]},
        {"quantities": [[1, 2]], "prices": [[1, 2]]},
    ],
)
def test_lengths_that_differ_are_refused(arguments: dict) -> None:
    with pytest.raises(InputError, match="`quantities` and the rest must be of one length"):
        Book.linear(**arguments)
