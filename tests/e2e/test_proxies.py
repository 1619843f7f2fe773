"""The proxies of docs/proxies.md, as they are configured there."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from e2e.conftest import tool
from kit import until
from wsclient import Client, connect_socket

import wssend

DOCS = Path(__file__).parents[2] / "docs/proxies.md"
CLIENT_ADDRESS = "127.0.0.2"  # of loopback, and not the proxy's
PROXIES = ["nginx", "caddy"]


def documented(language: str, port: int, upstream: str) -> str:
    """The page's configuration, with other places."""
    found = re.search(rf"^```{language}\n(.*?)^```$", DOCS.read_text(), re.M | re.S)
    assert found is not None
    text = found[1]
    assert text.count("127.0.0.1:8080") == text.count("127.0.0.1:8765") == 1
    text = text.replace("127.0.0.1:8080", f"127.0.0.1:{port}")
    if language == "nginx" and upstream.startswith("unix:"):
        return text.replace("127.0.0.1:8765", upstream)
    return text.replace("127.0.0.1:8765", upstream.replace("unix:", "unix/", 1))


def nginx(folder: Path, port: int, upstream: str) -> list[str]:
    """The command that runs nginx so, with all that it writes in one folder."""
    temporary = "".join(
        f"    {name}_temp_path {folder};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off;\nmaster_process off;\npid {folder}/pid;\n"
        "error_log stderr;\nevents {}\nhttp {\n    access_log off;\n"
        f"{temporary}{documented('nginx', port, upstream)}}}\n"
    )
    return [tool("nginx", "/usr/sbin/nginx"), "-c", str(folder / "nginx.conf")]


def caddy(folder: Path, port: int, upstream: str) -> list[str]:
    """The command that runs Caddy so."""
    (folder / "Caddyfile").write_text(
        "{\n\tadmin off\n}\n" + documented("caddyfile", port, upstream)
    )
    return [tool("caddy"), "run", "--config", str(folder / "Caddyfile")]


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port: int = probe.getsockname()[1]
        return port


def answers(url: str) -> bool:
    try:
        connect_socket(url).close()
    except OSError:
        return False
    return True


@contextmanager
def running(
    name: str, folder: Path, place: dict[str, Any], **options: Any
) -> Iterator[tuple[wssend.WSHub, str]]:
    """A hub behind a proxy, and the address of that."""
    with ExitStack() as stack:
        hub = stack.enter_context(wssend.WSHub(**options))
        listener = hub.listen(**place)
        port = free_port()
        upstream = f"127.0.0.1:{listener.port}"
        if listener.unix is not None:
            upstream = f"unix:{listener.unix}"
        command = {"nginx": nginx, "caddy": caddy}[name](folder, port, upstream)
        output = stack.enter_context((folder / "output").open("wb"))
        proxy = subprocess.Popen(
            command,
            env={"HOME": str(folder), "PATH": "/usr/bin"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        stack.callback(proxy.wait, 20)
        stack.callback(proxy.terminate)
        url = f"ws://127.0.0.1:{port}/ws"
        until(lambda: proxy.poll() is not None or answers(url), 20)
        assert proxy.poll() is None, (folder / "output").read_text()
        yield hub, url


def dial(url: str, origin: str, *headers: tuple[str, str]) -> Client:
    """Connect from an address of one's own."""
    host = url.removeprefix("ws://").partition("/")[0]
    return Client(
        url,
        headers=[("Origin", origin), *headers],
        host=host,
        source=CLIENT_ADDRESS,
    )


@pytest.mark.parametrize("by_unix", [False, True], ids=["tcp", "unix"])
@pytest.mark.parametrize("name", PROXIES)
def test_messages_pass_and_the_client_keeps_its_address(
    name: str, by_unix: bool, tmp_path: Path
) -> None:
    place: dict[str, Any] = {"host": "127.0.0.1", "port": 0}
    if by_unix:
        place = {"unix": str(tmp_path / "hub"), "unix_mode": 0o666}
    options = {
        "trusted_proxies": ["unix:" if by_unix else "127.0.0.1"],
        "origins": "same-host",
    }
    with running(name, tmp_path, place, **options) as (hub, url):
        events = hub.events(timeout=10)
        page = url.replace("ws:", "http:").removesuffix("/ws")
        with dial(url, page, ("X-Forwarded-For", "203.0.113.9")) as own:
            own.send("hello")
            connected, message = next(events), next(events)
            assert isinstance(connected, wssend.Connected)
            assert isinstance(message, wssend.Message)
            assert message.data == "hello"
            client = connected.client
            assert client.remote == CLIENT_ADDRESS, "not what the client claims"
            assert client.peer.startswith("unix:" if by_unix else "127.0.0.1")
            client.send("x" * 100_000)
            assert own.recv() == "x" * 100_000
            client.close(4000, "enough")
            assert own.answer_close().code == 4000
            gone = next(events)
            assert isinstance(gone, wssend.Disconnected)
            assert gone.clean


@pytest.mark.parametrize("name", PROXIES)
def test_pages_of_other_hosts_are_refused(name: str, tmp_path: Path) -> None:
    place: dict[str, Any] = {"host": "127.0.0.1", "port": 0}
    options = {"trusted_proxies": ["127.0.0.1"], "origins": "same-host"}
    with (
        running(name, tmp_path, place, **options) as (_, url),
        pytest.raises(AssertionError, match=r"HTTP/1\.1 403"),
    ):
        dial(url, "http://evil.example")


@pytest.mark.parametrize("name", PROXIES)
def test_each_client_counts_for_its_own_address(name: str, tmp_path: Path) -> None:
    place: dict[str, Any] = {"host": "127.0.0.1", "port": 0}
    options = {"trusted_proxies": ["127.0.0.1"], "max_clients_per_ip": 1}
    with running(name, tmp_path, place, **options) as (hub, url), dial(url, url):
        with pytest.raises(AssertionError, match=r"HTTP/1\.1 503[^$]*Retry-After"):
            dial(url, url)
        assert len(hub) == 1
