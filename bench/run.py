"""What one send() costs the application, beside what Python code does today.

    make bench [ARGS="--rounds 9 --calls 20000"]

Each round times every row once, so that all rows meet the same weather; a row's
figure is its median over the rounds, with the smallest and the largest. The machine
is shared: read the ratios, not the nanoseconds.

The clients are real connections on loopback, drained by a process of their own. The
pump is kept awake by its own work; the paced row shows what a send costs that has to
wake it from sleep.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import queue
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import wssend

PAYLOAD = b"x" * 128
REQUEST = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


@contextmanager
def drained_clients(
    hub: wssend.WSHub, count: int, headers: bytes = b""
) -> Iterator[list[wssend.WSClient]]:
    """Connects `count` clients from a child process that reads and forgets."""
    port = hub.listen("127.0.0.1", 0).port
    child = os.fork()
    if child == 0:
        drain(port or 0, count, headers)
    try:
        deadline = time.monotonic() + 30
        while len(hub) < count:
            if time.monotonic() > deadline:
                sys.exit("the clients did not connect within 30 s")
            time.sleep(0.01)
        yield hub.clients()
    finally:
        hub.close(timeout=5)
        os.waitpid(child, 0)


def drain(port: int, count: int, headers: bytes) -> None:
    """Never returns: reads until every connection has ended."""
    import selectors

    selector = selectors.DefaultSelector()
    for _ in range(count):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.sendall(REQUEST + headers + b"\r\n")
        selector.register(sock, selectors.EVENT_READ)
    while count:
        for key, _ in selector.select():
            assert isinstance(key.fileobj, socket.socket)
            if not key.fileobj.recv(1 << 20):
                selector.unregister(key.fileobj)
                key.fileobj.close()
                count -= 1
    os._exit(0)


def timed(call: Callable[[bytes], object], calls: int) -> float:
    """Nanoseconds a call."""
    start = time.perf_counter_ns()
    for _ in range(calls):
        call(PAYLOAD)
    return (time.perf_counter_ns() - start) / calls


def send_row(hub: wssend.WSHub, clients: list[wssend.WSClient], calls: int) -> float:
    """Bursts that fit into a channel, round robin; flushed outside the clock."""
    total, done = 0.0, 0
    burst = 200
    while done < calls:
        client = clients[(done // burst) % len(clients)]
        send = client.send
        start = time.perf_counter_ns()
        for _ in range(burst):
            send(PAYLOAD)
        total += time.perf_counter_ns() - start
        done += burst
        hub.flush(10)
    return total / done


def paced_row(hub: wssend.WSHub, clients: list[wssend.WSClient], calls: int) -> float:
    """Single sends to a pump that has gone to sleep."""
    total = 0.0
    calls = min(calls, 500)
    for i in range(calls):
        send = clients[i % len(clients)].send
        time.sleep(0.0005)
        start = time.perf_counter_ns()
        send(PAYLOAD)
        total += time.perf_counter_ns() - start
    hub.flush(10)
    return total / calls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--clients", type=int, default=50)
    args = parser.parse_args()

    simple: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    bounded: queue.Queue[bytes] = queue.Queue()
    loop_bound: asyncio.Queue[bytes] = asyncio.Queue()
    rows: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        rows.setdefault(name, []).append(value)

    for _ in range(args.rounds):
        note("id(payload)", timed(id, args.calls))
        for title, put in (
            ("queue.SimpleQueue.put", simple.put),
            ("queue.Queue.put_nowait", bounded.put_nowait),
            ("asyncio.Queue.put_nowait", loop_bound.put_nowait),
        ):
            note(title, timed(put, args.calls))
        simple = queue.SimpleQueue()
        bounded.queue.clear()
        while not loop_bound.empty():
            loop_bound.get_nowait()
        for release in (True, False):
            hub = wssend.WSHub(release_gil=release)
            with drained_clients(hub, args.clients) as clients:
                mode = f"release_gil={release}"
                note(f"send, {mode}", send_row(hub, clients, args.calls))
                note(f"send, {mode}, pump asleep", paced_row(hub, clients, 200))

    base = statistics.median(rows["queue.Queue.put_nowait"])
    print(f"{'':38} {'median':>8} {'min':>8} {'max':>8}   ns a call")
    for name, values in rows.items():
        median = statistics.median(values)
        print(
            f"{name:38} {median:8.0f} {min(values):8.0f} {max(values):8.0f}"
            f"   {median / base:5.2f} x queue.Queue.put_nowait"
        )


if __name__ == "__main__":
    main()
