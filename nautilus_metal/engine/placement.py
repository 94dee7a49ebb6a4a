"""Where a piece of work goes: by what was measured on this machine, and by how it fares at the moment."""

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from nautilus_metal.engine.compute import ComputeEngine
from nautilus_metal.engine.governor import cpu_of
from nautilus_metal.engine.hardware import Conditions
from nautilus_metal.engine.placement_measure import ALONE, SIZES, Calibration, Work
from nautilus_metal.engine.placement_store import calibrate, load
from nautilus_metal.engine.pool import MemoryPool
from nautilus_metal.engine.shared import shared_engine
from nautilus_metal.engine.threads import SMALL
from nautilus_metal.errors import InputError


@dataclass(frozen=True, slots=True)
class Mode:
    """What the conditions allow.

    Attributes
    ----------
    name : {"normal", "shrink", "off"}
        Its key.
    advantage : float
        How many times faster than the CPU the device must be to get a piece of work; inf for never.
    share : float
        Share of the pool's budget that it may hold, which also makes the pieces of large work smaller.
    says : str
        In words.
    """

    name: str
    advantage: float
    share: float
    says: str


MODES: dict[str, Mode] = {
    row.name: row
    for row in (
        Mode("normal", 1.0, 1.0, "work goes where it is faster"),
        Mode("shrink", 4.0, 0.5, "the device gets what it does 4 times faster, and half of the memory budget"),
        Mode("off", math.inf, 0.25, "all work goes to the CPU, with a quarter of the memory budget"),
    )
}
_ORDER = tuple(MODES)
_LOG_SIZES = np.log(SIZES)


@dataclass(frozen=True, slots=True)
class Rule:
    """A level that a sensor may report, and the mode that it asks for."""

    measures: Literal["thermal", "memory"]
    level: str
    mode: str


# Levels that are not here, and those that are unknown, ask for nothing: nothing speaks against normal work.
POLICY: tuple[Rule, ...] = (
    Rule("thermal", "serious", "shrink"),
    Rule("thermal", "critical", "off"),
    Rule("memory", "warning", "shrink"),
    Rule("memory", "critical", "off"),
)


def mode_for(conditions: Conditions) -> Mode:
    """Apply `POLICY`: the strictest mode that any rule asks for.

    Examples
    --------
    >>> mode_for(Conditions(thermal="serious", memory="critical")).name
    'off'
    >>> mode_for(Conditions(thermal=None, memory=None)).name
    'normal'
    """
    asked = [rule.mode for rule in POLICY if getattr(conditions, rule.measures) == rule.level]
    return MODES[max(asked, key=_ORDER.index, default="normal")]


def measured_times(calibration: Calibration, kind: str, elements: int) -> tuple[float, float]:
    """Seconds that the CPU and the device take for a kind of work of a size.

    Between the measured sizes they are interpolated on logarithmic axes; beyond them they are those of the nearest.

    Raises
    ------
    InputError
        If `kind` was not measured.
    """
    if kind not in calibration.times:
        raise InputError(f"`kind` must be one of {', '.join(map(repr, calibration.times))}, was {kind!r}")
    alike = elements if elements >= SMALL else min(elements, ALONE)  # the CPU's threads make a step between the two
    size, times = math.log(max(1, alike)), calibration.times[kind]
    cpu, device = (math.exp(np.interp(size, _LOG_SIZES, np.log(times[where]))) for where in ("cpu", "device"))
    return cpu, device


def speedup(calibration: Calibration, kind: str, elements: int) -> float:
    """How many times faster than the CPU the device does a kind of work of a size, by `measured_times`."""
    cpu, device = measured_times(calibration, kind, elements)
    return cpu / device


def crossover(calibration: Calibration, kind: str) -> int | None:
    """Elements from which on the device is faster than the CPU; None where it is not faster at the largest size.

    The smallest measured size where the device is faster at every size: nothing smaller was measured.
    """
    first, last = (math.log2(size) for size in (SIZES[0], SIZES[-1]))
    found = None
    for step in range(round(8 * (last - first)), -1, -1):  # eighths of a power of two, from the top down
        size = round(2.0 ** (first + step / 8))
        if speedup(calibration, kind, size) < 1.0:
            break
        found = size
    return found


@dataclass(frozen=True, slots=True)
class Choice:
    """Where a piece of work goes, and why.

    Attributes
    ----------
    kind : str or None
        Of the work.
    elements : int
        Size of its largest tensor.
    device : str
        Where it goes.
    reason : str
        In words.
    cpu_seconds, device_seconds : float or None
        What was measured for this kind and size (`measured_times`); None where nothing was.
    """

    kind: str | None
    elements: int
    device: str
    reason: str
    cpu_seconds: float | None = None
    device_seconds: float | None = None

    def __str__(self) -> str:
        work = "work of no stated kind" if self.kind is None else f"{self.kind} of {self.elements:,} elements"
        times = ""
        if self.cpu_seconds is not None and self.device_seconds is not None:
            times = f" ({1e3 * self.cpu_seconds:.3g} ms on the CPU, {1e3 * self.device_seconds:.3g} on the device)"
        return f"{work}: {self.device}, because {self.reason}{times}"


class Placement:
    """Chooses between a device and the CPU; `shared_placement` gives the one of each device of this process.

    Parameters
    ----------
    pool : MemoryPool
        Of the device.
    calibration : Calibration, optional
        What was measured; without it the size of work does not matter.

    Attributes
    ----------
    calibration : Calibration or None
        May be set anew at any time.
    conditions : Conditions
        The last that `limit` was given; nothing is known before.
    mode : Mode
        What they allow.
    """

    def __init__(self, pool: MemoryPool, calibration: Calibration | None = None) -> None:
        self._pool = pool
        self.calibration = calibration
        self.conditions = Conditions()
        self.mode = MODES["normal"]

    def limit(self, conditions: Conditions) -> bool:
        """Take note of heat and memory pressure, and let the pool hold what they allow.

        Returns
        -------
        bool
            Whether the mode has changed.
        """
        mode = mode_for(conditions)
        changed, self.conditions, self.mode = mode is not self.mode, conditions, mode
        if changed:
            self._pool.limit(mode.share)
        return changed

    def choose(
        self, engine: ComputeEngine, kind: str | None = None, elements: int = 0, forced: bool = False
    ) -> ComputeEngine:
        """Choose where a piece of work goes now.

        Parameters
        ----------
        engine : ComputeEngine
            On the device.
        kind : str, optional
            Of a `Work` that was measured (`crossover` tells its own); without one the size does not matter.
        elements : int
            Size of its largest tensor.
        forced : bool
            Whether the user named the device: it then gets all work, whatever was measured and however it fares.
            Only the pool's share of its budget still follows the conditions.

        Returns
        -------
        ComputeEngine
            `engine`, or the CPU's of the same precision and seed.
        """
        stays, _ = self._decide(kind, elements, forced)
        return engine if stays else cpu_of(engine)

    def explain(
        self, engine: ComputeEngine, kind: str | None = None, elements: int = 0, forced: bool = False
    ) -> Choice:
        """Say what `choose` does with the same arguments, and why."""
        stays, reason = self._decide(kind, elements, forced)
        device = str((engine if stays else cpu_of(engine)).device)
        if kind is None or self.calibration is None or kind not in self.calibration.times:
            return Choice(kind, elements, device, reason)
        return Choice(kind, elements, device, reason, *measured_times(self.calibration, kind, elements))

    def _decide(self, kind: str | None, elements: int, forced: bool) -> tuple[bool, str]:
        """Whether a piece of work stays on the device, and the reason."""
        asked = self.mode.advantage
        if forced:
            return True, "the device was named"
        if math.isinf(asked):
            return False, f"{self.conditions}: {self.mode.says}"
        if kind is None:
            return True, "the size of such work does not matter"
        if self.calibration is None or kind not in self.calibration.times:
            return True, "nothing was measured against it here"
        gain = speedup(self.calibration, kind, elements)
        ahead = f"the device is {gain:.2f} times as fast as the CPU"
        return gain >= asked, ahead if asked == 1.0 else f"{ahead}, and {self.mode.says}"


_lock = threading.Lock()
_placements: dict[torch.device, Placement] = {}


def shared_placement(engine: ComputeEngine, measure: Mapping[str, Work] | None = None) -> Placement:
    """The placement of an engine's device that the process shares, made on first use.

    Parameters
    ----------
    engine : ComputeEngine
        One of `shared_engine`: its pool is the device's.
    measure : mapping of str to Work, optional
        What to measure now, for some seconds, as far as this user has no calibration of the device on disk that
        knows it; else the size of work does not matter until somebody measures. Of the CPU alone there is nothing
        to measure.
    """
    with _lock:
        if engine.device not in _placements:
            _placements[engine.device] = Placement(engine.pool, load(engine))
        found = _placements[engine.device]
        if measure and engine.device.type != "cpu" and not _knows(found.calibration, measure):
            found.calibration = calibrate(engine, measure)
        return found


def _knows(calibration: Calibration | None, work: Mapping[str, Work]) -> bool:
    return calibration is not None and calibration.times.keys() >= work.keys()


def placed(engine: ComputeEngine | None, kind: str, elements: int) -> ComputeEngine:
    """Where a function does a piece of work: on the engine that its user named, else where the process puts it.

    Parameters
    ----------
    engine : ComputeEngine or None
        The user's.
    kind, elements
        As for `Placement.choose`.
    """
    if engine is not None:
        return engine
    shared = shared_engine()
    return shared if shared.device.type == "cpu" else shared_placement(shared).choose(shared, kind, elements)


def explain(engine: ComputeEngine, kind: str | None = None, elements: int = 0, forced: bool = False) -> Choice:
    """Say where the process puts a piece of work of an engine's device now, and why.

    Parameters
    ----------
    engine : ComputeEngine
        One of `shared_engine`, on the device.
    kind, elements, forced
        As for `Placement.choose`.

    Examples
    --------
    >>> from nautilus_metal.engine import shared_engine
    >>> print(explain(shared_engine("cpu"), "losses", 200_000, forced=True))
    losses of 200,000 elements: cpu, because the device was named
    """
    return shared_placement(engine).explain(engine, kind, elements, forced)
