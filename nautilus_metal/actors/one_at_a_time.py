"""Work that is asked for more often than it can be done: one piece at a time, the requests meanwhile are one."""

from collections.abc import Callable
from functools import partial
from typing import Any

from nautilus_metal.actors.runtime import Outcome
from nautilus_metal.engine import ComputeEngine
from nautilus_metal.engine.cancel import CancelToken
from nautilus_metal.host import after_time_stamp, event_loop


class OneAtATime:
    """Starts a piece of work after all data of a time stamp, and the next one not before it has ended.

    However a piece ends, the next request is served. An error of it is raised in a backtest; in a live system it is
    logged, and told to `failed`.

    Parameters
    ----------
    owner : Actor
        Registered when it asks, with an `engine`, a `MetalEngine`.
    start : callable
        ``start(skipped)`` takes what the work needs and calls `submit`, or `ended` where there is nothing to do;
        `skipped` counts the requests that are not served by a piece of their own.
    failed : callable, optional
        ``failed(error)`` after a piece has failed in a live system.
    """

    def __init__(
        self, owner: Any, start: Callable[[int], None], failed: Callable[[Exception], None] = lambda _error: None
    ) -> None:
        self._owner, self._begin, self._failed = owner, start, failed
        self._ticket = CancelToken()
        self.reset()

    def reset(self) -> None:
        """Forget all requests, and what runs."""
        self._pending = self._busy = False
        self._missed = self._skipped = 0

    def request(self) -> None:
        """Ask for a piece of work."""
        if self._busy:
            self._missed += 1
        elif not self._pending:
            self._plan(0)

    def submit[T](
        self,
        work: Callable[[ComputeEngine], T],
        done: Callable[[T], None],
        kind: str | None = None,
        elements: int = 0,
    ) -> None:
        """Have the piece that was started done by the owner's engine; arguments as for `MetalEngine.submit`.

        Parameters
        ----------
        work : callable
            Takes the `ComputeEngine`.
        done : callable
            Takes what `work` returned.
        kind, elements
            By which the work is placed.
        """
        self._ticket = self._owner.engine.submit(work, partial(self._arrived, done), kind, elements)

    def ended(self) -> None:
        """Note that the work has ended; what was asked for meanwhile begins once the event loop is through."""
        missed, self._missed, self._busy = self._missed, 0, False
        if missed:
            self._plan(missed - 1)

    def give_up(self) -> None:
        """Cancel the piece in flight, as its answer is wanted no longer, and go on."""
        self._ticket.cancel()
        self.ended()

    def stop(self) -> bool:
        """Cancel the piece in flight and forget all requests.

        Returns
        -------
        bool
            Whether a backtest ends on a request, which the owner may still serve.
        """
        self._ticket.cancel()
        asked = self._pending and event_loop(self._owner.clock) is None
        self.reset()
        return asked

    def _plan(self, skipped: int) -> None:
        self._pending, self._skipped = True, skipped
        after_time_stamp(self._owner, f"{self._owner.id}-tick", self._start)

    def _start(self) -> None:
        if self._pending:  # else reset meanwhile
            self._pending, self._busy = False, True
            try:
                self._begin(self._skipped)
            except Exception as error:
                self.ended()
                self._blame(error)

    def _arrived[T](self, done: Callable[[T], None], outcome: Outcome[T]) -> None:
        try:
            done(outcome.result())
        except Exception as error:
            self._blame(error)
        finally:
            self.ended()

    def _blame(self, error: Exception) -> None:
        if event_loop(self._owner.clock) is None:
            raise error
        self._owner.log.error(f"A piece of work failed: {type(error).__name__}: {error}")
        self._failed(error)
