"""Giving up work that runs on another thread: asked for there, obeyed here at the next kernel boundary."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from nautilus_metal.errors import Cancelled

_running = threading.local()


class CancelToken:
    """Tells work to give up; from any thread, for good.

    Parameters
    ----------
    parent : CancelToken, optional
        Work that this one is a part of: what cancels it cancels this too.
    """

    def __init__(self, parent: "CancelToken | None" = None) -> None:
        self._parent = parent
        self._event = threading.Event()

    def cancel(self) -> None:
        """Ask the work to give up."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """Whether somebody has asked."""
        return self._event.is_set() or (self._parent is not None and self._parent.cancelled)


@contextmanager
def cancellable(token: CancelToken) -> Iterator[None]:
    """Let `token` stop the work inside the block, on this thread."""
    before = getattr(_running, "token", None)
    _running.token = token
    try:
        yield
    finally:
        _running.token = before


def checkpoint() -> None:
    """Raise `Cancelled` where this thread's work was asked to give up; the engine's transfers and borrows call it."""
    token = getattr(_running, "token", None)
    if token is not None and token.cancelled:
        raise Cancelled("the work was given up on request")
