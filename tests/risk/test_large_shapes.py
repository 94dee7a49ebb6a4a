"""Tasks of 2^30 elements and more are cut before any tensor reaches MPS' limit; nothing of that size is made."""

import numpy as np
import pytest

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.engine.devices import KINDS
from nautilus_metal.engine.governor import in_pieces
from nautilus_metal.errors import InputError
from nautilus_metal.risk import Book, Option, Position, assess
from nautilus_metal.risk.draws import padded
from nautilus_metal.risk.evaluation import PlainWork
from nautilus_metal.risk.option_evaluation import OptionWork
from tests.risk.cases import history, random_book

pytestmark = pytest.mark.gpu

LIMIT = 2**30  # elements; 4 GiB of float32
SCENARIOS = 2**28


class Planned(Exception):
    """Raised where the pieces are done and would be put together."""


@pytest.fixture
def vast(simulator):
    """A Mac with more memory than any: only the limit of single tensors makes pieces."""
    simulator.install(memory_limit_bytes=2**42)
    with ComputeEngine("mps") as engine:
        yield engine


def test_pieces_stay_below_the_largest_tensor(vast):
    sizes = in_pieces(vast, 2**31, 4 * 20, lambda _engine, first, last: last - first)
    assert sum(sizes) == 2**31
    assert max(sizes) * 20 < LIMIT
    assert len(sizes) < 50


def test_a_plain_book(vast, monkeypatch):
    pieces = _pieces(monkeypatch, PlainWork)
    with pytest.raises(Planned):
        assess(random_book(20, 0), history(20), levels=(0.9999,), scenarios=SCENARIOS, engine=vast)
    assert sum(pieces) == SCENARIOS
    assert max(pieces) * padded(21) < LIMIT


def test_a_book_with_options(vast, monkeypatch):
    pieces = _pieces(monkeypatch, OptionWork)
    calls = [Option("A", "call", strike, 0.25, 0.2, 100.0) for strike in np.linspace(80, 120, 30)]
    book = Book([Position(f"C{one.strike:g}", 1.0, 5.0, option=one) for one in calls])
    with pytest.raises(Planned):
        assess(book, history(1), levels=(0.9999,), scenarios=SCENARIOS, engine=vast)
    assert sum(pieces) == SCENARIOS
    assert max(pieces) * padded(2) < LIMIT


def _pieces(monkeypatch, work: type) -> list[int]:
    """Record the pieces of a task in place of working on them."""
    sizes: list[int] = []

    def stop(*_):
        raise Planned

    monkeypatch.setattr(work, "part", lambda _self, _engine, first, last: sizes.append(last - first))
    monkeypatch.setattr(work, "gathered", stop)
    return sizes


@pytest.mark.parametrize("shape", [(2**31,), (2**15, 2**16), (2**30,)], ids=str)
def test_nothing_beyond_the_limit_goes_to_the_device(vast, shape):
    zeros = np.broadcast_to(np.float32(0.0), shape)  # of four bytes
    with pytest.raises(InputError, match="`shape` must stay below 2\\^31 elements and 4 GiB on mps"):
        vast.upload(zeros)
    with pytest.raises(InputError, match="chunk the work"):
        vast.pool.borrow(shape)


def test_the_limit_is_that_of_the_table():
    assert KINDS["mps"].max_tensor_bytes < 2**32
    assert KINDS["mps"].max_tensor_elements < 2**31
