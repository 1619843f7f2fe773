"""What the clients say that these programs are themselves: bytes, ready to be sent.

Frames of clients are masked, here with zeros (RFC 6455 5.3).
"""

from __future__ import annotations


def request(target: str = "/", headers: bytes = b"") -> bytes:
    """An upgrade; each of the headers ends with its line break."""
    return (
        b"GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n%s\r\n"
    ) % (target.encode(), headers)


REQUEST = request()
PING = b"\x89\x84\0\0\0\0ping"
PONG_SIZE = 6  # of the answer to it
CLOSE = b"\x88\x82\0\0\0\0\x03\xe8"  # 1000
