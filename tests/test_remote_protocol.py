from __future__ import annotations

import pytest

import wssend
from wssend.remote import protocol
from wssend.remote.protocol import Frames, Kind, ProtocolError


def kinds(frames: Frames, limit: int = 100) -> list[tuple[int, bytes]]:
    return [(kind, rest) for kind, rest in frames.take(limit)]


def test_frames_come_out_whole_however_they_arrive() -> None:
    sent = [(Kind(n % 10), bytes([n]) * n) for n in range(30)]
    data = b"".join(protocol.frame(kind, rest) for kind, rest in sent)
    for step in (1, 2, 7, len(data)):
        frames, got = Frames(100), []
        for start in range(0, len(data), step):
            frames.feed(data[start : start + step])
            got += kinds(frames)
        assert got == sent


def test_some_can_be_taken_and_the_rest_later() -> None:
    frames = Frames(100)
    frames.feed(protocol.frame(Kind.PING) * 3)
    assert (frames.has_whole, len(kinds(frames, 2))) == (True, 2)
    assert (frames.has_whole, len(kinds(frames, 2))) == (True, 1)
    assert not frames.has_whole


def test_a_frame_that_is_too_long_is_refused_before_it_is_there() -> None:
    frames = Frames(10)
    frames.feed(b"\0\0\0\x0b\1")
    with pytest.raises(ProtocolError, match="a frame of 11 bytes"):
        kinds(frames)


@pytest.mark.parametrize(
    "error",
    [
        wssend.ChannelFull(
            "why", client_id="a", queued=3, queued_bytes=4, oldest_age=0.5
        ),
        wssend.ChannelClosed("why", client_id="a", code=4000, reason="r"),
        wssend.HubClosed("why"),
        wssend.LinkDown("why"),
        wssend.MessageTooLarge("why", size=2, limit=1),
        wssend.ClientNotFound("why", client_id="é"),
        MemoryError("why"),
        ValueError("why"),
        TypeError("why"),
    ],
)
def test_errors_cross_with_all_that_they_carry(error: Exception) -> None:
    frames = Frames(1000)
    frames.feed(protocol.answer(7, protocol.value_of(error)))
    ((kind, rest),) = kinds(frames)
    assert kind == Kind.ANSWER
    number, value = protocol.parse_answer(rest)
    again = protocol.error_of(value)
    assert (number, type(again), str(again)) == (7, type(error), str(error))
    assert vars(again) == vars(error)


def test_an_error_without_a_name_here_is_one_of_wssends() -> None:
    again = protocol.error_of(protocol.value_of(OSError(5, "broken")))
    assert type(again) is wssend.WSSendError
    assert str(again) == "the hub failed: OSError: [Errno 5] broken"


def test_ids_that_take_too_much_are_refused() -> None:
    with pytest.raises(ValueError, match="the ids that a call names may take"):
        protocol.call_head(Kind.SEND, 0, b"x" * (1 << 20), b"", 0)
