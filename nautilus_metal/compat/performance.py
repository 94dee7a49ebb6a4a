"""What operations really took: each one is noted, and a context collects those inside it."""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.engine.blocks import MIB
from nautilus_metal.engine.devices import KINDS

_KEPT = 64
recent: deque["Operation"] = deque(maxlen=_KEPT)


@dataclass(frozen=True)
class Operation:
    """One finished piece of work.

    Attributes
    ----------
    name, device : str
        What was done, and the device that did it.
    milliseconds : float
        Wall time, the device synchronised.
    """

    name: str
    device: str
    milliseconds: float

    @property
    def on_gpu(self) -> bool:
        """Whether a GPU did it."""
        return self.device != "cpu"


def milliseconds_since(started: float, engine: ComputeEngine) -> float:
    """Wall time since a `time.perf_counter`, once the device has done everything."""
    engine.synchronize()
    return (time.perf_counter() - started) * 1e3


@dataclass
class PerformanceMetrics:
    """What `metal_performance_context` yields; figures are None until the block has ended.

    Attributes
    ----------
    name : str
        As given.
    device : str
        The device that was synchronised before and after.
    execution_time_ms : float or None
        Wall time of the block.
    pool_mb_before, pool_mb_after : float or None
        What the memory pool holds, in MiB.
    allocated_mb_before, allocated_mb_after : float or None
        What torch holds on the device, in MiB; None where torch does not count it (the CPU).
    operations : list of Operation
        Those of this package inside the block, in order of their end.
    failed : bool or None
        Whether the block raised.
    """

    name: str
    device: str
    execution_time_ms: float | None = None
    pool_mb_before: float | None = None
    pool_mb_after: float | None = None
    allocated_mb_before: float | None = None
    allocated_mb_after: float | None = None
    operations: list[Operation] = field(default_factory=list)
    failed: bool | None = None

    @property
    def metal_accelerated(self) -> bool:
        """Whether any operation inside the block ran on a GPU."""
        return any(done.on_gpu for done in self.operations)


_open: ContextVar[tuple[PerformanceMetrics, ...]] = ContextVar("open_contexts", default=())


def note(done: Operation) -> None:
    """Add a finished operation to the recent ones and to every context around it."""
    recent.append(done)
    for metrics in _open.get():
        metrics.operations.append(done)


@contextmanager
def measured(name: str, engine: ComputeEngine) -> Iterator[PerformanceMetrics]:
    """Measure a block on an engine's device; see `PerformanceMetrics`."""
    metrics = PerformanceMetrics(name, str(engine.device))
    metrics.pool_mb_before, metrics.allocated_mb_before = _memory(engine)
    before = _open.set((*_open.get(), metrics))
    metrics.failed = True
    engine.synchronize()
    started = time.perf_counter()
    try:
        yield metrics
        metrics.failed = False
    finally:
        _open.reset(before)
        metrics.execution_time_ms = milliseconds_since(started, engine)
        metrics.pool_mb_after, metrics.allocated_mb_after = _memory(engine)


def _memory(engine: ComputeEngine) -> tuple[float, float | None]:
    allocated = KINDS[engine.device.type].allocated_memory(engine.device.index or 0)
    return engine.pool.reserved_bytes / MIB, None if allocated is None else allocated / MIB
