import os
import sys
import threading

import pytest
import torch

from nautilus_metal.engine import threads_for
from nautilus_metal.engine.threads import SMALL, share


@pytest.fixture(autouse=True)
def _two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("elements", "threads"), [(0, 1), (SMALL - 1, 1), (SMALL, 2), (10 * SMALL, 2)])
def test_small_work_stays_on_one_thread_and_the_threads_come_back(elements, threads):
    with threads_for(elements):
        assert torch.get_num_threads() == threads
        with threads_for(1):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == threads
    assert torch.get_num_threads() == 2


def test_the_threads_come_back_after_an_error():
    with pytest.raises(ZeroDivisionError), threads_for(1):
        raise ZeroDivisionError
    assert torch.get_num_threads() == 2


@pytest.fixture
def three_threads(monkeypatch):
    monkeypatch.setattr("nautilus_metal.engine.threads.SMALL", 1)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_threads_share_every_task_once_and_stay(three_threads):
    done, names = [], set()
    both = threading.Barrier(3, timeout=30)

    def work(task):
        names.add(threading.current_thread().name)
        both.wait()
        done.append(task)

    for _ in range(4):
        share(work, range(3), 10)
    assert sorted(done) == sorted([*range(3)] * 4)
    threads = {thread.name for thread in threading.enumerate()}
    assert len(names) >= 3
    assert names <= threads


def test_tasks_within_tasks(three_threads):
    done = []
    share(lambda outer: share(lambda inner: done.append((outer, inner)), range(5), 10), range(5), 10)
    assert sorted(done) == [(outer, inner) for outer in range(5) for inner in range(5)]


@pytest.mark.parametrize("where", ["here", "helper"])
def test_an_error_comes_out(three_threads, where):
    here, both, done = threading.get_ident(), threading.Barrier(3, timeout=30), []

    def work(task):
        if task < 3:
            both.wait()
        if (threading.get_ident() == here) == (where == "here"):
            raise ArithmeticError(task)
        done.append(task)

    with pytest.raises(ArithmeticError):
        share(work, range(10_000), 10)
    assert 0 < len(done) < 10_000
    assert set(done) <= set(range(10_000))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a thread be kept off a core")
def test_helpers_are_kept_off_the_callers_core(three_threads, monkeypatch):
    allowed = os.sched_getaffinity(0)
    if len(allowed) < 2:
        pytest.skip("there is one core")
    both = threading.Barrier(3, timeout=30)

    def cores_of_helpers():
        found = {}

        def work(_):
            both.wait()
            found[threading.get_native_id()] = os.sched_getaffinity(0)

        share(work, range(3), 10)
        assert found.pop(threading.get_native_id()) == allowed
        return list(found.values())

    cores_of_helpers()  # a thread that begins may use every core
    for core in sorted(allowed)[:2]:
        monkeypatch.setattr("nautilus_metal.engine.threads._running_core", lambda core=core: core)
        assert cores_of_helpers() == [allowed - {core}] * 2


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a thread be kept on a core")
def test_a_caller_on_one_core_has_helpers_there(three_threads):
    allowed, done = os.sched_getaffinity(0), []
    os.sched_setaffinity(0, {min(allowed)})
    try:
        share(done.append, range(100), 10)
    finally:
        os.sched_setaffinity(0, allowed)
    assert sorted(done) == [*range(100)]
