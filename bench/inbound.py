"""What a message that comes in costs a handler in asyncio, beside other libraries.

    make bench-inbound [ARGS="--rounds 5 --write docs/performance.md"]

Each connection sends one message or a burst of them, whose last is answered, and all
wait for their answers before they go on. Measured is the processor's time of the
server's process, all its threads, for each message of 128 bytes. Each round measures
every server once; the table has the medians.

picows calls a function for each frame; wssend and websockets have a task and a queue
for each client.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from peers import ALL
from suite.prepare import SERVERS, places, prepare
from suite.process import Program, cpu_ns, find_cores
from tables import number, origin, place, record, table
from wire import request

SIZE = 128  # bytes of a message
BURSTS = (1, 32)
LOOPS = ("asyncio", "uvloop")
LIBRARIES = ("wssend", "websockets", "picows")
HEAD = [
    "server",
    "loop",
    "one at a time, us",
    "x wssend",
    "bursts of 32, us",
    "x wssend",
]

Figures = dict[tuple[str, str, int], list[float]]


def frame(first: bytes) -> bytes:
    """A binary message, masked with zeros."""
    payload = first.ljust(SIZE, b"x")
    return b"\x82\xfe" + SIZE.to_bytes(2, "big") + bytes(4) + payload


def python_of(library: str) -> str:
    """The Python that a library is installed for; UnavailableError."""
    if library == "wssend":
        return sys.executable
    (peer,) = [peer for peer in ALL if peer.name == library]
    prepare(peer)
    return f"{places(peer)['build']}/bin/python"


@contextmanager
def server(python: str, library: str, loop: str) -> Iterator[tuple[Program, int]]:
    """A server in a process of its own, and its port."""
    words = [python, str(SERVERS / "inbound_server.py"), library, "--loop", loop]
    with Program(words, find_cores().server) as program:
        said = program.read(60)
        yield program, int(said.removeprefix("ready"))


@contextmanager
def connections(port: int, count: int) -> Iterator[list[socket.socket]]:
    """Clients, connected and upgraded."""
    opened: list[socket.socket] = []
    try:
        for _ in range(count):
            one = socket.create_connection(("127.0.0.1", port), 30)
            opened.append(one)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            one.sendall(request())
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                got = one.recv(1)
                assert got, head
                head += got
        yield opened
    finally:
        for one in opened:
            one.close()


def read_answer(one: socket.socket) -> None:
    """A server's frame is the message behind four bytes."""
    left = SIZE + 4
    while left > 0:
        got = one.recv(left)
        assert got, "the server has closed the connection"
        left -= len(got)


def measure(program: Program, port: int, clients: int, burst: int, turns: int) -> float:
    """Microseconds of the server's for a message."""
    data = frame(b"x") * (burst - 1) + frame(b"A")
    with connections(port, clients) as opened:
        begun = 0
        for turn in range(-1, turns):
            if turn == 0:  # the first one was to get warm
                begun = cpu_ns(program.pid)
            for one in opened:
                one.sendall(data)
            for one in opened:
                read_answer(one)
        spent = cpu_ns(program.pid) - begun
    return spent / 1000 / (turns * burst * clients)


def run(
    libraries: Sequence[str],
    loops: Sequence[str],
    rounds: int,
    clients: int,
    messages: int,
) -> Figures:
    """All of it; so many messages of each client and measurement."""
    figures: Figures = {}
    pythons = {library: python_of(library) for library in libraries}
    for _ in range(rounds):
        for library in libraries:
            for loop in loops:
                with server(pythons[library], library, loop) as (program, port):
                    for burst in BURSTS:
                        turns = max(messages // burst, 1)
                        spent = measure(program, port, clients, burst, turns)
                        figures.setdefault((library, loop, burst), []).append(spent)
    return figures


def rows(figures: Figures) -> list[list[str]]:
    """The table's, by loop and library."""
    middle = {key: statistics.median(values) for key, values in figures.items()}
    found = []
    for library, loop in dict.fromkeys((key[0], key[1]) for key in figures):
        row = [library, loop]
        for burst in BURSTS:
            value = middle[library, loop, burst]
            own = middle.get(("wssend", loop, burst), value)
            row += [number(value), f"{value / own:.2f}"]
        found.append(row)
    return sorted(found, key=lambda row: row[1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--messages", type=int, default=320, help="of each client")
    parser.add_argument("--write", type=Path, help="a page to put the table into")
    options = parser.parse_args()
    figures = run(LIBRARIES, LOOPS, options.rounds, options.clients, options.messages)
    record("inbound", {" ".join(map(str, k)): v for k, v in figures.items()})
    text = table(HEAD, rows(figures)) + "\n" + origin("bench-inbound", options.rounds)
    print(text)
    if options.write is not None:
        place(options.write, "inbound", text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
