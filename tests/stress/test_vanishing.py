"""Peers that stop, or go without a word."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from stress.attack import frame, say, upgrade_all
from stress.siege import MB, Program, Siege, kB, scaled, siege

QUICK = {"ping_interval": 0.3, "ping_timeout": 1.0}
NO_PONG = (1006, "keepalive: no pong in time", False)


@contextmanager
def victim(
    held: Siege, client_id: str, reads: bool, command: tuple[str, ...] = ()
) -> Iterator[Program]:
    """A client in a process of its own."""
    target = f"/?id={client_id}"
    program = Program(
        "client.py", held.url, target, str(int(reads)), command=command
    )
    try:
        assert program.read() == "ready"
        yield program
    finally:
        program.kill()


@pytest.mark.parametrize("full", [False, True], ids=["idle", "full channel"])
def test_a_client_that_is_stopped_is_cut_by_keepalive(full: bool) -> None:
    what = "with a full channel" if full else "with nothing to read"
    with siege(f"a client stopped by SIGSTOP, {what}", **QUICK) as held:
        held.row.attackers = 1
        with victim(held, "stopped", reads=True) as program:
            program.signal(signal.SIGSTOP)
            accepted = held.do("fill", id="stopped", size=8192) if full else 0
            held.bound(held.height(), 1, each=4 * MB, beside=2 * MB)
            assert held.wait_ended("stopped") == NO_PONG
        stats = held.do("stats")
        assert (stats["lost"] > 0) == full
        assert stats["lost"] <= accepted
        held.row.outcome = "1006: no pong in time"


def test_clients_that_never_answer_pings_all_go() -> None:
    with siege("clients that answer no ping", **QUICK) as held:
        count = held.row.attackers = scaled(5000, 300)
        sockets = upgrade_all(held.address, count, "mute")
        held.bound(held.height(), count, each=6 * kB, beside=4 * MB)
        held.wait_for(lambda now: now["clients"] == 1 and now["timeouts"] == count)
        for sock in sockets:
            sock.close()
        held.row.outcome = "1006: no pong in time"


# ---- a link that is cut: no FIN, no reset


class Link:
    """A network namespace with a cable to it that can be cut."""

    def __init__(self) -> None:
        pid = os.getpid()
        name = f"ws{pid}"
        network = f"10.{200 + pid // 250 % 50}.{pid % 250}"
        self.server, self.client = f"{network}.1", f"{network}.2"
        self.space = name
        self.end = f"{name}a"
        self._ip("netns", "add", name)
        other = f"{name}b"
        self._ip(
            *("link", "add", self.end, "type", "veth"),
            *("peer", "name", other, "netns", name),
        )
        self._ip("addr", "add", f"{self.server}/30", "dev", self.end)
        self._ip("link", "set", self.end, "up")
        self._ip("-n", name, "addr", "add", f"{self.client}/30", "dev", other)
        self._ip("-n", name, "link", "set", other, "up")

    @property
    def inside(self) -> tuple[str, ...]:
        """The command that runs another one at the far end."""
        return ("ip", "netns", "exec", self.space)

    def cut(self) -> None:
        """From here on nothing comes through, and nobody is told."""
        self._ip("-n", self.space, "link", "set", f"{self.space}b", "down")

    def close(self) -> None:
        """Take all of it away."""
        subprocess.run(["ip", "link", "del", self.end], check=False)
        self._ip("netns", "del", self.space)

    @staticmethod
    def _ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture
def link() -> Iterator[Link]:
    if shutil.which("ip") is None:
        pytest.skip("there is no ip")
    try:
        cable = Link()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
    try:
        yield cable
    finally:
        cable.close()


def test_a_client_that_vanishes_is_found_by_keepalive(link: Link) -> None:
    with siege("vanished: the link is cut", listen=link.server, **QUICK) as held:
        held.row.attackers = 1
        with victim(held, "gone", reads=True, command=link.inside):
            link.cut()
            held.height()
            assert held.wait_ended("gone") == NO_PONG
        held.row.outcome = "1006: no pong in time"


def test_a_client_that_vanishes_while_it_is_written_to_is_found(link: Link) -> None:
    with siege(
        "vanished with a full channel", listen=link.server, **QUICK
    ) as held:
        held.row.attackers = 1
        with victim(held, "gone", reads=False, command=link.inside):
            link.cut()
            held.do("fill", id="gone", size=8192)
            held.height()
            code, _, clean = held.wait_ended("gone")
            assert (code, clean) == (1006, False)
        assert held.do("stats")["lost"] > 0
        held.row.outcome = "1006"


def test_a_client_that_vanishes_while_it_is_paused_is_found(link: Link) -> None:
    # Paused, its pongs are not read: only the kernel can tell, and it finds
    # out when what was written to the client is not acknowledged.
    with siege(
        "vanished while paused by back-pressure",
        bystander=False,
        listen=link.server,
        max_events=2,
        **QUICK,
    ) as held:
        held.row.attackers = 1
        with victim(held, "gone", reads=True, command=link.inside) as program:
            held.do("drain", on=False)
            for _ in range(20):
                program.write("x" * 1000)
                assert program.read() == "sent"
            # One of two places, so that others have the other.
            paused = held.wait_for(lambda now: now["events"] == 1)
            # A ping is on its way whose pong will not be read.
            held.wait_for(lambda now: now["pings"] > paused["pings"])
            link.cut()
            held.height()
            held.wait_for(lambda now: now["clients"] == 0)
            held.do("drain", on=True)
            code, _, clean = held.wait_ended("gone")
            assert (code, clean) == (1006, False)
            held.row.outcome = held.do("end_of", id="gone")[1]


def test_a_client_that_vanishes_while_it_is_closing_is_cut(link: Link) -> None:
    with siege(
        "vanished while closing",
        listen=link.server,
        ping_interval=None,
        close_timeout=1,
    ) as held:
        held.row.attackers = 1
        with victim(held, "gone", reads=True, command=link.inside):
            link.cut()
            held.do("close_client", id="gone")
            held.height()
            code, _, clean = held.wait_ended("gone")
            assert (code, clean) == (4000, False)
        held.row.outcome = "cut after close_timeout"


def test_without_memory_the_server_survives_and_serves_again() -> None:
    with siege(
        "server out of memory (RLIMIT_AS)", bystander=False, max_event_bytes=1 << 30
    ) as held:
        count = held.row.attackers = scaled(1000, 300)
        sockets = upgrade_all(held.address, count, "big")
        held.do("limit_memory", spare=32 * MB)
        # Messages that never end, so that each keeps what it has got.
        part = frame(0x02, b"x" * 600_000, declared=1 << 20)
        taken = sum(say(sock, part) for sock in sockets)
        stats = held.wait_for(lambda now: now["clients"] < count)
        held.height()
        held.row.notes["sent whole"] = taken
        for sock in sockets:
            sock.close()
        held.wait_for(lambda now: now["clients"] + now["closing"] == 0)
        held.do("unlimit_memory")
        assert stats["clients"] < count
        held.row.outcome = "1011 for whom there is none"
