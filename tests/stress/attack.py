"""Sockets that behave badly, many at once."""

from __future__ import annotations

import select
import socket
import ssl
import struct
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from wsclient import TIMEOUT, trusting

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


def close_of(outcome: Outcome) -> int:
    """The code of the Close behind a 101 that has been read already."""
    return Outcome(b"\r\n\r\n" + outcome.data, outcome.reset).close_code


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
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except (ConnectionError, ssl.SSLError):
        outcome.reset = True
        return True
    outcome.data += data
    return not data


def say(sock: socket.socket, data: bytes) -> bool:
    """Send all of it, unless the connection breaks."""
    try:
        sock.sendall(data)
    except (ConnectionError, BlockingIOError, ssl.SSLError):
        return False
    return True


def read_101(sock: socket.socket, expected: str = "") -> None:
    """Read the answer to a request, which says yes, and what was expected."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        data = sock.recv(1)
        assert data, head
        head += data
    assert head.startswith(b"HTTP/1.1 101 "), head
    assert expected in head.decode(), head


def upgrade(
    address: Address, target: str, number: int = 0, tls: bool = False
) -> socket.socket:
    """Connect and become a client."""
    sock = dial(address, number)
    if tls:
        sock = secure(sock)
    sock.sendall(request(target))
    read_101(sock)
    return sock


def upgrade_all(
    address: Address, count: int, prefix: str, tls: bool = False, headers: str = ""
) -> list[socket.socket]:
    """Connect so many clients, of the ids prefix-0, prefix-1, ..."""
    sockets = dial_all(address, count)
    if tls:
        sockets = list(map(secure, sockets))
    for number, sock in enumerate(sockets):
        sock.sendall(request(f"/?id={prefix}-{number}", headers))
    for sock in sockets:
        read_101(sock, headers.strip())
    return sockets


# ---- TLS

CONTEXT = trusting()


def secure(sock: socket.socket) -> ssl.SSLSocket:
    """Shake hands on a connection."""
    return CONTEXT.wrap_socket(sock, server_hostname="localhost")


def hello() -> bytes:
    """What a client begins a handshake with."""
    out = ssl.MemoryBIO()
    handshake = CONTEXT.wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost")
    try:
        handshake.do_handshake()
    except ssl.SSLWantReadError:
        return out.read()
    raise AssertionError("nobody can have answered")


def record(kind: int, data: bytes, declared: int | None = None) -> bytes:
    """A TLS record, not encrypted; it may declare another size."""
    size = len(data) if declared is None else declared
    return struct.pack(">BHH", kind, 0x0303, size) + data


# ---- compression

DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
COMPRESSED = 64  # RSV1, in the first byte of a frame
TAIL = b"\0\0\xff\xff"  # which is left out at a message's end


def zeros(size: int, piece: int = 1 << 20) -> bytes:
    """So many zeros as a compressed message; a multiple of the piece."""
    assert size % piece == 0
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    # A full flush makes a piece stand by itself, so it may be repeated.
    out = deflate.compress(bytes(piece)) + deflate.flush(zlib.Z_FULL_FLUSH)
    return (out * (size // piece)).removesuffix(TAIL)


class Bits:
    """Bits as DEFLATE packs them, the lowest of a byte first."""

    def __init__(self) -> None:
        self._value = self._size = 0

    def put(self, value: int, size: int) -> None:
        """A number, its lowest bit first."""
        self._value |= value << self._size
        self._size += size

    def code(self, value: int, size: int) -> None:
        """A Huffman code, its highest bit first."""
        for at in reversed(range(size)):
            self.put(value >> at & 1, 1)

    def octets(self) -> bytes:
        """All of them, which must fill whole bytes."""
        assert self._size % 8 == 0
        return self._value.to_bytes(self._size // 8, "little")


def repeat(block: Callable[[Bits], None], least: int) -> bytes:
    """A compressed message of so many bytes, or a few more, of one block over and
    over, and an empty stored one."""
    bits = Bits()
    for _ in range(8):
        block(bits)
    unit = bits.octets()
    return unit * -(-least // len(unit)) + b"\0"


def empty_blocks(least: int) -> bytes:
    """A compressed message of nothing, in blocks of ten bits."""

    def block(bits: Bits) -> None:
        bits.put(0b010, 3)  # not the last one, of fixed codes
        bits.put(0, 7)  # its end

    return repeat(block, least)


def table_blocks(least: int) -> bytes:
    """A compressed message of nothing, each block of which has Huffman tables of its
    own, few bytes that take long to unfold."""
    lengths = [1, 2, 3, 4, 5, 6, 7, 8, 9, 9]  # of the last ten symbols

    def block(bits: Bits) -> None:
        bits.put(0b100, 3)  # not the last one, of dynamic codes
        bits.put(0, 5)  # 257 literals and lengths
        bits.put(0, 5)  # 1 distance
        bits.put(15, 4)  # all code length codes: 18 has one bit, 0 to 15 have five
        for symbol in (
            16,
            17,
            18,
            0,
            8,
            7,
            9,
            6,
            10,
            5,
            11,
            4,
            12,
            3,
            13,
            2,
            14,
            1,
            15,
        ):
            bits.put({16: 0, 17: 0, 18: 1}.get(symbol, 5), 3)
        for run in 138, 109:  # of zeros
            bits.code(0, 1)
            bits.put(run - 11, 7)
        for length in (*lengths, 1):
            bits.code(0b10000 + length, 5)
        bits.code(0b111111111, 9)  # 256, its end: the last of the longest codes

    return repeat(block, least)
