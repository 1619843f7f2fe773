"""What can be tried before, in and after a TLS handshake."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
from collections import Counter
from contextlib import suppress

import pytest
from stress.attack import (
    Address,
    close_all,
    dial,
    dial_all,
    gather,
    hello,
    record,
    request,
    reset,
    say,
    secure,
    upgrade,
    upgrade_all,
)
from stress.siege import MB, SANITIZED, Program, allowed, kB, scaled, siege
from stress.test_frames import Reader
from stress.test_garbage import AT_ONCE, SEED, damage, make, noise
from stress.test_vanishing import NO_PONG, QUICK, victim

HANDSHAKE, DATA = 22, 23  # types of records

IDLE = 24 * kB  # OpenSSL's state of a connection, and ours
SHAKING = 80 * kB  # the same in the middle of a handshake


def half_close(sock: socket.socket) -> None:
    """Send a FIN, under TLS, too, unless the connection has broken."""
    with suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_WR)


# ---- handshakes that do not come to an end


@pytest.mark.parametrize("part", ["nothing", "half"])
def test_handshakes_that_stop_are_cut_in_time(part: str) -> None:
    what = {"nothing": "TLS: nothing is said", "half": "TLS: half a ClientHello"}[part]
    with siege(what, tls=True, open_timeout=1) as held:
        count = held.row.attackers = allowed(scaled(5000, 200))
        data = hello()
        sockets = dial_all(held.address_tls, count)
        if part == "half":
            for sock in sockets:
                say(sock, data[: len(data) // 2])
        held.wait_count("accepted_connections", count + held.honest)
        held.height()
        outcomes = gather(sockets)
        # Nobody can be told anything before the handshake.
        assert Counter(o.data for o in outcomes) == {b"": count}
        held.bound(held.figures(), count, each=SHAKING, beside=2 * MB)
        held.row.outcome = "cut"


def test_half_done_handshakes_are_kept_apart_and_cut() -> None:
    # The server has done its part, the expensive one, and waits for the client's.
    with siege("TLS: a ClientHello and no more", tls=True, open_timeout=1.5) as held:
        count = held.row.attackers = allowed(scaled(5000, 100))
        sockets = dial_all(held.address_tls, count)
        data = hello()
        for sock in sockets:
            say(sock, data)
        held.wait_count("accepted_connections", count + held.honest)
        held.height()
        outcomes = gather(sockets)
        answers = Counter(o.data[:1] for o in outcomes)
        assert set(answers) <= {bytes([HANDSHAKE]), b""}, answers
        held.bound(held.figures(), count, each=SHAKING, beside=2 * MB)
        held.row.outcome = "its answer, then cut"


def test_a_handshake_byte_by_byte_is_cut_in_time() -> None:
    with siege("TLS: a byte now and then", tls=True, open_timeout=1) as held:
        count = held.row.attackers = scaled(2000, 100)
        data = hello()
        rest = {sock: iter(data) for sock in dial_all(held.address_tls, count)}

        def prod(sock: socket.socket) -> None:
            byte = next(rest[sock], None)
            if byte is not None:
                say(sock, bytes([byte]))

        gather(list(rest), prod=prod)
        held.bound(held.height(), count, each=SHAKING, beside=2 * MB)
        held.row.outcome = "cut"


def test_a_storm_of_handshakes_leaves_time_for_the_others() -> None:
    with siege("TLS: handshakes as fast as they go", tls=True) as held:
        processes, at_once = 4, 50
        each = scaled(2000, 75)
        count = held.row.attackers = processes * each
        programs = [
            Program("shaker.py", held.url_tls, str(each), str(at_once))
            for _ in range(processes)
        ]
        try:
            for program in programs:
                assert program.read() == "ready"
            held.mark(1)
            for program in programs:
                program.write("go")
            held.height()
            results = [json.loads(program.read()) for program in programs]
        finally:
            for program in programs:
                program.kill()
        assert sum(r["made"] for r in results) == count, results
        most = processes * at_once
        held.bound(held.figures(), most, each=SHAKING, beside=4 * MB)
        held.row.outcome = "made"


def test_who_speaks_no_tls_is_cut() -> None:
    with siege("TLS: plain HTTP, garbage, huge records", tls=True) as held:
        rng = random.Random(SEED)
        inputs = [
            request(),
            b"GET /page HTTP/1.0\r\n\r\n",
            b"\x16\x03\x01\xff\xff" + rng.randbytes(70_000),
            record(HANDSHAKE, rng.randbytes(16_384)),
            record(HANDSHAKE, b"\x01\xff\xff\xff" + bytes(16_000)),
            record(DATA, rng.randbytes(18_000)),
            record(DATA, rng.randbytes(65_535)),
            bytes(200_000),
        ]
        count = held.row.attackers = scaled(2000, 200)
        sockets = dial_all(held.address_tls, count)
        for number, sock in enumerate(sockets):
            say(sock, inputs[number % len(inputs)])
        outcomes = gather(sockets)
        # At most an alert says what is wrong.
        assert all(len(o.data) <= 7 for o in outcomes)
        held.bound(held.height(), count, each=SHAKING, beside=4 * MB)
        held.row.outcome = "an alert, or cut"


def test_a_server_name_cannot_write_the_log() -> None:
    with siege("TLS: escape sequences as server name", tls=True) as held:
        count = held.row.attackers = scaled(1000, 100)
        for name in (
            b"\x1b[31m\r\n\0%",
            b"%s%n%n%n%",
            b"../../../",
            b"\xff\xfe\x80\x00aaaaa",
        ):
            data = hello().replace(b"localhost", name)
            assert name in data
            sockets = dial_all(held.address_tls, count // 4)
            for sock in sockets:
                say(sock, data)
                half_close(sock)
            gather(sockets)
        held.bound(held.height(), count, each=SHAKING, beside=2 * MB)
        held.row.outcome = "the log stays clean"


def test_who_asks_to_renegotiate_is_refused() -> None:
    openssl = shutil.which("openssl")
    assert openssl is not None  # the certificates were made with it
    with siege("TLS 1.2: renegotiation", tls=True) as held:
        count = held.row.attackers = scaled(20, 2)
        assert not isinstance(held.address_tls, str)
        host, port = held.address_tls
        command = [openssl, "s_client", "-tls1_2", "-connect", f"{host}:{port}"]
        for _ in range(count):
            done = subprocess.run(
                command, input=b"R\n" * 50, capture_output=True, timeout=30, check=False
            )
            assert b"RENEGOTIATING" in done.stderr, done
            assert b"no renegotiation" in done.stderr, done
        held.bound(held.height(), count, each=0, beside=4 * MB)
        held.row.outcome = "no_renegotiation"


# ---- random bytes


def before_tls(address: Address, number: int) -> socket.socket:
    """A connection whose handshake goes wrong."""
    rng = random.Random(f"{SEED}:before:{number}")
    sock = dial(address, number % 20_000)
    match number % 4:
        case 0:
            data = noise(rng, 600)
        case 1:
            data = damage(rng, hello())
        case 2:
            data = hello() + noise(rng, 300)
        case _:
            data = record(rng.choice((HANDSHAKE, DATA, 20, 21)), noise(rng, 600))
    say(sock, data)
    half_close(sock)
    return sock


def after_tls(address: Address, number: int) -> socket.socket:
    """A connection that sends random bytes in TLS, or broken TLS."""
    rng = random.Random(f"{SEED}:after:{number}")
    sock = secure(dial(address, number % 20_000))
    if number % 3:
        say(sock, make(SEED, number))
        half_close(sock)
        return sock
    with sock:
        say(sock, request())
        raw = socket.socket(fileno=os.dup(sock.fileno()))
    raw.setblocking(True)
    say(raw, rng.choice((noise(rng, 600), record(DATA, noise(rng, 600)))))
    half_close(raw)
    return raw


@pytest.mark.parametrize("when", ["before", "after"])
def test_random_bytes_around_tls_end_their_own_connection(when: str) -> None:
    with siege(
        f"TLS: random bytes {when} the handshake",
        tls=True,
        max_message_size=1000,
        close_timeout=1,
        open_timeout=2,
    ) as held:
        full, reduced = (100_000, 1_000) if when == "before" else (20_000, 200)
        count = held.row.attackers = scaled(full, reduced)
        held.row.notes["seed"] = SEED
        open_one = before_tls if when == "before" else after_tls
        warm = 0
        for start in range(0, count, AT_ONCE):
            numbers = range(start, min(start + AT_ONCE, count))
            sockets = [open_one(held.address_tls, number) for number in numbers]
            try:
                gather(sockets)
            except BaseException:
                print(f"WSSEND_SEED={SEED}, inputs {numbers}")
                raise
            if start >= count // 10 and not warm:
                warm = held.figures().rss
        stats = held.wait_for(
            lambda now: now["clients"] == held.honest and now["closing"] == 0
        )
        assert stats["accepted_connections"] == count + held.honest
        held.bound(held.height(), count, each=0, beside=12 * MB)
        grown = held.figures().rss - warm
        held.row.notes["grown after the first tenth"] = grown
        if not SANITIZED:
            assert grown < 2 * MB, grown
        held.row.outcome = "refused, or cut"


# ---- after it


def test_an_idle_client_over_tls_has_its_price() -> None:
    with siege("TLS: idle clients", tls=True) as held:
        count = held.row.attackers = allowed(scaled(2000, 100))
        # One after the other: their handshakes use the same memory.
        sockets = [
            upgrade(held.address_tls, f"/?id=idle-{number}", number, tls=True)
            for number in range(count)
        ]
        try:
            held.bound(held.height(), count, each=IDLE, beside=2 * MB)
        finally:
            close_all(sockets)
        held.row.outcome = "served"


def test_slow_readers_over_tls_cost_the_others_nothing() -> None:
    size = 4096
    with siege(
        "TLS: 10 of 50 never read a broadcast", tls=True, send_queue=256
    ) as held:
        messages = scaled(3000, 400)
        stalled = held.row.attackers = 10
        silent = []
        for number in range(stalled):
            sock = dial(held.address_tls)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock = secure(sock)
            sock.sendall(request(f"/?id=stalled-{number}"))
            silent.append(sock)
        readers = upgrade_all(held.address_tls, 40, "reader", tls=True)
        held.wait_for(lambda now: now["clients"] == 50 + held.honest)
        reader = Reader(readers, size + 4)
        full = held.do("broadcast", count=messages, size=size)
        held.wait_for(lambda now: now["written"] >= (40 + held.honest) * messages)
        held.height()
        assert all(name.startswith("stalled-") for name in full), full
        assert len(full) == stalled or SANITIZED
        held.bound(held.figures(), stalled, each=2 * MB, beside=6 * MB)
        held.wait_for(lambda now: reader.counts() == {float(messages): 40})
        reader.stop()
        close_all(silent + readers)
        held.row.outcome = "ChannelFull, and stay connected"
    assert held.row.notes["bystander"]["broadcasts"] == messages


def test_a_storm_of_resets_over_tls_disturbs_no_broadcast() -> None:
    with siege("TLS: resets at once, during a broadcast", tls=True) as held:
        count = held.row.attackers = scaled(3000, 150)
        messages = scaled(2000, 200)
        held.begin("broadcast", count=messages, size=2048)
        for number in range(count):
            reset(upgrade(held.address_tls, f"/?id=storm-{number}", number, tls=True))
        held.height()
        full = held.finish()
        assert not any(name.startswith("bystander") for name in full), full
        held.wait_for(lambda now: now["clients"] == held.honest and now["closing"] == 0)
        held.bound(held.figures(), count, each=256, beside=6 * MB)
        held.row.outcome = "noticed, forgotten"
    assert held.row.notes["bystander"]["broadcasts"] == messages


def test_clients_over_tls_that_are_stopped_are_cut_by_keepalive() -> None:
    with siege(
        "TLS: clients stopped by SIGSTOP, one with a full channel", tls=True, **QUICK
    ) as held:
        held.row.attackers = 2
        with (
            victim(held, "idle", tls=True) as idle,
            victim(held, "full", tls=True) as full,
        ):
            idle.signal(signal.SIGSTOP)
            full.signal(signal.SIGSTOP)
            accepted = held.do("fill", id="full", size=8192)
            held.bound(held.height(), 2, each=4 * MB, beside=2 * MB)
            assert held.wait_ended("idle") == NO_PONG
            assert held.wait_ended("full") == NO_PONG
        assert 0 < held.do("stats")["lost"] <= accepted
        held.row.outcome = "1006: no pong in time"
