"""client.send: what is queued, what is refused, and how."""

from __future__ import annotations

import array
from collections.abc import Iterator

import pytest
from kit import Server, serving
from wsclient import BINARY, TEXT, Client

import wssend


@pytest.fixture(params=[True, False], ids=["gil released", "gil kept"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with serving(send_queue_bytes=100_000, release_gil=request.param) as server:
        yield server


@pytest.fixture
def pair(server: Server) -> tuple[wssend.WSClient, Client]:
    return server.connect()


@pytest.mark.parametrize(
    ("data", "text", "opcode", "payload"),
    [
        ("héllo", None, TEXT, "héllo".encode()),
        ("", None, TEXT, b""),
        ("x" * 70_000, None, TEXT, b"x" * 70_000),
        ("text", True, TEXT, b"text"),
        ("as bytes", False, BINARY, b"as bytes"),
        (b"\x00\xff", None, BINARY, b"\x00\xff"),
        (b"", None, BINARY, b""),
        (b"y" * 70_000, None, BINARY, b"y" * 70_000),
        (b"\xf0\x9f\x8e\x89", True, TEXT, "🎉".encode()),
        (bytearray(b"mutable"), None, BINARY, b"mutable"),
        (memoryview(b"a view")[2:], None, BINARY, b"view"),
        (array.array("H", [1, 2]), None, BINARY, array.array("H", [1, 2]).tobytes()),
        (bytearray(b"json"), True, TEXT, b"json"),
    ],
)
def test_data_decides_the_kind_of_message_and_text_overrules_it(
    pair: tuple[wssend.WSClient, Client],
    data: str | bytes,
    text: bool | None,
    opcode: int,
    payload: bytes,
) -> None:
    client, own = pair
    client.send(data, text=text)
    frame = own.recv_frame()
    assert (frame.opcode, frame.payload, frame.fin) == (opcode, payload, True)


def test_a_buffer_may_change_once_send_has_returned(
    pair: tuple[wssend.WSClient, Client],
) -> None:
    client, own = pair
    data = bytearray(b"before")
    client.send(data)
    data[:] = b"after!!"  # also: no export is left that would forbid resizing
    assert own.recv() == b"before"


@pytest.mark.parametrize("data", [None, 7, ["x"], object()])
def test_a_wrong_type_names_the_argument_and_the_value(
    pair: tuple[wssend.WSClient, Client], data: object
) -> None:
    with pytest.raises(TypeError, match=r"^data must be str, bytes-like or .*, not "):
        pair[0].send(data)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", [1, "yes", b""])
def test_text_must_be_a_bool_or_none(
    pair: tuple[wssend.WSClient, Client], text: bool
) -> None:
    with pytest.raises(TypeError, match=r"^text must be True, False or None, not "):
        pair[0].send(b"", text=text)


def test_a_view_with_gaps_is_refused_by_name(
    pair: tuple[wssend.WSClient, Client],
) -> None:
    with pytest.raises(BufferError, match=r"^data must be C-contiguous"):
        pair[0].send(memoryview(b"123456")[::2])


@pytest.mark.parametrize(
    "data", [b"\xff", b"good \xc3", b"\xed\xa0\x80", b"a\xe2\x82zz", bytearray(b"\xf8")]
)
def test_bad_utf8_is_told_as_python_tells_it_and_counted_nowhere(
    pair: tuple[wssend.WSClient, Client], data: bytes
) -> None:
    client, own = pair
    with pytest.raises(UnicodeDecodeError) as ours:
        client.send(data, text=True)
    with pytest.raises(UnicodeDecodeError) as pythons:
        bytes(data).decode()
    assert ours.value.args == pythons.value.args
    assert client.stats().attempted == 0
    client.send("next")
    assert own.recv() == "next"


def test_a_lone_surrogate_is_what_python_raises(
    pair: tuple[wssend.WSClient, Client],
) -> None:
    with pytest.raises(UnicodeEncodeError):
        pair[0].send("\ud800")


def test_what_can_never_fit_is_refused_and_counted(
    pair: tuple[wssend.WSClient, Client],
) -> None:
    client, own = pair
    with pytest.raises(wssend.MessageTooLarge) as caught:
        client.send(b"x" * 100_001)
    assert caught.value.client is client
    assert (caught.value.size, caught.value.limit) == (100_001, 100_000)
    assert str(caught.value) == (
        "client 'a': a message of 100001 bytes can never fit: the channel holds "
        "100000 (send_queue_bytes)"
    )
    assert client.stats().refused_too_large == 1
    client.send(b"x" * 100_000)
    assert own.recv() == b"x" * 100_000


def test_closed_wins_over_too_large(pair: tuple[wssend.WSClient, Client]) -> None:
    client, _ = pair
    client.close()
    with pytest.raises(wssend.ChannelClosed):
        client.send(b"x" * 100_001)
    stats = client.stats()
    assert (stats.refused_closed, stats.refused_too_large) == (1, 0)


@pytest.mark.parametrize("args", [(), (b"", b""), (b"", True)])
def test_data_is_the_one_positional_argument(
    pair: tuple[wssend.WSClient, Client], args: tuple[bytes, ...]
) -> None:
    with pytest.raises(TypeError, match=r"^send\(\) "):
        pair[0].send(*args)


def test_keywords_are_taken_by_name_and_unknown_ones_refused(
    pair: tuple[wssend.WSClient, Client],
) -> None:
    client, own = pair
    client.send(text=True, data=b"by name")
    assert own.recv() == "by name"
    with pytest.raises(TypeError, match="unexpected keyword argument 'compress'"):
        client.send(b"", compress=True)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="multiple values for argument 'data'"):
        client.send(b"", data=b"")  # type: ignore[misc]


def test_the_module_level_send(pair: tuple[wssend.WSClient, Client]) -> None:
    client, own = pair
    wssend.send(client, "one")
    wssend.send(client, b"two", text=True)
    assert [own.recv(), own.recv()] == ["one", "two"]
    with pytest.raises(wssend.ClientNotFound, match=r"^client is None"):
        wssend.send(None, "nobody")
    with pytest.raises(TypeError, match=r"^client must be a WSClient, not 'a'"):
        wssend.send("a", "an id is no client")  # type: ignore[arg-type]


def test_order_is_kept(pair: tuple[wssend.WSClient, Client]) -> None:
    client, own = pair
    for i in range(200):
        client.send(str(i))
    assert [own.recv() for _ in range(200)] == [str(i) for i in range(200)]
