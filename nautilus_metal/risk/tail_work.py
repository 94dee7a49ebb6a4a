"""The scenarios of a task walked through: at once, in pieces where memory is short, shared where there is a team."""

import math
from collections.abc import Callable
from typing import Protocol

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.engine.governor import in_pieces
from nautilus_metal.engine.team import Team
from nautilus_metal.errors import InputError
from nautilus_metal.risk.book import Array


class TailWork(Protocol):
    """One way through the scenarios: at once, or in parts whose tails are then put together."""

    def whole(self, engine: ComputeEngine) -> Array:
        """Do all scenarios."""

    def part(self, engine: ComputeEngine, first: int, last: int) -> None:
        """Take scenarios ``first <= i < last`` in."""

    def gathered(self, team: Team) -> Array | None:
        """Return what `whole` does from the parts of all members; None where one of them has kept too few losses."""


def through_tail(
    engine: ComputeEngine, team: Team, count: int, bytes_each: int, size: int, begin: Callable[[int, int], TailWork]
) -> tuple[Array, str]:
    """Do this member's scenarios in as few parts as its memory allows, and put the tails of all members together.

    Parameters
    ----------
    engine : ComputeEngine
        Where to work.
    team : Team
        Who shares the scenarios.
    count, bytes_each : int
        Scenarios, and the memory that one takes.
    size : int
        Largest losses that the figures need.
    begin : callable
        ``begin(size, start)`` makes the work of a member that keeps `size` losses and begins with scenario `start`.

    Returns
    -------
    tuple
        What the work returns, and where it was done.

    Raises
    ------
    InputError
        If there are fewer scenarios than members.
    """
    mine, devices = team.share(count), dict[str, None]()
    if count < team.size:
        raise InputError(f"`scenarios` must be at least the {team.size} processes that share them, was {count}")
    for kept in (_likely(size, team), size):
        work = begin(kept, mine.start)

        def piece(engine: ComputeEngine, first: int, last: int, work: TailWork = work) -> Array | None:
            answer = None
            if last - first == count:
                answer = work.whole(engine)
            else:
                work.part(engine, mine.start + first, mine.start + last)
            devices[str(engine.device)] = None  # one without memory for it has no part in the figures
            return answer

        answer = in_pieces(engine, len(mine), bytes_each, piece)[0]
        if answer is None:
            answer = work.gathered(team)
        if answer is not None:
            break
    assert answer is not None  # of those who keep `size` losses none keeps too few
    return answer, "+".join(dict.fromkeys(team.hear("+".join(devices))))


def _likely(size: int, team: Team) -> int:
    """How many of the `size` largest losses of all a member has to keep, but for rare luck.

    Independent scenarios fall to the members by a multinomial law: eight deviations above the mean suffice.
    """
    mean = size / team.size
    return size if team.size == 1 else min(size, math.ceil(mean + 8 * math.sqrt(mean) + 8))
