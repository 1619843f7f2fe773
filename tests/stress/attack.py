"""Sockets that behave badly, many at once."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from wsclient import TIMEOUT

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
NO_PORT = 24  # IP_BIND_ADDRESS_NO_PORT
Address = str | tuple[str, int]  # of a listener

PER_ADDRESS = 4000  # connections of one source address


def request(target: str = "/", headers: str = "") -> bytes:
    """A sound request for a WebSocket, with more header lines."""
    return (
        f"GET {target} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: {KEY}\r\n{headers}\r\n"
    ).encode("latin-1")


def frame(first: int, payload: bytes = b"", declared: int | None = None) -> bytes:
    """A masked frame, the key all zeros; it may declare another size."""
    size = len(payload) if declared is None else declared
    if size < 126:
        head = struct.pack(">BB", first, 128 | size)
    elif size < 65536:
        head = struct.pack(">BBH", first, 254, size)
    else:
        head = struct.pack(">BBQ", first, 255, size)
    return head + bytes(4) + payload


def dial(address: Address, number: int = 0) -> socket.socket:
    """Connect, the number deciding from which loopback address."""
    if isinstance(address, str):
        sock = socket.socket(socket.AF_UNIX)
    else:
        sock = socket.socket()
        sock.setsockopt(socket.IPPROTO_IP, NO_PORT, 1)
        sock.bind((f"127.0.1.{1 + number // PER_ADDRESS}", 0))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.settimeout(TIMEOUT)
    sock.connect(address)
    return sock


def dial_all(address: Address, count: int) -> list[socket.socket]:
    """Connect so many, which say nothing yet."""
    return [dial(address, number) for number in range(count)]


def close_all(sockets: Iterable[socket.socket]) -> None:
    """Close each with a FIN, or a reset where something is unread."""
    for sock in sockets:
        sock.close()


def reset(sock: socket.socket) -> None:
    """Close with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@dataclass
class Outcome:
    """What a connection came to."""

    data: bytes
    reset: bool

    @property
    def status(self) -> int:
        """The HTTP status of its answer; 0 without a whole one."""
        head, end, body = self.data.partition(b"\r\n\r\n")
        if not end or not head.startswith(b"HTTP/1.1 "):
            return 0
        status = int(head[9:12])
        if status == 101:
            return 101
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b": ")
            if name == b"Content-Length":
                return status if len(body) == int(value) else 0
        return 0

    @property
    def frames(self) -> list[tuple[int, bytes]]:
        """First byte and payload of each frame behind a 101."""
        rest = self.data.partition(b"\r\n\r\n")[2]
        found = []
        while len(rest) >= 2:
            size, at = rest[1], 2
            if size == 126:
                size, at = struct.unpack(">H", rest[2:4])[0], 4
            elif size == 127:
                size, at = struct.unpack(">Q", rest[2:10])[0], 10
            found.append((rest[0], rest[at : at + size]))
            rest = rest[at + size :]
        return found

    @property
    def close_code(self) -> int:
        """The code of its Close; 0: it got none."""
        for first, payload in self.frames:
            if first == 0x88:
                return int.from_bytes(payload[:2], "big")
        return 0


def gather(
    sockets: Sequence[socket.socket],
    patience: float = 40.0,
    prod: Callable[[socket.socket], None] | None = None,
) -> list[Outcome]:
    """Read each to its end and close it.

    Args:
        sockets: Those to read.
        patience: Seconds for all together.
        prod: Called for each that is still open, ten times a second.
    """
    poll = select.poll()
    open_ = {sock.fileno(): (sock, Outcome(b"", False)) for sock in sockets}
    outcomes = [outcome for _, outcome in open_.values()]
    for sock in sockets:
        sock.setblocking(False)
        poll.register(sock, select.POLLIN)
    end = time.monotonic() + patience
    while open_:
        assert time.monotonic() < end, f"{len(open_)} are still open"
        for number, _ in poll.poll(100):
            sock, outcome = open_[number]
            if read(sock, outcome):
                poll.unregister(number)
                sock.close()
                del open_[number]
        if prod is not None:
            for sock, _ in open_.values():
                prod(sock)
    return outcomes


def read(sock: socket.socket, outcome: Outcome) -> bool:
    """Read what is there; true at the end."""
    try:
        data = sock.recv(65536)
    except BlockingIOError:
        return False
    except ConnectionError:
        outcome.reset = True
        return True
    outcome.data += data
    return not data


def say(sock: socket.socket, data: bytes) -> bool:
    """Send all of it, unless the connection breaks."""
    try:
        sock.sendall(data)
    except (ConnectionError, BlockingIOError):
        return False
    return True


def upgrade(address: Address, target: str, number: int = 0) -> socket.socket:
    """Connect and become a client."""
    sock = dial(address, number)
    sock.sendall(request(target))
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        data = sock.recv(1)
        assert data, head
        head += data
    assert head.startswith(b"HTTP/1.1 101 "), head
    return sock


def upgrade_all(address: Address, count: int, prefix: str) -> list[socket.socket]:
    """Connect so many clients, of the ids prefix-0, prefix-1, ..."""
    sockets = dial_all(address, count)
    for number, sock in enumerate(sockets):
        sock.sendall(request(f"/?id={prefix}-{number}"))
    for sock in sockets:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += sock.recv(1)
        assert head.startswith(b"HTTP/1.1 101 "), head
    return sockets
