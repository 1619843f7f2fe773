"""WSHub.listen: where, and what stands in the way."""

from __future__ import annotations

import errno
import gc
import os
import pickle
import socket
import stat
from pathlib import Path
from typing import Any

import pytest
from wsclient import Client, connect_socket

import wssend


@pytest.fixture
def hub() -> Any:
    with wssend.WSHub() as hub:
        yield hub


def works(listener: wssend.Listener, target: str | None = None) -> bool:
    with Client(listener.url, target) as client:
        client.leave()
    return True


def test_tcp(hub: wssend.WSHub) -> None:
    listener = hub.listen("127.0.0.1", 0)
    assert (listener.host, listener.unix) == ("127.0.0.1", None)
    assert listener.port
    assert listener.url == f"ws://127.0.0.1:{listener.port}/"
    assert repr(listener) == f"<Listener {listener.url}, open>"
    assert works(listener)


def test_the_host_may_be_left_out_and_names_be_used(hub: wssend.WSHub) -> None:
    assert hub.listen(port=0).host == "127.0.0.1"
    by_name = hub.listen(host="localhost", port=0)
    assert by_name.host in ("127.0.0.1", "::1")
    assert works(by_name)
    everywhere = hub.listen("", 0)
    assert everywhere.host == "0.0.0.0"
    assert works(everywhere)


def test_ipv6(hub: wssend.WSHub) -> None:
    try:
        listener = hub.listen("::1", 0)
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    assert listener.host == "::1"
    assert listener.url == f"ws://[::1]:{listener.port}/"
    assert works(listener)


def test_none_is_the_same_as_nothing_given(hub: wssend.WSHub) -> None:
    assert works(hub.listen("127.0.0.1", 0, path=None, unix=None, sock=None, fd=None))


def test_a_path(hub: wssend.WSHub) -> None:
    listener = hub.listen("127.0.0.1", 0, path="/ws")
    assert listener.url == f"ws://127.0.0.1:{listener.port}/ws"
    assert works(listener)
    with pytest.raises(AssertionError, match=r"HTTP/1.1 404 "):
        Client(listener.url, "/other")


def test_unix(hub: wssend.WSHub, tmp_path: Path) -> None:
    path = tmp_path / "hub.sock"
    listener = hub.listen(unix=path)
    assert (listener.host, listener.port, listener.unix) == (None, None, str(path))
    assert listener.url == f"ws+unix:{path}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert works(listener)
    listener.close()
    assert not path.exists()


def test_a_unix_path_with_mode_and_url_path(hub: wssend.WSHub, tmp_path: Path) -> None:
    path = tmp_path / "hub.sock"
    listener = hub.listen(unix=str(path), unix_mode=0o600, path="/ws")
    assert listener.url == f"ws+unix:{path}:/ws"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("how", ["sock", "fd"])
def test_a_socket_of_the_callers(hub: wssend.WSHub, how: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        options: dict[str, Any] = (
            {"sock": sock} if how == "sock" else {"fd": sock.fileno()}
        )
        listener = hub.listen(**options)
    assert listener.port == port  # the caller has closed his own copy
    assert works(listener)


def test_several_listeners(hub: wssend.WSHub, tmp_path: Path) -> None:
    listeners = [
        hub.listen("127.0.0.1", 0),
        hub.listen("127.0.0.1", 0),
        hub.listen(unix=tmp_path / "x"),
    ]
    for listener in listeners:
        assert works(listener)
    listeners[0].close()
    assert works(listeners[1])


def test_close_stops_listening_and_keeps_connections(hub: wssend.WSHub) -> None:
    listener = hub.listen("127.0.0.1", 0)
    with Client(listener.url) as client:
        assert not listener.closed
        listener.close()
        listener.close()
        assert listener.closed
        assert repr(listener).endswith("closed>")
        with pytest.raises(OSError, match="refused"):
            connect_socket(listener.url)
        hub.broadcast("still there")
        assert client.recv() == "still there"


def test_dropping_it_closes_nothing(hub: wssend.WSHub) -> None:
    url = hub.listen("127.0.0.1", 0).url
    gc.collect()
    with Client(url) as client:
        client.leave()


def test_a_used_port_is_named(hub: wssend.WSHub) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        with pytest.raises(OSError, match=f"127.0.0.1:{port}") as caught:
            hub.listen("127.0.0.1", port)
    assert caught.value.errno == errno.EADDRINUSE
    assert hub.listen("127.0.0.1", 0).port  # the hub is none the worse


def test_an_address_that_is_not_here(hub: wssend.WSHub) -> None:
    with pytest.raises(OSError, match=r"192.0.2.1:0") as caught:
        hub.listen("192.0.2.1", 0)
    assert caught.value.errno == errno.EADDRNOTAVAIL


def test_a_host_that_is_none(hub: wssend.WSHub) -> None:
    with pytest.raises(socket.gaierror, match="cannot listen on not an address:80"):
        hub.listen("not an address", 80)


def test_a_unix_path_that_cannot_be(hub: wssend.WSHub, tmp_path: Path) -> None:
    missing = tmp_path / "no" / "folder"
    with pytest.raises(FileNotFoundError, match=str(missing)):
        hub.listen(unix=missing)
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(OSError, match=str(file)) as caught:
        hub.listen(unix=file)
    assert caught.value.errno == errno.EADDRINUSE
    with pytest.raises(OSError, match="unix:"):
        hub.listen(unix=tmp_path / ("x" * 200))


def test_a_descriptor_that_does_not_listen(hub: wssend.WSHub) -> None:
    with pytest.raises(OSError, match="descriptor 987654") as caught:
        hub.listen(fd=987654)
    assert caught.value.errno == errno.EBADF
    with socket.socket() as sock, pytest.raises(OSError, match="descriptor ") as other:
        hub.listen(sock=sock)
    assert other.value.errno == errno.EINVAL
    read, write = os.pipe()
    try:
        with pytest.raises(OSError, match="descriptor "):
            hub.listen(fd=read)
    finally:
        os.close(read)
        os.close(write)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({}, TypeError, "needs a port"),
        ({"host": "127.0.0.1"}, TypeError, "needs a port"),
        ({"host": "::", "unix": "x"}, TypeError, "one of host and port and unix"),
        ({"unix": "x", "fd": 1}, TypeError, "one of unix and fd"),
        ({"sock": 1, "port": 1}, TypeError, "one of host and port and sock"),
        ({"port": -1}, ValueError, "^port must be from 0 to 65535, not -1$"),
        ({"port": 65536}, ValueError, "^port must be from 0 to 65535, not 65536$"),
        ({"port": "80"}, TypeError, "^port must be an int, not '80'$"),
        ({"port": True}, TypeError, "^port must be an int, not True$"),
        ({"port": 0, "host": 7}, TypeError, "^host must be a str, not 7$"),
        ({"port": 0, "host": "a\0b"}, ValueError, "^host must not hold a NUL"),
        ({"port": 0, "path": "ws"}, ValueError, '^path must begin with "/"'),
        ({"port": 0, "path": 7}, TypeError, "^path must be a str"),
        ({"port": 0, "backlog": 0}, ValueError, "^backlog must be from 1"),
        ({"unix": 7}, TypeError, "."),
        ({"unix": "a\0b"}, ValueError, "."),
        ({"unix": "x", "unix_mode": 0o1000}, ValueError, "^unix_mode must be from 0"),
        ({"fd": -1}, ValueError, "^fd must be from 0"),
        ({"fd": "1"}, TypeError, "^fd must be an int"),
        ({"sock": 1}, TypeError, "^sock must be a socket, not 1$"),
        ({"sock": object()}, TypeError, "."),
        ({"tls": "x"}, TypeError, "unexpected keyword argument 'tls'"),
    ],
)
def test_wrong_arguments_are_named(
    hub: wssend.WSHub, options: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        hub.listen(**options)


def test_it_is_final_and_not_pickled(hub: wssend.WSHub) -> None:
    listener = hub.listen("127.0.0.1", 0)
    with pytest.raises(TypeError):
        type("Sub", (wssend.Listener,), {})
    with pytest.raises(TypeError):
        wssend.Listener()
    with pytest.raises(TypeError):
        pickle.dumps(listener)
