"""The same as a picture, drawn with matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .figures import Figure, figure
from .report import FLOOR, Column, paid, series
from .runner import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS = (
    ("Broadcast at a pace\nCPU of a message, x floor", paid("paced")[0]),
    ("Broadcast in a closed loop\nCPU of a message, x floor", paid("closed")[0]),
    ("Sends one by one\nCPU of a message, x floor", paid("unicast")[0]),
    ("One send() call\nns", Column("", "send_ns")),
    ("An idle connection\nRSS of the server, kB", Column("", "idle_rss", 1e3)),
    ("Some never read\np99 of the others, ms", Column("", "slow_p99", 1e6)),
)
OURS, FLOORS, THEIRS = "#1f6feb", "#8b949e", "#d0d7de"


def found(record: Record, column: Column) -> list[tuple[str, Figure]]:
    """Servers and their figures, the largest first."""
    figures = [(name, figure(series(record, name, column))) for name in record.results]
    there = [(name, value) for name, value in figures if value is not None]
    return sorted(there, key=lambda pair: -pair[1].median)


def colour(name: str) -> str:
    """Ours, the floor, others."""
    return FLOORS if name == FLOOR else OURS if name.startswith("wssend") else THEIRS


def draw(axes: Axes, record: Record, title: str, column: Column) -> None:
    """One panel: a bar for each server, a line from the smallest to the largest."""
    bars = found(record, column)
    names = [name for name, _ in bars]
    if not bars:
        axes.set_axis_off()
        return
    values = [value.median / column.unit for _, value in bars]
    below = [(value.median - value.low) / column.unit for _, value in bars]
    above = [(value.high - value.median) / column.unit for _, value in bars]
    colours = [colour(name) for name, _ in bars]
    shown = axes.barh(names, values, color=colours, xerr=[below, above], capsize=2)
    axes.bar_label(shown, fmt="%.2f", padding=3, fontsize=8)
    axes.set_title(title, loc="left", fontsize=10)
    axes.margins(x=0.15)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    if column.to_floor:
        axes.axvline(1, color=FLOORS, linewidth=0.8, linestyle="--")


def plot(record: Record, file: Path) -> None:
    """Write the picture; the name's ending says in which format."""
    import matplotlib

    matplotlib.use("agg")
    matplotlib.rcParams["svg.fonttype"] = "none"  # letters, not their outlines
    matplotlib.rcParams["svg.hashsalt"] = "wssend"  # the same again, byte for byte
    from matplotlib import pyplot

    count = max(len(record.results), 3)
    picture, axes = pyplot.subplots(3, 2, figsize=(11, 3 + 0.9 * count))
    for place, (title, column) in zip(axes.flat, PANELS, strict=True):
        draw(place, record, title, column)
    picture.text(0.01, 0.005, f"{record.date}, {record.machine}", fontsize=7)
    picture.tight_layout(rect=(0, 0.02, 1, 1))
    plain = {"Date": None} if file.suffix == ".svg" else {}
    picture.savefig(file, dpi=150, metadata=plain)
    pyplot.close(picture)
