"""Work that is asked for more often than it can be done: one piece at a time, the requests meanwhile are one."""

from collections.abc import Callable
from typing import Any

from nautilus_metal.host import after_time_stamp


class OneAtATime:
    """Starts a piece of work after all data of a time stamp, and the next one not before it has ended.

    Parameters
    ----------
    owner : Actor
        Registered when it asks.
    start : callable
        ``start(skipped)`` begins the work; `skipped` counts the requests that are not served by a piece of their own.
    """

    def __init__(self, owner: Any, start: Callable[[int], None]) -> None:
        self._owner, self._begin = owner, start
        self.reset()

    def reset(self) -> None:
        """Forget all requests, and what runs."""
        self.pending = self.busy = False
        self._missed = self._skipped = 0

    def request(self) -> None:
        """Ask for a piece of work."""
        if self.busy:
            self._missed += 1
        elif not self.pending:
            self._plan(0)

    def ended(self) -> None:
        """Note that the work has ended; what was asked for meanwhile begins once the event loop is through."""
        missed, self._missed, self.busy = self._missed, 0, False
        if missed:
            self._plan(missed - 1)

    def _plan(self, skipped: int) -> None:
        self.pending, self._skipped = True, skipped
        after_time_stamp(self._owner, f"{self._owner.id}-tick", self._start)

    def _start(self) -> None:
        if self.pending:  # else reset meanwhile
            self.pending, self.busy = False, True
            self._begin(self._skipped)
