"""Whether placement's choice is the best one: work of each kind where placement puts it, beside both places.

Within 20% of the best is a ratio of at least 0.83 against either place.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from nautilus_metal.bench.case import Case, NothingToCompareError
from nautilus_metal.engine import ComputeEngine, threads_for
from nautilus_metal.engine.governor import cpu_of
from nautilus_metal.engine.placement import Placement
from nautilus_metal.engine.placement_measure import WORK
from nautilus_metal.engine.placement_store import calibrate

_SIZES = (2**13, 2**16, 2**17, 2**19, 2**20, 2**22)  # none of the sizes that were measured


class Problem(NamedTuple):
    """The work on the chosen device, on the CPU and on the device, and its elements."""

    chosen: Callable[[], Any]
    on_cpu: Callable[[], Any]
    on_device: Callable[[], Any]
    elements: int


def _prepare(kind: str, engine: ComputeEngine, elements: int) -> Problem:
    if engine.device.type == "cpu":
        raise NothingToCompareError("the CPU is the only device that is used here: there is nothing to choose")
    cpu = cpu_of(engine)
    chosen = Placement(engine.pool, calibrate(engine)).choose(engine, kind, elements)
    made = {where: WORK[kind].prepare(where, elements) for where in (cpu, engine)}
    return Problem(made[chosen], made[cpu], made[engine], elements)


def _run(place: str, problem: Problem) -> Any:
    with threads_for(problem.elements):
        return getattr(problem, place)()


def _check(_: Problem, ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=1e-4, atol=1e-4)


CASES = tuple(
    Case(
        name=f"placement_{kind}",
        title=f"{kind}: where placement puts it, beside always the CPU and always the device",
        sizes=tuple({"elements": size} for size in _SIZES),
        quick=({"elements": 2**12},),
        prepare=partial(_prepare, kind),
        ours=partial(_run, "chosen"),
        peers={"always the CPU": partial(_run, "on_cpu"), "always the device": partial(_run, "on_device")},
        check=_check,
    )
    for kind in WORK
)
