"""The table: what was measured, as plain text and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .figures import Figure, Series, figure, ratios
from .runner import Record

FLOOR = "floor"
NONE = "-"


@dataclass(frozen=True)
class Column:
    """What stands under a heading.

    Attributes:
        title: The heading.
        metric: What is shown, divided by `unit`.
        unit: What one of it is in the metric's own unit.
        form: How a number is written.
        to_floor: Divided by the floor's in the same repetition, instead.
        by: Divided by this metric of the same server in the same repetition,
            instead.
        spread: Whether the smallest and the largest stand beside the median.
    """

    title: str
    metric: str
    unit: float = 1.0
    form: str = ".1f"
    to_floor: bool = False
    by: str | None = None
    spread: bool = False


@dataclass(frozen=True)
class Table:
    """One job: its rows are the servers, the best first."""

    title: str
    columns: tuple[Column, ...]


def latencies(job: str) -> tuple[Column, ...]:
    """How late messages came."""
    names = (("p50", "p50"), ("p99", "p99"), ("p999", "p99.9"))
    return tuple(
        Column(f"{title} ms", f"{job}_{name}", 1e6, ".2f") for name, title in names
    )


def paid(job: str) -> tuple[Column, ...]:
    """What a message took of the server's CPU."""
    return (
        Column("x floor", f"{job}_cpu", form=".2f", to_floor=True, spread=True),
        Column("CPU us", f"{job}_cpu", 1e3, ".2f", spread=True),
    )


def refused(job: str) -> Column:
    """Messages that found no room."""
    return Column("refused", f"{job}_refused", form=".0f")


def rate(job: str) -> Column:
    """Thousands of messages in a second."""
    return Column("k/s", f"{job}_rate", 1e3, ".0f")


def broadcasts(scale: Mapping[str, int]) -> Iterator[Table]:
    """To all and to each."""
    to = f"{scale['clients']} clients, {scale['size']} B"
    pace = 1_000_000 // scale["paced_interval"]
    yield Table(
        f"Broadcast at a pace: {to}, {pace} a second",
        (*paid("paced"), *latencies("paced"), refused("paced")),
    )
    yield Table(
        f"Broadcast in a closed loop: {to}, {scale['window']} rounds in flight",
        (*paid("closed"), rate("closed"), *latencies("closed")),
    )
    yield Table(
        f"Sends one by one: {to}, one round in flight",
        (*paid("unicast"), rate("unicast"), *latencies("unicast")),
    )
    yield Table(
        "One send() call, as the application sees it",
        (Column("ns", "send_ns", form=".0f", spread=True),),
    )


def crowds(scale: Mapping[str, int]) -> Iterator[Table]:
    """Those who are there, and cost nothing or ought to."""
    few, many = scale["few"], scale["crowd"]
    yield Table(
        f"Memory of the server for an idle connection, one of {many}",
        (
            Column("RSS kB", "idle_rss", 1e3, ".2f", spread=True),
            Column("PSS kB", "idle_pss", 1e3, ".2f", spread=True),
            Column("C heap kB", "idle_heap", 1e3, ".2f", spread=True),
        ),
    )
    alone, every = f"{few} of {few}", f"{many} of {many}"
    yield Table(
        f"{few} active of {many} open",
        (
            Column(f"x {alone}", "few_cpu", form=".2f", by="alone_cpu", spread=True),
            Column(f"x {every}", "few_cpu", form=".2f", by="all_cpu", spread=True),
            Column("CPU us", "few_cpu", 1e3, ".2f"),
            Column(f"{alone} us", "alone_cpu", 1e3, ".2f"),
            Column(f"{every} us", "all_cpu", 1e3, ".2f"),
        ),
    )
    pace = 1_000_000 // scale["slow_interval"]
    yield Table(
        f"{scale['stalled']} of {scale['clients']} never read: "
        f"{scale['slow_size']} B, {pace} a second; the others wait",
        (
            Column("p99 ms", "slow_p99", 1e6, ".2f", spread=True),
            Column("p50 ms", "slow_p50", 1e6, ".2f"),
            Column("p99.9 ms", "slow_p999", 1e6, ".2f"),
            Column("CPU us", "slow_cpu", 1e3, ".2f"),
            refused("slow"),
            Column("RSS grew MB", "slow_grown", 1e6, ".1f"),
        ),
    )


def tables(record: Record) -> list[Table]:
    """All of them, in order."""
    return [*broadcasts(record.scale), *crowds(record.scale)]


def series(record: Record, name: str, column: Column) -> Series:
    """A server's values for a column."""
    nothing: Series = [None] * record.scale["repetitions"]
    own = record.results.get(name, {})
    values = own.get(column.metric, nothing)
    if column.to_floor:
        floor = record.results.get(FLOOR, {})
        return ratios(values, floor.get(column.metric, nothing))
    if column.by is not None:
        return ratios(values, own.get(column.by, nothing))
    return values


def cell(found: Figure | None, column: Column) -> str:
    """A figure as text."""
    if found is None:
        return NONE
    low, median, high = (
        format(value / column.unit, column.form)
        for value in (found.low, found.median, found.high)
    )
    if column.spread and found.count > 1:
        return f"{median} ({low}-{high})"
    return median


def rows(record: Record, table: Table) -> list[list[str]]:
    """The cells, with the least of the first column first, and the floor above."""

    def rank(name: str) -> tuple[bool, float]:
        found = figure(series(record, name, table.columns[0]))
        return name != FLOOR, found.median if found else float("inf")

    found = []
    for name in sorted(record.results, key=rank):
        figures = [figure(series(record, name, column)) for column in table.columns]
        if any(figures):
            cells = map(cell, figures, table.columns)
            found.append([record.titles[name], *cells])
    return found


def padded(lines: Sequence[Sequence[str]]) -> Iterator[list[str]]:
    """Cells as wide as the widest of their column, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for first, *rest in lines:
        numbers = [
            text.rjust(width) for text, width in zip(rest, widths[1:], strict=True)
        ]
        yield [first.ljust(widths[0]), *numbers]


def head(record: Record) -> str:
    """When, where, how often."""
    times = record.scale["repetitions"]
    often = f"medians of {times} interleaved repetitions (smallest-largest)"
    parts = [record.date, record.machine, record.cores, often if times > 1 else "once"]
    return "; ".join(parts)


def remarks(record: Record) -> list[str]:
    """Who is not in the tables, and why."""
    skipped = [
        f"skipped: {record.titles[name]}: {why}" for name, why in record.skipped.items()
    ]
    return skipped + [f"failed: {what}" for what in record.failed]


def text(record: Record) -> str:
    """For a terminal."""
    parts = [head(record)]
    for table in tables(record):
        lines = [["", *(column.title for column in table.columns)]]
        lines += rows(record, table)
        if len(lines) > 1:
            shown = ["  ".join(line).rstrip() for line in padded(lines)]
            parts.append("\n".join([table.title, *shown]))
    if remarks(record):
        parts.append("\n".join(remarks(record)))
    return "\n\n".join(parts)


def markdown(record: Record) -> str:
    """For a document."""
    parts = [f"{head(record)}."]
    for table in tables(record):
        lines = rows(record, table)
        if lines:
            titles = ["server", *(column.title for column in table.columns)]
            rule = ["---", *("---:" for _ in table.columns)]
            cells = [f"| {' | '.join(line)} |" for line in [titles, rule, *lines]]
            parts.append("\n".join([f"**{table.title}**", "", *cells]))
    if remarks(record):
        parts.append("\n".join(f"- {remark}" for remark in remarks(record)))
    return "\n\n".join(parts) + "\n"


BEGIN, END = "<!-- suite -->\n", "<!-- end of suite -->\n"


def write(record: Record, file: Path) -> None:
    """Between its two marks, where the file has them; otherwise it is all there is."""
    before, begin, behind = "", "", ""
    if file.exists():
        before, begin, rest = file.read_text().partition(BEGIN)
        _, end, behind = rest.partition(END)
        if begin and not end:
            raise ValueError(f"{file} has no {END.strip()}")
    shown = markdown(record)
    if begin:
        shown = f"{before}{BEGIN}{shown}{END}{behind}"
    file.write_text(shown)
