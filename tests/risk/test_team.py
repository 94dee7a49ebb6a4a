"""Scenarios shared by a team are those of one process: the members are threads here, processes in test_var.py."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from nautilus_metal.engine import ComputeEngine, team
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


@pytest.fixture
def second_of_two(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("MASTER_ADDR", "10.0.0.1")
    monkeypatch.delenv("GLOO_SOCKET_IFNAME", raising=False)


def test_one_who_dies_on_the_way_keeps_nobody_waiting(monkeypatch, second_of_two):
    """Gloo waits for ever then."""
    over = threading.Event()
    monkeypatch.setattr("torch.distributed.init_process_group", lambda *_, **__: over.wait(60))
    with pytest.raises(TeamError, match=r"did not come together within 0.1 s: another one has died"), joined(0.1):
        pass
    over.set()


CARDS = {"lo": "127.0.0.1", "eth0": "172.16.0.5", "eth1": "10.0.0.2"}


@pytest.mark.parametrize(
    ("members", "ways", "expected"),
    [
        ("2", {"10.0.0.1": "10.0.0.2"}, None),  # all on this machine
        ("1", {"10.0.0.1": "10.0.0.2"}, "eth1"),
        ("1", {"10.0.0.1": "127.0.0.1", "192.0.2.1": "172.16.0.5"}, "eth0"),  # the first one's own machine
        ("1", {"10.0.0.1": "127.0.0.1"}, None),
        ("1", {"10.0.0.1": "10.9.9.9"}, None),
    ],
)
def test_over_machines_gloo_listens_where_they_reach_it(monkeypatch, second_of_two, members, ways, expected):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", members)
    cards = {name: [SimpleNamespace(address=address)] for name, address in CARDS.items()}
    monkeypatch.setattr("psutil.net_if_addrs", lambda: cards)
    monkeypatch.setattr(team, "_own_address", lambda target: ip_address(ways[target]) if target in ways else None)
    with team._reachable():
        assert os.environ.get("GLOO_SOCKET_IFNAME") == expected
    assert "GLOO_SOCKET_IFNAME" not in os.environ
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "ib0")
    with team._reachable():
        assert os.environ["GLOO_SOCKET_IFNAME"] == "ib0"


def test_the_way_to_this_machine_is_its_loopback():
    assert team._own_address("127.0.0.1") == ip_address("127.0.0.1")
