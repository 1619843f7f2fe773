"""What the measuring programs of bench/ share: figures, tables, records."""

from __future__ import annotations

import datetime
import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "build" / "bench"


@dataclass(frozen=True, slots=True)
class Spread:
    """How measured values are spread, in their own unit."""

    count: int
    mean: float
    p50: float
    p99: float
    p999: float
    worst: float


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that so large a share of all does not exceed.

    >>> quantile([1, 2, 3, 4], 0.5), quantile([1, 2, 3, 4], 0.99)
    (2, 4)
    """
    rank = -int(-share * len(ordered) // 1)  # rounded up
    return ordered[min(max(rank, 1), len(ordered)) - 1]


def spread(values: Sequence[float], less: float = 0.0) -> Spread:
    """Of values that are each too large by `less`; none becomes negative."""
    ordered = sorted(max(value - less, 0.0) for value in values)
    if not ordered:
        ordered = [float("nan")]
    p50, p99, p999 = (quantile(ordered, share) for share in (0.5, 0.99, 0.999))
    mean = sum(ordered) / len(ordered)
    return Spread(len(values), mean, p50, p99, p999, ordered[-1])


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line through points: where it stands at 0, and how it climbs."""

    start: float
    slope: float
    error: float  # standard error of the slope


def fit(xs: Sequence[float], ys: Sequence[float]) -> Line:
    """The line of least squares; at least three points, not all at one x.

    >>> fit([0, 1, 2], [1, 3, 5])
    Line(start=1.0, slope=2.0, error=0.0)
    """
    count = len(xs)
    mean_x, mean_y = sum(xs) / count, sum(ys) / count
    wide = sum((x - mean_x) ** 2 for x in xs)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / wide
    start = mean_y - slope * mean_x
    rest = sum((y - start - slope * x) ** 2 for x, y in zip(xs, ys, strict=True))
    return Line(start, slope, (rest / (count - 2) / wide) ** 0.5)


def number(value: float | None) -> str:
    """Three digits that count; empty for what was not measured.

    >>> number(0.1234), number(12.34), number(5123.4), number(None)
    ('0.123', '12.3', '5,123', '')
    """
    if value is None or value != value:
        return ""
    digits = 3 if abs(value) < 1 else 2 if abs(value) < 10 else 1
    return f"{value:,.{digits if abs(value) < 100 else 0}f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """In Markdown, its columns as wide as they need."""
    wide = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = [head, ["-" * size for size in wide], *rows]
    return "".join(
        "| "
        + " | ".join(text.ljust(size) for text, size in zip(line, wide, strict=True))
        + " |\n"
        for line in lines
    )


def command(target: str) -> str:
    """What has called this program by way of make; where it writes to is left out."""
    words = sys.argv[1:]
    if "--write" in words:
        at = words.index("--write")
        del words[at : at + 2]
    return f'make {target} ARGS="{" ".join(words)}"' if words else f"make {target}"


def origin(target: str, rounds: int = 1) -> str:
    """When, where and how something was measured."""
    cores = len(os.sched_getaffinity(0))
    often = f", {rounds} rounds" if rounds > 1 else ""
    system = f"Linux {platform.release().split('-')[0]}"
    python = f"Python {platform.python_version()}"
    return (
        f"Measured {datetime.date.today()} by `{command(target)}`{often}, {cores} "
        f"cores, {system}, {python}."
    )


def place(page: Path, name: str, text: str) -> None:
    """Put a text between the marks of that name in a page; make one without."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    old = page.read_text() if page.exists() else ""
    before, found, rest = old.partition(begin)
    _, ended, after = rest.partition(end)
    if found and not ended:
        raise ValueError(f"{page} has no {end.strip()}")
    page.write_text(f"{before}{begin}{text}{end}{after}")


def record(name: str, what: object) -> Path:
    """Keep what was measured, as JSON."""
    RECORDS.mkdir(parents=True, exist_ok=True)
    path = RECORDS / f"{name}.json"
    path.write_text(json.dumps(what, indent=1, default=str) + "\n")
    return path
