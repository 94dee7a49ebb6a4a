"""What a bench case is, and what measuring one gives."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nautilus_metal.bench.rates import Rates
from nautilus_metal.engine import ComputeEngine

Size = Mapping[str, int]
ON_CPU = "ours on the CPU"


class NothingToCompareError(Exception):
    """Raised by `Case.prepare` where the machine lacks what a case is about; its text is listed in place of times."""


def need_cuda(engine: ComputeEngine) -> None:
    """Refuse a case that is about an NVIDIA GPU on any other device."""
    if engine.device.type != "cuda":
        raise NothingToCompareError("an NVIDIA GPU is needed")


@dataclass(frozen=True)
class Floor:
    """What no program on this machine can be faster than, by figures that were measured in the same run.

    Attributes
    ----------
    says : str
        How it is derived, in one line.
    seconds : callable
        ``seconds(rates, size)`` for one call; None where the machine lacks the figure.
    """

    says: str
    seconds: Callable[[Rates, Size], float | None]


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
    floor : Floor or None
        The least time that the work can take.
    bounds : mapping of str to callable
        Parts of the work that nobody can leave out, each as a peer: timed beside ours, no competitors.
    on_cpu : bool
        Where ours runs on a GPU, take ours on the CPU for one more peer.
    remark : callable
        ``remark(results, engine)`` gives a line to print below the results of all its sizes, or None.
    calls : callable or None
        ``calls(ours, theirs)``: how many of a peer's calls, by the two answers, do what one of ours does; else one.
    asked : mapping of str to float
        By peer: the least ratio of its time to ours on the CPU that the project asks for at full sizes.
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
    floor: Floor | None = None
    bounds: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    on_cpu: bool = False
    remark: "Callable[[Sequence[Result], ComputeEngine], str | None]" = lambda results, engine: None
    calls: Callable[[Any, Any], float] | None = None
    asked: Mapping[str, float] = field(default_factory=dict)


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
        Where ours ran; peers run on the host, those of the array libraries on the same device.
    ours, theirs : Spread or None
        Seconds for one call, or for one unit where the case has `per`; theirs for as many calls as do what ours does.
    ratio : Spread or None
        Their time over ours, of the rounds' pairs: above 1, ours is faster.
    rounds : int
        Pairs measured.
    unit : str
        What a time is for: "call", or the case's `per` in the singular.
    floor : float or None
        Seconds that the same unit takes at least.
    above_floor : Spread or None
        Our time over `floor`.
    bound : bool
        Whether this is no competitor but a part of the work.
    load : float or None
        Processes that wanted a core, the mean of the last minute, ours among them; None where the system has none.
    asked : float or None
        The least ratio that the project asks for.
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
    floor: float | None = None
    above_floor: Spread | None = None
    bound: bool = False
    load: float | None = None
    asked: float | None = None
    problem: str | None = None

    @property
    def wrong(self) -> bool:
        """Whether the answers disagreed."""
        return self.problem is not None and self.problem.startswith("answers differ")

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> "Result":
        """Make a result of what `asdict` made of one."""
        spreads = {name: Spread(**row[name]) for name in ("ours", "theirs", "ratio", "above_floor") if row[name]}
        return cls(**{**row, **spreads})


def strongest(results: Sequence[Result]) -> list[Result]:
    """Keep for each case, size and device the peer that comes off best against ours, in the order given.

    By the ratio of the paired rounds: two peers' own times are of different minutes.

    Bounds are no peers, and answers that differ have no time; a case without any measured peer is left out.
    """
    best: dict[tuple[Any, ...], Result] = {}
    for result in results:
        if result.ratio is None or result.bound:
            continue
        key = (result.case, tuple(result.size.items()), result.device)
        held = best.get(key)
        if held is None or held.ratio is None or result.ratio.median < held.ratio.median:
            best[key] = result
    return list(best.values())
