"""Connections without end, and such as never say what they want."""

from __future__ import annotations

import socket
from collections import Counter

from kit import there, until
from stress.attack import close_all, dial_all, gather, request, reset, say, upgrade
from stress.siege import MB, SANITIZED, allowed, kB, scaled, siege


def test_a_flood_of_silent_connections_costs_little_and_goes_without_a_trace() -> None:
    with siege("connections that say nothing", open_timeout=None) as held:
        count = held.row.attackers = allowed(scaled(8000, 500))
        peaks = []
        for wave in 1, 2, 3:
            sockets = dial_all(held.address, count)
            held.wait_count("accepted_connections", count * wave + 1)
            held.bound(held.height(), count, each=3 * kB, beside=2 * MB)
            peaks.append(held.peak())
            close_all(sockets)
            held.wait_count("failed_handshakes", count * wave)
        # What the first wave left, the next ones use: nothing leaks.
        if not SANITIZED:
            assert peaks[2] < peaks[0] + MB, peaks
        held.row.outcome = "kept while they stay"


def test_half_open_connections_are_answered_and_cut_in_time() -> None:
    with siege("half-open connections", open_timeout=1) as held:
        count = held.row.attackers = allowed(scaled(8000, 300))
        sockets = dial_all(held.address, count)
        outcomes = gather(sockets)
        assert Counter(o.status for o in outcomes) == {408: count}
        assert not any(o.reset for o in outcomes)
        held.bound(held.height(), count, each=4 * kB, beside=2 * MB)
        held.row.outcome = "408"


def test_handshakes_byte_by_byte_are_cut_in_time() -> None:
    with siege("a byte of the request now and then", open_timeout=2) as held:
        count = held.row.attackers = scaled(2000, 100)
        rest = {}
        for sock in dial_all(held.address, count):
            rest[sock] = iter(request("/?id=never"))

        def prod(sock: socket.socket) -> None:
            byte = next(rest[sock], None)
            if byte is not None:
                say(sock, bytes([byte]))

        outcomes = gather(list(rest), prod=prod)
        # Who goes on talking behind the answer may see a reset in the end.
        assert Counter(o.status for o in outcomes) == {408: count}
        held.bound(held.height(), count, each=6 * kB, beside=2 * MB)
        held.row.outcome = "408"


def test_one_address_has_its_share_and_no_more() -> None:
    share = 50
    with siege(
        "connections of one address, max_clients_per_ip=50",
        max_clients_per_ip=share,
        open_timeout=None,
    ) as held:
        count = held.row.attackers = allowed(share + scaled(2000, 300))
        sockets = dial_all(held.address, count)
        held.wait_count("accepted_connections", count + 1)
        figures = held.height()
        assert figures.descriptors == there(held.row.before).descriptors + share
        held.bound(figures, share, each=3 * kB, beside=2 * MB)
        inside, outside = sockets[:share], sockets[share:]
        outcomes = gather(outside)
        assert Counter(o.status for o in outcomes) == {503: count - share}
        assert all(b"Retry-After: 10\r\n" in o.data for o in outcomes)
        close_all(inside)
        held.wait_for(lambda now: now["failed_handshakes"] == share)
        upgrade(held.address, "/?id=again").close()
        held.row.outcome = f"{share} kept, the rest 503"


def test_a_limit_on_clients_bounds_the_sockets_beside_them() -> None:
    clients, beside = 10, 128
    with siege(
        "silent connections, max_clients=10", max_clients=clients, open_timeout=None
    ) as held:
        kept = clients + beside - 1  # the bystander's is one
        count = held.row.attackers = allowed(kept + scaled(2000, 300))
        sockets = dial_all(held.address, count)
        held.wait_count("accepted_connections", count + 1)
        figures = held.height()
        assert figures.descriptors == there(held.row.before).descriptors + kept
        held.bound(figures, kept, each=3 * kB, beside=2 * MB)
        outcomes = gather(sockets[kept:])
        assert Counter(o.status for o in outcomes) == {503: count - kept}
        close_all(sockets[:kept])
        held.wait_count("failed_handshakes", kept)
        held.row.outcome = f"{kept} kept, the rest 503"


def test_a_storm_of_resets_disturbs_no_broadcast() -> None:
    with siege("resets at once, during a broadcast") as held:
        count = held.row.attackers = scaled(5000, 300)
        messages = scaled(3000, 300)
        held.begin("broadcast", count=messages, size=2048)
        for number in range(count):
            sock = upgrade(held.address, f"/?id=storm-{number}", number % 10_000)
            reset(sock)
        held.height()
        full = held.finish()
        assert "bystander" not in full
        held.wait_for(lambda now: now["clients"] == 1 and now["closing"] == 0)
        held.bound(held.figures(), count, each=256, beside=4 * MB)
        held.row.outcome = "noticed, forgotten"
    assert held.row.notes["bystander"]["broadcasts"] == messages


def test_without_descriptors_it_waits_and_recovers() -> None:
    spare = 20
    with siege("server out of descriptors", open_timeout=None) as held:
        count = held.row.attackers = scaled(1000, 200)
        first = held.do("stats")
        held.do("limit_descriptors", spare=spare)
        sockets = dial_all(held.address, count)
        held.wait_for(
            lambda now: (
                now["accepted_connections"] >= first["accepted_connections"] + spare
            )
        )
        # It tries again ten times a second: a while that shows a spin.
        turns = held.do("stats")["turns"]
        received = held.do("stats")["received"]
        until(lambda: held.do("stats")["received"] >= received + 100)
        now = held.height()
        stats = held.do("stats")
        spent = (stats["turns"] - turns) / (stats["received"] - received)
        held.row.notes["turns a message"] = spent
        assert spent < 20, spent
        close_all(sockets)
        held.do("limit_descriptors", spare=spare + 1000)
        held.wait_for(
            lambda now: (
                now["accepted_connections"] >= first["accepted_connections"] + count
            )
        )
        until(lambda: held.figures().descriptors < now.descriptors)
        upgrade(held.address, "/?id=again").close()
        held.row.outcome = "the rest waits in the backlog"
