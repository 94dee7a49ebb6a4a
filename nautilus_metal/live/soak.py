"""A long replay that watches a live node: memory, handles, threads and latency, and whether any of them grows."""

import asyncio
import gc
import threading
import time
from array import array
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psutil

from nautilus_metal.errors import InputError
from nautilus_metal.host import LiveNode
from nautilus_metal.messages import RISK_REPORT_TOPIC, RiskReport

WINDOW = 0.2  # share of the run that "start", "middle" and "end" stand for
MEMORY_GROWTH = 1.05
LATENCY_GROWTH = (("median", 1.5, 1.0), ("99th percentile", 2.0, 10.0))  # factor, and milliseconds on top
_HEARTBEAT_SECONDS = 0.01
_SAMPLE_SECONDS = 0.2
_SAMPLES, _LEAST_SAMPLES = 50, 15
_RECORDS = ("data.quotes.*", "data.bars.*")
_FILLS = "events.fills.*"


@dataclass(frozen=True, slots=True)
class Sample:
    """The process at one moment.

    Attributes
    ----------
    ticks, reports, beats : int
        How many latencies of each kind there were so far.
    memory : float
        Resident memory in MiB.
    handles, threads : int
        Open files and sockets, and threads.
    """

    ticks: int
    reports: int
    beats: int
    memory: float
    handles: int
    threads: int


class Latencies:
    """Latencies in milliseconds, in memory taken beforehand or small, so that the watch is no growth itself.

    Attributes
    ----------
    ticks : ndarray of float32
        From a record's sending to its handling.
    reports : array of float32
        From a report's snapshot to its publication.
    beats : array of float32
        By how much the loop was late for a heartbeat every 10 ms.
    """

    def __init__(self, ticks: int) -> None:
        self.ticks = np.full(ticks, np.nan, dtype=np.float32)
        self.reports, self.beats = array("f"), array("f")


@dataclass(frozen=True, slots=True)
class Window:
    """The figures of a part of the run: medians of the samples in it, percentiles of all their latencies."""

    ticks: int
    memory: float
    handles: int
    threads: int
    tick_ms: tuple[float, float] | None
    report_ms: tuple[float, float] | None
    lag_ms: tuple[float, float] | None


@dataclass(eq=False, repr=False)  # the message bus knows a handler by its repr, which must stay
class Soak:
    """Samples a node while it runs.

    Parameters
    ----------
    node : LiveNode
        With a replay client; before it runs.
    """

    node: LiveNode
    samples: list[Sample] = field(default_factory=list)
    ticks: int = 0
    fills: int = 0

    def __post_init__(self) -> None:
        if not self.node.replays:
            raise InputError("a soak must be of a node with a replay client, this has none")
        self._process = psutil.Process()
        self._sent: deque[int] = deque()
        self.node.replays[0].trace = self._sent
        self.latencies = Latencies(0)
        self._due, self._enough, self._beats = 0.0, 0, False
        for topic in _RECORDS:
            self.node.hear(topic, self._on_record)
        self.node.hear(RISK_REPORT_TOPIC, self._on_report)
        self.node.hear(_FILLS, self._on_fill)

    def run(self, ticks: int, seconds: float) -> None:
        """Run the node until it has had so many ticks, the time is up, or the replay has ended."""
        self.latencies = Latencies(ticks)
        gc.collect()
        self.node.run(until=self.watch, timeout=seconds)

    def windows(self) -> tuple[Window, Window, Window]:
        """Return the figures of the start, the middle and the end of the run."""
        return windows(self.samples, self.latencies)

    def watch(self) -> bool:
        """Take a sample where one is due; return whether all ticks have come."""
        now = time.monotonic()
        if not self._beats:
            self._beats = True
            self._beat(asyncio.get_running_loop(), None)
        if self.ticks and (now >= self._due or self.ticks >= self._enough):
            self._due, self._enough = now + _SAMPLE_SECONDS, self.ticks + len(self.latencies.ticks) // _SAMPLES
            self._sample()
        return self.ticks == len(self.latencies.ticks)

    def _sample(self) -> None:
        handles = self._process.num_handles() if psutil.WINDOWS else self._process.num_fds()
        memory = self._process.memory_info().rss / 2**20
        counts = self.ticks, len(self.latencies.reports), len(self.latencies.beats)
        self.samples.append(Sample(*counts, memory, handles, threading.active_count()))

    def _beat(self, loop: asyncio.AbstractEventLoop, due: float | None) -> None:
        now = loop.time()
        if due is not None:
            self.latencies.beats.append(1e3 * (now - due))
        at = now + _HEARTBEAT_SECONDS
        loop.call_at(at, self._beat, loop, at)

    def _on_record(self, _record: Any) -> None:
        if self._sent and self.ticks < len(self.latencies.ticks):
            self.latencies.ticks[self.ticks] = (time.perf_counter_ns() - self._sent.popleft()) / 1e6
            self.ticks += 1

    def _on_report(self, report: RiskReport) -> None:
        self.latencies.reports.append((report.ts_init - report.ts_snapshot) / 1e6)

    def _on_fill(self, _fill: Any) -> None:
        self.fills += 1


def windows(samples: Sequence[Sample], latencies: Latencies) -> tuple[Window, Window, Window]:
    """Return the figures of the start, the middle and the end of a run.

    Raises
    ------
    InputError
        If the run was too short for three windows.
    """
    if len(samples) < _LEAST_SAMPLES:
        raise InputError(f"a soak must last at least {_LEAST_SAMPLES} samples, this had {len(samples)}: ask for more")
    width = max(int(WINDOW * len(samples)), 1)
    middle = (len(samples) - width) // 2
    firsts = 0, middle, len(samples) - width
    start, centre, end = (_window(samples[first : first + width], latencies) for first in firsts)
    return start, centre, end


def grown(middle: Window, end: Window) -> list[str]:
    """Say what has grown from the middle of a run to its end; the start is left out, as caches fill then."""
    found = []
    if end.memory > MEMORY_GROWTH * middle.memory:
        found.append(f"memory grew from {middle.memory:,.1f} to {end.memory:,.1f} MiB")
    for name in ("handles", "threads"):
        if getattr(end, name) > getattr(middle, name):
            found.append(f"{name} grew from {getattr(middle, name)} to {getattr(end, name)}")
    for name, words in (("tick_ms", "ticks"), ("report_ms", "reports"), ("lag_ms", "the loop")):
        before, after = getattr(middle, name), getattr(end, name)
        for which, (quantile, factor, slack) in enumerate(LATENCY_GROWTH):
            if before and after and after[which] > factor * before[which] + slack:
                found.append(f"{quantile} latency of {words} grew from {before[which]:.2f} to {after[which]:.2f} ms")
    return found


def soak_rows(parts: tuple[Window, Window, Window]) -> list[tuple[str, ...]]:
    """Return the figures as rows of a table, a head first."""
    return [
        ("", "start", "middle", "end"),
        ("ticks so far", *(f"{part.ticks:,}" for part in parts)),
        ("memory, MiB", *(f"{part.memory:,.1f}" for part in parts)),
        ("open handles", *(str(part.handles) for part in parts)),
        ("threads", *(str(part.threads) for part in parts)),
        ("tick to handler, ms: median / p99", *(_pair(part.tick_ms) for part in parts)),
        ("snapshot to report, ms: median / p99", *(_pair(part.report_ms) for part in parts)),
        ("loop late by, ms: median / p99", *(_pair(part.lag_ms) for part in parts)),
    ]


def _window(samples: Sequence[Sample], latencies: Latencies) -> Window:
    names, pairs = ("memory", "handles", "threads"), []
    memory, handles, threads = (float(np.median([getattr(each, name) for each in samples])) for name in names)
    for name in ("ticks", "reports", "beats"):
        first, last = getattr(samples[0], name), getattr(samples[-1], name)
        values = np.asarray(getattr(latencies, name)[first:last])
        pairs.append((float(np.median(values)), float(np.percentile(values, 99))) if len(values) else None)
    return Window(samples[-1].ticks, memory, int(handles), int(threads), *pairs)


def _pair(values: tuple[float, float] | None) -> str:
    return "-" if values is None else f"{values[0]:.2f} / {values[1]:.2f}"
