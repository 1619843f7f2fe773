"""What handshakes cost that wait for a decision, and what deciding costs.

    .venv/bin/python bench/handshakes.py [--waiting 2000]

Clients in a process of their own all ask at once. Once all of them wait, the memory
of the server's process is read, with an object in Python for each of them and without;
then one thread accepts them all, and the time is taken from the first decision to the
last client's Connected.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import socket
import time
from multiprocessing.connection import Connection

from wire import REQUEST

import wssend

SPARE = 100  # descriptors for everything else


def guests(port: int, count: int, control: Connection) -> None:
    """So many clients, which ask, wait, and stay until they are told to go."""
    socks = []
    for _ in range(count):
        socks.append(socket.create_connection(("127.0.0.1", port)))
        socks[-1].sendall(REQUEST)
    control.recv()


def resident() -> int:
    """Bytes of memory that the process has."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


def wait_for(hub: wssend.WSHub, count: int) -> None:
    """Until so many wait."""
    while hub.stats().handshakes < count:
        time.sleep(0.01)


def measure(count: int) -> dict[str, float]:
    """Bytes for each that waits, and seconds for each decision."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    with wssend.WSHub(
        authorize=True, max_handshakes=count, open_timeout=600, max_events=0
    ) as hub:
        listener = hub.listen("127.0.0.1", 0)
        assert listener.port is not None
        before = resident()
        process = context.Process(target=guests, args=(listener.port, count, theirs))
        process.start()
        wait_for(hub, count)
        waiting = resident()
        events = hub.events(timeout=60)
        asked = [next(events) for _ in range(count)]
        taken = resident()
        begin = time.perf_counter()
        for event in asked:
            assert isinstance(event, wssend.Authorize)
            event.handshake.accept(user="42", topics=["news"])
        decided = time.perf_counter()
        for _ in range(count):
            assert isinstance(next(events), wssend.Connected)
        end = time.perf_counter()
        ours.send("go")
        process.join()
        hub.close(timeout=0)
    return {
        "bytes each, waiting": (waiting - before) / count,
        "bytes each, with its objects in Python": (taken - before) / count,
        "us for a call of accept": (decided - begin) / count * 1e6,
        "us for a client, up to its Connected": (end - begin) / count * 1e6,
    }


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--waiting", type=int, default=2000)
    args = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(args.waiting, hard - SPARE)
    print(f"{count} handshakes")
    for what, value in measure(count).items():
        print(f"{value:10.1f} {what}")


if __name__ == "__main__":
    main()
