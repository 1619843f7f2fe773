"""Peers that stop, or go without a word."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from stress.attack import frame, say, upgrade_all
from stress.siege import MB, Program, Siege, kB, scaled, siege

QUICK: dict[str, Any] = {"ping_interval": 0.3, "ping_timeout": 1.5}
NO_PONG = (1006, "keepalive: no pong in time", False)


@contextmanager
def victim(
    held: Siege, client_id: str, command: tuple[str, ...] = (), tls: bool = False
) -> Iterator[Program]:
    """A client in a process of its own."""
    url = held.url_tls if tls else held.url
    program = Program("client.py", url, f"/?id={client_id}", command=command)
    try:
        assert program.read() == "ready"
        yield program
    finally:
        program.kill()


def test_clients_that_are_stopped_are_cut_by_keepalive() -> None:
    with siege("clients stopped by SIGSTOP, one with a full channel", **QUICK) as held:
        held.row.attackers = 2
        with victim(held, "idle") as idle, victim(held, "full") as full:
            idle.signal(signal.SIGSTOP)
            full.signal(signal.SIGSTOP)
            accepted = held.do("fill", id="full", size=8192)
            held.bound(held.height(), 2, each=4 * MB, beside=2 * MB)
            assert held.wait_ended("idle") == NO_PONG
            assert held.wait_ended("full") == NO_PONG
        assert 0 < held.do("stats")["lost"] <= accepted
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


def test_clients_that_vanish_are_found(link: Link) -> None:
    with siege(
        "vanished, the link is cut: idle, with a full channel, closing",
        listen=link.server,
        close_timeout=1,
        **QUICK,
    ) as held:
        held.row.attackers = 3
        with (
            victim(held, "idle", link.inside),
            victim(held, "full", link.inside),
            victim(held, "closing", link.inside),
        ):
            link.cut()
            held.do("close_client", id="closing")
            held.do("fill", id="full", size=8192)
            held.height()
            # Of this one the kernel may hear first that it is gone.
            code, _, clean = held.wait_ended("full")
            assert (code, clean) == (1006, False)
            assert held.wait_ended("idle") == NO_PONG
            code, _, clean = held.wait_ended("closing")
            assert (code, clean) == (4000, False)
        assert held.do("stats")["lost"] > 0
        held.row.outcome = "1006 by keepalive; cut after close_timeout"


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
        with victim(held, "gone", link.inside) as program:
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


@pytest.mark.slow  # a sanitizer takes more memory than the limit leaves
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
