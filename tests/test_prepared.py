from __future__ import annotations

import pickle

import pytest
from kit import serving

import wssend
from wssend import PreparedMessage


def test_every_sending_call_takes_one() -> None:
    text, binary = PreparedMessage("text"), PreparedMessage(b"binary")
    with serving() as server:
        client, own = server.connect("a", "u")
        client.subscribe("t")
        for message in (text, binary):
            client.send(message)
            wssend.send(client, message)
            server.hub.send("a", message)
            assert server.hub.send_to_user("u", message).queued == 1
            assert server.hub.broadcast(message).queued == 1
            assert server.hub.publish("t", message).queued == 1
        assert [own.recv() for _ in range(12)] == ["text"] * 6 + [b"binary"] * 6


@pytest.mark.parametrize(
    ("data", "text", "size", "is_text"),
    [
        ("é", None, 2, True),
        ("é", False, 2, False),
        (b"123", None, 3, False),
        (b"123", True, 3, True),
        (bytearray(), None, 0, False),
    ],
)
def test_it_tells_its_size_and_kind(
    data: str | bytes, text: bool | None, size: int, is_text: bool
) -> None:
    message = PreparedMessage(data, text=text)
    assert (len(message), message.text, bool(message)) == (size, is_text, True)
    kind = "text" if is_text else "binary"
    assert repr(message) == f"<PreparedMessage {kind}, {size} bytes>"


def test_the_data_is_copied_when_it_is_made() -> None:
    data = bytearray(b"before")
    message = PreparedMessage(data)
    data[:] = b"after"
    with serving() as server:
        client, own = server.connect()
        client.send(message)
        assert own.recv() == b"before"


@pytest.mark.parametrize("text", [True, False])
def test_text_cannot_be_chosen_afterwards(text: bool) -> None:
    message = PreparedMessage(b"x")
    with serving() as server:
        client, _ = server.connect()
        for send in (client.send, server.hub.broadcast):
            with pytest.raises(TypeError, match=r"^text cannot be chosen"):
                send(message, text=text)
        client.send(message, text=None)


@pytest.mark.parametrize(
    ("data", "error"),
    [(None, TypeError), (PreparedMessage(b""), TypeError), ("\ud800", UnicodeError)],
)
def test_bad_data(data: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        PreparedMessage(data)


def test_bad_utf8() -> None:
    with pytest.raises(UnicodeDecodeError):
        PreparedMessage(b"\xff", text=True)


def test_one_too_large_is_known_at_the_send() -> None:
    message = PreparedMessage(bytes(11))
    with serving(send_queue_bytes=10) as server:
        client, _ = server.connect()
        with pytest.raises(wssend.MessageTooLarge):
            client.send(message)


def test_it_is_final_and_not_pickled() -> None:
    with pytest.raises(TypeError):
        type("Sub", (PreparedMessage,), {})
    with pytest.raises(TypeError):
        pickle.dumps(PreparedMessage(b""))
    with pytest.raises(AttributeError):
        PreparedMessage(b"").text = True  # type: ignore[misc]
