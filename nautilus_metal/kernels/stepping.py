"""Updates price by price, written as generators."""

from collections.abc import Callable, Generator


def stepping[In, Out](updates: Generator[Out, In, None]) -> Callable[[In], Out]:
    """Return what sends an input to `updates` and returns what it yields for that.

    A generator keeps what it remembers in variables of its own, and goes on where it was, in less time than a
    method that begins anew and reads attributes. An exception in it ends it.

    Parameters
    ----------
    updates : generator
        Waits for the first input at its first ``yield``.
    """
    next(updates)
    return updates.send
