"""What the demo's server and its page say to each other: JSON objects.

The page commands: ``{"do": "send", "to": ID, "text": TEXT}``, ``publish`` and
``subscribe`` with ``"topic"``, ``broadcast``, ``watch``, ``flood``; see
:class:`wssend.demo.Demo`. The server's objects have a ``"type"``.
"""

from __future__ import annotations

import json
import time
from typing import Final, TypeAlias

import wssend

__all__ = [
    "BadCommandError",
    "Command",
    "answer",
    "envelope",
    "field",
    "parse",
    "row",
    "visible",
]

MAX_TEXT: Final = 4096  # characters of a field
Command: TypeAlias = dict[str, object]


class BadCommandError(Exception):
    """A command makes no sense; the text tells the page why."""


def parse(data: str | bytes) -> Command:
    """Read a command.

    Raises:
        BadCommandError: It is no JSON object.
    """
    try:
        command = json.loads(data)
    except (ValueError, RecursionError):
        command = None
    if not isinstance(command, dict):
        raise BadCommandError("a command is a JSON object")
    return command


def field(command: Command, name: str) -> str:
    """Take a text out of a command.

    Raises:
        BadCommandError: It is not there, no text, empty, or too long.
    """
    value = command.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_TEXT:
        raise BadCommandError(f"{name} must be a text of 1 to {MAX_TEXT} characters")
    return value


def envelope(
    kind: str, sender: str, text: str, topic: str | None = None
) -> wssend.PreparedMessage:
    """Wrap a text for the pages, with the time for them to compare."""
    message = {
        "type": "message",
        "kind": kind,  # direct, topic, everyone, flood
        "from": sender,
        "topic": topic,
        "text": text,
        "sent": time.time() * 1000,  # milliseconds, as JavaScript counts
    }
    return wssend.PreparedMessage(json.dumps(message))


def answer(report: wssend.SendReport, to: str = "") -> dict[str, object]:
    """Say what the hub answered to a message for many."""
    return {
        "to": to,
        "queued": report.queued,
        "full": list(report.full_ids),
        "closed": report.closed + report.failed,
    }


def visible(client: wssend.WSClient) -> list[str]:
    """Return the client's topics without the demo's own."""
    return sorted(topic for topic in client.topics if not topic.startswith("."))


def row(client: wssend.WSClient) -> dict[str, object]:
    """Return a client's line of the live table; times in milliseconds."""
    stats = client.stats()
    return {
        "id": client.id,
        "queued": stats.queued,
        "bytes": stats.queued_bytes,
        "age": stats.oldest_age * 1000,
        "accepted": stats.accepted,
        "written": stats.written,
        "full": stats.refused_full,
        "rtt": None if stats.rtt is None else stats.rtt * 1000,
    }
