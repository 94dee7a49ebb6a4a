"""What a bench case is, and what measuring one gives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Size = Mapping[str, int]


@dataclass(frozen=True)
class Case:
    """One comparison: the same problem solved by this package and by peers.

    Attributes
    ----------
    name : str
        What ``nautilus-metal bench NAME`` calls it.
    title : str
        One line for the reader.
    sizes, quick : tuple of mapping
        Problem sizes of a full run, and those of a quick one.
    prepare : callable
        ``prepare(engine, **size)`` makes the problem; its time does not count.
    ours : callable
        ``ours(problem)`` gives the answer.
    peers : mapping of str to callable
        Each as `ours`. One whose package is missing raises `ModuleNotFoundError` and is listed as skipped.
    check : callable
        ``check(problem, ours, theirs)`` raises `AssertionError` where the answers differ by more than they may.
    per : str or None
        Key of a size whose number the times are divided by, for "microseconds a bar"; None for a whole call.
    baseline : callable or None
        Work that both sides do and that the case is not about. It is timed in every round beside them and its time
        taken off both.
    finish : callable or None
        ``finish(problem)`` gives back what the problem holds.
    """

    name: str
    title: str
    sizes: tuple[Size, ...]
    quick: tuple[Size, ...]
    prepare: Callable[..., Any]
    ours: Callable[[Any], Any]
    peers: Mapping[str, Callable[[Any], Any]]
    check: Callable[[Any, Any, Any], None]
    per: str | None = None
    baseline: Callable[[Any], Any] | None = None
    finish: Callable[[Any], None] | None = None


@dataclass(frozen=True)
class Spread:
    """A median with the range of the middle half: seconds, or a ratio."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Result:
    """One measured pair, or the reason why there is none.

    Attributes
    ----------
    case, peer : str
        Names.
    size : mapping
        The problem's size.
    device : str
        Where ours ran; peers run on the host.
    ours, theirs : Spread or None
        Seconds for one call, or for one unit where the case has `per`.
    ratio : Spread or None
        Their time over ours, of the rounds' pairs: above 1, ours is faster.
    rounds : int
        Pairs measured.
    unit : str
        What a time is for: "call", or the case's `per` in the singular.
    problem : str or None
        Why there are no times: a missing package, or answers that disagree.
    """

    case: str
    peer: str
    size: Size
    device: str
    ours: Spread | None = None
    theirs: Spread | None = None
    ratio: Spread | None = None
    rounds: int = 0
    unit: str = "call"
    problem: str | None = None

    @property
    def wrong(self) -> bool:
        """Whether the answers disagreed."""
        return self.problem is not None and self.problem.startswith("answers differ")


