"""What one send() costs the application, beside what Python code does today.

    .venv/bin/python bench/send_cost.py [--rounds 9 --calls 20000]

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
import queue
import statistics
import time
from collections.abc import Callable

from drained import drained_clients

import wssend

PAYLOAD = b"x" * 128


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
