"""Other people's clients over TLS, with compression where they offer it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.programs import Client
from e2e.servers import EchoServer
from e2e.test_clients import each_client
from kit import make_pair

pytestmark = pytest.mark.timeout(200)  # the first use builds the driver


@pytest.fixture
def secure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EchoServer]:
    """An echo server whose certificate the clients believe, and check.

    The browser does not: its pages of this server are let pass.
    """
    pair = make_pair(tmp_path, "server")
    monkeypatch.setenv("SSL_CERT_FILE", str(pair.cert))  # Python, Go
    monkeypatch.setenv("NODE_EXTRA_CA_CERTS", str(pair.cert))
    with EchoServer(pair, compression="deflate") as server:
        yield server


@each_client()
def test_messages_of_all_sizes_come_back_and_the_end_is_clean(
    client: Client, secure: EchoServer
) -> None:
    assert secure.url("eve").startswith("wss://")
    assert client.run(secure.url("eve"), "echo") == {"bad": []}
    gone = secure.goodbye("eve")
    assert gone.clean
    stats = gone.client.stats()
    assert stats.received == stats.accepted == stats.written == 15


@each_client()
def test_we_close_with_a_code_and_a_reason(client: Client, secure: EchoServer) -> None:
    seen = client.run(secure.url("eve"), "server_closes")
    assert seen == {"code": 4001, "reason": "as you wish: ✓"}
    assert secure.goodbye("eve").clean
