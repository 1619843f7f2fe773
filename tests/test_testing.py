"""wssend.testing: clients of a real hub, without sockets."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kit import Background, run_script
from wsclient import Client

import wssend
from wssend.testing import MemoryClient, connect

LIMIT = 20.0  # seconds that nothing takes unless it is broken


@pytest.fixture
def hub() -> Iterator[wssend.WSHub]:
    with wssend.WSHub(send_queue=4, max_events=4) as hub:
        yield hub


def check_law(stats: wssend.HubStats | wssend.ClientStats) -> None:
    gone = stats.written + stats.dropped + stats.lost
    assert stats.accepted == gone + stats.queued


def taken(hub: wssend.WSHub) -> list[wssend.Event]:
    """The events that are there."""
    events = hub.events(timeout=0)
    try:
        return list(events)
    finally:
        events.close()


# ---- joining


def test_it_joins_a_hub_that_never_listened(hub: wssend.WSHub) -> None:
    client = connect(hub, id="a", user="42", topics=["news", "chess"])
    assert hub.get("a") is client.client
    assert client.client.topics == {"news", "chess"}
    assert hub.clients(user="42") == [client.client]
    assert client.id == "a"
    assert len(hub) == 1
    assert not client.closed
    assert client.close_code is None
    assert client.close_reason is None


def test_it_has_a_request(hub: wssend.WSHub) -> None:
    client = connect(
        hub,
        path="/chat?room=7",
        headers={"Cookie": "session=abc", "Origin": "https://example.com"},
        subprotocol="chat.v1",
        remote="192.0.2.1",
    ).client
    assert (client.request.path, client.request.query) == ("/chat", "room=7")
    assert client.request.cookies == {"session": "abc"}
    assert client.request.headers["host"] == "localhost"
    assert client.request.headers["sec-websocket-protocol"] == "chat.v1"
    assert client.request.subprotocol == "chat.v1"
    assert (client.remote, client.peer) == ("192.0.2.1", "192.0.2.1")


def test_ids_are_made_up_and_differ(hub: wssend.WSHub) -> None:
    one, two = connect(hub), connect(hub)
    assert one.id != two.id
    assert hub.get(one.id) is one.client


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"id": ""}, ValueError, "id must not be empty"),
        ({"id": "x" * 256}, ValueError, "id must be at most 255 bytes"),
        ({"id": 7}, TypeError, "id must be a str"),
        ({"user": 7}, TypeError, "user must be a str"),
        ({"topics": "news"}, TypeError, "topics must be an iterable of str"),
        ({"topics": [""]}, ValueError, "topic must not be empty"),
        ({"path": "chat"}, ValueError, "path must begin"),
        ({"path": "/a b"}, ValueError, "path must begin"),
        ({"path": b"/"}, TypeError, "path must be a str"),
        ({"headers": {"A": "1\r\nB: 2"}}, ValueError, "headers must be names"),
        ({"headers": {"": "1"}}, ValueError, "headers must be names"),
        ({"headers": {"A": "\u20ac"}}, ValueError, "headers must be Latin-1"),
        ({"headers": {"A": 1}}, TypeError, "headers must be pairs of str"),
        ({"subprotocol": 1}, TypeError, "pairs of str|subprotocol"),
    ],
)
def test_a_wrong_argument_is_named_and_nobody_joins(
    hub: wssend.WSHub, arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    if "subprotocol" in arguments:
        with pytest.raises(error):
            connect(hub, **arguments)
    else:
        with pytest.raises(error, match=text):
            connect(hub, **arguments)
    assert len(hub) == 0


def test_who_cannot_join_is_told_why() -> None:
    with wssend.WSHub(max_clients=1) as hub:
        kept = connect(hub, id="a")
        with pytest.raises(ValueError, match="id 'a' is in use"):
            connect(hub, id="a")
        with pytest.raises(RuntimeError, match="max_clients already, 1"):
            connect(hub, id="b")
        assert kept.client in hub
    with pytest.raises(wssend.HubClosed):
        connect(hub)
    with (
        wssend.WSHub(pumps=64) as many,
        pytest.raises(ValueError, match="at most 63 pumps"),
    ):
        connect(many)


# ---- what is sent to it


def test_what_is_sent_is_there_at_once_in_order(hub: wssend.WSHub) -> None:
    client = connect(hub)
    for i in range(1000):  # far more than its channel holds
        client.client.send(str(i))
    client.client.send(b"\x00\xff")
    client.client.flush(timeout=0)
    assert client.received == [*map(str, range(1000)), b"\x00\xff"]
    assert client.receive(timeout=0) == "0"
    assert client.client.stats().queued == 0
    assert hub.stats().written == 1001


def test_every_way_of_sending_reaches_it(hub: wssend.WSHub) -> None:
    client = connect(hub, id="a", user="42", topics=["news"])
    other = connect(hub)
    hub.send("a", "by id")
    assert hub.send_to_user("42", "by user").queued == 1
    assert hub.publish("news", "by topic").queued == 1
    assert hub.broadcast("to all", exclude=[other.client]).queued == 1
    client.client.send(wssend.PreparedMessage(b"prepared"))
    client.client.send(b"text", text=True)
    expected = ["by id", "by user", "by topic", "to all", b"prepared", "text"]
    assert client.received == expected
    other.expect_nothing()


def test_it_stands_beside_clients_with_sockets(hub: wssend.WSHub) -> None:
    listener = hub.listen("127.0.0.1", 0)
    client = connect(hub)
    with Client(listener.url) as other:
        assert hub.broadcast("hello").queued == 2
        assert other.recv() == "hello"
        client.expect("hello")
        hub.close(timeout=0)
    client.expect_close(1001)


def test_a_stalled_one_fills_its_channel(hub: wssend.WSHub) -> None:
    client = connect(hub, id="a")
    client.stall()
    for i in range(4):
        client.client.send(str(i))
    with pytest.raises(wssend.ChannelFull, match=r"client 'a'.*4 messages") as caught:
        client.client.send("one too many")
    assert caught.value.client is client.client
    assert hub.broadcast("another").full == (client.client,)
    assert client.received == []
    with pytest.raises(TimeoutError):
        client.client.flush(timeout=0)
    client.resume()
    client.client.flush(timeout=0)
    assert client.received == ["0", "1", "2", "3"]
    client.client.send("room again")
    client.expect("0")
    check_law(client.client.stats())


def test_the_channels_bytes_count_too() -> None:
    with wssend.WSHub(send_queue_bytes=10) as hub:
        client = connect(hub)
        with pytest.raises(wssend.MessageTooLarge):
            client.client.send(bytes(11))
        client.stall()
        client.client.send(bytes(10))
        with pytest.raises(wssend.ChannelFull):
            client.client.send("x")


def test_receive_waits_for_another_thread(hub: wssend.WSHub) -> None:
    client = connect(hub)
    waiting = Background(lambda: [client.receive(LIMIT) for _ in range(100)])
    for i in range(100):
        client.client.send(str(i))
    assert waiting.result() == [str(i) for i in range(100)]


def test_each_message_is_received_by_one_of_many_threads(hub: wssend.WSHub) -> None:
    client = connect(hub)
    count = 4
    threads = [
        Background(lambda: [client.receive(LIMIT) for _ in range(50)])
        for _ in range(count)
    ]
    for i in range(50 * count):
        client.client.send(str(i))
    got = [message for thread in threads for message in thread.result()]
    assert sorted(got, key=int) == [str(i) for i in range(50 * count)]


def test_what_was_waited_for_in_vain_is_told(hub: wssend.WSHub) -> None:
    client = connect(hub, id="a")
    with pytest.raises(TimeoutError, match=r"client 'a': no message within 0.01 s$"):
        client.receive(timeout=0.01)
    client.stall()
    client.client.send("x")
    with pytest.raises(TimeoutError, match="it is stalled, with 1 queued"):
        client.receive(timeout=0)


# ---- expectations


def test_expect_compares_text_bytes_and_json(hub: wssend.WSHub) -> None:
    client = connect(hub)
    for data in ("text", b"bytes", b"more", '{"b": [1, 2], "a": null}', b"[1.5]"):
        client.client.send(data)
    assert client.expect("text") == "text"
    assert client.expect(b"bytes") == b"bytes"
    client.expect(bytearray(b"more"))
    assert client.expect({"a": None, "b": [1, 2]}) == '{"b": [1, 2], "a": null}'
    client.expect([1.5])
    client.expect_nothing()


def expectation(call: Callable[[], object]) -> str:
    with pytest.raises(AssertionError) as caught:
        call()
    return str(caught.value)


def test_expect_shows_what_came_instead(hub: wssend.WSHub) -> None:
    client = connect(hub, id="a")
    for data in ("b", "text", '{"a": {"b": [1, 2]}, "c": 3}', "[", "x" * 600):
        client.client.send(data)
    assert expectation(lambda: client.expect("a")) == (
        "client 'a': expected 'a'\nbut came 'b'"
    )
    assert "but came 'text'" in expectation(lambda: client.expect(b"text"))
    text = expectation(lambda: client.expect({"a": {"b": [1, 3, 4]}, "d": 3}))
    assert text.splitlines()[2:] == [
        "  ['a']['b'][1]: 3 != 2",
        "  ['a']['b'][2]: 4 != nothing",
        "  ['d']: 3 != nothing",
        "  ['c']: nothing != 3",
    ]
    assert "as JSON, but '[' came" in expectation(lambda: client.expect({}))
    assert "... (602 in all)" in expectation(lambda: client.expect("a"))
    text = expectation(lambda: client.expect({"a": 1}, timeout=0))
    assert text == "expected {'a': 1}, but client 'a': no message within 0 s"
    client.close(4000)
    text = expectation(lambda: client.expect("a"))
    assert text.endswith("has no more messages: it was closed with 4000")
    with pytest.raises(TypeError, match="message must be str, bytes-like"):
        client.expect(7)  # type: ignore[arg-type]


def test_expect_nothing_shows_what_is_there(hub: wssend.WSHub) -> None:
    client = connect(hub)
    client.expect_nothing()
    client.client.send("a")
    client.client.send("b")
    assert "2 messages came, first 'a'" in expectation(client.expect_nothing)
    client.expect("a")
    client.expect("b")
    client.stall()
    client.client.send("c")
    assert "1 message would come" in expectation(client.expect_nothing)


def test_expect_close_tells_the_code(hub: wssend.WSHub) -> None:
    client = connect(hub, id="a", user="42")
    text = expectation(lambda: client.expect_close(timeout=0))
    assert text == "client 'a': expected a close, but it is open after 0 s"
    client.client.send("last")
    assert hub.close_user("42", 4401, "log in again") == 1
    assert client.expect_close() == 4401
    text = expectation(lambda: client.expect_close(1000))
    assert "with 1000, but it was closed with 4401, 'log in again'" in text
    assert client.receive() == "last"
    with pytest.raises(wssend.ChannelClosed, match="4401, 'log in again'") as caught:
        client.receive()
    assert (caught.value.code, caught.value.reason) == (4401, "log in again")


def test_a_stalled_one_does_not_see_the_close(hub: wssend.WSHub) -> None:
    client = connect(hub)
    client.stall()
    client.client.send("before")
    client.client.close(4000, "bye")
    assert client.client.closed
    assert not client.closed
    assert client.close_code is None
    text = expectation(lambda: client.expect_close(4000, timeout=0))
    assert "it is stalled, with 1 queued" in text
    client.resume()
    assert client.expect_close(4000, timeout=0) == 4000
    assert client.close_reason == "bye"
    client.expect("before")
    assert client.client.stats().lost == 0


def test_expect_close_waits_for_another_thread(hub: wssend.WSHub) -> None:
    client = connect(hub)
    waiting = Background(lambda: client.expect_close(timeout=LIMIT))
    client.client.close(4000)
    assert waiting.result() == 4000


@pytest.mark.parametrize("timeout", [-1, float("nan"), float("inf"), True, "1"])
def test_a_time_limit_is_a_finite_number(hub: wssend.WSHub, timeout: Any) -> None:
    client = connect(hub)
    for call in (client.receive, client.expect_close):
        with pytest.raises((TypeError, ValueError), match="timeout must be"):
            call(timeout=timeout)
    with pytest.raises((TypeError, ValueError), match="timeout must be"):
        client.send("x", timeout=timeout)


# ---- what it does


def test_its_events_are_those_of_any_client(hub: wssend.WSHub) -> None:
    assert taken(hub) == []
    with connect(hub) as client:
        client.send("text")
        client.send(bytearray(b"bytes"))
    own = client.client
    assert taken(hub) == [
        wssend.Connected(own),
        wssend.Message(own, "text"),
        wssend.Message(own, b"bytes"),
        wssend.Disconnected(own, 1000, "", True),
    ]
    assert (own.stats().received, own.stats().received_bytes) == (2, 9)


def test_it_leaves_with_a_code_or_vanishes(hub: wssend.WSHub) -> None:
    assert taken(hub) == []
    one, two, three = (connect(hub) for _ in range(3))
    clients = [end.client for end in (one, two, three)]
    assert len(taken(hub)) == 3
    one.close(4001, "done")
    one.close(4002)
    two.vanish()
    del three
    gc.collect()
    assert taken(hub) == [
        wssend.Disconnected(clients[0], 4001, "done", True),
        wssend.Disconnected(clients[1], 1006, "", False),
        wssend.Disconnected(clients[2], 1006, "", False),
    ]
    assert len(hub) == 0
    with pytest.raises(wssend.ChannelClosed, match="4001, done"):
        one.send("late")
    with pytest.raises(ValueError, match="code must be"):
        two.close(1005)


def test_what_a_stalled_one_leaves_behind_is_lost(hub: wssend.WSHub) -> None:
    client = connect(hub)
    client.stall()
    client.client.send("a")
    client.close()
    assert client.client.stats().lost == hub.stats().lost == 1
    check_law(hub.stats())
    with pytest.raises(wssend.ChannelClosed):
        client.client.send("b")


def test_where_nobody_takes_events_messages_are_dropped(hub: wssend.WSHub) -> None:
    client = connect(hub)
    client.send("a")
    assert hub.stats().events_dropped == 1
    assert client.client.stats().received_dropped == 1


def test_a_full_event_queue_is_waited_for(hub: wssend.WSHub) -> None:
    assert taken(hub) == []
    client = connect(hub)

    def flood() -> None:
        for i in range(10):
            client.send(str(i), timeout=0)

    with pytest.raises(TimeoutError, match="take some, or raise max_events"):
        flood()
    before = hub.stats().events
    sending = Background(lambda: client.send("last", timeout=LIMIT))
    events = hub.events(timeout=LIMIT)
    for event in events:
        if event == wssend.Message(client.client, "last"):
            break
    sending.result()
    assert 0 < before <= 4


def test_too_large_a_message_has_it_closed() -> None:
    with wssend.WSHub(max_message_size=10) as hub:
        client = connect(hub)
        client.send(bytes(10))
        client.send(bytes(11))
        client.expect_close(1009)
        with pytest.raises(TypeError, match="data must be"):
            client.send(7)  # type: ignore[arg-type]


# ---- the hub's end, and others


def test_a_hub_that_closes_waits_for_no_stalled_client() -> None:
    for listens in (False, True):
        hub = wssend.WSHub()
        if listens:
            hub.listen("127.0.0.1", 0)
        events = hub.events()
        reads, stalled = connect(hub), connect(hub)
        stalled.stall()
        stalled.client.send("never read")
        hub.close(1012, "restart", timeout=None)
        reads.expect_close(1012)
        stalled.expect_close(1012)
        gone = [e for e in events if isinstance(e, wssend.Disconnected)]
        assert {(e.client, e.code, e.clean) for e in gone} <= {
            (reads.client, 1012, True),
            (stalled.client, 1012, False),
        }
        assert (hub.stats().lost, hub.stats().clients) == (1, 0)
        check_law(hub.stats())


def test_it_holds_its_hub_and_the_two_go_together() -> None:
    client: MemoryClient | None = connect(wssend.WSHub())
    gc.collect()
    assert client is not None
    client.client.send("still there")
    client.expect("still there")
    client.client.state["cycle"] = client
    gone = threading.Event()

    class Sentinel:
        def __del__(self) -> None:
            gone.set()

    client.client.state["sentinel"] = Sentinel()
    client = None
    gc.collect()
    assert gone.is_set()


def test_many_threads_send_to_it_and_nothing_is_lost_count_of() -> None:
    with wssend.WSHub(send_queue=2) as hub:
        client = connect(hub, topics=["t"])

        def send() -> int:
            accepted = 0
            for i in range(300):
                accepted += hub.publish("t", str(i)).queued
            return accepted

        threads = [Background(send) for _ in range(4)]
        for _ in range(100):
            client.stall()
            check_law(client.client.stats())
            client.resume()
        accepted = sum(thread.result() for thread in threads)
        assert len(client.received) == accepted
        assert client.client.stats().written == accepted
        check_law(hub.stats())


def test_it_says_what_it_is(hub: wssend.WSHub) -> None:
    client = connect(hub, id="a")
    assert repr(client) == "<MemoryClient of <WSClient 'a' from 127.0.0.1, open>>"


@pytest.mark.forks
@pytest.mark.parametrize("listens", [False, True])
def test_in_a_forked_child_it_is_the_parents(listens: bool) -> None:
    printed = run_script(
        """
        import os, sys, warnings
        import wssend, wssend.testing
        warnings.simplefilter("ignore", DeprecationWarning)
        hub = wssend.WSHub()
        if sys.argv[1] == "True":
            hub.listen("127.0.0.1", 0)
        client = wssend.testing.connect(hub, id="a")
        client.stall()
        client.client.send("parent's")
        pid = os.fork()
        if pid == 0:
            calls = [client.resume, lambda: client.received, client.receive,
                     lambda: client.closed, client.close, client.vanish,
                     lambda: client.send("x"), lambda: client.client.send("x")]
            for call in calls:
                try:
                    call()
                except wssend.HubClosed as error:
                    assert "belongs to process" in str(error), error
                else:
                    os._exit(1)
            if sys.argv[1] == "False":  # made anew
                assert hub.get("a") is None and len(hub) == 0
                own = wssend.testing.connect(hub, id="a")
                own.client.send("child's")
                own.expect("child's")
                for call in calls[:2]:
                    try:
                        call()
                    except wssend.HubClosed:
                        pass
                    else:
                        os._exit(2)
                own.close()
            del client
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        client.resume()
        client.expect("parent's")
        hub.close()
        client.expect_close(1001)
        print("done")
        """,
        str(listens),
    )
    assert printed == "done\n"
