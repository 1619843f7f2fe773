from __future__ import annotations

import dataclasses
import inspect
import re

import pytest
from kit import fill, serving, until

import wssend
from wssend import stats


@pytest.mark.parametrize("kind", [stats.ClientStats, stats.HubStats])
def test_every_field_is_documented(kind: type) -> None:
    documented = re.findall(r"^    (\w+): ", inspect.getdoc(kind) or "", re.MULTILINE)
    assert documented == [field.name for field in dataclasses.fields(kind)]


def holds(s: stats.ClientStats | stats.HubStats) -> bool:
    return (
        s.accepted == s.written + s.queued + s.dropped + s.lost
        and s.attempted
        == s.accepted
        + s.refused_full
        + s.refused_closed
        + s.refused_too_large
        + s.refused_nomem
    )


def test_a_client_that_does_nothing() -> None:
    with serving() as server:
        client, _ = server.connect()
        s = client.stats()
        numbers = dataclasses.asdict(s)
        assert 0 < numbers.pop("age") < 10
        assert numbers.pop("rtt") is None
        assert set(numbers.values()) == {0}
        assert s.attempted == 0


def test_a_client_is_counted_exactly() -> None:
    with serving(send_queue=5, send_queue_bytes=10000) as server:
        client, own = server.connect(receive_buffer=4096)
        accepted = fill(client, 8192)
        with pytest.raises(wssend.MessageTooLarge):
            client.send(bytes(10001))
        s = client.stats()
        assert holds(s)
        assert s.accepted == accepted
        assert s.refused_full >= 20
        assert s.refused_too_large == 1
        assert s.queued == 1
        assert s.queued_bytes == 8192
        assert s.written_bytes == s.written * 8192
        assert s.oldest_age > 0
        for _ in range(accepted):
            own.recv()
        until(lambda: client.stats().written == accepted)
        own.send("abc")
        until(lambda: client.stats().received == 1)
        client.close()
        with pytest.raises(wssend.ChannelClosed):
            client.send("x")
        s = client.stats()
        assert holds(s)
        assert (s.refused_closed, s.received_bytes, s.received_dropped) == (1, 3, 1)
        assert (s.queued, s.oldest_age) == (0, 0.0)


def test_the_hub_sums_the_living_and_the_gone() -> None:
    with serving(send_queue_bytes=10000) as server:
        stalled, at_stalled = server.stalled("stalled", "u")
        quick, at_quick = server.connect("quick", "v")
        quick.subscribe("t")
        server.hub.broadcast("x")
        at_quick.recv()
        until(lambda: quick.stats().written == 1)
        s = server.hub.stats()
        assert holds(s)
        assert (s.clients, s.closing, s.joined) == (2, 0, 2)
        assert (s.users, s.topics) == (2, 1)
        assert s.accepted == stalled.stats().accepted + quick.stats().accepted
        assert s.queued == stalled.stats().queued
        at_stalled.close()
        at_quick.leave()
        until(lambda: server.hub.stats().clients + server.hub.stats().closing == 0)
        for client in (stalled, quick):
            with pytest.raises(wssend.ChannelClosed):
                client.send("late")
        after = server.hub.stats()
        assert holds(after)
        assert (after.clients, after.joined, after.users, after.topics) == (0, 2, 0, 0)
        assert after.accepted == stalled.stats().accepted + quick.stats().accepted
        assert after.lost == stalled.stats().lost > 0
        assert after.refused_closed == 2


def test_the_pump_is_counted() -> None:
    with serving(ping_interval=0.05, ping_timeout=None) as server:
        client, own = server.connect()
        client.send("x")
        assert own.recv() == "x"
        frame = own.recv_frame()
        own.send_frame(10, frame.payload)
        until(lambda: client.stats().rtt)
        assert 0 < (client.stats().rtt or 0) < 5
        s = server.hub.stats()
        assert s.accepted_connections == 1
        assert s.pings >= 1
        assert s.pongs >= 1
        assert s.writes >= 2
        assert s.turns >= 2


def test_refusals_at_the_door_are_counted() -> None:
    with serving(max_clients=1) as server:
        server.connect("a")
        with pytest.raises(AssertionError, match=r"HTTP/1.1 503 "):
            server.dial("b")
        assert server.hub.stats().refused_handshakes == 1
        assert server.hub.stats().accepted_connections == 2


def test_they_are_values() -> None:
    s = wssend.WSHub().stats()
    assert s == dataclasses.replace(s)
    with pytest.raises(dataclasses.FrozenInstanceError):
        s.clients = 1  # type: ignore[misc]
    assert not hasattr(s, "__dict__")
