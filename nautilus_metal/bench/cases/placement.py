"""Whether the engine's choices are the best ones: where work of each kind goes, and how many CPU threads it gets.

Within 20% of the best is a ratio of at least 0.83 against either alternative; `verdict` says how far the worst is.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from nautilus_metal.bench.case import Case, NothingToCompareError, Result
from nautilus_metal.engine import ComputeEngine, threads_for
from nautilus_metal.engine.governor import cpu_of
from nautilus_metal.engine.placement import Placement
from nautilus_metal.engine.placement_store import calibrate
from nautilus_metal.risk.pricing_work import ALL_WORK

_SIZES = (2**13, 2**16, 2**17, 2**19, 2**20, 2**22)  # none of the sizes that were measured
ON_CPU, ON_DEVICE = "always the CPU", "always the device"


class Problem(NamedTuple):
    """The kind of work, where it was put, on the CPU and on the device, and its elements."""

    kind: str
    chosen: Callable[[], Any]
    on_cpu: Callable[[], Any]
    on_device: Callable[[], Any]
    elements: int


def _prepare(kind: str, engine: ComputeEngine, elements: int) -> Problem:
    if engine.device.type == "cpu":
        raise NothingToCompareError("the CPU is the only device that is used here: there is nothing to choose")
    cpu = cpu_of(engine)
    made = {where: ALL_WORK[kind].prepare(where, elements) for where in (cpu, engine)}
    return Problem(kind, made[_chosen(kind, engine, elements)], made[cpu], made[engine], elements)


def _chosen(kind: str, engine: ComputeEngine, elements: int) -> ComputeEngine:
    return Placement(engine.pool, calibrate(engine, ALL_WORK)).choose(engine, kind, elements)


def _run(place: str, problem: Problem) -> Any:
    with ALL_WORK[problem.kind].threads(problem.elements):
        return getattr(problem, place)()


def _check(_: Any, ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=1e-4, atol=1e-4)


def _place_verdict(kind: str, results: Sequence[Result], engine: ComputeEngine) -> str | None:
    """As `verdict`, of the place that was not chosen: the other peer is the choice itself, timed once more."""

    def is_other(result: Result) -> bool:
        on_cpu = _chosen(kind, engine, result.size["elements"]).device.type == "cpu"
        return result.peer == (ON_DEVICE if on_cpu else ON_CPU)

    return verdict([result for result in results if is_other(result)], engine)


def verdict(results: Sequence[Result], _: ComputeEngine) -> str | None:
    """Say how many times as long as the best alternative the choice takes at the size where it fares worst."""
    slowest: dict[int, float] = {}
    for result in results:
        if result.ratio is not None:
            size = result.size["elements"]
            slowest[size] = max(slowest.get(size, 1.0), 1.0 / result.ratio.median)
    if not slowest:
        return None
    size = max(slowest, key=slowest.__getitem__)
    times = f"{slowest[size]:.2f} times as long as the best ({size:,} elements)"
    return f"{results[0].case}: the choice takes at most {times}"


_PLACES = tuple(
    Case(
        name=f"placement_{kind}",
        title=f"{kind}: where placement puts it, beside always the CPU and always the device",
        sizes=tuple({"elements": size} for size in _SIZES),
        quick=({"elements": 2**12},),
        prepare=partial(_prepare, kind),
        ours=partial(_run, "chosen"),
        peers={ON_CPU: partial(_run, "on_cpu"), ON_DEVICE: partial(_run, "on_device")},
        check=_check,
        remark=partial(_place_verdict, kind),
    )
    for kind in ALL_WORK
)


class _Threads(NamedTuple):
    """Work on the CPU, its elements, and all threads that torch may use."""

    work: Callable[[], Any]
    elements: int
    most: int


def _prepare_threads(kind: str, engine: ComputeEngine, elements: int) -> _Threads:
    if torch.get_num_threads() == 1:
        raise NothingToCompareError("torch has a single thread here: there is nothing to choose")
    return _Threads(ALL_WORK[kind].prepare(cpu_of(engine), elements), elements, torch.get_num_threads())


def _by(threads: int | None, problem: _Threads) -> Any:
    """With so many threads, all where None."""
    torch.set_num_threads(threads or problem.most)
    try:
        return problem.work()
    finally:
        torch.set_num_threads(problem.most)


def _by_choice(problem: _Threads) -> Any:
    with threads_for(problem.elements):
        return problem.work()


_THREADS = tuple(
    Case(
        name=f"threads_{kind}",
        title=f"{kind} on the CPU: with the threads that the engine gives it, beside one and all",
        sizes=tuple({"elements": size} for size in _SIZES),
        quick=({"elements": 2**12},),
        prepare=partial(_prepare_threads, kind),
        ours=_by_choice,
        peers={"one thread": partial(_by, 1), "all threads": partial(_by, None)},
        check=_check,
        remark=verdict,
    )
    for kind, work in ALL_WORK.items()
    if not work.own_threads
)
CASES = (*_PLACES, *_THREADS)
