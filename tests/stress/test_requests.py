"""Requests that are too long, have too much behind them, or are no upgrades."""

from __future__ import annotations

import socket
from collections import Counter

from stress.attack import Outcome, close_all, dial_all, gather, request
from stress.siege import MB, Siege, kB, scaled, siege

HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"
LONG = 10 * MB

TOO_LONG = {
    "a header of 10 MB": (HEAD + b"X: " + b"x" * LONG, 431),
    "header lines without end": (HEAD + b"X: y\r\n" * (LONG // 6), 431),
    "10,000 header lines": (HEAD + b"a:\r\n" * 10_000 + b"\r\n", 431),
    "a request line of 10 MB": (b"GET /" + b"x" * LONG, 414),
    "10 MB of blank lines": (b"\r\n" * (LONG // 2), 400),
}


def push(sockets: list[socket.socket], data: list[bytes]) -> list[Outcome]:
    """Send each its bytes, reading what comes back, until each has ended.

    They go on for as long as they are let, whatever they are answered.
    """
    rest = {s: memoryview(d) for s, d in zip(sockets, data, strict=True)}
    shut = set()

    def prod(sock: socket.socket) -> None:
        try:
            while rest[sock]:
                rest[sock] = rest[sock][sock.send(rest[sock][: 1 << 20]) :]
            if sock not in shut:
                shut.add(sock)
                sock.shutdown(socket.SHUT_WR)
        except (BlockingIOError, ConnectionError):
            pass

    return gather(sockets, prod=prod)


def attack(
    held: Siege, kinds: dict[str, tuple[bytes, int]], each: int
) -> list[Outcome]:
    """Send so many of each kind of request; all must be answered as they should."""
    attackers = held.row.attackers = each * len(kinds)
    data = [data for data, _ in kinds.values()] * each
    outcomes = push(dial_all(held.address, attackers), data)
    got = zip(list(kinds) * each, (o.status for o in outcomes), strict=True)
    assert Counter(got) == {(name, kinds[name][1]): each for name in kinds}
    held.row.notes["statuses"] = {name: status for name, (_, status) in kinds.items()}
    return outcomes


def test_heads_that_are_too_long_are_answered_whole() -> None:
    with siege("heads of 10 MB, 10,000 header lines") as held:
        attack(held, TOO_LONG, scaled(20, 2))
        attackers = held.row.attackers
        held.bound(held.height(), attackers, each=16 * kB, beside=2 * MB)
        held.row.outcome = "431, 414, 400"


OTHERS = {
    "a POST of 1 MB": (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n" + bytes(MB),
        405,
    ),
    "a CONNECT with 1 MB behind it": (
        b"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n" + bytes(MB),
        400,
    ),
    "an upgrade with a body of 1 MB": (
        request("/", "Content-Length: 1048576\r\n") + bytes(MB),
        400,
    ),
    "1000 requests behind that for a page": (
        b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n" * 1000,
        200,
    ),
    "an upgrade behind the request for a page": (
        b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n" + request(),
        200,
    ),
}


def test_what_is_no_upgrade_gets_one_whole_answer_and_no_reset() -> None:
    with siege("bodies of 1 MB, pipelined requests") as held:
        outcomes = attack(held, OTHERS, scaled(40, 4))
        assert not any(o.reset for o in outcomes)
        attackers = held.row.attackers
        held.bound(held.height(), attackers, each=16 * kB, beside=4 * MB)
        held.row.outcome = "405, 400 or the page, no reset"


def test_who_does_not_read_a_page_is_cut_in_the_end() -> None:
    with siege("pages that are never read", close_timeout=1) as held:
        attackers = held.row.attackers = scaled(200, 20)
        sockets = dial_all(held.address, attackers)
        for sock in sockets:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.sendall(b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
        held.wait_for(lambda now: now["served_pages"] == attackers)
        held.bound(held.height(), attackers, each=4 * kB, beside=4 * MB)
        close_all(sockets)
        held.row.outcome = "the body is nobody's copy"


def test_nothing_hostile_reaches_the_log() -> None:
    """The siege looks at the log in the end, as every siege does."""
    nasty = "\x1b[2J\x1b]0;owned\x07\x00\r\nforged: line\x7f\x9b31m"
    flat = nasty.replace("\r\n", "\\").replace("\x00", "")
    requests = [
        f"GET /{nasty} HTTP/1.1\r\nHost: x\r\n\r\n",
        f"GET /{flat} HTTP/1.1\r\nHost: {flat}\r\n\r\n",
        f"{flat} / HTTP/1.1\r\nHost: x\r\n\r\n",
        f"GET / {flat}\r\n\r\n",
        request("/", f"X: {flat}\r\n").decode("latin-1"),
        request("/", f"X: {nasty}\r\n").decode("latin-1"),
        request("/", "Origin: \x9b31m\r\n").decode("latin-1"),
        request("/", "Sec-WebSocket-Protocol: \x9b31m, chat\r\n").decode("latin-1"),
        request("/?id=%1b%5b2J%00").decode("latin-1"),
        request("/?id=%1b%5b2J").decode("latin-1"),
        "\x16\x03\x01\x02\x00" + flat,
    ]
    close = bytes([0x88, 0x80 | 60, 0, 0, 0, 0]) + b"\x0f\xa0" + b"\x1b[2J\n" * 9
    close += bytes(6 + 60 - len(close))
    with siege("escape sequences everywhere") as held:
        attackers = held.row.attackers = scaled(200, 20) * len(requests)
        sockets = dial_all(held.address, attackers)
        for number, sock in enumerate(sockets):
            head = requests[number % len(requests)].encode("latin-1")
            sock.sendall(head + close)
            sock.shutdown(socket.SHUT_WR)
        outcomes = gather(sockets)
        held.height()
        answered = Counter(o.status for o in outcomes)
        assert set(answered) <= {101, 400, 409, 505}, answered
        held.row.outcome = "the log stays clean"
