"""A heartbeat in an event loop: by how much each beat comes too late, and how much of that is our doing."""

import asyncio
import threading
import time
from pathlib import Path


class Heart:
    """Sleeps for a millisecond again and again, and notes by how much it wakes too late.

    What the machine itself held up, the loop's thread or the worker's waiting for a processor, is not counted: that
    is other programs' doing. Nor is more than both threads have computed meanwhile: where neither did anything, a
    virtual processor stood still. Waiting for the worker, for the interpreter's lock above all, is counted.
    """

    def __init__(self) -> None:
        self.late: list[float] = []
        self._before: dict[int, tuple[float, float]] = {}

    async def beat(self) -> None:
        while True:
            self._spent()
            started = time.perf_counter()
            await asyncio.sleep(0.001)
            late = time.perf_counter() - started - 0.001
            computed, waited = self._spent()
            self.late.append(min(late - waited, computed))

    def _spent(self) -> tuple[float, float]:
        """Seconds since the last call that our threads computed, and that they were ready without a processor."""
        computed = waited = 0.0
        for thread in threading.enumerate():
            if thread is threading.main_thread() or thread.name.startswith("nautilus-metal"):
                stat = Path(f"/proc/self/task/{thread.native_id}/schedstat")
                if stat.exists():
                    stood = int(stat.read_text().split()[1]) * 1e-9
                    ran = time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
                    before = self._before.get(thread.native_id, (ran, stood))
                    computed, waited = computed + ran - before[0], waited + stood - before[1]
                    self._before[thread.native_id] = ran, stood
        return computed, waited
