"""How many CPU threads a piece of work is worth, and work shared among them."""

import ctypes
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

import torch

from nautilus_metal.engine.cancel import checkpoint

SMALL = 2**21  # elements under which waiting for a second thread costs more than it does, above all on a busy machine

_MOST = 256  # threads that help, of which there are as many as were ever at work together

_kept: dict[int, "_Helpers"] = {}
_making = threading.Lock()
_library = ctypes.CDLL(None) if sys.platform == "linux" else None
_running_core: Callable[[], int] | None = getattr(_library, "sched_getcpu", None)
_left: ContextVar[int] = ContextVar("threads_left_by_torch", default=1)


@contextmanager
def threads_for(elements: int) -> Iterator[None]:
    """Keep work on few elements on the calling thread, and give torch its threads back afterwards.

    A risk tick of 20 assets x 10,000 scenarios takes as long on one idle core as on two. On a busy machine it takes
    a quarter of the time, because no thread waits for another one that the system has put aside.

    Parameters
    ----------
    elements : int
        Size of the largest tensor of the work.
    """
    before = torch.get_num_threads()
    if elements >= SMALL or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def torch_alone() -> Iterator[None]:
    """Keep torch on the calling thread, and leave the threads that it may use to `share`.

    Where compiled loops do most of the work, the small operators between them would only wait for each other.
    """
    before = torch.get_num_threads()
    token = _left.set(max(before, _left.get()))
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        _left.reset(token)


def share(work: Callable[[Any], None], tasks: Sequence[Any], elements: int) -> None:
    """Do the tasks on this thread, and on as many others as torch may use where the work is worth it."""
    threads = 1 if elements < SMALL else max(torch.get_num_threads(), _left.get())
    helpers = min(threads, len(tasks)) - 1
    left = iter(tasks)
    if helpers < 1:
        for task in left:
            checkpoint()
            work(task)
        return
    stop = threading.Event()

    def help_out() -> None:
        for task in left:  # the interpreter's lock makes each step of a list's iterator one
            if stop.is_set():
                return
            work(task)

    pool = _helpers()
    helping = [pool.submit(help_out) for _ in range(helpers)]
    try:
        for task in left:
            checkpoint()
            work(task)
    finally:
        stop.set()
        begun = [one for one in helping if not one.cancel()]  # what no thread has come to is done already
        wait(begun)
    for one in begun:
        one.result()


class _Helpers(ThreadPoolExecutor):
    """Threads that stay: a new one has to be waited for, for milliseconds on a busy machine."""

    def __init__(self) -> None:
        super().__init__(_MOST, "nautilus-metal", initializer=self._enter)
        self._left_cores: dict[int, int] = {}

    def _enter(self) -> None:
        self._left_cores[threading.get_native_id()] = -1

    def make_way(self) -> None:
        """Keep the helpers off the calling thread's core.

        A virtual machine whose other cores sleep wakes a thread on the core of the one that wakes it, and leaves both
        there, for milliseconds.
        """
        if sys.platform != "linux" or _running_core is None:
            return
        core, caller = _running_core(), threading.get_native_id()
        staying = [each for each, left in list(self._left_cores.items()) if left != core and each != caller]
        if not staying:
            return
        others = os.sched_getaffinity(0) - {core}
        for helper in staying if others else ():
            with suppress(OSError):
                os.sched_setaffinity(helper, others)
                self._left_cores[helper] = core


def _helpers() -> _Helpers:
    """The threads of this process, of which a fork takes none along, off the calling thread's core."""
    process = os.getpid()
    if process not in _kept:
        with _making:
            _kept.setdefault(process, _Helpers())
    _kept[process].make_way()
    return _kept[process]
