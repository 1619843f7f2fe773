"""What a call costs that goes to a hub in another process.

    .venv/bin/python bench/link.py [--rounds 5 --calls 20000]

Each round times every row once, so that all rows meet the same weather; a row's figure
is its median over the rounds, with the smallest and the largest. The hub is in a
process of its own and has no clients, so that what is measured is the link. Where a
burst finds the link full, waiting for room is outside the clock.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import wssend

PAYLOAD = b"x" * 128
WAIT = 60.0  # seconds, far more than anything takes

HUB = """
import sys, wssend
with wssend.WSHub() as hub, wssend.expose(hub, sys.argv[1]):
    print("ready", flush=True)
    sys.stdin.read()
"""


@contextmanager
def hub_elsewhere() -> Iterator[str]:
    """A hub in a process of its own; where it is."""
    with tempfile.TemporaryDirectory() as folder:
        address = f"unix:{folder}/hub"
        command = [sys.executable, "-c", HUB, address]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield address
            assert process.stdin is not None
            process.stdin.close()
            process.wait(WAIT)


def burst(remote: wssend.RemoteHub, calls: int) -> float:
    """Microseconds a call, back to back, refused ones not counted."""
    publish = remote.publish
    total, done = 0, 0
    while done < calls:
        start = time.perf_counter_ns()
        try:
            for _ in range(256):
                publish("topic", PAYLOAD)
                done += 1
        except wssend.ChannelFull:
            pass
        total += time.perf_counter_ns() - start
        remote.flush(WAIT)
    return total / done / 1000


def paced(remote: wssend.RemoteHub, calls: int) -> float:
    """Microseconds a call, each a millisecond after the one before; the median."""
    found = []
    for _ in range(calls):
        time.sleep(0.001)
        start = time.perf_counter_ns()
        remote.publish("topic", PAYLOAD)
        found.append(time.perf_counter_ns() - start)
    remote.flush(WAIT)
    return statistics.median(found) / 1000


def waited(remote: wssend.RemoteHub, calls: int) -> float:
    """Microseconds from a call to its report; the median."""
    found = []
    for _ in range(calls):
        start = time.perf_counter_ns()
        remote.publish("topic", PAYLOAD, wait=WAIT)
        found.append(time.perf_counter_ns() - start)
    return statistics.median(found) / 1000


def through(remote: wssend.RemoteHub, calls: int) -> float:
    """Microseconds a call from the first to the last confirmation."""
    start = time.perf_counter_ns()
    for _ in range(calls):
        while True:
            try:
                remote.publish("topic", PAYLOAD)
                break
            except wssend.ChannelFull:
                remote.flush(WAIT)
    remote.flush(WAIT)
    return (time.perf_counter_ns() - start) / calls / 1000


def measure(rounds: int, calls: int) -> dict[str, list[float]]:
    """Microseconds, by row."""
    rows: dict[str, list[float]] = {}
    few = max(1, calls // 50)
    jobs: list[tuple[str, Callable[[wssend.RemoteHub, int], float], int]] = [
        ("publish, bursts of 256", burst, calls),
        ("publish, one a millisecond", paced, few),
        ("publish(wait=), round trip", waited, few),
        ("publish until all is confirmed", through, calls),
    ]
    with hub_elsewhere() as address, wssend.connect(address) as remote:
        remote.ping(WAIT)
        for _ in range(rounds):
            for title, job, count in jobs:
                rows.setdefault(title, []).append(job(remote, count))
        stats = remote.stats()
        assert (stats.lost, stats.refused) == (0, 0), stats
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=20_000)
    args = parser.parse_args()
    print(f"{'':34} {'median':>8} {'min':>8} {'max':>8}   us a call")
    for name, values in measure(args.rounds, args.calls).items():
        middle = statistics.median(values)
        print(f"{name:34} {middle:8.1f} {min(values):8.1f} {max(values):8.1f}")


if __name__ == "__main__":
    main()
