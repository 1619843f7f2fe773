"""What the demo's server and its page say to each other."""

from __future__ import annotations

import pytest

import wssend
from wssend.demo import wire


@pytest.mark.parametrize("data", ["", "{", "7", "[]", "null", b"\xff", "[" * 100_000])
def test_a_command_is_an_object(data: str | bytes) -> None:
    with pytest.raises(wire.BadCommandError, match="a command is a JSON object"):
        wire.parse(data)


@pytest.mark.parametrize("data", ['{"do": "watch"}', b'{"do": "watch"}'])
def test_a_command_is_text_or_bytes(data: str | bytes) -> None:
    assert wire.parse(data) == {"do": "watch"}


@pytest.mark.parametrize("value", [None, 7, "", ["a"], "x" * 4097])
def test_a_field_is_a_text_that_is_not_too_long(value: object) -> None:
    with pytest.raises(wire.BadCommandError, match="to must be a text of 1 to 4096"):
        wire.field({"to": value}, "to")
    assert wire.field({"to": "x" * 4096}, "to") == "x" * 4096


def test_a_message_is_framed_once_as_text() -> None:
    message = wire.envelope("direct", "ada", "hi")
    assert message.text
    assert len(message) > len('{"type": "message", "kind": "direct"}')


def test_an_answer_counts_failures_as_closed() -> None:
    report = wssend.SendReport(queued=3, closed=1, failed=1)
    assert wire.answer(report, "news") == {
        "to": "news",
        "queued": 3,
        "full": [],
        "closed": 2,
    }
