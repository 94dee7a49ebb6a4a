"""What becomes of a piece of work on a device that may fail: done there, in the worst case done again on the CPU."""

from collections.abc import Callable
from dataclasses import dataclass

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.engine.devices import is_out_of_memory
from nautilus_metal.errors import Cancelled


@dataclass(frozen=True, slots=True)
class Outcome[T]:
    """What a piece of work came to.

    Attributes
    ----------
    value : object or None
        What it returned.
    error : Exception or None
        Why there is no value: the work's own error, the same on every device.
    fault : str or None
        What the device said where it failed; the value is the CPU's then.
    out_of_memory : bool
        Whether the fault is a lack of memory, after the pool has evicted and the work has been cut in pieces.
    """

    value: T | None = None
    error: Exception | None = None
    fault: str | None = None
    out_of_memory: bool = False

    def result(self) -> T:
        """Return the value, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]


def attempt[T](work: Callable[[ComputeEngine], T], engine: ComputeEngine, fallback: ComputeEngine) -> Outcome[T]:
    """Do a piece of work on `engine`; where that fails, do it from the start on `fallback`.

    Parameters
    ----------
    work : callable
        Takes the engine; must be able to start over.
    engine, fallback : ComputeEngine
        The device's, and the CPU's; one and the same where the CPU is the device.

    Raises
    ------
    Cancelled
        If the work was given up.
    """
    fault, full = None, False
    try:
        return Outcome(work(engine))
    except Cancelled:
        raise
    except RuntimeError as error:
        if engine is fallback:
            return Outcome(error=error)
        fault, full = f"{type(error).__name__}: {error}", is_out_of_memory(error)
    except Exception as error:
        return Outcome(error=error)
    try:
        return Outcome(work(fallback), None, fault, full)
    except Cancelled:
        raise
    except Exception as error:
        return Outcome(None, error, fault, full)


class BackOff:
    """When to try a failed device again: after `first` seconds, then twice as long each time, up to `most`.

    Parameters
    ----------
    first, most : float
        Seconds.
    """

    def __init__(self, first: float = 1.0, most: float = 300.0) -> None:
        self._first, self._most = first, most
        self._wait = first
        self._next = 0

    def failed(self, now: int) -> None:
        """Note a failure at `now`, UNIX nanoseconds: the next try is a wait away, which then doubles."""
        self._next = now + int(self._wait * 1e9)
        self._wait = min(2 * self._wait, self._most)

    def recovered(self) -> None:
        """Note that the device works: the next failure waits `first` seconds again."""
        self._wait = self._first

    def due(self, now: int) -> bool:
        """Whether the wait is over."""
        return now >= self._next
