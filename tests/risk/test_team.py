"""Scenarios shared by a team are those of one process: the members are threads here, processes in test_var.py."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
import torch

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.engine.team import Team, joined
from nautilus_metal.errors import InputError, TeamError
from nautilus_metal.risk import assess
from nautilus_metal.risk.tail_parts import TailParts
from tests.risk.test_pieces import HISTORY, MODELS, PLAIN, SCENARIOS, option_book, same


class Table:
    """Where the members of a team of threads lay down what they exchange."""

    def __init__(self, size: int) -> None:
        self.places: list = [None] * size
        self.barrier = threading.Barrier(size)

    def swap(self, rank: int, thing):
        self.places[rank] = thing
        self.barrier.wait(60)
        everything = list(self.places)
        self.barrier.wait(60)
        return everything


class Seat(Team):
    """A member that exchanges through a table instead of a network."""

    def __init__(self, rank: int, table: Table) -> None:
        super().__init__(rank, len(table.places))
        self.table = table

    def gather(self, numbers):
        assert numbers.dim() == 1
        return self.table.swap(self.rank, numbers)

    def total(self, numbers):
        return torch.stack(self.table.swap(self.rank, numbers)).sum(dim=0)


def shared(size: int, book, **options) -> list:
    """Assess a book by so many members; one assessment each."""
    table = Table(size)
    engines = [ComputeEngine("cpu") for _ in range(size)]

    def one(rank: int):
        return assess(book, HISTORY, engine=engines[rank], team=Seat(rank, table), **options)

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(one, range(size)))


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("sampler", ["sobol", "pseudo"])
@pytest.mark.parametrize("case", MODELS)
def test_a_plain_book(case, sampler, size):
    options = {"model": case, "scenarios": SCENARIOS, "sampler": sampler} | MODELS[case]
    alone = assess(PLAIN, HISTORY, engine=ComputeEngine("cpu"), **options)
    members = shared(size, PLAIN, **options)
    for found in members:
        same(found, alone, 2e-5)
        assert found.scenarios == alone.scenarios
    assert members[0].var == members[-1].var


@pytest.mark.parametrize("law", [{}, {"vol_of_vol": 0.8, "spot_vol_correlation": -0.6}], ids=["spot", "spot and vol"])
@pytest.mark.parametrize("model", ["student_t", "filtered_historical"])
def test_a_book_with_options(model, law):
    book, options = option_book(), {"model": model, "scenarios": SCENARIOS, "horizon": 2} | law
    alone = assess(book, HISTORY, engine=ComputeEngine("cpu"), **options)
    for found in shared(2, book, **options):
        same(found, alone, 2e-5)
        for level in alone.var:
            assert found.delta_gamma_var[level] == pytest.approx(alone.delta_gamma_var[level], rel=1e-5)


def test_a_member_that_had_most_of_the_tail_keeps_more_the_second_time(monkeypatch):
    """The worst days of this history all lie in its second half."""
    calm, wild = HISTORY[:150] * 0.01, HISTORY[150:]
    history, sizes = np.concatenate([calm, wild]), []
    made = TailParts.__init__
    monkeypatch.setattr(TailParts, "__init__", lambda self, *given: sizes.append(given[0]) or made(self, *given))
    monkeypatch.setattr("tests.risk.test_team.HISTORY", history)
    monkeypatch.setattr("nautilus_metal.risk.tail_work._likely", lambda size, team: size // 2 + 1)
    alone = assess(PLAIN, history, "historical", engine=ComputeEngine("cpu"))
    del sizes[:]
    for found in shared(2, PLAIN, model="historical"):
        same(found, alone, 1e-6)
    assert len(set(sizes)) == 2
    assert len(sizes) == 4


def test_more_members_than_scenarios():
    with pytest.raises(InputError, match="`scenarios` must be at least the 400 processes that share them, was 300"):
        assess(PLAIN, HISTORY, "historical", engine=ComputeEngine("cpu"), team=Team(0, 400))


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("count", [0, 1, 100, 10**8 + 1])
def test_shares_are_even_and_follow_on_each_other(count, size):
    shares = [Team(rank, size).share(count) for rank in range(size)]
    assert shares[0].start == 0
    assert shares[-1].stop == count
    assert all(before.stop == after.start for before, after in pairwise(shares))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_without_torchrun_a_process_is_alone():
    with joined() as team:
        assert (team.rank, team.size) == (0, 1)
        assert team.hear("cpu") == ["cpu"]
        assert team.gather(torch.ones(3, dtype=torch.float64))[0].tolist() == [1.0] * 3


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("nan"), float("inf")])
def test_a_time_out_that_is_none(timeout):
    with pytest.raises(InputError, match="`timeout` must be above 0 seconds"), joined(timeout):
        pass


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_others_that_do_not_come(monkeypatch, free_port):
    for name, value in {
        "WORLD_SIZE": "2",
        "RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port),
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(TeamError, match=r"the processes did not come together within 1 s"), joined(1.0):
        pass
