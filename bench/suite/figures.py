"""From what was measured, one list a server and metric, to what is shown."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# For each repetition a value, or None where there is none.
Series = Sequence[float | None]
Results = Mapping[str, Mapping[str, Series]]  # of a server, of a metric


@dataclass(frozen=True)
class Figure:
    """What is shown of some values."""

    median: float
    low: float
    high: float
    count: int


def figure(values: Series) -> Figure | None:
    """The median with the smallest and the largest; None of nothing."""
    there = [value for value in values if value is not None]
    if not there:
        return None
    return Figure(statistics.median(there), min(there), max(there), len(there))


def ratios(values: Series, base: Series) -> list[float | None]:
    """Of each repetition, for what the weather did to one it did to the other."""
    return [
        None if value is None or not below else value / below
        for value, below in zip(values, base, strict=True)
    ]
