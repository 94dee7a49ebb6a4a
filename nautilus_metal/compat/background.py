"""Work beside a running event loop: one thread does it, the loop only waits.

The loop and the thread share the interpreter's lock. What the thread does here gives it back within 5 ms: modules
are loaded before, nothing is compiled, and long native calls either work without the lock or are cut in parts. What
else keeps a loop waiting is the machine: a processor that other programs have, or a host of this one.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from typing import Any

# These are else loaded by the first derivative and the first percentile, beside a loop that then waits for them.
import numpy.ma  # noqa: F401
import torch
import torch.fx.experimental._constant_symnode
import torch.fx.experimental.symbolic_shapes
import torch.nested._internal.nested_tensor

from nautilus_metal.engine.cancel import CancelToken
from nautilus_metal.engine.fused import nothing_compiled
from nautilus_metal.engine.worker import Job, Worker

_lock = threading.Lock()  # a worker takes jobs from one thread; loops may run in several
_worker = Worker("nautilus-metal-compat")


async def in_background[T](work: Callable[[], T]) -> T:
    """Do `work` on the worker's thread and wait for it in the running loop, whichever that is.

    Parameters
    ----------
    work : callable
        Without arguments. Jobs run one after the other.

    Returns
    -------
    Any
        What `work` returned.

    Raises
    ------
    Exception
        What `work` raised.
    asyncio.CancelledError
        If the awaiting task is cancelled; the work is then given up at its next kernel boundary.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()
    context = copy_context()  # the performance contexts around the call see what is done for it

    def attempt() -> tuple[Any, Exception | None]:
        try:
            return context.run(_uncompiled, work), None
        except Exception as error:
            return None, error

    def deliver(outcome: tuple[Any, Exception | None]) -> None:
        with suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits
            loop.call_soon_threadsafe(_settle, answer, outcome)

    torch.get_num_threads()  # settles this thread's number before the worker lowers that of threads to come
    job = Job(attempt, deliver, CancelToken())
    with _lock:
        _worker.submit(job)
    try:
        return await answer
    finally:
        if answer.cancelled():
            job.token.cancel()


def _uncompiled[T](work: Callable[[], T]) -> T:
    with nothing_compiled():
        return work()


def _settle(answer: "asyncio.Future[Any]", outcome: tuple[Any, Exception | None]) -> None:
    if answer.done():
        return
    value, error = outcome
    if error is None:
        answer.set_result(value)
    else:
        answer.set_exception(error)
