"""A WebSocket client that does exactly what a test tells it, and no more.

It answers no ping, reads nothing that it is not asked to read, and sends any
frame, right or wrong. All waits are bounded.
"""

from __future__ import annotations

import base64
import os
import socket
import ssl
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType

TIMEOUT = 10.0  # seconds, for each wait

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


class Gone(Exception):
    """The server has ended the connection."""


@dataclass(frozen=True)
class Frame:
    """One frame as it came."""

    opcode: int
    payload: bytes
    fin: bool = True

    @property
    def code(self) -> int:
        """The code of a Close; 1005 when it has none."""
        return struct.unpack(">H", self.payload[:2])[0] if self.payload else 1005

    @property
    def reason(self) -> str:
        """The reason of a Close."""
        return self.payload[2:].decode()


def split_url(url: str) -> tuple[str | tuple[str, int], str]:
    """The address and the path of a listener's URL.

    Without urllib, whose caches would look like a leak of ours.
    """
    if "+unix:" in url:
        file, _, path = url.partition(":")[2].partition(":")
        return file, path or "/"
    place, _, path = url.partition("://")[2].partition("/")
    host, _, port = place.rpartition(":")
    return (host.strip("[]"), int(port)), f"/{path}"


def connect_socket(
    url: str, receive_buffer: int | None = None, source: str | None = None
) -> socket.socket:
    """Connect to a listener's URL: ws://host:port/ or ws+unix:/path (wss: no TLS)."""
    address, _ = split_url(url)
    if isinstance(address, str):
        family = socket.AF_UNIX
    else:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    sock = socket.socket(family)
    if family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(TIMEOUT)
    try:
        if source is not None:
            sock.bind((source, 0))
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock


def trusting() -> ssl.SSLContext:
    """A context that believes every server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Client:
    """A client of a hub, connected and upgraded.

    Args:
        url: A listener's URL.
        target: The request's path and query.
        headers: More header lines.
        receive_buffer: SO_RCVBUF; a small one fills up soon.
        host: What it calls the server.
        source: The address that it connects from.
        tls: How to speak TLS, where the URL begins with wss; by default without
            a look at the server's certificate.
    """

    def __init__(
        self,
        url: str,
        target: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        receive_buffer: int | None = None,
        host: str = "localhost",
        source: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        if target is None:
            target = split_url(url)[1]
        self.socket = connect_socket(url, receive_buffer, source)
        self._unread = b""
        try:
            if url.startswith("wss"):
                context = tls or trusting()
                self.socket = context.wrap_socket(
                    self.socket, server_hostname="localhost"
                )
            self.response = self._shake_hands(target, [("Host", host), *headers])
        except BaseException:
            self.socket.close()
            raise

    def _send_request(self, target: str, headers: Iterable[tuple[str, str]]) -> None:
        lines = [
            f"GET {target} HTTP/1.1",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            *(f"{name}: {value}" for name, value in headers),
        ]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))

    def _read_head(self) -> str:
        while b"\r\n\r\n" not in self._unread:
            self._read_more()
        head, _, self._unread = self._unread.partition(b"\r\n\r\n")
        return head.decode("latin-1")

    def _shake_hands(self, target: str, headers: Iterable[tuple[str, str]]) -> str:
        self._send_request(target, headers)
        response = self._read_head()
        assert response.startswith("HTTP/1.1 101 "), response
        return response

    def _read_more(self) -> None:
        try:
            data = self.socket.recv(65536)
        except (ConnectionError, ssl.SSLEOFError) as error:
            raise Gone(str(error)) from error
        if not data:
            raise Gone("the server has closed the connection")
        self._unread += data

    def _read(self, size: int) -> bytes:
        while len(self._unread) < size:
            self._read_more()
        data, self._unread = self._unread[:size], self._unread[size:]
        return data

    @property
    def unread(self) -> int:
        """Bytes that are here already, and no message yet."""
        return len(self._unread)

    def recv_frame(self) -> Frame:
        """Read the next frame. Raises Gone at the end, TimeoutError."""
        first, second = self._read(2)
        assert second < 128, "a server's frame must not be masked"
        size = second
        if size == 126:
            (size,) = struct.unpack(">H", self._read(2))
        elif size == 127:
            (size,) = struct.unpack(">Q", self._read(8))
        return Frame(first & 15, self._read(size), first >= 128)

    def recv(self) -> str | bytes:
        """Read the next message, over pings."""
        frame = self.recv_frame()
        while frame.opcode == PING:
            self.send_frame(PONG, frame.payload)
            frame = self.recv_frame()
        assert frame.opcode in (TEXT, BINARY), frame
        assert frame.fin
        return frame.payload.decode() if frame.opcode == TEXT else frame.payload

    def recv_close(self) -> Frame:
        """Read over messages up to the Close."""
        while True:
            frame = self.recv_frame()
            if frame.opcode == CLOSE:
                return frame

    def send_frame(
        self, opcode: int, payload: bytes = b"", *, fin: bool = True, mask: bool = True
    ) -> None:
        """Send one frame, right or wrong."""
        first = opcode | (128 if fin else 0)
        bit = 128 if mask else 0
        if len(payload) < 126:
            head = struct.pack(">BB", first, bit | len(payload))
        elif len(payload) < 65536:
            head = struct.pack(">BBH", first, bit | 126, len(payload))
        else:
            head = struct.pack(">BBQ", first, bit | 127, len(payload))
        # A key of zeros masks, and changes nothing.
        self.socket.sendall(head + (bytes(4) if mask else b"") + payload)

    def send(self, data: str | bytes) -> None:
        """Send a message."""
        if isinstance(data, str):
            self.send_frame(TEXT, data.encode())
        else:
            self.send_frame(BINARY, data)

    def send_close(self, code: int = 1000, reason: str = "") -> None:
        """Send a Close."""
        self.send_frame(CLOSE, struct.pack(">H", code) + reason.encode())

    def answer_close(self) -> Frame:
        """Wait for the server's Close, echo it, and wait for the end of TCP."""
        frame = self.recv_close()
        self.send_frame(CLOSE, frame.payload)
        self.expect_end()
        return frame

    def leave(self, code: int = 1000) -> None:
        """Close from this side, properly."""
        self.send_close(code)
        assert self.recv_close().code == code
        self.expect_end()

    def expect_end(self) -> None:
        """Wait for the end of TCP."""
        try:
            while True:
                self._read_more()
        except Gone:
            self.close()

    def close(self) -> None:
        """Drop the connection without a word."""
        self.socket.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


@dataclass(frozen=True)
class Answer:
    """A response of HTTP that is no 101."""

    status: int
    headers: dict[str, str]
    body: str


class Asker(Client):
    """A client that has sent its request, and may have to wait for the answer."""

    def _shake_hands(self, target: str, headers: Iterable[tuple[str, str]]) -> str:
        self._send_request(target, headers)
        return ""

    def __enter__(self) -> Asker:
        return self

    def opened(self) -> Asker:
        """Wait for the 101."""
        self.response = self._read_head()
        assert self.response.startswith("HTTP/1.1 101 "), self.response
        return self

    def answer(self) -> Answer:
        """Wait for an answer that is no 101, and for the end of TCP."""
        first, *lines = self._read_head().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        body = self._read(int(headers["Content-Length"])).decode()
        self.expect_end()
        return Answer(int(first.split()[1]), headers, body)
