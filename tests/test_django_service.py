"""The hub as Django runs it: where it listens, and how it ends."""

from __future__ import annotations

import logging
import stat
import threading
from pathlib import Path

import pytest
from django_kit import running
from kit import Background, until
from wsclient import TIMEOUT, Client, Gone

from wssend.django import connected, message_received


def test_it_takes_websockets_at_its_path_only() -> None:
    with running(PATH="/shop/ws", ALLOW_ANONYMOUS=True) as server:
        server.dial(target="/shop/ws")
        with pytest.raises(AssertionError, match="404"):
            server.dial(target="/ws")


def test_it_may_listen_on_a_unix_socket(tmp_path: Path) -> None:
    unix = tmp_path / "ws.sock"
    with running(UNIX=unix, ALLOW_ANONYMOUS=True) as server:
        server.dial()
        until(server.hub.clients)
    assert not unix.exists()


def test_the_local_socket_has_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    with running(SOCKET=path, SOCKET_MODE=0o600):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()


def test_the_hub_gets_its_options() -> None:
    with running(ALLOW_ANONYMOUS=True, HUB={"max_clients": 1}) as server:
        server.dial()
        with pytest.raises(AssertionError, match="503"):
            server.dial()


def test_what_a_proxy_says_of_the_client_is_believed_if_it_is_trusted() -> None:
    headers = [("X-Forwarded-For", "192.0.2.7")]
    with running(ALLOW_ANONYMOUS=True, TRUSTED_PROXIES=["127.0.0.1"]) as server:
        server.dial(headers=headers)
        assert until(server.hub.clients)[0].remote == "192.0.2.7"


def test_a_port_that_is_taken_is_told_and_leaves_nothing_behind() -> None:
    threads = threading.active_count()
    with running() as server:
        port = server.service.listener.port
        with pytest.raises(OSError, match=r"(?i)address"), running(PORT=port):
            pass
    until(lambda: threading.active_count() == threads)


def test_at_the_end_clients_are_closed_and_receivers_have_done(
    caplog: pytest.LogCaptureFixture,
) -> None:
    entered, let_go, done = threading.Event(), threading.Event(), threading.Event()

    def slow(sender: object, **_: object) -> None:
        entered.set()
        assert let_go.wait(TIMEOUT)
        done.set()

    message_received.connect(slow)
    threads = threading.active_count()
    with running(ALLOW_ANONYMOUS=True) as server:
        client = server.dial()
        client.send("hello")
        assert entered.wait(TIMEOUT)
        ending = Background(lambda: server.service.stop(TIMEOUT))
        assert client.answer_close().code == 1001
        let_go.set()
        ending.result()
        assert done.is_set()
    until(lambda: threading.active_count() == threads)
    assert caplog.text == ""


def test_a_receiver_that_does_not_end_is_left_behind(
    caplog: pytest.LogCaptureFixture,
) -> None:
    entered, let_go = threading.Event(), threading.Event()

    def stuck(sender: object, **_: object) -> None:
        entered.set()
        assert let_go.wait(TIMEOUT)

    connected.connect(stuck)
    with caplog.at_level(logging.WARNING), running(ALLOW_ANONYMOUS=True) as server:
        server.dial()
        assert entered.wait(TIMEOUT)
        server.service.stop(0)
        let_go.set()
    assert "stopped before all receivers had ended" in caplog.text


def test_a_handshake_that_waits_when_it_ends_is_refused() -> None:
    entered, let_go = threading.Event(), threading.Event()

    def authorize(request: object, user: object) -> bool:
        entered.set()
        return let_go.wait(TIMEOUT)

    def dial() -> str:
        try:
            with Client(server.url, "/ws", [("Origin", "http://localhost")]):
                return "in"
        except (AssertionError, Gone) as error:
            return str(error)

    with running(AUTHORIZE=authorize) as server:
        waiting = Background(dial)
        assert entered.wait(TIMEOUT)
        ending = Background(lambda: server.service.stop(TIMEOUT))
        assert "503" in waiting.result()
        let_go.set()
        ending.result()
