"""Runs all servers once a repetition, in an order that rotates."""

from __future__ import annotations

import datetime
import os
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from peers import Peer

from .jobs import SESSIONS, Scale
from .prepare import UnavailableError, prepare
from .process import Cores, Fault


@dataclass
class Record:
    """All that a run has found out; it can be written as JSON, and read again."""

    date: str
    machine: str
    cores: str
    scale: dict[str, Any]
    titles: dict[str, str]
    skipped: dict[str, str] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    # Of a server, of a metric: a value for each repetition.
    results: dict[str, dict[str, list[float | None]]] = field(default_factory=dict)


def say(text: str) -> None:
    """To whoever waits."""
    print(text, file=sys.stderr, flush=True)


def begin(peers: Sequence[Peer], cores: Cores, scale: Scale) -> Record:
    """A record without results."""
    placed = f"server on core {cores.server}, load on core {cores.load}"
    if cores.shared:
        placed = "server and load share the only core: latencies say little"
    return Record(
        date=datetime.date.today().isoformat(),
        machine=f"{os.cpu_count()} cores, Linux {platform.release().split('-')[0]}, "
        f"Python {platform.python_version()}",
        cores=placed,
        scale=asdict(scale),
        titles={peer.name: peer.title for peer in peers},
    )


def prepare_all(peers: Sequence[Peer], record: Record) -> list[Peer]:
    """Those that can run; why the others cannot is noted."""
    able = []
    for peer in peers:
        try:
            prepare(peer)
        except UnavailableError as error:
            record.skipped[peer.name] = str(error)
            say(f"{peer.name} is skipped: {error}")
        else:
            able.append(peer)
    return able


def rotated(peers: Sequence[Peer], repetition: int) -> list[Peer]:
    """Another one begins each time."""
    start = repetition % len(peers)
    return [*peers[start:], *peers[:start]]


def note(record: Record, peer: Peer, repetition: int, found: dict[str, float]) -> None:
    """Put values into their place."""
    if not found:
        return
    count = record.scale["repetitions"]
    series = record.results.setdefault(peer.name, {})
    for name, value in found.items():
        series.setdefault(name, [None] * count)[repetition] = value


def run(
    peers: Sequence[Peer],
    cores: Cores,
    scale: Scale,
    sessions: Sequence[str] = tuple(SESSIONS),
    tell: Callable[[str], None] = say,
) -> Record:
    """Measure. A server that fails does so alone and is noted; what it did before
    counts, and the session in which it failed is not tried again."""
    record = begin(peers, cores, scale)
    able = prepare_all(peers, record)
    broken: set[tuple[str, str]] = set()
    for repetition in range(scale.repetitions):
        for name in sessions:
            for peer in rotated(able, repetition):
                if (peer.name, name) in broken:
                    continue
                tell(f"{repetition + 1}/{scale.repetitions} {name}: {peer.title}")
                found: dict[str, float] = {}
                try:
                    SESSIONS[name](peer, cores, scale, found)
                except (Fault, OSError) as fault:
                    record.failed.append(f"{peer.title}: {name}: {fault}")
                    broken.add((peer.name, name))
                    tell(f"  failed: {fault}")
                note(record, peer, repetition, found)
    return record
