"""The hub's end: peers that are hostile, stuck or many, and the socket's file."""

from __future__ import annotations

import os
import random
import re
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import pytest
from kit import Background, Server, run_script, serving, there, until
from test_remote import WAIT, lawful

import wssend
from wssend.remote import protocol, server
from wssend.remote.protocol import ANSWERED, TEXT, Frames, Kind

HELLO = protocol.hello(pid=1)


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"unix:{tmp_path}/hub"


@pytest.fixture
def hub() -> Iterator[Server]:
    with serving() as found:
        yield found


@pytest.fixture
def exposed(hub: Server, address: str) -> Iterator[wssend.Exposed]:
    with wssend.expose(hub.hub, address) as exposed:
        yield exposed


class Peer:
    """The other end of a link, which may do what it likes."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(address.removeprefix("unix:"))  # waits where many do
        self.socket.settimeout(WAIT)
        self._frames = Frames(1 << 30)

    def say(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read(self) -> tuple[int, bytes] | None:
        """The next frame; None: the link has ended."""
        while True:
            for kind, rest in self._frames.take(1):
                return kind, rest
            try:
                data = self.socket.recv(65536)
            except ConnectionError:
                data = b""
            if not data:
                return None
            self._frames.feed(data)

    def close(self) -> None:
        self.socket.close()


@pytest.fixture
def peer(exposed: wssend.Exposed, address: str) -> Iterator[Peer]:
    with closing(Peer(address)) as peer:
        yield peer


def call(
    kind: Kind,
    target: bytes = b"",
    payload: bytes = b"",
    *,
    exclude: bytes = b"",
    flags: int = 0,
) -> bytes:
    return protocol.call_head(kind, flags, target, exclude, len(payload)) + payload


def raw(kind: int, rest: bytes) -> bytes:
    return struct.pack("!IB", len(rest) + 1, kind) + rest


BIG = (1 << 20) + (1 << 20)  # the hub's send_queue_bytes, and what a head may have


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "a frame of 1195725856 bytes"),
        (bytes(5), "a frame of 0 bytes"),
        (b"\xff" * 100, "a frame of 4294967295 bytes"),
        (raw(Kind.PING, b""), "does not begin with a hello"),
        (raw(Kind.HELLO, b"\xff"), "bad JSON"),
        (raw(Kind.HELLO, b"[" * 60000), "bad JSON"),
        (raw(Kind.HELLO, b"3"), "does not begin with a hello"),
        (raw(Kind.HELLO, b'{"protocol": "wssend", "version": 2}'), "version 2 of"),
        (raw(Kind.HELLO, b" " * (1 << 17)), r"a frame of \d+ bytes"),
        (HELLO + HELLO, "a frame of kind 0 that is no call"),
        (HELLO + raw(99, b""), "a frame of kind 99 that is no call"),
        (HELLO + raw(Kind.DONE, bytes(16)), "a frame of kind 8 that is no call"),
        (HELLO + raw(Kind.PING, b""), "a frame of kind 7 that is no call"),
        (HELLO + raw(Kind.SEND, struct.pack("!BII", 0, 9, 0)), "shorter than it says"),
        (
            HELLO + raw(Kind.SEND, struct.pack("!BII", 0, 0xFFFFFFFF, 0xFFFFFFFF)),
            "shorter than it says",
        ),
        (HELLO + call(Kind.SEND, b"\xff"), "a target that is not UTF-8"),
        (HELLO + call(Kind.BROADCAST, exclude=b"{}"), "no list of ids"),
        (HELLO + call(Kind.BROADCAST, exclude=b"[1]"), "no list of ids"),
        (HELLO + call(Kind.BROADCAST, exclude=b"["), "bad JSON"),
        (HELLO + call(Kind.BROADCAST, exclude=b"[" * 9999), "bad JSON"),
        (HELLO + call(Kind.CLOSE_USER, b"u", b"\x03"), "without a code"),
        (HELLO + call(Kind.CLOSE_USER, b"u", b"\x03\xe8\xff"), "reason that is not"),
        (HELLO + struct.pack("!IB", BIG + 1, Kind.SEND), "a frame of 2097153 bytes"),
    ],
)
def test_what_is_malformed_ends_that_link_alone(
    exposed: wssend.Exposed,
    address: str,
    data: bytes,
    why: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with (
        wssend.connect(address) as remote,
        closing(Peer(address)) as good,
        closing(Peer(address)) as bad,
    ):
        remote.ping(WAIT)
        good.say(HELLO)
        bad.say(data)
        assert there(bad.read())[0] == Kind.HELLO
        assert bad.read() is None
        good.say(call(Kind.PING))
        assert [good.read(), good.read()][1] == (Kind.DONE, struct.pack("!QQ", 1, 0))
        remote.ping(WAIT)
        assert remote.stats().breaks == 0
        (record,) = [r for r in caplog.records if r.levelname == "WARNING"]
        name = f"the link of process {os.getpid()} (user {os.getuid()}) is cut off: "
        assert record.getMessage().startswith(name)
        assert re.search(why, record.getMessage())


def test_noise_ends_links_and_nothing_else(
    hub: Server, exposed: wssend.Exposed, address: str
) -> None:
    client, _ = hub.connect("a")
    dice = random.Random(7)
    good = HELLO + b"".join(call(Kind.SEND, b"a", b"x" * n) for n in range(20))
    for _ in range(300):
        data = bytearray(good)
        for _ in range(dice.randrange(1, 4)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        with closing(Peer(address)) as peer, suppress(ConnectionError):
            peer.say(bytes(data[: dice.randrange(len(data))]))
    with wssend.connect(address) as remote:
        remote.ping(WAIT)
        assert remote.send_to_user("nobody", "x", wait=WAIT).tried == 0
    until(lambda: exposed.links == 0)
    assert not client.closed


def test_bad_values_are_answered_and_end_nothing(peer: Peer, hub: Server) -> None:
    hub.connect("a")
    peer.say(HELLO)
    peer.read()
    for number, (data, name) in enumerate(
        [
            (call(Kind.SEND, b"b", b"x", flags=ANSWERED), "ClientNotFound"),
            (
                call(Kind.SEND, b"a", b"\xff", flags=ANSWERED | TEXT),
                "UnicodeDecodeError",
            ),
            (call(Kind.CLOSE_USER, b"u", b"\0\0", flags=ANSWERED), "ValueError"),
            (
                call(Kind.BROADCAST, b"", bytes((1 << 20) + 1), flags=ANSWERED),
                "MessageTooLarge",
            ),
        ],
        1,
    ):
        peer.say(data)
        frame = peer.read()
        while frame is not None and frame[0] == Kind.DONE:
            frame = peer.read()
        assert frame is not None
        found, value = protocol.parse_answer(frame[1])
        assert (found, value["error"]) == (number, name)


def test_a_call_may_arrive_byte_by_byte(peer: Peer, hub: Server) -> None:
    _, own = hub.connect("a")
    for byte in HELLO + call(Kind.SEND, b"a", b"slowly", flags=TEXT):
        peer.say(bytes([byte]))
    assert own.recv() == "slowly"


def test_a_peer_that_takes_no_answers_is_not_read_and_then_cut_off(
    peer: Peer,
    exposed: wssend.Exposed,
    address: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(server, "PATIENCE", 0.2)
    peer.say(HELLO)
    many = call(Kind.STATS, flags=ANSWERED) * 100

    def flood() -> None:
        while True:
            peer.say(many)

    with pytest.raises(ConnectionError):
        Background(flood).result(WAIT)
    assert "it does not take its answers" in caplog.text
    with wssend.connect(address) as remote:
        remote.ping(WAIT)


def test_a_peer_that_says_nothing_is_cut_off(
    exposed: wssend.Exposed,
    address: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(server, "PATIENCE", 0.1)
    with wssend.connect(address) as remote, closing(Peer(address)) as peer:
        remote.ping(WAIT)
        while peer.read() is not None:
            pass
        assert "it does not say hello" in caplog.text
        assert remote.stats().connected, "the quiet ones that have said it may stay"


def test_answers_wait_for_a_peer_that_reads_late(peer: Peer) -> None:
    asked = 3000  # whose answers are more than a socket takes
    peer.say(HELLO)
    writing = Background(lambda: peer.say(call(Kind.STATS, flags=ANSWERED) * asked))
    assert there(peer.read())[0] == Kind.HELLO
    for number in range(1, asked + 1):
        kind, rest = there(peer.read())
        while kind == Kind.DONE:
            kind, rest = there(peer.read())
        assert protocol.parse_answer(rest)[0] == number
    writing.result(WAIT)


def test_fifty_links_are_served_by_one_thread(
    hub: Server, exposed: wssend.Exposed, address: str
) -> None:
    _, own = hub.connect("a")
    with ExitStack() as stack:
        remotes = [stack.enter_context(wssend.connect(address)) for _ in range(50)]
        for turn in range(4):
            for number, remote in enumerate(remotes):
                remote.send("a", f"{turn} {number}")
            for remote in remotes:
                remote.flush(WAIT)
            got = {own.recv() for _ in range(50)}
            assert got == {f"{turn} {number}" for number in range(50)}
        assert exposed.links == 50
        for remote in remotes:
            assert lawful(remote.stats())
            assert remote.stats().refused == 0
    until(lambda: exposed.links == 0)


def test_more_links_than_it_has_room_for_are_turned_away(
    exposed: wssend.Exposed,
    address: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(server, "MAX_LINKS", 1)
    with wssend.connect(address) as first, wssend.connect(address) as second:
        first.ping(WAIT)
        with pytest.raises(wssend.LinkDown):
            second.ping(WAIT)
        first.ping(WAIT)
    assert "more than 1 links" in caplog.text


def test_when_descriptors_run_out_it_accepts_later(
    exposed: wssend.Exposed, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept = socket.socket.accept
    failures = [1, 1]

    def scarce(listening: socket.socket) -> Any:
        if failures:
            failures.pop()
            raise OSError(24, "Too many open files")
        return accept(listening)

    monkeypatch.setattr(socket.socket, "accept", scarce)
    with wssend.connect(address) as remote:
        remote.ping(WAIT)
    assert not failures


# Its end.


def test_it_ends_with_the_hub(
    hub: Server, exposed: wssend.Exposed, address: str
) -> None:
    with wssend.connect(address) as remote:
        remote.ping(WAIT)
        hub.hub.close()
        with pytest.raises(wssend.HubClosed):
            remote.broadcast("x", wait=WAIT)
        until(lambda: not Path(address.removeprefix("unix:")).exists())
        assert exposed.closed
    exposed.close()
    assert repr(exposed) == f"<Exposed {address}, closed>"


def test_closing_it_leaves_the_hub_open(hub: Server, address: str) -> None:
    exposed = wssend.expose(hub.hub, address)
    assert repr(exposed) == f"<Exposed {address}, 0 links>"
    exposed.close()
    exposed.close()
    assert hub.hub.broadcast("x").tried == 0
    with wssend.expose(hub.hub, address):
        pass


@pytest.mark.parametrize(
    ("mode", "error"), [("660", TypeError), (True, TypeError), (0o1777, ValueError)]
)
def test_a_wrong_mode(
    hub: Server, address: str, mode: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match=r"^mode must be"):
        wssend.expose(hub.hub, address, mode=mode)


def test_what_is_no_hub_of_this_process(address: str) -> None:
    for hub in (None, wssend.connect(address)):
        with pytest.raises(TypeError, match=r"^hub must be a WSHub, not"):
            wssend.expose(hub, address)  # type: ignore[arg-type]


def test_a_process_that_ends_removes_the_file(address: str) -> None:
    run_script(
        """
import sys, wssend
hub = wssend.WSHub()
exposed = wssend.expose(hub, sys.argv[1])
remote = wssend.connect(sys.argv[1])
remote.broadcast("x")
""",
        address,
    )
    assert not Path(address.removeprefix("unix:")).exists()


@pytest.mark.forks
def test_a_forked_child_leaves_it_to_its_parent(address: str) -> None:
    run_script(
        """
import os, sys, warnings, wssend
warnings.simplefilter("ignore", DeprecationWarning)  # "process is multi-threaded"
hub = wssend.WSHub()
exposed = wssend.expose(hub, sys.argv[1])
remote = wssend.connect(sys.argv[1])
remote.ping(30)
pid = os.fork()
if pid == 0:
    exposed.close()
    remote.ping(30)  # the child's own link to its parent
    sys.exit(0)  # with all that is done at an exit
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
remote.ping(30)
assert remote.stats().connects == 1
assert os.path.exists(sys.argv[1].removeprefix("unix:"))
exposed.close()
""",
        address,
    )
