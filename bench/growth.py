"""What a message, a client and a connection cost, from few to many, small to large.

    make bench-growth [ARGS="--rounds 5 --write docs/performance.md"]

The server is that of `make bench`, on a core of its own. A message's CPU is that of
all threads of the server, in paced broadcasts whose pauses are long enough for the
round before to be over, so none saves a system call by travelling with another. A
client's memory is how much the process has grown, divided by the clients: when all are
connected and idle, and once they have been sent messages. The memory that the kernel
holds for their sockets is not in it.

A connection costs what the load client's many parallel ones cost, to be accepted and
upgraded, and to be closed; and then, as one that comes and goes alone, plain and with
TLS (a whole handshake each, with a key on P-256).
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import socket
import ssl
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from peers import ALL
from suite.jobs import QUEUE, connect, session, start_server
from suite.process import Cores, Program, cpu_ns, find_cores, memory, settle
from tables import number, origin, place, record, table
from tls_storm import context, make_pair
from wire import CLOSE, REQUEST

import wssend

WSSEND = next(peer for peer in ALL if peer.name == "wssend")
CLIENTS = (100, 1000, 5000, 9000, 18_000)
SIZES = (16, 128, 1 << 10, 16 << 10, 128 << 10, 1 << 20)
SIZE = 128  # bytes, where the clients grow
FEW = 100  # clients, where the size grows
WARM = 200  # connections before those that are timed
SPARE = 100  # descriptors that a process has for other things

Metrics = dict[str, float]
Rows = dict[tuple[str, str], list[Metrics]]


def pause_us(clients: int, size: int) -> int:
    """Between two rounds: about twice what one takes, both sides together."""
    return 5000 + clients * (40 + size // 200)


def send(clients: int, size: int, messages: int, cores: Cores) -> Metrics:
    """The CPU of a message, and how late it came."""
    rounds = max(messages // clients, 3)
    with session(WSSEND, cores, clients) as it:
        # The first round finds rings and buffers that are not yet made.
        it.measure(f"broadcast 1 0 {size}")
        found = it.measure(f"broadcast {rounds} {pause_us(clients, size)} {size}")
    assert found is not None
    return found


def hold(clients: int, cores: Cores) -> Metrics:
    """The memory of a client."""
    server, port = start_server(WSSEND, cores, QUEUE)

    def grown(name: str) -> Metrics:
        settle(server.pid)
        now, heap = memory(server.pid), server.ask("heap")["bytes"]
        return {
            f"{name} RSS": (now.rss - before.rss) / clients,
            f"{name} PSS": (now.pss - before.pss) / clients,
            f"{name} heap": (heap - heap_before) / clients,
        }

    with server:
        settle(server.pid)
        before, heap_before = memory(server.pid), server.ask("heap")["bytes"]
        with connect(server, port, cores, clients, 0) as load:
            found = grown("idle")
            for _ in range(3):
                load.ask("reset")
                server.ask(f"broadcast 3 {pause_us(clients, SIZE)} {SIZE}")
                load.ask(f"wait {3 * clients} 30000")
            return found | grown("used")


def gone(server: Program) -> None:
    """Wait until no client is left."""
    end = time.monotonic() + 30
    while server.ask("count")["clients"]:
        if time.monotonic() > end:
            raise TimeoutError("clients are still open after 30 s")
        time.sleep(0.005)
    settle(server.pid)


def come_and_go(clients: int, cores: Cores) -> Metrics:
    """The CPU of many connections that come at once, and go at once."""
    server, port = start_server(WSSEND, cores, QUEUE)
    with server:
        # Some for the memory that later ones find; not all, for each leaves a port
        # behind that cannot be used for a minute.
        with connect(server, port, cores, min(clients, WARM), 0):
            pass
        gone(server)
        start, cpu = time.monotonic(), cpu_ns(server.pid)
        with connect(server, port, cores, clients, 0) as load:
            # connect() waits for a time without work, of 50 ms and more.
            connects = cpu_ns(server.pid) - cpu
            taken = time.monotonic() - start - 0.05
            cpu = cpu_ns(server.pid)
            load.close()
            gone(server)
            closes = cpu_ns(server.pid) - cpu
    return {
        "connect": connects / clients,
        "close": closes / clients,
        "rate": clients / taken,
    }


def visit(port: int, tls: ssl.SSLContext | None) -> None:
    """Connect, be upgraded, close, and read to the end."""
    raw: socket.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with raw if tls is None else tls.wrap_socket(raw) as sock:
        sock.sendall(REQUEST)
        answer = sock.recv(4096)
        assert b" 101 " in answer, answer
        sock.sendall(CLOSE)
        with suppress(ssl.SSLEOFError):
            while sock.recv(4096):
                pass


def visits(control: Connection, count: int, secure: bool, core: int) -> None:
    """One after the other, in a process of its own; a message begins and ends them."""
    os.sched_setaffinity(0, {core})
    tls = context() if secure else None
    control.send("ready")
    port = control.recv()
    for _ in range(count):
        visit(port, tls)
    control.send("done")


def cycle(count: int, secure: bool, cores: Cores) -> Metrics:
    """The CPU of a connection that comes and goes; the hub is in this process."""
    spawn = multiprocessing.get_context("spawn")
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cores.server})
    try:
        with tempfile.TemporaryDirectory() as folder, wssend.WSHub() as hub:
            pair = make_pair(folder) if secure else None
            port = hub.listen("127.0.0.1", 0, tls_cert=pair).port
            ours, theirs = spawn.Pipe()
            share = (theirs, count, secure, cores.load)
            child = spawn.Process(target=visits, args=share, daemon=True)
            child.start()
            theirs.close()  # so that its end is seen if it fails
            ours.recv()
            cpu, start = time.process_time_ns(), time.monotonic()
            ours.send(port)
            ours.recv()
            cpu, taken = time.process_time_ns() - cpu, time.monotonic() - start
            child.join()
    finally:
        os.sched_setaffinity(0, usable)
    return {"cycle": cpu / count, "rate": count / taken}


def possible(clients: Iterable[int]) -> list[int]:
    """Those that the limit on descriptors allows, the same for both sides."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    return [count for count in clients if count <= limit - SPARE]


Job = tuple[tuple[str, str], Callable[[Cores], Metrics]]


def jobs(args: argparse.Namespace) -> list[Job]:
    """What each round measures, by table and row."""
    counts = possible(args.clients)
    found: list[Job] = []
    for count in counts:
        name = f"{count:,} clients, {SIZE} B"
        found.append((("message", name), partial(send, count, SIZE, args.messages)))
    few = min(FEW, *counts)
    for size in args.sizes:
        if (few, size) == (counts[0], SIZE):
            continue  # it is there already
        name = f"{few} clients, {size:,} B"
        messages = min(args.messages, max(args.megabytes * 1_000_000 // size, few))
        found.append((("message", name), partial(send, few, size, messages)))
    for count in counts:
        name = f"{count:,} clients"
        found.append((("memory", name), partial(hold, count)))
        name = f"{count:,}, 64 at a time"
        found.append((("connection", name), partial(come_and_go, count)))
    for secure, what in ((False, "plain"), (True, "TLS")):
        name = f"one after the other, {what}"
        found.append((("connection", name), partial(cycle, args.visits, secure)))
    return found


COLUMNS: dict[str, list[tuple[str, str, float]]] = {
    "message": [
        ("CPU, us", "cpu", 1e3),
        ("latency p50, ms", "p50", 1e6),
        ("p99", "p99", 1e6),
        ("p99.9", "p999", 1e6),
        ("refused", "refused", 1),
    ],
    "memory": [
        (f"{when}: {what}, kB", f"{when} {what}", 1e3)
        for when in ("idle", "used")
        for what in ("RSS", "PSS", "heap")
    ],
    "connection": [
        ("CPU to connect, us", "connect", 1e3),
        ("CPU to close, us", "close", 1e3),
        ("for both", "cycle", 1e3),
        ("a second", "rate", 1),
    ],
}


def cell(values: list[float], unit: float) -> str:
    """The median, with the smallest and the largest."""
    if not values:
        return ""
    low, high = number(min(values) / unit), number(max(values) / unit)
    middle = number(statistics.median(values) / unit)
    return middle if low == high else f"{middle} ({low}-{high})"


def shown(rows: Rows) -> str:
    """The tables."""
    text = ""
    for kind, columns in COLUMNS.items():
        lines = [
            [
                name,
                *(
                    cell([each[key] for each in found if key in each], unit)
                    for _, key, unit in columns
                ),
            ]
            for (of, name), found in rows.items()
            if of == kind
        ]
        text += "\n" + table([f"a {kind}", *(c[0] for c in columns)], lines)
    return text


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, nargs="+", default=CLIENTS)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--messages", type=int, default=50_000, help="for each row")
    parser.add_argument("--megabytes", type=int, default=1000, help="at most, a row")
    parser.add_argument("--visits", type=int, default=1000)
    parser.add_argument("--write", type=Path, help="put the tables into this page")
    args = parser.parse_args()
    rows: Rows = {}
    cores = find_cores()
    for _ in range(args.rounds):
        for key, job in jobs(args):
            rows.setdefault(key, []).append(job(cores))
    text = origin("bench-growth", args.rounds) + "\n" + shown(rows)
    print(text, end="")
    record("growth", {" / ".join(key): found for key, found in rows.items()})
    if args.write is not None:
        place(args.write, "growth", text)


if __name__ == "__main__":
    main()
