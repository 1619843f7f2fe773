"""The servers that the benchmark knows: what each needs, and how it is started.

Each speaks the protocol of bench/README.md. A new one is a file or a folder in
bench/servers and an entry here; `make bench PEERS="NAME ..."` then takes its name,
or the name of its group.

In `prepare` and `command`, {build} is the group's folder under build/bench, {servers}
is bench/servers, {programs} is where CMake puts the programs of bench/, and {python}
is the Python that wssend is installed for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One server.

    Attributes:
        name: What chooses it, and names it in the results.
        title: What the tables and the plot call it.
        group: What else chooses it, and whose folder it is built in: all of a group
            share what `prepare` makes.
        needs: Programs that must be on PATH; without one the peer is skipped.
        inputs: Files or folders in bench/servers that `prepare` reads; it runs again
            when one of them has changed.
        prepare: Commands that build or install the server, run in bench/servers one
            after the other. When one fails the peer is skipped, with the last line
            that it printed.
        command: What starts the server; --port 0 --queue N is added.
        environment: More environment variables for it.
        default: Whether it is in the table when nothing is chosen.
    """

    name: str
    title: str
    group: str
    command: tuple[str, ...]
    needs: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    prepare: tuple[tuple[str, ...], ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    default: bool = True


FLOOR = Peer(
    name="floor",
    title="floor (C, one send() a message)",
    group="floor",
    command=("{programs}/bench_floor",),
)

WSSEND = ("{python}", "{servers}/wssend_server.py")

ALL = (
    FLOOR,
    Peer(
        name="wssend",
        title="wssend",
        group="wssend",
        command=WSSEND,
    ),
    Peer(
        name="wssend-gil",
        title="wssend, release_gil=False",
        group="wssend",
        command=(*WSSEND, "--release-gil", "0"),
    ),
    # Those that follow are other people's, each as its users would write it.
)
