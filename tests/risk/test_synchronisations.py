"""A risk tick waits for the device once, when the figures leave it: counted by the simulated mps device."""

import numpy as np
import pytest

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.risk import Book, Option, Position, assess
from tests.risk.cases import EVERY_MODEL, history, random_book

pytestmark = pytest.mark.gpu


def option(kind: str, strike: float) -> Option:
    return Option("A", kind, strike, 0.25, 100.0, 0.2)


def option_book() -> Book:
    calls = [Position(f"C{k}", 10, 5.0, multiplier=100, option=option("call", k)) for k in (95.0, 105.0)]
    return Book([Position("A", 100, 100.0), Position("B", -50, 40.0), *calls])


BOOKS = {name: (random_book(6, 1), history(), options) for name, options in EVERY_MODEL.items()}
for model in ("normal", "student_t", "historical", "filtered_historical"):
    BOOKS[f"options-{model}"] = (option_book(), history(2), {"model": model})
BOOKS["options-moving-volatility"] = (option_book(), history(2), {"vol_of_vol": 0.8, "spot_vol_correlation": -0.6})


@pytest.mark.parametrize("name", BOOKS)
def test_a_tick_waits_for_the_device_once(simulator, name: str) -> None:
    book, returns, options = BOOKS[name]
    with ComputeEngine("mps") as engine:
        first = assess(book, returns, engine=engine, scenarios=4_000, **options)
        simulator.reset()
        second = assess(book, returns, engine=engine, scenarios=4_000, **options)
        uploads, waits = simulator.upload_count(), simulator.sync_count() - simulator.upload_count()
    assert waits == 1
    assert uploads == (2 if book.option_index.size else 1)  # scenarios, and the terms of options
    assert second.device == "mps"
    np.testing.assert_array_equal(second.var[0.99], first.var[0.99])


@pytest.mark.parametrize("name", BOOKS)
def test_the_first_tick_waits_once_too(simulator, name: str) -> None:
    book, returns, options = BOOKS[name]
    with ComputeEngine("mps") as engine:
        assess(book, returns, engine=engine, scenarios=4_000, **options)
        assert simulator.sync_count() - simulator.upload_count() == 1
