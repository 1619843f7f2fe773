"""What every driver sends; the ones in JavaScript and Go make the same.

A driver is a program: ``driver URL SCENARIO``. It connects, plays the scenario,
prints one JSON object with what it saw, and exits with 0. It begins with a
message and its echo, so that the server's events have come to this client: one
that comes and goes unseen has none.
"""

from __future__ import annotations

import json
import sys

__all__ = ["FRAGMENTS", "SIZES", "SUBPROTOCOLS", "TIMEOUT", "binary", "report", "text"]

TIMEOUT = 20.0  # seconds for any single step
SIZES = [0, 1, 125, 126, 65535, 65536, 1 << 20]  # bytes
SUBPROTOCOLS = ["unknown", "chat.v2", "chat.v1"]
FRAGMENTS = ["one ", "tw", "", "o and ", "three"]


def text(size: int) -> str:
    """A text of so many bytes of UTF-8, of one to four bytes a character."""
    return "é€😀x" * (size // 10) + "x" * (size % 10)


def binary(size: int) -> bytes:
    """Bytes of every value."""
    period = bytes((31 * i + 7) % 256 for i in range(256))
    return (period * (size // 256 + 1))[:size]


def report(seen: object) -> None:
    """Print what the driver saw."""
    json.dump(seen, sys.stdout)
