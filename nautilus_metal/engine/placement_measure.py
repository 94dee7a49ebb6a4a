"""A short calibration of the machine at hand: copies, matrix products, launches, and where a device gets ahead."""

import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import torch

from nautilus_metal.engine.compute import ComputeEngine
from nautilus_metal.engine.devices import KINDS
from nautilus_metal.engine.governor import cpu_of, room
from nautilus_metal.engine.threads import SMALL, threads_for

ALONE = SMALL - 2**12  # the largest measured size that one thread of the CPU does
SIZES = (2**12, 2**15, 2**18, ALONE, SMALL, 2**24)  # elements of the largest tensor of a piece of work
_COPY_BYTES = 2**27  # more than the caches of CPUs and GPUs hold
_MATMUL = (256, 4096)  # smallest and largest order of the square matrices
_ENOUGH = 0.02  # seconds that a matrix product must take to be measured
_LAUNCHES = 200
_SLOW = 0.3  # seconds of the CPU after which more elements of the same work take it as long for each, part by part


@dataclass(frozen=True)
class Calibration:
    """What was measured on one device and the CPU beside it; every time is the shortest of several.

    Attributes
    ----------
    device, device_name, cpu_name, torch : str
        What the figures belong to: they hold for no other device, processor or version.
    measured : str
        When, in UTC (ISO 8601).
    copy_to_device, copy_from_device : float or None
        GB/s (1e9 bytes) between the host's memory and the device; None for the CPU.
    copy_within : float
        GB/s of a copy inside the device's memory, bytes read plus bytes written.
    matmul : float
        GFLOP/s of a float32 matrix product.
    launch : float
        Microseconds for each of many operators in a row on a few elements.
    round_trip : float
        Microseconds for one operator whose result the host waits for.
    times : dict
        By kind of work (`Work`): seconds on "cpu" and "device" for each of `SIZES`; empty for the CPU. Where the CPU
        takes over 0.3 s, larger sizes are not run on it: they are taken to last as long for each element.
    """

    device: str
    device_name: str
    cpu_name: str
    torch: str
    measured: str
    copy_to_device: float | None
    copy_from_device: float | None
    copy_within: float
    matmul: float
    launch: float
    round_trip: float
    times: dict[str, dict[str, list[float]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Work:
    """A kind of work that can be done on the device or on the CPU.

    Attributes
    ----------
    name : str
        Its key.
    prepare : callable
        ``prepare(engine, elements)`` returns the work as a call without arguments, its result on the host; whatever
        is compiled for it in this process has been.
    own_threads : bool
        Whether it finds out by itself how many threads of the CPU it is worth.
    """

    name: str
    prepare: Callable[[ComputeEngine, int], Callable[[], Any]]
    own_threads: bool = False

    def threads(self, elements: int) -> AbstractContextManager[None]:
        """The threads that a piece of the work gets while this is entered."""
        return nullcontext() if self.own_threads else threads_for(elements)


def measure(engine: ComputeEngine, work: Mapping[str, Work]) -> Calibration:
    """Calibrate a device against the CPU beside it; some seconds.

    Parameters
    ----------
    engine : ComputeEngine
        On the device.
    work : mapping of str to Work
        Kinds of work to compare the two by.

    Returns
    -------
    Calibration
        Measured now.
    """
    on_cpu = engine.device.type == "cpu"
    identity = identify(engine)
    to_device, from_device, within = _copies(engine)
    return Calibration(
        **identity,
        measured=datetime.now(UTC).isoformat(timespec="seconds"),
        copy_to_device=None if on_cpu else to_device,
        copy_from_device=None if on_cpu else from_device,
        copy_within=within,
        matmul=matmul_rate(engine),
        launch=launch_time(engine),
        round_trip=_round_trip(engine),
        times={} if on_cpu else work_times(engine, work),
    )


def identify(engine: ComputeEngine) -> dict[str, str]:
    """What a calibration of this engine's device belongs to."""
    return {
        "device": str(engine.device),
        "device_name": KINDS[engine.device.type].name(engine.device.index or 0),
        "cpu_name": KINDS["cpu"].name(0),
        "torch": torch.__version__,
    }


def shortest(call: Callable[[], Any], finish: Callable[[], None], repeats: int = 25, enough: float = 0.05) -> float:
    """Seconds of the fastest of several calls, after one to warm up.

    Parameters
    ----------
    call : callable
        What is timed.
    finish : callable
        Waits until the device has done it.
    repeats : int
        How often at most.
    enough : float
        Seconds after which no further one is tried.
    """
    call()
    finish()
    best, spent = math.inf, 0.0
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        finish()
        taken = time.perf_counter() - start
        best, spent = min(best, taken), spent + taken
        if spent > enough:
            break
    return max(best, 1e-9)


def _copies(engine: ComputeEngine) -> tuple[float, float, float]:
    """GB/s to the device, from it, and within it (there bytes read plus written)."""
    count = max(1, min(_COPY_BYTES, room(engine) // 4) // 4)
    host = torch.ones(count)
    here = host.to(engine.device, copy=True)
    other = torch.empty_like(here)
    gigabytes = 4 * count / 1e9
    return (
        gigabytes / shortest(lambda: here.copy_(host), engine.synchronize),
        gigabytes / shortest(lambda: host.copy_(here), engine.synchronize),
        2 * gigabytes / shortest(lambda: other.copy_(here), engine.synchronize),
    )


def matmul_rate(engine: ComputeEngine, dtype: torch.dtype = torch.float32) -> float:
    """GFLOP/s of matrix products just large enough to be measured."""
    order, largest_order = _MATMUL
    while True:
        left = torch.full((order, order), 0.5, device=engine.device, dtype=dtype)
        with threads_for(left.numel()):
            taken = shortest(lambda left=left: left @ left, engine.synchronize)  # type: ignore[misc]
        if taken >= _ENOUGH or order >= largest_order:
            return 2.0 * order**3 / taken / 1e9
        order *= 2


def launch_time(engine: ComputeEngine) -> float:
    """Microseconds for each of many operators in a row on a few elements."""
    few = torch.zeros(16, device=engine.device)

    def many() -> None:
        for _ in range(_LAUNCHES):
            few.add_(1.0)

    return shortest(many, engine.synchronize) / _LAUNCHES * 1e6


def _round_trip(engine: ComputeEngine) -> float:
    few = torch.zeros(1, device=engine.device)
    return shortest(lambda: (few + 1.0).item(), engine.synchronize, repeats=50) * 1e6


def work_times(engine: ComputeEngine, work: Mapping[str, Work]) -> dict[str, dict[str, list[float]]]:
    """Seconds that kinds of work take for each of `SIZES`, as `Calibration.times`."""
    return {name: _times(engine, row) for name, row in work.items()}


def _times(engine: ComputeEngine, row: Work) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"cpu": [], "device": []}
    each = 0.0  # seconds for an element, once the CPU is slow
    for size in SIZES:
        taken = each * size or _time(cpu_of(engine), row, size)
        each = taken / size if taken > _SLOW else 0.0
        found["cpu"].append(taken)
        found["device"].append(_time(engine, row, size))
    return found


def _time(engine: ComputeEngine, row: Work, size: int) -> float:
    with row.threads(size):
        return shortest(row.prepare(engine, size), engine.synchronize)
