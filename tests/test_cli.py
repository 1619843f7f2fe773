"""The command: what it prints, how it ends, and what it sends."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

# The command in a process of its own, as the tests with a browser have it.
from e2e.programs import DemoServer
from kit import Pair, make_pair, until

import wssend
from wssend.cli import Lines, main

TIMEOUT = 20.0  # seconds
HERE = Path(__file__).parent  # not where `import wssend` finds the sources


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command that ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "wssend", *arguments],
        cwd=HERE,
        timeout=TIMEOUT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def server() -> Iterator[DemoServer]:
    with DemoServer() as server:
        yield server


def port_of(server: DemoServer) -> int:
    return int(server.url.rsplit(":", 1)[1].strip("/"))


def connect(server: DemoServer, **options: Any) -> Any:
    """Connect a WebSocket client."""
    client = pytest.importorskip("websockets.sync.client")
    url = server.url.replace("http", "ws", 1) + options.pop("query", "")
    return client.connect(url, proxy=None, close_timeout=0.2, **options)


def upgrade(server: DemoServer, target: str = "/", **headers: str) -> int:
    """Ask for a WebSocket; return the answer's status."""
    key = {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    ours = {"Connection": "Upgrade", "Upgrade": "websocket", **key, **headers}
    ours["Sec-WebSocket-Version"] = "13"
    connection = http.client.HTTPConnection("127.0.0.1", port_of(server), timeout=5)
    with closing(connection):
        connection.request("GET", target, headers=ours)
        return connection.getresponse().status


def test_the_first_line_has_the_real_port(server: DemoServer) -> None:
    port = port_of(server)
    assert port > 0
    assert server.output == (
        f"wssend: http://127.0.0.1:{port}/ "
        f"(WebSocket ws://127.0.0.1:{port}/, Ctrl-C stops)\n"
    )


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_it_serves_the_page(server: DemoServer, method: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port_of(server), timeout=5)
    with closing(connection):
        connection.request(method, "/")
        answer = connection.getresponse()
        body = answer.read()
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert body.startswith(b"<!doctype html>") == (method == "GET")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drains_and_ends_with_0(
    server: DemoServer, number: signal.Signals
) -> None:
    with connect(server) as client:
        server.feed("the last line\n")
        assert client.recv(TIMEOUT) == "the last line"
        assert server.stop(number) == (0, "")
        with pytest.raises(Exception, match="1001"):
            client.recv(TIMEOUT)
        assert client.close_code == 1001
        assert client.close_reason == "the server stops"


def test_the_demo_ends_with_0() -> None:
    with DemoServer("--demo") as server, connect(server) as client:
        client.recv(TIMEOUT)
        assert server.stop() == (0, "")
    assert "second tab" in server.output


def test_the_hint_of_the_demo_works() -> None:
    with DemoServer("--demo") as server:
        snippet = [
            server.process.stdout.readline().decode()
            for _ in range(4)
            if server.process.stdout is not None
        ]
        code = "".join(line[4:] for line in snippet if line.startswith("    "))
        with connect(server) as client:
            done = subprocess.run(
                [sys.executable, "-c", code], timeout=TIMEOUT, check=False
            )
            assert done.returncode == 0
            while '"text": "hello"' not in client.recv(TIMEOUT):
                pass


def test_lines_go_to_every_client(server: DemoServer) -> None:
    with connect(server) as one, connect(server) as two:
        server.feed("first\r\nsec")
        server.feed("ond\n\nthird ✓\nno end")
        assert server.process.stdin is not None
        server.process.stdin.close()
        server.process.stdin = None
        for client in (one, two):
            got = [client.recv(TIMEOUT) for _ in range(4)]
            assert got == ["first", "second", "third ✓", "no end"]
        assert server.stop() == (0, "")  # the end of input is not the end


def test_a_slow_client_is_counted() -> None:
    with (
        DemoServer("--drain", "0.5", "--send-queue", "1") as server,
        connect(server, max_queue=1),
    ):
        for _ in range(64):
            server.feed(("x" * 65535 + "\n") * 4)
        status, errors = server.stop(signal.SIGTERM)
    assert status == 0
    assert re.fullmatch(
        r"wssend: warning: of \d+ lines, slow clients missed \d+\n", errors
    )


def test_a_client_that_does_not_read_cannot_hold_the_drain_up() -> None:
    options = ("--drain", "0.5", "--send-queue-bytes", "10000000")
    with (
        DemoServer(*options) as server,
        connect(server, max_queue=1),
    ):
        for _ in range(32):
            server.feed(("x" * 65535 + "\n") * 4)
        time.sleep(0.5)
        status, _ = server.stop()
    assert status == 0
    assert server.stopped_after < 4.0


def test_a_second_signal_ends_it_at_once() -> None:
    options = ("--drain", "60", "--send-queue-bytes", "10000000")
    with (
        DemoServer(*options) as server,
        connect(server, max_queue=1),
    ):
        for _ in range(32):
            server.feed(("x" * 65535 + "\n") * 4)
        time.sleep(0.5)
        server.process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert server.stop(signal.SIGINT) == (-signal.SIGINT, "")


@pytest.mark.slow  # without it, the thread sanitizer's own start-up crashes
def test_without_standard_input_it_serves() -> None:
    command = f"exec {sys.executable} -m wssend serve --port 0 <&-"
    with subprocess.Popen(
        ["sh", "-c", command], cwd=HERE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert b"http://" in process.stdout.readline()
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT) == 0


def test_it_listens_on_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "w.sock"
    command = [sys.executable, "-m", "wssend", "serve", "--unix", str(path)]
    with subprocess.Popen(
        command, cwd=HERE, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline().decode()
        assert line == f"wssend: serving on unix socket {path} (Ctrl-C stops)\n"
        assert stat.S_ISSOCK(path.stat().st_mode)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(12) == b"HTTP/1.1 200"
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT) == 0
    assert not path.exists()


def shown(server: DemoServer) -> str:
    """The certificate that the server shows."""
    return ssl.get_server_certificate(("127.0.0.1", port_of(server)), timeout=5)


def test_it_speaks_tls_and_takes_a_new_certificate_on_sighup(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert", tmp_path / "key"

    def install(pair: Pair) -> None:
        cert.write_bytes(pair.cert.read_bytes())
        key.write_bytes(pair.key.read_bytes())

    first, second = make_pair(tmp_path, "first"), make_pair(tmp_path, "second")
    install(first)
    with DemoServer("--tls-cert", str(cert), "--tls-key", str(key)) as server:
        assert server.url.startswith("https://")
        assert f"(WebSocket wss://127.0.0.1:{port_of(server)}/," in server.output
        context = ssl.create_default_context(cafile=str(first.cert))
        with connect(server, ssl=context) as client:
            server.feed("over TLS\n")
            assert client.recv(TIMEOUT) == "over TLS"
            assert shown(server) == first.cert.read_text()
            install(second)
            server.process.send_signal(signal.SIGHUP)
            until(lambda: shown(server) == second.cert.read_text())
            key.write_text("no key")
            server.process.send_signal(signal.SIGHUP)
            assert server.process.stderr is not None
            warning = server.process.stderr.readline().decode()
            assert warning.startswith("wssend: warning: TLS stays as it is: tls_key: ")
            assert shown(server) == second.cert.read_text()
            server.feed("still here\n")
            assert client.recv(TIMEOUT) == "still here"
        assert server.stop() == (0, "")
        assert server.output.endswith("wssend: the TLS files were read again\n")


def test_other_processes_can_send(tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/control"
    with (
        DemoServer("--control", address) as server,
        connect(server) as client,
        wssend.connect(address) as remote,
    ):
        assert remote.broadcast("from elsewhere", wait=TIMEOUT).queued == 1
        assert client.recv(TIMEOUT) == "from elsewhere"
        remote.close()
        assert server.stop() == (0, "")
    assert not (tmp_path / "control").exists()


@pytest.mark.parametrize("where", [["--host", "::1"], ["--host", "localhost"]])
def test_it_prints_an_address_for_every_host(where: list[str]) -> None:
    with DemoServer(*where) as server:
        host = server.url.removeprefix("http://").rsplit(":", 1)[0]
        assert host in ("[::1]", "localhost")
        with connect(server):
            pass


def test_pages_of_other_sites_are_kept_out(server: DemoServer) -> None:
    assert upgrade(server) == 101
    assert upgrade(server, Origin=server.url.rstrip("/")) == 101
    assert upgrade(server, Origin="https://example.com") == 403


def test_an_origin_can_be_let_in() -> None:
    with DemoServer("--origin", "https://example.com") as server:
        assert upgrade(server, Origin="https://example.com") == 101
        assert upgrade(server, Origin=server.url.rstrip("/")) == 403


def test_ids_are_chosen_only_on_request(server: DemoServer) -> None:
    with connect(server, query="?id=ada"):
        assert upgrade(server, "/?id=ada") == 101
    with DemoServer("--id-query", "who") as named, connect(named, query="?who=ada"):
        assert upgrade(named, "/?who=ada") == 409


def test_a_path_can_be_required() -> None:
    with DemoServer("--path", "/ws") as server:
        assert f"{port_of(server)}/ws," in server.output
        assert upgrade(server, "/ws") == 101
        assert upgrade(server, "/") != 101


def test_clients_can_be_limited() -> None:
    with DemoServer("--max-clients", "1") as server, connect(server):
        assert upgrade(server) == 503


def test_several_pumps_can_serve() -> None:
    with DemoServer("--pumps", "2") as server, connect(server), connect(server):
        tasks = Path(f"/proc/{server.process.pid}/task").glob("*/comm")
        names = {task.read_text().strip() for task in tasks}
        assert {"wssend-pump", "wssend-pump-1"} <= names


def test_a_demo_for_all_to_reach_says_so() -> None:
    with DemoServer("--demo", "--host", "0.0.0.0") as server:
        assert server.url.startswith("http://localhost:")
        assert "can send to every client" in server.stop()[1]


def test_a_taken_port_is_one_line(server: DemoServer) -> None:
    port = str(port_of(server))
    done = run("serve", "--port", port)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"wssend: error: cannot listen on 127.0.0.1:{port}: "
        "bind: Address already in use\n"
    )


@pytest.mark.parametrize(
    ("arguments", "status", "error"),
    [
        ([], 2, "the following arguments are required: COMMAND"),
        (["dance"], 2, "invalid choice: 'dance'"),
        (["serve", "--port", "65536"], 2, "must be a number from 0 to 65535"),
        (["serve", "--port", "http"], 2, "not 'http'"),
        (["serve", "--port"], 2, "expected one argument"),
        (["serve", "--ping-interval", "nan"], 2, "not 'nan'"),
        (["serve", "--ping-interval", "-1"], 2, "--ping-interval"),
        (["serve", "--send-queue", "0"], 2, "from 1 to 1048576, not '0'"),
        (["serve", "--path", "ws"], 2, "must begin with a slash, not be 'ws'"),
        (["serve", "--origin", "example.com"], 2, "example.com"),
        (["serve", "--path", "/a?b"], 2, "not '/a?b'"),
        (["serve", "--id-query", ""], 2, "id_query"),
        (["serve", "--tls-cert", "/no/x"], 1, "/no/x: No such file or directory"),
        (["serve", "--tls-cert", "kit.py"], 2, "tls_cert: 'kit.py' is not a PEM file"),
        (["serve", "--tls-key", "x"], 2, "need --tls-cert"),
        (["serve", "--host", "192.0.2.1"], 1, "cannot listen on 192.0.2.1"),
        (["serve", "--host", "no.such.host.invalid"], 1, "cannot listen on no.such"),
        (["serve", "--unix", "/no/such/folder/w"], 1, "/no/such/folder/w"),
        (["serve", "--port", "0", "--control", "w"], 2, "must be 'unix:' and"),
        (
            ["serve", "--port", "0", "--control", "unix:/no/w"],
            1,
            "/no/w: cannot listen",
        ),
    ],
)
def test_what_cannot_be_is_one_line(
    arguments: list[str], status: int, error: str
) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (status, "")
    assert error in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("wssend")


def test_the_module_is_the_command() -> None:
    command = Path(sys.executable).with_name("wssend")
    if not command.exists():
        pytest.skip("wssend is not installed as a command")
    ours = subprocess.run(
        [command, "serve", "--help"], cwd=HERE, capture_output=True, check=True
    )
    assert run("serve", "--help").stdout == ours.stdout.decode()


def test_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["serve", "--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    for option in ("--demo", "--host", "--port", "--unix", "--id-query", "--drain"):
        assert option in text
    assert "%(" not in text


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"wssend {wssend.__version__}\n"


@pytest.mark.parametrize(
    ("chunks", "sent"),
    [
        ([b"a\nb\n", b""], ["a", "b"]),
        ([b"a", b"b\nc", b""], ["ab", "c"]),
        ([b"a\r\n\r\n\n", b""], ["a"]),
        ([b"\xff\n", b""], ["\ufffd"]),
        ([b""], []),
        ([b"123456789", b"0\nnext\n", b""], ["next"]),
        ([b"1234567", b"8", b"9", b"0\nnext", b""], ["next"]),
        ([b"123456789\nnext\n", b""], ["next"]),
        ([b"123456789", b""], []),
    ],
)
def test_input_is_taken_apart_at_line_ends(
    chunks: list[bytes], sent: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    got: list[str] = []
    lines = Lines(accepting(got, limit=8), longest=8)
    for chunk in chunks:
        lines.feed(chunk)
    assert got == sent
    assert lines.sent == len(sent)
    left_out = any(len(line) > 8 for line in b"".join(chunks).split(b"\n"))
    assert capsys.readouterr().err.count("a line is left out") == left_out


def accepting(got: list[str], limit: int) -> Callable[[str], wssend.SendReport]:
    """A send that takes texts up to a limit."""

    def send(text: str) -> wssend.SendReport:
        if len(text) > limit:
            raise wssend.MessageTooLarge("it is too large")
        got.append(text)
        return wssend.SendReport(queued=1)

    return send


def test_it_does_not_read_a_terminal_in_the_background() -> None:
    """A process group that is not in the foreground gets EIO, not a stop."""
    master, slave = os.openpty()
    script = (
        "import os, fcntl, termios, sys, subprocess\n"
        "os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
        "os.execv(sys.executable, [sys.executable, '-c', sys.argv[1]])\n"
    )
    # The session's leader stays in the foreground, the server does not.
    leader = (
        "import subprocess, sys, os, time\n"
        "server = subprocess.Popen([sys.executable, '-m', 'wssend', 'serve',\n"
        "    '--port', '0'], stdout=subprocess.PIPE, process_group=0)\n"
        "server.stdout.readline(); time.sleep(0.5)\n"
        "server.terminate(); os.write(2, b'%d' % server.wait(10))\n"
    )
    if sys.version_info < (3, 11):
        leader = leader.replace("process_group=0", "preexec_fn=os.setpgrp")
    with subprocess.Popen(
        [sys.executable, "-c", script, leader],
        cwd=HERE,
        stdin=slave,
        stderr=subprocess.PIPE,
    ) as process:
        os.close(slave)
        os.write(master, b"typed by somebody else\n")
        assert process.communicate(timeout=TIMEOUT)[1] == b"0"
    os.close(master)
