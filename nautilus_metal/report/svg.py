"""Just enough SVG: scales, axes, lines and areas, as text."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

import numpy as np
from numpy.typing import NDArray

from nautilus_metal.report.series import Array, LongArray

NANOSECONDS = 1e9


@dataclass(frozen=True)
class Frame:
    """A plot area in pixels and the ranges it shows.

    Attributes
    ----------
    left, top, right, bottom : float
        Pixels.
    x_range, y_range : tuple of float
        Data at the left and right edge, and at the bottom and top edge.
    """

    left: float
    top: float
    right: float
    bottom: float
    x_range: tuple[float, float]
    y_range: tuple[float, float]

    def x(self, value: NDArray[np.generic] | float) -> Array:
        """Pixel of a data value along x."""
        low, high = self.x_range
        share = (np.asarray(value, dtype=np.float64) - low) / ((high - low) or 1.0)
        return self.left + share * (self.right - self.left)

    def y(self, value: NDArray[np.generic] | float) -> Array:
        """Pixel of a data value along y."""
        low, high = self.y_range
        share = (np.asarray(value, dtype=np.float64) - low) / ((high - low) or 1.0)
        return self.bottom - share * (self.bottom - self.top)


def minus(text: str) -> str:
    """Write hyphens as minus signs, which line up with digits."""
    return text.replace("-", "\N{MINUS SIGN}")


def number(value: float) -> str:
    """Write an amount for an axis: 1,500,000 as 1.5M.

    >>> number(1_500_000), number(-25_000), number(0.25)
    ('1.5M', '−25k', '0.25')
    """
    for size, suffix in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return minus(f"{value / size:.4g}{suffix}")
    return minus(f"{value:.4g}")


def nice_ticks(low: float, high: float, count: int = 6, whole: bool = False) -> list[float]:
    """Return about `count` round numbers between two bounds, integers only where `whole`.

    >>> nice_ticks(-1.2, 4.9, 5)
    [-1.0, 0.0, 1.0, 2.0, 3.0, 4.0]
    """
    span = high - low
    if not span > 0 or not math.isfinite(span):
        return [low]
    magnitude = 10.0 ** math.floor(math.log10(span / count))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude * count >= span * 0.8)
    if whole:
        step = float(math.ceil(step))
    first = math.ceil(low / step)
    return [round(i * step, 12) for i in range(first, math.floor(high / step) + 1)]


def time_ticks(low: int, high: int, count: int = 10) -> list[tuple[int, str]]:
    """Return about `count` starts of years or months between two UNIX nanosecond stamps, with labels."""
    first, last = (datetime.fromtimestamp(ts / NANOSECONDS, UTC) for ts in (low, high))
    months = (last.year - first.year) * 12 + last.month - first.month
    step = next((s for s in (1, 2, 3, 6, 12, 24, 36, 60, 120) if months / s <= count), 240)
    ticks = []
    for index in range(first.year * 12, last.year * 12 + 12):
        year, month = divmod(index, 12)
        on_grid = index % step == 0 if step <= 12 else month == 0 and year % (step // 12) == 0
        ts = int(datetime(year, month + 1, 1, tzinfo=UTC).timestamp() * NANOSECONDS)
        if on_grid and low <= ts <= high:
            ticks.append((ts, f"{year}" if step >= 12 else f"{year}-{month + 1:02d}"))
    return ticks


def points(x: Array, y: Array) -> str:
    """Write pixel pairs for a path, to a tenth of a pixel."""
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))


def line(x: Array, y: Array, css: str) -> str:
    """Draw a line that breaks where `y` is NaN."""
    good = np.isfinite(y)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], good.astype(np.int8), [0]])))
    runs = zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    path = "".join(f"M{points(x[a:b], y[a:b])}" for a, b in runs if b > a)
    return f'<path class="{css}" d="{path}"/>' if path else ""


def area(x: Array, low: Array, high: Array, css: str, style: str = "") -> str:
    """Fill between two lines."""
    if not len(x):
        return ""
    path = f"M{points(x, high)} {points(x[::-1], low[::-1])}Z"
    return f'<path class="{css}" style="{style}" d="{path}"/>'


def sticks(x: Array, y: Array, base: float, css: str) -> str:
    """Draw one vertical stick for each value, from `base` to `y`."""
    path = "".join(f"M{a:.1f},{base:.1f}V{b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))
    return f'<path class="{css}" d="{path}"/>' if path else ""


def label(x: float, y: float, text: str, css: str = "tick", anchor: str = "start") -> str:
    """Write text at a pixel."""
    return f'<text class="{css}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def axes(frame: Frame, ts: LongArray, unit: str, rows: int = 6, columns: int = 10, whole: bool = False) -> str:
    """Draw grid lines and tick labels: amounts at the left (integers only where `whole`), dates below."""
    parts = []
    for value in nice_ticks(*frame.y_range, count=rows, whole=whole):
        y = float(frame.y(value))
        css = "zero" if value == 0 else "grid"
        parts.append(f'<path class="{css}" d="M{frame.left},{y:.1f}H{frame.right}"/>')
        parts.append(label(frame.left - 8, y + 4, number(value), anchor="end"))
    for stamp, text in time_ticks(int(ts[0]), int(ts[-1]), columns):
        x = float(frame.x(stamp))
        parts.append(f'<path class="grid" d="M{x:.1f},{frame.top}V{frame.bottom}"/>')
        fits = x + 4 * len(text) < frame.right + 8
        parts.append(label(x, frame.bottom + 17, text, anchor="middle" if fits else "end"))
    parts.append(label(2, frame.top - 11, unit))
    return "".join(parts)


def canvas(width: float, height: float, body: str, title: str, name: str = "") -> str:
    """Wrap a drawing; `title` is read out by screen readers."""
    identity = f' id="{name}"' if name else ""
    return (
        f'<svg{identity} viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(title, quote=True)}">'
        f"{body}</svg>"
    )
