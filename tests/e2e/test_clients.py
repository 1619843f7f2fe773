"""Other people's clients connect, are heard and answered, and close cleanly."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from e2e.programs import Client
from e2e.servers import EchoServer

import wssend

CLIENTS = [
    "websockets-sync",
    "websockets-asyncio",
    "aiohttp-client",
    "node-ws",
    "go-gorilla",
    "go-coder",
    "chromium",
]
# A browser's page cannot ping; neither it nor aiohttp can send fragments.
NO_PING = {"chromium"}
NO_FRAGMENTS = {"chromium", "aiohttp-client"}
# Those that offer it unasked.
COMPRESSING = ["websockets-sync", "websockets-asyncio", "node-ws", "chromium"]

pytestmark = pytest.mark.timeout(200)  # the first use builds the driver


def each_client(
    without: frozenset[str] | set[str] = frozenset(),
) -> pytest.MarkDecorator:
    names = [name for name in CLIENTS if name not in without]
    return pytest.mark.parametrize("client", names, indirect=True)


@pytest.fixture
def pinging() -> Iterator[EchoServer]:
    with EchoServer(ping_interval=0.2) as server:
        yield server


@each_client()
def test_text_and_binary_of_all_sizes_come_back(
    client: Client, echo: EchoServer
) -> None:
    assert client.run(echo.url("eve"), "echo") == {"bad": []}
    gone = echo.goodbye("eve")
    assert gone.clean
    stats = gone.client.stats()
    assert stats.received == stats.accepted == stats.written == 15
    assert stats.received_bytes == stats.written_bytes


@pytest.mark.parametrize("client", COMPRESSING, indirect=True)
def test_compressed_messages_of_all_sizes_come_back(client: Client) -> None:
    with EchoServer(compression="deflate") as echo:
        assert client.run(echo.url("eve"), "echo") == {"bad": []}
        assert echo.goodbye("eve").clean
        stats = echo.hub.stats()
        assert stats.received == stats.written == 15
        assert stats.received_bytes == stats.written_bytes
        assert stats.compressed == 6  # text and binary of 65535 bytes and more
        assert stats.wire_bytes < stats.written_bytes / 10


@each_client(NO_FRAGMENTS)
def test_with_compression_fragments_arrive_as_one_message(client: Client) -> None:
    with EchoServer(compression="deflate") as echo:
        seen = client.run(echo.url("eve"), "fragments")
        assert seen == {"text": "one two and three", "binary": "one two and three"}


@each_client(NO_FRAGMENTS)
def test_fragments_arrive_as_one_message(client: Client, echo: EchoServer) -> None:
    seen = client.run(echo.url("eve"), "fragments")
    assert seen == {"text": "one two and three", "binary": "one two and three"}
    messages = [e.data for e in echo.seen["eve"] if isinstance(e, wssend.Message)]
    assert set(messages) == {"hello", b"one two and three", "one two and three"}
    assert len(messages) == 3


@each_client(NO_PING)
def test_its_pings_are_answered(client: Client, echo: EchoServer) -> None:
    assert client.run(echo.url("eve"), "ping") == {"pong": True}


@each_client()
def test_it_answers_our_pings(client: Client, pinging: EchoServer) -> None:
    with ThreadPoolExecutor(1) as pool:
        playing = pool.submit(client.run, pinging.url("eve"), "idle")
        eve = pinging.greeted("eve")
        pinging.wait(lambda: eve.stats().rtt is not None)
        eve.close(1000, "seen")
        assert playing.result() == {"code": 1000, "reason": "seen"}
    assert 0.0 < (eve.stats().rtt or 0.0) < 5.0


@each_client()
def test_our_first_subprotocol_that_it_offers_is_chosen(
    client: Client, echo: EchoServer
) -> None:
    seen = client.run(echo.url("eve"), "subprotocol")
    assert seen == {"subprotocol": "chat.v1"}
    assert echo.goodbye("eve").client.request.subprotocol == "chat.v1"


@each_client()
def test_it_closes_with_a_code_and_a_reason(client: Client, echo: EchoServer) -> None:
    assert client.run(echo.url("eve"), "client_closes") == {"code": 3001}
    gone = echo.goodbye("eve")
    assert (gone.code, gone.reason, gone.clean) == (3001, "done", True)


@each_client()
def test_we_close_with_a_code_and_a_reason(client: Client, echo: EchoServer) -> None:
    seen = client.run(echo.url("eve"), "server_closes")
    assert seen == {"code": 4001, "reason": "as you wish: ✓"}
    gone = echo.goodbye("eve")
    assert (gone.code, gone.reason, gone.clean) == (4001, "as you wish: ✓", True)


@each_client()
def test_it_is_told_that_the_server_goes(client: Client, echo: EchoServer) -> None:
    with ThreadPoolExecutor(1) as pool:
        playing = pool.submit(client.run, echo.url("eve"), "idle")
        echo.greeted("eve")
        echo.hub.close(1001, "going away")
        assert playing.result() == {"code": 1001, "reason": "going away"}
