"""What a user can get wrong: every row is an InputError that names the argument and what came."""

import re

import numpy as np
import pytest

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.errors import InputError
from nautilus_metal.risk import Book, assess
from tests.risk.cases import crowded_book, history, random_book

BOOK = random_book(3, 0)
WINDOW = history(3)
FILTERED = {"model": "filtered_historical"}
EWMA = {"model": "filtered_historical", "filter": "ewma"}


def spoiled(value: float) -> np.ndarray:
    window = WINDOW.copy()
    window[7, 1] = value
    return window


ROWS = {
    "book": ({"book": [1, 2, 3]}, "`book` must be a Book, was list"),
    "model": ({"model": "arch"}, "`model` must be one of normal, student_t, historical, filtered_historical"),
    "model-none": ({"model": None}, "`model` must be one of"),
    "model-list": ({"model": ["normal"]}, "`model` must be one of"),
    "option": ({"window": 250}, "`window` is no option of the model normal, which takes covariance, mean, decay"),
    "option-historical": ({"model": "historical", "mean": "zero"}, "`mean` is no option of the model historical"),
    "option-degrees": ({"degrees": 5}, "`degrees` is no option of the model normal"),
    "covariance": ({"covariance": "shrunk"}, "`covariance` must be one of ewma, sample, ledoit_wolf, was 'shrunk'"),
    "mean": ({"mean": 0.0}, "`mean` must be one of zero, sample, was 0.0"),
    "filter": ({**FILTERED, "filter": "egarch"}, "`filter` must be one of ewma, garch, was 'egarch'"),
    "decay": ({"covariance": "ewma", "decay": 1.0}, "`decay` must lie between 0 and 1, was 1.0"),
    "decay-percent": ({"covariance": "ewma", "decay": 94}, "`decay` must lie between 0 and 1, was 94"),
    "decay-text": ({"covariance": "ewma", "decay": "0.94"}, "`decay` must be a number, was '0.94'"),
    "decay-filter": ({**EWMA, "decay": 0.0}, "`decay` must lie between 0 and 1, was 0.0"),
    "decay-unused": ({"decay": 0.9}, "`decay` has no effect with covariance='sample'"),
    "decay-unused-t": ({"model": "student_t", "decay": 0.9}, "`decay` has no effect with"),
    "decay-garch": ({**FILTERED, "filter": "garch", "decay": 0.9}, "`decay` has no effect with"),
    "alpha-ewma": ({**EWMA, "alpha": 0.1}, "`alpha` has no effect with filter='ewma'"),
    "alpha": ({**FILTERED, "filter": "garch", "alpha": -0.1}, "`alpha` must be at least 0"),
    "beta": ({**FILTERED, "filter": "garch", "beta": 0.99}, "must be at most 1"),
    "degrees-2": ({"model": "student_t", "degrees": 2}, "`degrees` must be a number above 2, was 2"),
    "degrees-negative": ({"model": "student_t", "degrees": -5.0}, "`degrees` must be a number above 2, was -5.0"),
    "degrees-nan": ({"model": "student_t", "degrees": float("nan")}, "`degrees` must be a number above 2, was nan"),
    "degrees-inf": ({"model": "student_t", "degrees": float("inf")}, "`degrees` must be a number above 2, was inf"),
    "degrees-text": ({"model": "student_t", "degrees": "fit"}, "`degrees` must be a number, was 'fit'"),
    "sampler": ({"sampler": "halton"}, "`sampler` must be one of pseudo, sobol, was 'halton'"),
    "revaluation": ({"revaluation": "delta"}, "`revaluation` must be one of linear, full, was 'delta'"),
    "levels-number": ({"levels": 0.99}, "`levels` must be a sequence of numbers such as (0.95, 0.99), was 0.99"),
    "levels-text": ({"levels": ("high",)}, "`levels` must be a sequence of numbers"),
    "levels-none": ({"levels": ()}, "`levels` must name at least one"),
    "levels-half": ({"levels": (0.5,)}, "`levels` must lie between 0.5 and 1 (confidence levels), was 0.5"),
    "levels-one": ({"levels": (1.0,)}, "`levels` must lie between 0.5 and 1"),
    "levels-tail": ({"levels": (0.05,)}, "`levels` must lie between 0.5 and 1 (confidence levels), was 0.05"),
    "levels-percent": ({"levels": (95, 99)}, "`levels` must lie between 0.5 and 1"),
    "levels-twice": ({"levels": (0.95, 0.95)}, "`levels` must differ from each other"),
    "levels-fine": ({"levels": (0.9999,), "scenarios": 9_999}, "needs at least 10000 scenarios, there are 9999"),
    "levels-window": ({"model": "historical", "levels": (0.999,)}, "needs at least 1000 scenarios, there are 500"),
    "horizon-0": ({"horizon": 0}, "`horizon` must be a whole number of at least 1, was 0"),
    "horizon-true": ({"horizon": True}, "`horizon` must be a whole number of at least 1, was True"),
    "horizon-part": ({"horizon": 1.5}, "`horizon` must be a whole number of at least 1, was 1.5"),
    "horizon-long": ({"horizon": 501}, "`returns` must hold at least 501 periods, held 500"),
    "horizon-history": ({"model": "historical", "horizon": 500}, "0.95 needs at least 20 scenarios, there are 1"),
    "scenarios-1": ({"scenarios": 1}, "`scenarios` must be a whole number of at least 2, was 1"),
    "scenarios-float": ({"scenarios": 1e4}, "`scenarios` must be a whole number of at least 2, was 10000.0"),
    "seed-negative": ({"seed": -1}, "`seed` must be a whole number of at least 0, was -1"),
    "seed-huge": ({"seed": 2**63}, "`seed` must lie between 0 and 2**63 - 1"),
    "seed-none": ({"seed": None}, "`seed` must be a whole number of at least 0, was None"),
    "returns-nan": ({"returns": spoiled(np.nan)}, "`returns` must be finite, was nan for 1 in period 7"),
    "returns-inf": ({"returns": spoiled(-np.inf)}, "`returns` must be finite, was -inf for 1 in period 7"),
    "returns-turned": ({"returns": WINDOW.T}, "`returns` must be of shape (periods, 3), a column for each"),
    "returns-few": ({"returns": WINDOW[:, :2]}, "was of shape (500, 2)"),
    "returns-flat": ({"returns": WINDOW[:, 0]}, "was of shape (500,)"),
    "returns-cube": ({"returns": WINDOW[None]}, "was of shape (1, 500, 3)"),
    "returns-none": ({"returns": None}, "was of shape ()"),
    "returns-text": ({"returns": [["a", "b", "c"]] * 9}, "`returns` must be a matrix of numbers"),
    "returns-ragged": ({"returns": [[1.0, 2.0], [3.0]]}, "`returns` must be a matrix of numbers"),
    "returns-one": ({"returns": WINDOW[:1]}, "`returns` must hold at least 2 periods, held 1"),
    "returns-empty": ({"returns": WINDOW[:0]}, "`returns` must hold at least 2 periods, held 0"),
    "returns-prices": (
        {"returns": 100 + WINDOW, "model": "historical"},
        "`returns` lead to price changes beyond the range of numbers: are they log returns?",
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_mistake_is_named(name: str) -> None:
    arguments, message = ROWS[name]
    with ComputeEngine("cpu") as engine, pytest.raises(InputError, match=re.escape(message)):
        assess(**({"book": BOOK, "returns": WINDOW, "engine": engine} | arguments))


def test_a_frame_that_lacks_a_name_is_refused() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(WINDOW, columns=["A", "B", "D"])
    with ComputeEngine("cpu") as engine:
        with pytest.raises(InputError, match="`returns` must have one column C, had 0"):
            assess(crowded_book(), frame, engine=engine)
        frame.columns = ["A", "B", "B"]
        with pytest.raises(InputError, match="`returns` must have one column B, had 2"):
            assess(crowded_book(), frame, engine=engine)


def test_the_mistake_is_found_for_an_empty_book_too() -> None:
    with ComputeEngine("cpu") as engine:
        for arguments in ({"model": "x"}, {"levels": (2,)}, {"horizon": 0}, {"foo": 1}, {"sampler": "x"}):
            with pytest.raises(InputError):
                assess(Book([]), np.zeros((0, 0)), engine=engine, **arguments)


def test_numpy_integers_are_whole_numbers() -> None:
    with ComputeEngine("cpu") as engine:
        one = assess(BOOK, WINDOW, horizon=np.int64(2), scenarios=np.int32(1000), seed=np.uint8(3), engine=engine)
        other = assess(BOOK, WINDOW, horizon=2, scenarios=1000, seed=3, engine=engine)
    assert one.var == other.var
    assert (one.horizon, one.seed, one.scenarios) == (2, 3, 1000)


def test_degrees_may_be_a_whole_number() -> None:
    with ComputeEngine("cpu") as engine:
        assert (
            assess(BOOK, WINDOW, "student_t", degrees=5, engine=engine).var
            == assess(BOOK, WINDOW, "student_t", degrees=5.0, engine=engine).var
            == assess(BOOK, WINDOW, "student_t", degrees=np.float32(5), engine=engine).var
        )
