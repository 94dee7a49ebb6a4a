"""Closing prices of bars as arrays."""

from collections.abc import Iterable
from typing import Any

import numpy as np


def closes_of(bars: Iterable[Any]) -> dict[str, tuple[Any, Any]]:
    """Return the closes of bars: by instrument UNIX nanoseconds, ascending, and prices."""
    found: dict[str, dict[int, float]] = {}
    for bar in bars:
        found.setdefault(str(bar.bar_type.instrument_id), {})[bar.ts_event] = float(bar.close)
    return {
        name: (np.array(sorted(closes), dtype=np.int64), np.array([closes[ts] for ts in sorted(closes)]))
        for name, closes in found.items()
    }
