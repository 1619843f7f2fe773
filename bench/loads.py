"""Clients of the load program for a hub in the process that measures."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from suite.prepare import programs
from suite.process import START_LIMIT, Fault, Program, find_cores

import wssend


@contextmanager
def load(port: int, clients: int, stalled: int = 0) -> Iterator[Program]:
    """So many connections; the last of them, as many as are stalled, read nothing."""
    words = ["--port", str(port), "--conns", str(clients), "--stall", str(stalled)]
    command = [str(programs() / "bench_load"), *words]
    with Program(command, find_cores().load) as program:
        if program.read(START_LIMIT) != "ready":
            raise Fault("the load client does not begin with `ready`")
        yield program


@contextmanager
def connected(hub: wssend.WSHub, clients: int, stalled: int = 0) -> Iterator[Program]:
    """The same, open on the hub's side, too; the hub is closed in the end."""
    port = hub.listen("127.0.0.1", 0).port
    assert port is not None
    with load(port, clients, stalled) as program:
        end = time.monotonic() + START_LIMIT
        while len(hub) < clients:
            if time.monotonic() > end:
                raise Fault(f"{len(hub)} clients of {clients} are open")
            time.sleep(0.01)
        try:
            yield program
        finally:
            hub.close(timeout=10)
