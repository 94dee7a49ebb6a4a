"""Work on the CPU that must not keep risk ticks waiting: on a thread beside the engine's own."""

from collections.abc import Callable
from functools import partial
from typing import Any

from nautilus_metal.actors.runtime import Outcome, attempt
from nautilus_metal.engine import ComputeEngine, shared_engine
from nautilus_metal.engine.cancel import CancelToken
from nautilus_metal.engine.worker import Job, Worker
from nautilus_metal.host import event_loop, post

_STOP_SECONDS = 1.0  # for work in flight to come to a kernel boundary


class SideWork:
    """Stands in for a `MetalEngine` where work is small and its place the CPU.

    Parameters
    ----------
    clock : Clock
        Of the system.
    name : str
        Of the thread, which starts with the first work of a live system.
    """

    def __init__(self, clock: Any, name: str) -> None:
        self._clock = clock
        self._worker = Worker(name)
        self._cpu = shared_engine("cpu")

    def submit[T](
        self,
        work: Callable[[ComputeEngine], T],
        done: Callable[[Outcome[T]], None],
        _kind: str | None = None,
        _elements: int = 0,
    ) -> CancelToken:
        """Have a piece of work done beside the event loop; in a backtest, now. As `MetalEngine.submit`."""
        loop, ticket, doing = event_loop(self._clock), CancelToken(), partial(attempt, work, self._cpu, self._cpu)
        if loop is None:
            done(doing())
            return ticket

        def arrive(outcome: Outcome[T]) -> None:
            if not ticket.cancelled:
                done(outcome)

        self._worker.submit(Job(doing, partial(post, loop, arrive), CancelToken(ticket)))
        return ticket

    def close(self) -> bool:
        """Give up all work, and end the thread; return whether it has ended."""
        return self._worker.close(_STOP_SECONDS)
