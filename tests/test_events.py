"""hub.events: what happens to clients, in order, for one consumer."""

from __future__ import annotations

import dataclasses
import gc
import pickle
import select
import signal
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from kit import Background, Server, serving, there, until
from wsclient import BINARY, CONTINUATION, TEXT

import wssend
from wssend import Connected, Disconnected, Message


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


def test_a_whole_life(server: Server) -> None:
    events = server.hub.events(10)
    client, own = server.connect()
    own.send("text é")
    own.send(b"\x00\xff")
    own.send("")
    own.send_frame(TEXT, b"in ", fin=False)
    own.send_frame(CONTINUATION, b"pieces")
    own.leave(4000)
    assert [next(events) for _ in range(6)] == [
        Connected(client),
        Message(client, "text é"),
        Message(client, b"\x00\xff"),
        Message(client, ""),
        Message(client, "in pieces"),
        Disconnected(client, 4000, "", True),
    ]


def test_a_connection_that_just_breaks_is_not_clean(server: Server) -> None:
    events = server.hub.events(10)
    client, own = server.connect()
    assert next(events) == Connected(client)
    own.close()
    assert next(events) == Disconnected(client, 1006, "", False)


def test_a_close_from_here(server: Server) -> None:
    events = server.hub.events(10)
    client, own = server.connect()
    assert next(events) == Connected(client)
    client.close(4001, "bye")
    own.answer_close()
    assert next(events) == Disconnected(client, 4001, "bye", True)


def test_the_first_use_announces_who_is_there(server: Server) -> None:
    a, at_a = server.connect("a")
    at_a.send("too early")
    until(lambda: server.hub.stats().events_dropped == 1)
    assert a.stats().received_dropped == 1
    b, _ = server.connect("b")
    events = server.hub.events(0)
    assert {e.client for e in events if isinstance(e, Connected)} == {a, b}


def test_a_timeout_ends_the_iteration(server: Server) -> None:
    began = time.monotonic()
    events = server.hub.events(0.1)
    assert list(events) == []
    assert 0.09 < time.monotonic() - began < 8
    assert list(events) == []  # for good


def test_a_timeout_counts_from_each_step(server: Server) -> None:
    events = server.hub.events(timeout=0.3)
    for name in "abc":
        time.sleep(0.2)
        server.dial(name)
        assert isinstance(next(events), Connected)


def test_zero_takes_what_is_there(server: Server) -> None:
    server.hub.fileno()
    server.dial("a")
    server.dial("b")
    until(lambda: len(server.hub) == 2)
    assert len(list(server.hub.events(0))) == 2
    assert list(server.hub.events(0)) == []


def test_it_ends_when_the_hub_is_closed_and_all_was_taken(server: Server) -> None:
    events = server.hub.events()
    client, own = server.connect()
    own.send("before")
    until(lambda: client.stats().received == 1)
    server.hub.close(timeout=0)
    assert [type(event) for event in events] == [Connected, Message, Disconnected]
    assert list(server.hub.events()) == []


def test_closing_the_hub_wakes_a_consumer_at_once() -> None:
    hub = wssend.WSHub()
    waiting = Background(lambda: list(hub.events()))
    time.sleep(0.05)
    began = time.monotonic()
    hub.close()
    assert waiting.result() == []
    assert time.monotonic() - began < 8


def test_one_consumer_a_hub(server: Server) -> None:
    first = server.hub.events(0)
    with pytest.raises(RuntimeError, match="events are being taken already"):
        server.hub.events()
    assert list(first) == []  # its end makes room
    second = server.hub.events()
    second.close()
    second.close()
    assert list(second) == []
    third = server.hub.events()
    del third
    server.dial("a")
    for _ in server.hub.events():
        break
    server.hub.events().close()


def test_one_thread_at_a_time(server: Server) -> None:
    events = server.hub.events()
    waiting = Background(lambda: next(events))
    time.sleep(0.05)
    with pytest.raises(RuntimeError, match="another thread is taking"):
        next(events)
    server.dial("a")
    assert isinstance(waiting.result(), Connected)


def test_close_ends_the_wait_of_another_thread(server: Server) -> None:
    events = server.hub.events()
    waiting = Background(lambda: list(events))
    time.sleep(0.05)
    events.close()
    assert waiting.result() == []


def test_ctrl_c_interrupts_the_wait(server: Server) -> None:
    main = there(threading.main_thread().ident)
    timer = threading.Timer(0.1, signal.pthread_kill, (main, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt), closing(server.hub.events()) as events:
        next(events)
    timer.join()
    assert list(server.hub.events(0)) == []


def test_a_signal_handler_that_returns_does_not_end_the_wait(server: Server) -> None:
    hits: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda *_: hits.append(1))
    main = there(threading.main_thread().ident)
    timer = threading.Timer(0.1, signal.pthread_kill, (main, signal.SIGUSR1))
    timer.start()
    try:
        assert list(server.hub.events(0.4)) == []
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)
    assert hits == [1]


def test_the_descriptor_is_readable_while_events_wait(server: Server) -> None:
    fd = server.hub.fileno()
    assert fd == server.hub.fileno()
    assert list(server.hub.events(0)) == []
    assert select.select([fd], [], [], 0)[0] == []
    server.dial("a")
    assert select.select([fd], [], [], 10)[0] == [fd]
    assert len(list(server.hub.events(0))) == 1
    assert select.select([fd], [], [], 0)[0] == []


def test_the_hub_keeps_a_client_from_connected_to_disconnected(
    server: Server,
) -> None:
    events = server.hub.events(10)
    own = server.dial("a")
    event: Any = next(events)
    event.client.state["name"] = "Ada"
    names = weakref.WeakKeyDictionary({event.client: "Ada"})
    ref = weakref.ref(event.client)
    del event
    gc.collect()
    assert len(names) == 1
    own.send("x")
    event = next(events)
    assert event.client.state == {"name": "Ada"}
    own.leave()
    event = next(events)
    assert (type(event), names[event.client]) == (Disconnected, "Ada")
    del event
    gc.collect()
    assert ref() is None


def test_a_pair_that_nobody_took_vanishes(server: Server) -> None:
    server.hub.fileno()
    _, own = server.connect()
    own.leave()
    until(lambda: server.hub.stats().closing == 0)
    assert list(server.hub.events(0)) == []


def test_with_no_room_for_messages_the_rest_still_comes() -> None:
    with serving(max_events=0) as server:
        events = server.hub.events(10)
        client, own = server.connect()
        assert next(events) == Connected(client)
        own.send("dropped")
        until(lambda: client.stats().received == 1)
        own.leave()
        assert next(events) == Disconnected(client, 1000, "", True)
        assert server.hub.stats().events_dropped == 1


def test_a_full_queue_pauses_reading_and_loses_nothing() -> None:
    with serving(max_events=4) as server:
        events = server.hub.events(10)
        client, own = server.connect()
        for i in range(200):
            own.send(str(i))
        assert next(events) == Connected(client)
        got = [next(events) for _ in range(200)]
        assert got == [Message(client, str(i)) for i in range(200)]
        assert server.hub.stats().events_total == 200


def test_a_message_too_large_closes_with_1009() -> None:
    with serving(max_message_size=10, max_event_bytes=10) as server:
        events = server.hub.events(10)
        client, own = server.connect()
        own.send("x" * 10)
        own.send_frame(BINARY, bytes(11))
        assert own.recv_close().code == 1009
        own.close()
        assert [next(events) for _ in range(2)] == [
            Connected(client),
            Message(client, "x" * 10),
        ]
        last = next(events)
        assert isinstance(last, Disconnected)
        assert last.code == 1009


def test_events_are_values() -> None:
    with serving() as server:
        client, _ = server.connect()
        other, _ = server.connect("b")
    pairs: list[tuple[wssend.Event, wssend.Event]] = [
        (Connected(client), Connected(other)),
        (Message(client, "x"), Message(client, b"x")),
        (Disconnected(client, 1000, "", True), Disconnected(client, 1000, "", False)),
    ]
    for one, two in pairs:
        assert one == dataclasses.replace(one)
        assert hash(one) == hash(dataclasses.replace(one))
        assert one != two
        with pytest.raises(dataclasses.FrozenInstanceError):
            one.client = other  # type: ignore[misc,union-attr]
        assert not hasattr(one, "__dict__")
    match Message(client, "x"):
        case Message(who, data):
            assert (who, data) == (client, "x")


@pytest.mark.parametrize("timeout", [-1, float("nan"), float("inf")])
def test_a_wrong_timeout(timeout: float) -> None:
    with pytest.raises(ValueError, match=r"^timeout must be "):
        wssend.WSHub().events(timeout)


def test_the_iterator_is_final_and_not_pickled() -> None:
    events = wssend.WSHub().events(0)
    with pytest.raises(TypeError):
        type(events)()
    with pytest.raises(TypeError):
        pickle.dumps(events)
    assert iter(events) is events
