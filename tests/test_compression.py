"""WSHub(compression="deflate"), seen by clients that compress, too."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import aiohttp
import pytest
from kit import Server, serving, there, until
from websockets.exceptions import ConnectionClosedError
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.sync.client import ClientConnection, connect
from wsclient import TIMEOUT

import wssend

WORDS = json.dumps([{"id": i, "name": f"user-{i}", "on": True} for i in range(400)])
NOISE = random.Random(1).randbytes(20_000)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(compression="deflate") as server:
        server.hub.fileno()
        yield server


def dial(server: Server, client_id: str, bits: int | None = None) -> ClientConnection:
    """Connect with compression offered; `bits` asks for a smaller window."""
    offer = ClientPerMessageDeflateFactory(
        server_max_window_bits=bits, client_max_window_bits=True
    )
    return connect(
        f"{server.url}?id={client_id}", extensions=[offer], max_size=None, proxy=None
    )


def next_message(server: Server) -> str | bytes:
    for event in server.hub.events(timeout=TIMEOUT):
        if isinstance(event, wssend.Message):
            return event.data
    raise AssertionError("no message came")


@pytest.mark.parametrize("bits", [None, 15, 12, 9])
def test_websockets_reads_and_writes_compressed_messages(
    server: Server, bits: int | None
) -> None:
    with dial(server, "a", bits) as own:
        agreed = there(own.response).headers["Sec-WebSocket-Extensions"]
        assert agreed.startswith("permessage-deflate; server_no_context_takeover")
        assert ("server_max_window_bits" in agreed) == (bits is not None)
        client = there(server.hub.get("a"))
        for data in (WORDS, "", "short", WORDS * 30, WORDS.encode(), NOISE, b""):
            client.send(data)
            assert own.recv(TIMEOUT) == data
            own.send(data)
            assert next_message(server) == data
        s = server.hub.stats()
        assert s.compressed == 3
        assert s.wire_bytes < s.written_bytes / 2
        assert s.written_bytes == client.stats().written_bytes == s.received_bytes


def test_aiohttp_reads_and_writes_compressed_messages(server: Server) -> None:
    async def talk() -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{server.url}?id=a", compress=15) as own,
        ):
            assert own.compress == 15
            client = there(server.hub.get("a"))
            for text in (WORDS, "short", WORDS * 10):
                client.send(text)
                assert await own.receive_str(timeout=TIMEOUT) == text
                await own.send_str(text)
                assert await asyncio.to_thread(next_message, server) == text

    asyncio.run(talk())
    assert server.hub.stats().compressed == 2


def test_whoever_offers_nothing_gets_everything_as_it_is(server: Server) -> None:
    client, own = server.connect()
    assert "Sec-WebSocket-Extensions" not in own.response
    client.send(WORDS)
    assert own.recv() == WORDS
    assert server.hub.stats().compressed == 0


def test_without_the_option_nothing_is_agreed_on() -> None:
    with serving() as server, dial(server, "a") as own:
        assert "Sec-WebSocket-Extensions" not in there(own.response).headers
        there(server.hub.get("a")).send(WORDS)
        assert own.recv(TIMEOUT) == WORDS
        assert server.hub.stats().compressed == 0


def test_a_broadcast_is_compressed_once(server: Server) -> None:
    plain = server.dial("plain")
    with ExitStack() as stack:
        own = [stack.enter_context(dial(server, str(i))) for i in range(10)]
        assert server.hub.broadcast(WORDS).queued == 11
        assert server.hub.stats().compressed == 1
        for each in own:
            assert each.recv(TIMEOUT) == WORDS
    assert plain.recv() == WORDS


def test_a_prepared_message_is_compressed_once_for_all_its_sends(
    server: Server,
) -> None:
    prepared = wssend.PreparedMessage(WORDS)
    with dial(server, "a") as own, dial(server, "b", 9) as small:
        client = there(server.hub.get("a"))
        for _ in range(3):
            client.send(prepared)
            server.hub.send("a", prepared)
            server.hub.broadcast(prepared)
        for _ in range(9):
            assert own.recv(TIMEOUT) == WORDS
        for _ in range(3):
            assert small.recv(TIMEOUT) == WORDS
        assert server.hub.stats().compressed == 2  # one for each window
    assert len(prepared) == len(WORDS)


def test_what_compresses_well_is_limited_all_the_same() -> None:
    with serving(compression="deflate", max_message_size=100_000) as server:
        server.hub.fileno()
        with dial(server, "a") as own:
            own.send(bytes(100_000))
            assert next_message(server) == bytes(100_000)
            own.send(bytes(100_001))
            with pytest.raises(ConnectionClosedError) as closed:
                own.recv(TIMEOUT)
            assert there(closed.value.rcvd).code == 1009


def test_a_channel_holds_what_was_sent_not_what_that_became() -> None:
    with (
        serving(compression="deflate", send_queue_bytes=100_000) as server,
        dial(server, "a"),
    ):
        client = there(server.hub.get("a"))
        client.send(bytes(100_000))
        with pytest.raises(wssend.MessageTooLarge):
            client.send(bytes(100_001))
        until(lambda: client.stats().written == 1)
        assert client.stats().written_bytes == 100_000
        assert server.hub.stats().wire_bytes < 1000


@pytest.mark.parametrize("call", ["client.send", "hub.send"])
def test_the_gil_is_given_away_for_compressing_even_with_release_gil_off(
    call: str,
) -> None:
    slow = "".join(random.Random(1).choices("ab", k=16_000))  # 0.3 ms and more
    offer = [("Sec-WebSocket-Extensions", "permessage-deflate")]
    turns = 0
    done = False

    def others() -> None:
        nonlocal turns
        while not done:
            turns += 1
            time.sleep(0)

    before = sys.getswitchinterval()
    with serving(
        compression="deflate",
        release_gil=False,
        send_queue_bytes=1 << 26,
        send_queue=4000,
    ) as server:
        client, _ = server.connect(headers=offer)
        # Nobody takes the GIL from whoever does not give it.
        sys.setswitchinterval(1000)
        thread = threading.Thread(target=others)
        try:
            thread.start()
            seen = turns
            for _ in range(4000):
                if call == "client.send":
                    client.send(slow)
                else:
                    server.hub.send("a", slow)
                if turns > seen:
                    break
            assert turns > seen
        finally:
            done = True
            sys.setswitchinterval(before)
            thread.join(TIMEOUT)


def test_many_threads_compress_at_the_same_time(server: Server) -> None:
    texts = [f"{i}: {WORDS}" for i in range(20)]

    def send_all() -> None:
        for text in texts:
            server.hub.broadcast(text)

    with dial(server, "a") as own, dial(server, "b", 10) as small:
        threads = [threading.Thread(target=send_all) for _ in range(4)]
        for thread in threads:
            thread.start()
        for each in (own, small):
            got = [each.recv(TIMEOUT) for _ in range(4 * len(texts))]
            assert sorted(map(str, got)) == sorted(4 * texts)
        for thread in threads:
            thread.join(TIMEOUT)
    assert server.hub.stats().compressed == 2 * 4 * len(texts)
