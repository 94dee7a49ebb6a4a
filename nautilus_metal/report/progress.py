"""A progress bar for a terminal, and lines now and then where there is none."""

import shutil
import sys
import time
from typing import TextIO

BAR_CELLS = 24


class Progress:
    """Show days done, and what the run makes a second.

    Parameters
    ----------
    name : str
        What runs.
    total : int
        Days to come.
    stream : TextIO, optional
        Standard error by default.
    interval : float, optional
        Seconds between two redraws: 0.2 on a terminal, 5 elsewhere.
    unit : str, default "risk ticks"
        What `tick` counts.
    """

    def __init__(
        self,
        name: str,
        total: int,
        stream: TextIO | None = None,
        interval: float | None = None,
        unit: str = "risk ticks",
    ) -> None:
        self._name, self._total, self._unit = name, max(total, 1), unit
        self._stream = sys.stderr if stream is None else stream
        self._terminal = self._stream.isatty()
        self._interval = (0.2 if self._terminal else 5.0) if interval is None else interval
        self._start = self._last_time = self._drawn = time.monotonic()
        self._ticks = self._last_ticks = self._done = 0
        self._rate = 0.0
        self._label = ""

    def tick(self) -> None:
        """Count one `unit`."""
        self._ticks += 1

    def day(self, label: str) -> None:
        """Count one day, named `label`; redraw if the last time is long enough ago."""
        self._done += 1
        now = time.monotonic()
        if now - self._drawn >= self._interval:
            self._label = label
            self._draw(now)

    def finish(self) -> None:
        """Draw the last state and end the line."""
        self._draw(time.monotonic(), final=True)
        if self._terminal:
            print(file=self._stream, flush=True)

    def _draw(self, now: float, final: bool = False) -> None:
        elapsed = now - self._start
        if final:
            self._rate = self._ticks / elapsed if elapsed > 0 else 0.0
        elif now > self._last_time:
            self._rate = (self._ticks - self._last_ticks) / (now - self._last_time)
        self._drawn = self._last_time = now
        self._last_ticks = self._ticks
        share = min(self._done / self._total, 1.0)
        label = "done" if final else self._label
        text = (
            f"{share:4.0%}  {self._done:,}/{self._total:,} days  {self._rate:,.0f} {self._unit}/s"
            f"  {elapsed:.0f} s  {label}"
        )
        if not self._terminal:
            print(f"{self._name} {text}", file=self._stream, flush=True)
            return
        full = round(share * BAR_CELLS)
        line = f"{self._name} {'█' * full}{'░' * (BAR_CELLS - full)} {text}"
        width = shutil.get_terminal_size().columns - 1
        print(f"\r{line[:width].ljust(width)}", end="", file=self._stream, flush=True)
