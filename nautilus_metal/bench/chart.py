"""The results on one picture: how far above the floor, and how far from the strongest peer."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nautilus_metal.bench.case import Result, strongest
from nautilus_metal.bench.table import size_text, time_text
from nautilus_metal.errors import InputError
from nautilus_metal.report.picture import AMBER, BLUE, INK, RED, SOFT, blank_figure

NAMES = ("bench.svg", "bench.png")
_FAR = 1e3  # times the floor; points beyond are drawn at the edge


def write_chart(results: Sequence[Result], environment: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw the rows that have a measured peer, as SVG and PNG.

    Parameters
    ----------
    results : sequence of Result
        Of one machine.
    environment : mapping
        What `table.environment` says.
    folder : Path
        Where to write, made if it is not there.

    Returns
    -------
    list of Path
        The files; none where no row has a measured peer.

    Raises
    ------
    InputError
        If Matplotlib is not installed, or the folder cannot be written.
    """
    shown = strongest(results)
    if not shown:
        return []
    figure = blank_figure()
    figure.set_size_inches(15.5, 1.9 + 0.36 * len(shown))
    top = 1 - 1.15 / figure.get_figheight()
    grid = figure.add_gridspec(1, 2, width_ratios=[1.25, 1], wspace=0.05, left=0.26, right=0.78, top=top,
                               bottom=0.62 / figure.get_figheight())  # fmt: skip
    panels = figure.add_subplot(grid[0]), figure.add_subplot(grid[1])
    _heading(figure, environment)
    _floors(panels[0], shown)
    _ratios(panels[1], shown)
    for panel in panels:
        _plain(panel, len(shown))
    panels[0].set_yticks(range(len(shown)), [f"{row.case}: {size_text(row)}" for row in shown])
    panels[1].set_yticks([])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in NAMES:
            figure.savefig(folder / name)
    except OSError as error:
        raise InputError(f"`out` must be a folder that can be written: {error}") from None
    return [folder / name for name in NAMES]


def _heading(figure: Any, environment: Mapping[str, Any]) -> None:
    height = figure.get_figheight()
    about = f"{environment['device_name']}, {environment['cores']} CPU cores, {environment['date']}"
    figure.text(0.012, 1 - 0.36 / height, "Time of every case", fontsize=15, fontweight="bold", color=INK)
    figure.text(0.012, 1 - 0.62 / height, about, fontsize=10, color=SOFT)


def _plain(panel: Any, rows: int) -> None:
    panel.set_ylim(rows - 0.4, -0.6)
    panel.spines[["top", "right", "left"]].set_visible(False)
    panel.spines["bottom"].set_color("#aab3bd")
    panel.tick_params(colors=SOFT, labelsize=9, length=0)
    panel.grid(axis="x", color="#e6eaee", linewidth=0.8)
    panel.set_axisbelow(True)
    panel.minorticks_off()
    panel.xaxis.set_major_formatter("{x:g}")
    for row in range(0, rows, 2):
        panel.axhspan(row - 0.5, row + 0.5, color="#f6f8fa", zorder=-1)


def _floors(panel: Any, shown: Sequence[Result]) -> None:
    """Ours and the strongest peer in multiples of the floor, on a logarithmic axis."""
    panel.set_xscale("log")
    panel.axvline(1.0, color=INK, linewidth=1.2)
    for y, row in enumerate(shown):
        assert row.ours is not None
        assert row.theirs is not None
        if row.floor is None:
            panel.text(1.15, y, "no floor stated", fontsize=8, color=SOFT, va="center")
            continue
        mine, its = (min(spread.median / row.floor, _FAR) for spread in (row.ours, row.theirs))
        panel.plot([mine, its], [y, y], color="#c3ccd5", linewidth=2, zorder=1)
        panel.plot([its], [y], "s", color=AMBER, markersize=6.5, zorder=2)
        panel.plot([mine], [y], "o", color=BLUE, markersize=7.5, zorder=3)
    panel.plot([], [], "o", color=BLUE, label="ours")
    panel.plot([], [], "s", color=AMBER, label="strongest peer")
    panel.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False, fontsize=9, labelcolor=SOFT)
    panel.set_title("Time in multiples of the floor", loc="left", fontsize=10, color=INK)


def _ratios(panel: Any, shown: Sequence[Result]) -> None:
    """The peer's time over ours, with the middle half of the rounds."""
    panel.set_xscale("log")
    panel.axvline(1.0, color=INK, linewidth=1.2)
    for y, row in enumerate(shown):
        assert row.ratio is not None
        assert row.theirs is not None
        ratio, ahead = row.ratio, row.ratio.median >= 1.0
        color = BLUE if ahead else RED
        panel.plot([max(ratio.low, 1e-9), max(ratio.high, 1e-9)], [y, y], color=color, linewidth=3, alpha=0.35)
        panel.plot([ratio.median], [y], "o", color=color, markersize=6)
        words = f"{ratio.median:.3g}: {row.peer}, {time_text(row.theirs.median)}"
        panel.annotate(words, (1.02, y), xycoords=("axes fraction", "data"), va="center", fontsize=8.5, color=SOFT)
    panel.set_title("Strongest peer's time over ours (above 1, ours is faster)", loc="left", fontsize=10, color=INK)
