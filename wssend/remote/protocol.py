"""What goes over a link: bytes in, values out, no socket.

Both directions are frames: a length (4 bytes, big-endian, of what follows it), a
kind (1 byte), and the rest. Each side begins with HELLO, whose rest is JSON with the
version. Then the client sends calls, which both sides count from 1, and the server
says how many are done (DONE) and what the asked ones came to (ANSWER), in order: so
either answers for all calls before it, too.

========  =====================================================================
a call    flags (1 byte), size of the target, size of the exclude (4 bytes
          each), the target in UTF-8, the exclude as a JSON array or nothing,
          and the payload
DONE      calls done so far, and those of them that some client or the hub
          refused (8 bytes each)
ANSWER    the number of a call (8 bytes), and JSON
========  =====================================================================
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from ..errors import (
    ChannelClosed,
    ChannelFull,
    ClientNotFound,
    HubClosed,
    LinkDown,
    MessageTooLarge,
    WSSendError,
)

__all__ = [
    "ANSWERED",
    "HEAD_ROOM",
    "TEXT",
    "VERSION",
    "Call",
    "Frames",
    "Kind",
    "ProtocolError",
    "answer",
    "call_head",
    "done",
    "error_of",
    "frame",
    "hello",
    "parse_answer",
    "parse_call",
    "parse_done",
    "parse_hello",
    "value_of",
]

VERSION: Final = 1
MAGIC: Final = "wssend"

TEXT: Final = 1  # flags of a call: the payload is a text message;
ANSWERED: Final = 2  # it is waited for

HEAD_ROOM: Final = 1 << 20  # bytes of a call beside its payload, at most

HEAD: Final = struct.Struct("!IBBII")  # of a call, with its length and kind
CALL: Final = struct.Struct("!BII")
SHORT: Final = struct.Struct("!IB")
DONE_BODY: Final = struct.Struct("!QQ")
NUMBER: Final = struct.Struct("!Q")


class Kind(IntEnum):
    """What a frame is."""

    HELLO = 0
    SEND = 1
    SEND_TO_USER = 2
    BROADCAST = 3
    PUBLISH = 4
    CLOSE_USER = 5
    STATS = 6
    PING = 7
    DONE = 8
    ANSWER = 9


class ProtocolError(Exception):
    """The other side sends what it may not."""


@dataclass(slots=True)
class Call:
    """A call as it arrives."""

    kind: Kind
    flags: int
    target: str
    exclude: list[str]
    payload: bytes


def frame(kind: Kind, body: bytes = b"") -> bytes:
    """A frame of a kind that has no head of its own."""
    return SHORT.pack(len(body) + 1, kind) + body


def hello(**more: object) -> bytes:
    """The first frame of either side."""
    says = {"protocol": MAGIC, "version": VERSION, **more}
    return frame(Kind.HELLO, json.dumps(says).encode())


def done(count: int, refused: int) -> bytes:
    """The frame that says how far the server is."""
    return frame(Kind.DONE, DONE_BODY.pack(count, refused))


def answer(number: int, value: object) -> bytes:
    """The frame with what a call came to."""
    return frame(Kind.ANSWER, NUMBER.pack(number) + json.dumps(value).encode())


def call_head(
    kind: int, flags: int, target: bytes, exclude: bytes, payload_size: int
) -> bytes:
    """A call up to its payload.

    Raises:
        ValueError: Target and exclude are too long.
    """
    beside = len(target) + len(exclude)
    if beside > HEAD_ROOM - HEAD.size:
        raise ValueError(
            f"the ids that a call names may take {HEAD_ROOM - HEAD.size} bytes, "
            f"not {beside}"
        )
    size = beside + payload_size + HEAD.size - 4
    head = HEAD.pack(size, kind, flags, len(target), len(exclude))
    return head + target + exclude


class Frames:
    """Takes a stream of bytes apart into frames.

    Args:
        longest: Bytes of a frame, at most; may change.
    """

    def __init__(self, longest: int) -> None:
        self.longest = longest
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Add what has arrived."""
        self._buffer += data

    def take(self, limit: int) -> Iterator[tuple[int, bytes]]:
        """Yield the kind and the rest of frames that are whole, up to a number.

        Raises:
            ProtocolError: A frame is empty, or longer than allowed.
        """
        start = 0
        buffer = self._buffer
        try:
            while limit > 0 and len(buffer) - start >= SHORT.size:
                size, kind = SHORT.unpack_from(buffer, start)
                if not 1 <= size <= self.longest:
                    raise ProtocolError(f"a frame of {size} bytes")
                first, start = start + SHORT.size, start + 4 + size
                if start > len(buffer):
                    start = first - SHORT.size
                    break
                limit -= 1
                yield kind, bytes(memoryview(buffer)[first:start])
        finally:
            del buffer[:start]

    @property
    def has_whole(self) -> bool:
        """Whether a whole frame waits to be taken."""
        buffer = self._buffer
        return len(buffer) >= 5 and len(buffer) >= 4 + SHORT.unpack_from(buffer)[0]


def parse_json(data: bytes) -> Any:  # noqa: ANN401 - what JSON is
    """Read JSON that came from the other side."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"bad JSON: {error}") from None


def parse_hello(kind: int, rest: bytes) -> dict[str, Any]:
    """Check the first frame of the other side."""
    if kind != Kind.HELLO:
        raise ProtocolError("it does not begin with a hello of wssend's")
    says = parse_json(rest)
    if not isinstance(says, dict) or says.get("protocol") != MAGIC:
        raise ProtocolError("it does not begin with a hello of wssend's")
    if says.get("version") != VERSION:
        theirs = says.get("version")
        raise ProtocolError(
            f"it speaks version {theirs!r} of the protocol, this side {VERSION}: "
            "run the same wssend on both"
        )
    return says


def parse_call(kind: int, rest: bytes) -> Call:
    """Take a call apart."""
    if not Kind.SEND <= kind <= Kind.PING or len(rest) < CALL.size:
        raise ProtocolError(f"a frame of kind {kind} that is no call")
    flags, target_size, exclude_size = CALL.unpack_from(rest)
    middle = CALL.size + target_size
    end = middle + exclude_size
    if end > len(rest):
        raise ProtocolError("a call shorter than it says")
    try:
        target = str(rest[CALL.size : middle], "utf-8")
    except UnicodeDecodeError:
        raise ProtocolError("a target that is not UTF-8") from None
    exclude = parse_json(rest[middle:end]) if exclude_size else []
    if not isinstance(exclude, list) or not all(isinstance(i, str) for i in exclude):
        raise ProtocolError("an exclude that is no list of ids")
    return Call(Kind(kind), flags, target, exclude, rest[end:])


def parse_done(rest: bytes) -> tuple[int, int]:
    """Take a DONE apart: calls done, and calls refused."""
    if len(rest) != DONE_BODY.size:
        raise ProtocolError("a DONE of a wrong size")
    count, refused = DONE_BODY.unpack(rest)
    return count, refused


def parse_answer(rest: bytes) -> tuple[int, Any]:
    """Take an ANSWER apart: the number of the call, and the value."""
    if len(rest) < NUMBER.size:
        raise ProtocolError("an ANSWER that is too short")
    return NUMBER.unpack_from(rest)[0], parse_json(rest[NUMBER.size :])


# Errors travel by name, with the numbers that they carry.
ERRORS: Final[dict[str, tuple[type[Exception], tuple[str, ...]]]] = {
    "ChannelFull": (
        ChannelFull,
        ("client_id", "queued", "queued_bytes", "oldest_age"),
    ),
    "ChannelClosed": (ChannelClosed, ("client_id", "code", "reason")),
    "HubClosed": (HubClosed, ("client_id", "code", "reason")),
    "LinkDown": (LinkDown, ("client_id", "code", "reason")),
    "MessageTooLarge": (MessageTooLarge, ("client_id", "size", "limit")),
    "ClientNotFound": (ClientNotFound, ("client_id",)),
    "MemoryError": (MemoryError, ()),
    "TypeError": (TypeError, ()),
    "ValueError": (ValueError, ()),
}


def value_of(error: Exception) -> dict[str, Any]:
    """What is sent for an error."""
    name = type(error).__name__
    fields = ERRORS.get(name, (None, ()))[1]
    return {
        "error": name,
        "text": str(error),
        "fields": {field: getattr(error, field) for field in fields},
    }


def error_of(value: dict[str, Any]) -> Exception:
    """The error that was sent; a WSSendError for one that has no name here."""
    name, text = str(value["error"]), str(value.get("text"))
    if name not in ERRORS:
        return WSSendError(f"the hub failed: {name}: {text}")
    kind, names = ERRORS[name]
    fields = value.get("fields") or {}
    return kind(text, **{field: fields[field] for field in names if field in fields})
