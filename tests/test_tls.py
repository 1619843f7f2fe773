"""TLS: listen(tls_cert=...), reload_tls(), and what is wrong with files."""

from __future__ import annotations

import errno
import http.client
import os
import select
import socket
import ssl
import threading
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kit import Background, Pair, make_pair, run_script, serving, there, until
from wsclient import CLOSE, Client, Gone, connect_socket, trusting

import wssend


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make_pair(tmp_path_factory.mktemp("pair"), "first")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make_pair(tmp_path_factory.mktemp("other"), "second")


def believing(pair: Pair) -> ssl.SSLContext:
    """A context that believes that server, and no other."""
    return ssl.create_default_context(cafile=str(pair.cert))


def shown(listener: wssend.Listener) -> bytes:
    """The certificate that a new handshake is shown."""
    with trusting().wrap_socket(
        connect_socket(listener.url), server_hostname="localhost"
    ) as sock:
        return there(sock.getpeercert(binary_form=True))


def der(pair: Pair) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pair.cert.read_text())


def test_a_session_over_tls(pair: Pair) -> None:
    with serving(tls=pair.both) as server:
        assert server.url == f"wss://127.0.0.1:{server.listener.port}/"
        assert repr(server.listener) == f"<Listener {server.url}, open>"
        events = server.hub.events()
        client, own = server.connect("a", tls=believing(pair))
        assert next(events) == wssend.Connected(client)
        client.send("text")
        client.send(bytes(900_000))
        assert own.recv() == "text"
        assert own.recv() == bytes(900_000)
        own.send("back" * 50_000)
        assert next(events).data == "back" * 50_000  # type: ignore[union-attr]
        own.leave()
        assert next(events).clean  # type: ignore[union-attr]


def test_the_key_may_be_in_a_file_of_its_own(pair: Pair) -> None:
    with wssend.WSHub() as hub:
        listener = hub.listen("127.0.0.1", 0, tls_cert=str(pair.cert), tls_key=pair.key)
        Client(listener.url, tls=believing(pair)).leave()


def test_a_unix_socket_and_a_path(pair: Pair, tmp_path: Path) -> None:
    with wssend.WSHub() as hub:
        path = tmp_path / "hub.sock"
        listener = hub.listen(unix=path, path="/ws", tls_cert=pair.both)
        assert listener.url == f"wss+unix:{path}:/ws"
        Client(listener.url).leave()


def test_plain_and_tls_side_by_side(pair: Pair) -> None:
    with serving(tls=pair.both) as server:
        plain = server.hub.listen("127.0.0.1", 0)
        _, over_tls = server.connect("a")
        with Client(plain.url, "/?id=b") as other:
            assert server.hub.broadcast("both").queued == 2
            assert over_tls.recv() == other.recv() == "both"


def test_pages_are_served_whole(pair: Pair) -> None:
    body = os.urandom(3_000_000)
    with serving(tls=pair.both) as server:
        server.hub.add_page("/page", "application/octet-stream", body)
        connection = http.client.HTTPSConnection(
            "127.0.0.1", server.listener.port, timeout=10, context=believing(pair)
        )
        with closing(connection):
            connection.request("GET", "/page")
            assert connection.getresponse().read() == body


def test_the_hub_closes_and_says_so_under_tls(pair: Pair) -> None:
    with serving(tls=pair.both) as server:
        clients = [server.dial(str(i)) for i in range(20)]
        until(lambda: len(server.hub) == 20)
        closing_hub = Background(lambda: server.hub.close(1001, "bye"))
        for client in clients:
            frame = client.recv_frame()
            assert (frame.opcode, frame.code, frame.reason) == (CLOSE, 1001, "bye")
            client.send_close(1001)
            assert client.socket.recv(1) == b""  # close_notify, or SSLEOFError
            client.close()
        closing_hub.result()


# ---- files


@pytest.mark.parametrize("name", ["tls_cert", "tls_key", "tls_client_ca"])
def test_a_file_that_cannot_be_read(name: str, pair: Pair, tmp_path: Path) -> None:
    files: dict[str, Any] = {"tls_cert": pair.both, name: tmp_path / "none"}
    with wssend.WSHub() as hub:
        with pytest.raises(FileNotFoundError) as caught:
            hub.listen("127.0.0.1", 0, **files)
        assert caught.value.filename == str(tmp_path / "none")
        with pytest.raises(IsADirectoryError) as is_folder:
            hub.listen("127.0.0.1", 0, **{**files, name: tmp_path})
        assert is_folder.value.errno == errno.EISDIR


def test_a_file_without_what_is_needed(pair: Pair, other: Pair, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("hello")
    wrong: list[tuple[dict[str, Path], str]] = [
        ({"tls_cert": text}, f"tls_cert: '{text}' is not a PEM file"),
        ({"tls_cert": pair.key}, f"tls_cert: '{pair.key}' holds no certificate"),
        ({"tls_cert": pair.cert}, f"tls_cert: '{pair.cert}' holds no private key"),
        (
            {"tls_cert": pair.cert, "tls_key": other.key},
            f"tls_key: '{other.key}' holds a key that does not belong",
        ),
        (
            {"tls_cert": pair.both, "tls_client_ca": pair.key},
            f"tls_client_ca: '{pair.key}' holds no certificate",
        ),
    ]
    with wssend.WSHub() as hub:
        for files, message in wrong:
            with pytest.raises(ValueError, match=message):
                hub.listen("127.0.0.1", 0, **files)  # type: ignore[arg-type]


def test_arguments_that_are_no_paths_or_alone(pair: Pair) -> None:
    with wssend.WSHub() as hub:
        with pytest.raises(TypeError, match="tls_cert must be the path of a file"):
            hub.listen("127.0.0.1", 0, tls_cert=3)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="null"):
            hub.listen("127.0.0.1", 0, tls_cert="a\0b")
        with pytest.raises(TypeError, match="needs tls_cert with tls_key"):
            hub.listen("127.0.0.1", 0, tls_key=pair.key)
        with pytest.raises(TypeError, match="needs tls_cert with tls_client_ca"):
            hub.listen("127.0.0.1", 0, tls_client_ca=pair.cert)


# ---- another certificate


def test_new_handshakes_see_the_new_certificate_and_the_open_go_on(
    pair: Pair, other: Pair
) -> None:
    count = 1000
    with serving(tls=pair.both, max_events=0, ping_interval=None) as server:
        context = believing(pair)
        clients = [server.dial(f"{i}", tls=context) for i in range(count)]
        until(lambda: len(server.hub) == count)
        server.listener.reload_tls(tls_cert=other.cert, tls_key=other.key)
        assert shown(server.listener) == der(other)
        Client(server.url, tls=believing(other)).leave()
        assert server.hub.broadcast("still here").queued >= count
        for client in clients:
            assert client.recv() == "still here"
            client.send_frame(9, b"you?")
            assert client.recv_frame().payload == b"you?"


def test_without_arguments_the_same_files_are_read_again(
    pair: Pair, other: Pair, tmp_path: Path
) -> None:
    own = tmp_path / "own.pem"
    own.write_bytes(pair.both.read_bytes())
    with wssend.WSHub() as hub:
        listener = hub.listen("127.0.0.1", 0, tls_cert=own)
        own.write_bytes(other.both.read_bytes())
        assert shown(listener) == der(pair)
        listener.reload_tls()
        assert shown(listener) == der(other)
        listener.reload_tls(tls_cert=pair.cert, tls_key=pair.key)
        listener.reload_tls()  # those files from now on
        assert shown(listener) == der(pair)
        listener.reload_tls(tls_cert=other.both)  # with the key in it
        assert shown(listener) == der(other)


def test_after_an_error_the_old_one_stays(pair: Pair, other: Pair) -> None:
    with wssend.WSHub() as hub:
        listener = hub.listen("127.0.0.1", 0, tls_cert=pair.both)
        with pytest.raises(ValueError, match="does not belong"):
            listener.reload_tls(tls_cert=pair.cert, tls_key=other.key)
        with pytest.raises(FileNotFoundError):
            listener.reload_tls(tls_cert="/nonexistent")
        with pytest.raises(TypeError):
            listener.reload_tls(pair.cert)  # type: ignore[call-arg]
        listener.reload_tls()
        assert shown(listener) == der(pair)


def test_a_listener_without_tls_or_closed_has_none_to_reload(pair: Pair) -> None:
    with wssend.WSHub() as hub:
        with pytest.raises(ValueError, match="has no TLS"):
            hub.listen("127.0.0.1", 0).reload_tls()
        listener = hub.listen("127.0.0.1", 0, tls_cert=pair.both)
        listener.close()
        with pytest.raises(ValueError, match="is closed"):
            listener.reload_tls()
        last = hub.listen("127.0.0.1", 0, tls_cert=pair.both)
    with pytest.raises(wssend.HubClosed):
        last.reload_tls()


def test_many_threads_reload_while_clients_come(pair: Pair, other: Pair) -> None:
    with wssend.WSHub() as hub:
        listener = hub.listen("127.0.0.1", 0, tls_cert=pair.both)
        end = threading.Event()

        def reload(files: Pair) -> None:
            while not end.is_set():
                listener.reload_tls(tls_cert=files.both)

        threads = [Background(partial(reload, files)) for files in (pair, other)]
        try:
            for _ in range(50):
                assert shown(listener) in (der(pair), der(other))
        finally:
            end.set()
        for thread in threads:
            thread.result()


def test_of_files_given_at_once_those_in_use_are_remembered(
    pair: Pair, other: Pair
) -> None:
    with wssend.WSHub(pumps=3) as hub:
        listener = hub.listen("127.0.0.1", 0, tls_cert=pair.both)
        for _ in range(30):
            both = threading.Barrier(2)

            def reload(files: Pair, both: threading.Barrier = both) -> None:
                both.wait()
                listener.reload_tls(tls_cert=files.both)

            threads = [Background(partial(reload, files)) for files in (pair, other)]
            for thread in threads:
                thread.result()
            before = shown(listener)
            listener.reload_tls()
            assert shown(listener) == before


# ---- certificates of clients


def test_a_client_needs_a_certificate_of_the_authority(
    pair: Pair, other: Pair, tmp_path: Path
) -> None:
    authority = make_pair(tmp_path, "authority")
    known = make_pair(tmp_path, "known", authority)
    with wssend.WSHub() as hub:
        listener = hub.listen(
            "127.0.0.1", 0, tls_cert=pair.both, tls_client_ca=authority.cert
        )
        context = believing(pair)
        for stranger in (None, other):
            if stranger is not None:
                context.load_cert_chain(stranger.both)
            with pytest.raises((ssl.SSLError, ConnectionError, Gone)):
                Client(listener.url, tls=context)
        context = believing(pair)
        context.load_cert_chain(known.both)
        Client(listener.url, tls=context).leave()
        listener.reload_tls(tls_client_ca=other.cert)
        context.load_cert_chain(other.both)
        Client(listener.url, tls=context).leave()


# ---- the life of connections


def test_a_paused_flood_loses_nothing(pair: Pair) -> None:
    """More than fits stands in the sockets while nobody takes an event."""
    with serving(tls=pair.both, max_events=4, max_event_bytes=1 << 20) as server:
        events = server.hub.events(timeout=10)
        _, own = server.connect("a")
        next(events)
        messages = [os.urandom(1 + i * 977 % 60_000) for i in range(300)]
        sending = Background(lambda: list(map(own.send, messages)))
        for message in messages:
            assert next(events).data == message  # type: ignore[union-attr]
        sending.result()


def test_slow_tls_clients_cost_only_themselves(pair: Pair) -> None:
    with serving(tls=pair.both, send_queue=50) as server:
        slow, _ = server.stalled("slow")
        _, own = server.connect("quick")
        for i in range(100):
            report = server.hub.broadcast(str(i))
            assert report.full == (slow,)
            assert own.recv() == str(i)
        stats = slow.stats()
        assert stats.accepted == stats.written + stats.queued


def test_the_interpreter_ends_with_tls_clients_open(pair: Pair) -> None:
    code = """
        import sys, wssend
        from wsclient import Client
        hub = wssend.WSHub()
        listener = hub.listen("127.0.0.1", 0, tls_cert=sys.argv[1])
        clients = [Client(listener.url) for _ in range(20)]
        for client in hub.clients():
            client.send(bytes(500_000))
        globals()["keep"] = clients
        print("end")
        for client in clients:
            client.socket.detach()
        del hub
    """
    assert "end" in run_script(code, str(pair.both))


@pytest.mark.forks
def test_a_forked_child_closes_its_copies(pair: Pair) -> None:
    with serving(tls=pair.both) as server:
        client, own = server.connect("a")
        go, gone = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                with pytest.raises(wssend.HubClosed, match="fork"):
                    server.listener.reload_tls()
                os.read(go, 1)
                os._exit(0)
            finally:
                os._exit(1)
        client.send("after the fork")
        assert own.recv() == "after the fork"
        client.close()
        own.recv_close()
        own.send_close()
        assert own.socket.recv(1) == b""  # although the child lives
        os.write(gone, b"x")
        assert os.waitpid(pid, 0)[1] == 0
        os.close(go)
        os.close(gone)


def test_no_descriptor_is_left(pair: Pair) -> None:
    def open_now() -> int:
        return len(os.listdir("/proc/self/fd"))

    with wssend.WSHub() as hub:
        first = hub.listen("127.0.0.1", 0, tls_cert=pair.both)
        Client(first.url).leave()
        until(lambda: hub.stats().clients + hub.stats().closing == 0)
        before = open_now()
        for _ in range(20):
            listener = hub.listen("127.0.0.1", 0, tls_cert=pair.both)
            client = Client(listener.url)
            listener.close()
            client.leave()
            with closing(connect_socket(first.url)) as bare:
                bare.send(b"\x16\x03\x01")
                bare.shutdown(socket.SHUT_WR)
                assert select.select([bare], [], [], 10)[0]
        until(lambda: open_now() == before)
