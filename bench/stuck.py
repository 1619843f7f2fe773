"""What clients notice of a Python thread that keeps the GIL for seconds: nothing.

    .venv/bin/python bench/stuck.py [--seconds 3]

A process of its own has three kinds of clients of one hub. One sends a ping every two
milliseconds and times the pong. One takes messages at an even pace out of a queue that
was filled before, and notes the longest time without one. And every fifty milliseconds
a new one connects, is answered 101, and leaves. They do so while the only Python thread
of the server sleeps, and again while it is inside a C function that keeps the GIL.
"""

from __future__ import annotations

import argparse
import ctypes
import multiprocessing
import socket
import time
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection

from tables import Spread, number, spread, table
from wire import CLOSE, PING, PONG_SIZE, REQUEST

import wssend

PACE = 0.002  # seconds between two pings
VISITS = 25  # pings for each client that comes and goes
MESSAGE = bytes(16384)
FRAME = len(MESSAGE) + 4
EACH = 5  # pings for each message that is taken


@dataclass(frozen=True)
class Noticed:
    """By the clients, in seconds."""

    pongs: Spread
    handshakes: Spread
    taken: int  # messages from the queue
    drought: float  # the longest time in which none was there


def upgraded(port: int, receive_buffer: int | None = None) -> socket.socket:
    sock = socket.socket()
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(30)
    sock.connect(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(REQUEST)
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += sock.recv(1)
    assert b" 101 " in answer
    return sock


def read(sock: socket.socket, size: int) -> None:
    """So many bytes, whatever they are."""
    while size > 0:
        got = sock.recv(size)
        assert got, "the server has closed"
        size -= len(got)


def timed_ping(sock: socket.socket) -> float:
    start = time.monotonic()
    sock.sendall(PING)
    read(sock, PONG_SIZE)
    return time.monotonic() - start


def timed_visit(port: int) -> float:
    start = time.monotonic()
    with upgraded(port) as sock:
        taken = time.monotonic() - start
        sock.sendall(CLOSE)
    return taken


def watch(port: int, control: Connection) -> None:
    """The clients: each pair of messages on the pipe begins and ends a row."""
    with upgraded(port) as pinging, upgraded(port, 4096) as queue:
        control.send("ready")
        while control.recv() == "begin":
            pongs, visits, taken, drought = [], [], 0, 0.0
            while not control.poll():
                pongs.append(timed_ping(pinging))
                if len(pongs) % VISITS == 0:
                    visits.append(timed_visit(port))
                if len(pongs) % EACH == 0:
                    start = time.monotonic()
                    read(queue, FRAME)
                    drought = max(drought, time.monotonic() - start)
                    taken += 1
                time.sleep(PACE)
            assert control.recv() == "end"
            noticed = Noticed(spread(pongs), spread(visits), taken, drought)
            control.send(noticed)


def keep_gil(seconds: float) -> None:
    """PyDLL does not give the GIL away for the time of the call."""
    ctypes.PyDLL(None).usleep(round(seconds * 1e6))


def measure(seconds: float) -> dict[str, Noticed]:
    """With a thread that sleeps, and with one that keeps the GIL."""
    spawn = multiprocessing.get_context("spawn")
    messages = round(seconds / PACE / EACH) + 64  # more than will be taken
    rows = {}
    with wssend.WSHub(
        send_queue=2 * messages, send_queue_bytes=2 * messages * len(MESSAGE)
    ) as hub:
        port = hub.listen("127.0.0.1", 0).port
        assert port is not None
        ours, theirs = spawn.Pipe()
        watcher = spawn.Process(target=watch, args=(port, theirs), daemon=True)
        watcher.start()
        assert ours.recv() == "ready"
        (queue,) = [client for client in hub.clients() if is_last(hub, client)]
        for what, wait in (("sleeps", time.sleep), ("keeps the GIL", keep_gil)):
            for _ in range(messages):
                queue.send(MESSAGE)
            ours.send("begin")
            wait(seconds)
            ours.send("end")
            rows[what] = ours.recv()
        ours.send("over")
        watcher.join()
        hub.close(timeout=0)
    return rows


def is_last(hub: wssend.WSHub, client: wssend.WSClient) -> bool:
    """The watcher connects its two clients one after the other."""
    return client is min(hub.clients(), key=lambda each: each.stats().age)


HEAD = [
    "the server's Python thread",
    "ping to pong, ms: p50",
    "p99",
    "worst",
    "pings",
    "handshake, ms: p50",
    "worst",
    "queued messages taken",
    "longest wait for one, ms",
]


def cells(what: str, noticed: Noticed) -> list[str]:
    pongs, visits = noticed.pongs, noticed.handshakes
    ms = [1000 * value for value in (pongs.p50, pongs.p99, pongs.worst)]
    return [
        what,
        *map(number, ms),
        str(pongs.count),
        number(1000 * visits.p50),
        number(1000 * visits.worst),
        str(noticed.taken),
        number(1000 * noticed.drought),
    ]


def both(seconds: float) -> tuple[str, dict[str, object]]:
    """The table, and what to keep."""
    rows = measure(seconds)
    text = table(
        HEAD, [cells(f"{what} for {seconds:g} s", row) for what, row in rows.items()]
    )
    return text, {what: asdict(row) for what, row in rows.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    args = parser.parse_args()
    print(both(args.seconds)[0], end="")


if __name__ == "__main__":
    main()
