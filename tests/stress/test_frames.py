"""Clients whose frames, or whose silence, are meant to do harm."""

from __future__ import annotations

import select
import socket
import threading
from collections import Counter

import pytest
from kit import there
from stress.attack import (
    Outcome,
    close_all,
    close_of,
    dial,
    dial_all,
    frame,
    gather,
    read,
    request,
    reset,
    say,
    upgrade,
    upgrade_all,
)
from stress.siege import MB, SANITIZED, kB, scaled, siege

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
FIN = 128


class Reader(threading.Thread):
    """Reads what comes to many sockets, and counts the messages of each."""

    def __init__(self, sockets: list[socket.socket], size: int) -> None:
        super().__init__(daemon=True)
        self._size = size  # of a message with its header
        self._got = {sock.fileno(): 0 for sock in sockets}
        self._sockets = {sock.fileno(): sock for sock in sockets}
        self._over = False
        self.start()

    def run(self) -> None:
        poll = select.poll()
        for sock in self._sockets.values():
            poll.register(sock, select.POLLIN)
        while not self._over:
            for number, _ in poll.poll(100):
                self._got[number] += len(self._sockets[number].recv(1 << 18))

    def counts(self) -> Counter[float]:
        """How many sockets have got how many messages."""
        return Counter(got / self._size for got in self._got.values())

    def stop(self) -> None:
        """End it."""
        self._over = True
        self.join()


def test_clients_that_never_read_cost_the_others_nothing() -> None:
    size = 4096
    with siege("10 of 100 never read a broadcast", send_queue=256) as held:
        messages = scaled(5000, 500)
        stalled = held.row.attackers = 10
        silent = []
        for number in range(stalled):
            sock = dial(held.address)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.sendall(request(f"/?id=stalled-{number}"))
            silent.append(sock)
        readers = upgrade_all(held.address, 90, "reader")
        held.wait_for(lambda now: now["clients"] == 101)
        reader = Reader(readers, size + 4)
        full = held.do("broadcast", count=messages, size=size)
        held.wait_for(lambda now: now["written"] >= 91 * messages)
        held.height()
        assert all(name.startswith("stalled-") for name in full), full
        assert len(full) == stalled or SANITIZED
        # One copy serves all, so the ten hold at most what one of them holds.
        held.bound(held.figures(), stalled, each=2 * MB, beside=4 * MB)
        held.wait_for(lambda now: reader.counts() == {float(messages): 90})
        reader.stop()
        close_all(silent + readers)
        held.row.outcome = "ChannelFull, and stay connected"
    assert held.row.notes["bystander"]["broadcasts"] == messages


def test_of_a_flood_of_pings_the_last_is_answered() -> None:
    with siege("a flood of pings") as held:
        count = scaled(500_000, 20_000)
        held.row.attackers = 1
        sock = upgrade(held.address, "/?id=pinger")
        burst = 1000
        heard = Outcome(b"", False)
        for start in range(0, count, burst):
            numbers = range(start, start + burst)
            pings = [frame(FIN | PING, n.to_bytes(4, "big") * 31) for n in numbers]
            sock.settimeout(10)
            sock.sendall(b"".join(pings))
            sock.settimeout(0)
            heard.data = heard.data[-1000:]
            read(sock, heard)
        held.bound(held.height(), 1, each=kB, beside=2 * MB)
        last = (count - 1).to_bytes(4, "big") * 31
        sock.settimeout(10)
        while last not in heard.data:
            heard.data = heard.data[-1000:] + sock.recv(65536)
        sock.close()
        held.row.outcome = "the last is answered"


def test_who_pings_and_never_reads_costs_no_memory() -> None:
    with siege("pings whose pongs are never read") as held:
        attackers = held.row.attackers = 20
        count = scaled(50_000, 2_000)
        sockets = upgrade_all(held.address, attackers, "pinger")
        ping = frame(FIN | PING, b"p" * 125) * 100
        for _ in range(count // 100):
            for sock in sockets:
                assert say(sock, ping)
        received = held.do("stats")
        held.bound(held.height(), attackers, each=8 * kB, beside=2 * MB)
        assert received["clients"] == attackers + 1
        for sock in sockets:
            reset(sock)
        held.wait_for(lambda now: now["clients"] == 1)
        held.row.outcome = "read on, the latest pong kept"


@pytest.mark.parametrize("size", [0, 1])
def test_messages_in_endless_fragments_come_to_an_end(size: int) -> None:
    with siege(f"fragments of {size} bytes without end") as held:
        attackers = held.row.attackers = scaled(20, 2)
        start = frame(TEXT, b"x" * size)
        more = frame(CONTINUATION, b"x" * size) * 1000
        sockets = upgrade_all(held.address, attackers, "splitter")
        for sock in sockets:
            assert say(sock, start)
        for sock in sockets:
            sock.settimeout(10)
            sent = 0
            while sent < 200 and say(sock, more):
                sent += 1
            held.row.notes["frames sent"] = sent * 1000
        held.height()
        outcomes = gather(sockets)
        # One that goes on sending may be reset behind the Close.
        assert Counter(close_of(o) for o in outcomes) == {1008: attackers}
        held.bound(held.figures(), attackers, each=200 * kB, beside=2 * MB)
        held.row.outcome = "1008"


LENGTHS = {
    1 << 63: 1002,
    1 << 62: 1009,
    1 << 31: 1009,
    (1 << 20) + 1: 1009,  # max_message_size and one
}


def test_lengths_that_are_too_much_are_refused_when_declared() -> None:
    with siege("lengths of 1 MB + 1, 2^31, 2^62, 2^63 declared") as held:
        each = scaled(500, 50)
        attackers = held.row.attackers = each * len(LENGTHS)
        sockets = dial_all(held.address, attackers)
        lengths = list(LENGTHS) * each
        for sock, length in zip(sockets, lengths, strict=True):
            data = frame(FIN | BINARY, b"x" * 1000, declared=length)
            assert say(sock, request() + data)
        outcomes = gather(sockets)
        codes = zip(lengths, (o.close_code for o in outcomes), strict=True)
        assert Counter(codes) == dict.fromkeys(LENGTHS.items(), each)
        held.bound(held.height(), attackers, each=4 * kB, beside=2 * MB)
        held.row.outcome = "1009; 2^63 1002"


def test_memory_is_spent_on_bytes_that_came_not_on_those_declared() -> None:
    size = 1 << 20
    with siege("1 MB declared, 0, 1 or 1000 bytes sent") as held:
        attackers = held.row.attackers = scaled(1000, 200)
        sockets = upgrade_all(held.address, attackers, "big")
        for number, sock in enumerate(sockets):
            sent = b"x" * [0, 1, 1000][number % 3]
            assert say(sock, frame(FIN | BINARY, sent, declared=size))
        # Nothing answers half a message; but whoever is heard now stands
        # behind all of them.
        received = held.do("stats")["received"]
        held.wait_for(lambda now: now["received"] > received + 20)
        figures = held.height()
        grown = figures.size - there(held.row.before).size
        held.row.notes["address space an attacker"] = grown // attackers
        held.bound(figures, attackers, each=8 * kB, beside=2 * MB)
        close_all(sockets)
        held.row.outcome = "waited for"


def test_half_closed_clients_get_what_is_theirs_and_the_end() -> None:
    with siege("clients that shut their side at once") as held:
        attackers = held.row.attackers = scaled(1000, 100)
        sockets = dial_all(held.address, attackers)
        for number, sock in enumerate(sockets):
            if number % 2:
                assert say(sock, request())
            else:
                assert say(sock, b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n")
            sock.shutdown(socket.SHUT_WR)
        outcomes = gather(sockets)
        assert not any(o.reset for o in outcomes)
        statuses = Counter(o.status for o in outcomes)
        assert statuses == {101: attackers // 2, 200: attackers - attackers // 2}
        held.wait_for(lambda now: now["clients"] == 1 and now["closing"] == 0)
        held.bound(held.height(), attackers, each=3 * kB, beside=4 * MB)
        held.row.outcome = "101 or the page, then the end"
