"""Run cases: answers first, then paired and synchronised timings."""

import gc
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nautilus_metal.bench.case import ON_CPU, Case, NothingToCompareError, Result, Size, Spread
from nautilus_metal.bench.rates import Rates, measure_rates
from nautilus_metal.engine import ComputeEngine
from nautilus_metal.engine.governor import cpu_of


@dataclass(frozen=True)
class Effort:
    """How long to measure: rounds of one pair each, until the most rounds or the seconds are used up.

    After `_LONG` times the seconds, two rounds are enough.
    """

    least_rounds: int
    most_rounds: int
    seconds: float
    sample_seconds: float
    pause: float = 0.0  # seconds before a sample: threads of the other side's libraries spin on after a product


_LONG = 3.0
FULL = Effort(least_rounds=5, most_rounds=21, seconds=8.0, sample_seconds=0.01, pause=0.05)
QUICK = Effort(least_rounds=3, most_rounds=3, seconds=1.0, sample_seconds=0.001)


def run(
    cases: Sequence[Case],
    engine: ComputeEngine,
    quick: bool = False,
    rates: Rates | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Result]:
    """Measure every size of every case against every peer.

    A pair is measured as ours, theirs, ours, theirs, ... so that what else the machine does meets both. Times count
    only after both answers were compared.

    Parameters
    ----------
    cases : sequence of Case
        What to measure.
    engine : ComputeEngine
        Where ours runs.
    quick : bool
        Small sizes and three rounds: enough to see that it works, too little to publish.
    rates : Rates, optional
        Of the engine's device, for the floors; measured first where not given.
    progress : callable
        Is told the name and size of what is measured next.

    Returns
    -------
    list of Result
        In the order of cases, sizes and peers; a pair without times says why.
    """
    effort = QUICK if quick else FULL
    if rates is None:
        rates = measure_rates(engine, quick)
    results = []
    for case in cases:
        for size in case.quick if quick else case.sizes:
            progress(f"{case.name} {dict(size)}")
            results += _run_size(case, size, engine, effort, rates)
    return results


def _run_size(case: Case, size: Size, engine: ComputeEngine, effort: Effort, rates: Rates) -> list[Result]:
    try:
        problem = case.prepare(engine, **size)
        answer = case.ours(problem)
    except ModuleNotFoundError as error:
        return _without(case, size, engine, f"{error.name} is not installed")
    except NothingToCompareError as error:
        return _without(case, size, engine, str(error))
    floor = _floor(case, size, engine, rates)
    try:
        peers = {**case.peers, **_on_cpu(case, size, engine), **case.bounds}
        pairs = [_Pair(case, size, engine, problem, peer, function, floor) for peer, function in peers.items()]
        return [pair.measure(answer, effort) for pair in pairs]
    finally:
        if case.finish is not None:
            case.finish(problem)


def _without(case: Case, size: Size, engine: ComputeEngine, reason: str) -> list[Result]:
    peers = {**case.peers, **case.bounds}
    return [Result(case.name, peer, size, str(engine.device), problem=reason) for peer in peers]


def _on_cpu(case: Case, size: Size, engine: ComputeEngine) -> Mapping[str, Callable[[Any], Any]]:
    """Ours on the CPU, as a peer of ours on a GPU; it has a problem of its own."""
    if not case.on_cpu or engine.device.type == "cpu":
        return {}
    problem = case.prepare(cpu_of(engine), **size)
    return {ON_CPU: lambda _: case.ours(problem)}


def _floor(case: Case, size: Size, engine: ComputeEngine, rates: Rates) -> float | None:
    """Seconds that a unit takes at least: what the case says, and on a GPU no less than a launch."""
    seconds = None if case.floor is None else case.floor.seconds(rates, size)
    return None if seconds is None else max(seconds, rates.launch) / (size[case.per] if case.per else 1)


@dataclass(frozen=True)
class _Pair:
    case: Case
    size: Size
    engine: ComputeEngine
    problem: Any
    peer: str
    function: Callable[[Any], Any]
    floor: float | None

    @property
    def full(self) -> bool:
        """Whether the size is one that figures are asked for."""
        return self.size in self.case.sizes

    def _result(self, **figures: Any) -> Result:
        return Result(
            self.case.name,
            self.peer,
            self.size,
            str(self.engine.device),
            bound=self.peer in self.case.bounds,
            asked=self.case.asked.get(self.peer) if self.engine.device.type == "cpu" and self.full else None,
            floor=self.floor,
            **figures,
        )

    def measure(self, answer: Any, effort: Effort) -> Result:
        """Check the answers, then time the pair."""
        try:
            theirs = self.function(self.problem)
            self.case.check(self.problem, answer, theirs)
        except ModuleNotFoundError as error:
            return self._result(problem=f"{error.name} is not installed")
        except AssertionError as error:
            words = " ".join(str(error).split())
            return self._result(problem=f"answers differ: {words[:200]}")
        rows = self._times(effort)
        calls = self.case.calls(answer, theirs) if self.case.calls else 1.0
        units = self.size[self.case.per] if self.case.per else 1
        base = rows[:, 2]
        mine, its = (rows[:, 0] - base) / units, calls * (rows[:, 1] - base) / units
        return self._result(
            ours=_spread(mine),
            theirs=_spread(its),
            ratio=_spread(its / mine),
            above_floor=None if self.floor is None else _spread(mine / self.floor),
            rounds=len(rows),
            load=round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
            unit=self.case.per.removesuffix("s") if self.case.per else "call",
        )

    def _times(self, effort: Effort) -> np.ndarray:
        """Time rounds of ours, theirs and the baseline, shape (rounds, 3), seconds a call."""
        functions = [self.case.ours, self.function] + ([self.case.baseline] if self.case.baseline else [])
        calls = [self._calls(function, effort) for function in functions]
        rows: list[list[float]] = []
        started = time.perf_counter()
        while self._more(len(rows), time.perf_counter() - started, effort):
            row = []
            for function, count in zip(functions, calls, strict=True):
                time.sleep(effort.pause)
                row.append(self._sample(function, count))
            rows.append(row if self.case.baseline else [*row, 0.0])
        return np.array(rows)

    @staticmethod
    def _more(rounds: int, spent: float, effort: Effort) -> bool:
        if rounds < effort.least_rounds:
            return rounds < 2 or spent < _LONG * effort.seconds
        return rounds < effort.most_rounds and spent < effort.seconds

    def _calls(self, function: Callable[[Any], Any], effort: Effort) -> int:
        """Warm up, and find how many calls make a sample long enough for the clock."""
        calls = 1
        while (seconds := self._sample(function, calls) * calls) < effort.sample_seconds:
            calls = max(2 * calls, int(calls * effort.sample_seconds / max(seconds, 1e-9)))
        return calls

    def _sample(self, function: Callable[[Any], Any], calls: int) -> float:
        """Seconds for one of `calls` calls, the device idle before and after."""
        collecting = gc.isenabled()
        gc.disable()
        try:
            self.engine.synchronize()
            started = time.perf_counter()
            for _ in range(calls):
                function(self.problem)
            self.engine.synchronize()
            return (time.perf_counter() - started) / calls
        finally:
            if collecting:
                gc.enable()


def _spread(values: np.ndarray) -> Spread:
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    return Spread(float(median), float(low), float(high))
