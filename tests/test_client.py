"""WSClient: one connection, as the application sees it."""

from __future__ import annotations

import copy
import gc
import pickle
import time
import weakref
from collections.abc import Iterator

import pytest
from kit import Background, Server, fill, run_script, serving, there, until
from wsclient import CLOSE, TIMEOUT, Client, Gone

import wssend


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(send_queue=4) as server:
        yield server


def test_who_it_is(server: Server) -> None:
    client, own = server.connect("user-42", "42")
    host, port = own.socket.getsockname()
    assert (client.id, client.user) == ("user-42", "42")
    assert client.remote == host
    assert client.peer.startswith(host)
    assert port > 0
    assert client.request.path == "/"
    assert client.request.query == "id=user-42&user=42"
    assert client.request is client.request
    assert client.request.raw.endswith(b"\r\n\r\n")
    assert repr(client) == f"<WSClient 'user-42' from {client.remote}, open>"
    assert server.connect("b")[0].user is None


def test_an_id_is_made_up_where_none_is_given() -> None:
    with wssend.WSHub() as hub:
        listener = hub.listen("127.0.0.1", 0)
        with Client(listener.url), Client(listener.url):
            one, two = hub.clients()
            assert one.id != two.id
            assert hub.get(one.id) is one


def test_one_object_for_each_connection(server: Server) -> None:
    client, _ = server.connect()
    other, _ = server.connect("b")
    assert server.hub.get("a") is client
    assert server.hub.clients() in ([client, other], [other, client])
    assert client != other
    assert len({client, server.hub.get("a")}) == 1


def test_a_client_that_nobody_holds_is_made_anew(server: Server) -> None:
    server.dial("a")
    ref = weakref.ref(there(server.hub.get("a")))
    assert ref() is None
    assert there(server.hub.get("a")).id == "a"


def test_state_stays_with_the_connection(server: Server) -> None:
    server.dial("a")
    there(server.hub.get("a")).state["name"] = "Ada"
    gc.collect()
    assert there(server.hub.get("a")).state == {"name": "Ada"}


def test_state_may_refer_to_its_own_client_and_hub(server: Server) -> None:
    server.dial("a")
    client = there(server.hub.get("a"))
    client.state.update(me=client, hub=server.hub, listener=server.listener)
    ref = weakref.ref(client)
    del client
    gc.collect()
    assert there(server.hub.get("a")).state["me"] is ref()


def test_what_has_ended_is_let_go_of_without_a_consumer() -> None:
    with serving(max_events=0) as server:
        refs = []
        for i in range(300):
            client, own = server.connect(str(i))
            client.state["i"] = i
            refs.append(weakref.ref(client))
            del client
            own.leave()
        until(lambda: server.hub.stats().closing == 0)
        server.connect("last")[0].state["i"] = -1
        assert sum(ref() is not None for ref in refs) < 150


def test_it_outlives_its_connection_and_its_hub() -> None:
    with serving() as server:
        client, own = server.connect()
        client.state["kept"] = True
        own.leave()
        until(lambda: client.stats().received == 0 and client.closed)
    del server
    gc.collect()
    assert (client.id, client.state, client.closed) == ("a", {"kept": True}, True)
    with pytest.raises(wssend.ChannelClosed):
        client.send("x")
    assert client.stats().refused_closed == 1
    client.state["more"] = client


def test_it_is_weakly_referencable_final_and_not_copied(server: Server) -> None:
    client, _ = server.connect()
    assert weakref.WeakKeyDictionary({client: 1})[client] == 1
    with pytest.raises(TypeError):
        type("Sub", (wssend.WSClient,), {})
    with pytest.raises(TypeError):
        wssend.WSClient()
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot pickle"):
            attempt(client)
    with pytest.raises(AttributeError):
        client.id = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        wssend.WSClient.send = None  # type: ignore[assignment,method-assign]
    assert gc.is_tracked(client)


def test_close_sends_what_is_queued_then_the_close_frame(server: Server) -> None:
    client, own = server.connect()
    client.send("last words")
    assert (client.closed, client.close_code, client.close_reason) == (
        False,
        None,
        None,
    )
    client.close(4000, "bye ✋")
    assert (client.closed, client.close_code, client.close_reason) == (
        True,
        4000,
        "bye ✋",
    )
    assert server.hub.get("a") is None
    client.close(1000, "too late")
    assert own.recv() == "last words"
    frame = own.answer_close()
    assert (frame.code, frame.reason) == (4000, "bye ✋")
    assert client.close_code == 4000


def test_close_without_arguments_is_1000(server: Server) -> None:
    client, own = server.connect()
    client.close()
    assert (own.recv_close().code, client.close_reason) == (1000, "")


def test_the_peers_close(server: Server) -> None:
    client, own = server.connect()
    own.send_close(4321, "as you wish")
    assert own.recv_close().code == 4321
    until(lambda: client.closed)
    assert (client.close_code, client.close_reason) == (4321, "as you wish")


@pytest.mark.parametrize(("payload", "code"), [(b"", 1005), (None, 1006)])
def test_no_close_code(server: Server, payload: bytes | None, code: int) -> None:
    client, own = server.connect()
    if payload is None:
        own.close()
    else:
        own.send_frame(CLOSE, payload)
    until(lambda: client.closed)
    assert (client.close_code, client.close_reason) == (code, "")


@pytest.mark.parametrize(
    ("args", "error", "match"),
    [
        ((999,), ValueError, "^code must be 1000 to 1003, .*, not 999$"),
        ((1005,), ValueError, "^code must be .*, not 1005$"),
        ((1006,), ValueError, "^code "),
        ((5000,), ValueError, "^code "),
        ((-1,), ValueError, "^code "),
        ((1 << 70,), ValueError, "^code "),
        (("1000",), TypeError, "^code must be an int, not '1000'$"),
        ((True,), TypeError, "^code must be an int, not True$"),
        ((1000, "x" * 124), ValueError, "^reason must be at most 123 bytes"),
        ((1000, "é" * 62), ValueError, "^reason must be at most 123 bytes"),
        ((1000, b"bye"), TypeError, "^reason must be a str, not b'bye'$"),
        ((1000, "\udc80"), UnicodeEncodeError, "surrogates"),
    ],
)
def test_a_wrong_close_names_what_was_given(
    server: Server, args: tuple[int, str], error: type[Exception], match: str
) -> None:
    client, _ = server.connect()
    with pytest.raises(error, match=match):
        client.close(*args)
    assert not client.closed


def test_a_closed_client_says_how_it_closed(server: Server) -> None:
    client, _ = server.connect()
    client.close(4001, "enough")
    with pytest.raises(wssend.ChannelClosed) as caught:
        client.send("x")
    assert str(caught.value) == (
        "client 'a': the message was not queued: the connection is closed "
        "(4001, enough)"
    )
    error = caught.value
    assert (error.client, error.client_id) == (client, "a")
    assert (error.code, error.reason) == (4001, "enough")
    assert isinstance(error, ConnectionError)


def test_a_full_channel_refuses_and_the_client_stays() -> None:
    with serving(send_queue=256, send_queue_bytes=1 << 16) as server:
        client, own = server.connect("slow", receive_buffer=4096)
        accepted = fill(client)
        with pytest.raises(wssend.ChannelFull) as caught:
            client.send(bytes(8192))
        error = caught.value
        assert (error.client, error.client_id) == (client, "slow")
        assert (error.queued, error.queued_bytes) == (8, 65536)
        assert error.oldest_age > 0
        assert str(error).startswith(
            "client 'slow': the send channel is full: 8 messages, 65536 bytes "
            "queued, the oldest for 0."
        )
        assert not client.closed
        for _ in range(accepted):
            assert len(own.recv()) == 8192
        until(lambda: client.stats().queued == 0)
        client.send("room again")
        assert own.recv() == "room again"


def test_flush_waits_for_what_is_queued() -> None:
    with serving() as server:
        client, own = server.connect(receive_buffer=4096)
        client.flush(0)
        accepted = fill(client)
        with pytest.raises(TimeoutError, match=r"^client 'a': timed out with "):
            client.flush(timeout=0.05)
        waiting = Background(client.flush)
        for _ in range(accepted):
            own.recv()
        assert waiting.result() is None


def test_flush_tells_of_losses() -> None:
    with serving() as server:
        client, own = server.stalled()
        waiting = Background(lambda: client.flush(10))
        own.close()
        with pytest.raises(wssend.ChannelClosed, match="not all of its messages"):
            waiting.result()
        with pytest.raises(wssend.ChannelClosed):
            client.flush()
        assert client.stats().lost > 0


def test_flush_of_a_client_that_lost_nothing(server: Server) -> None:
    client, own = server.connect()
    client.send("x")
    client.close()
    own.answer_close()
    client.flush(1)


@pytest.mark.parametrize("timeout", [-1, float("nan"), float("inf"), -0.001])
def test_a_wrong_timeout_is_refused(server: Server, timeout: float) -> None:
    client, _ = server.connect()
    with pytest.raises(
        ValueError, match=r"^timeout must be a finite number of seconds"
    ):
        client.flush(timeout)


@pytest.mark.parametrize("timeout", ["1", True, [1]])
def test_a_timeout_of_a_wrong_type_is_refused(server: Server, timeout: float) -> None:
    client, _ = server.connect()
    with pytest.raises(
        TypeError, match=r"^timeout must be a number of seconds or None"
    ):
        client.flush(timeout)


def test_topics(server: Server) -> None:
    client, _ = server.connect()
    assert client.topics == frozenset()
    client.subscribe("news")
    client.subscribe("news")
    client.subscribe("sport ⚽")
    assert client.topics == {"news", "sport ⚽"}
    assert client.unsubscribe("news") is True
    assert client.unsubscribe("news") is False
    assert client.topics == {"sport ⚽"}
    client.close()
    assert client.topics == frozenset()
    with pytest.raises(wssend.ChannelClosed, match="it was not subscribed"):
        client.subscribe("news")


@pytest.mark.parametrize("name", ["subscribe", "unsubscribe"])
def test_topics_must_have_a_name(server: Server, name: str) -> None:
    method = getattr(server.connect()[0], name)
    for topic in ("", "nul\0"):
        with pytest.raises(ValueError, match=r"^topic must not be empty or hold a NUL"):
            method(topic)
    with pytest.raises(TypeError, match=r"^topic must be a str, not b'x'"):
        method(b"x")


def test_a_stalled_client_is_cut_after_close_timeout() -> None:
    with serving(close_timeout=0.2) as server:
        client, own = server.stalled()
        began = time.monotonic()
        client.close()
        until(lambda: server.hub.stats().closing == 0)
        assert 0.15 < time.monotonic() - began < 8
        with pytest.raises(Gone):
            own.recv_close()


def test_state_that_is_used_while_it_is_made_is_not_lost() -> None:
    run_script("""
import gc
from kit import serving

with serving() as server:
    client, own = server.connect("a")
    seen = []

    def use_state(phase, info):
        if phase == "stop" and not seen:
            gc.callbacks.remove(use_state)
            client.state["who"] = "set meanwhile"
            seen.append(client.state)

    hold = [{} for _ in range(1200)]  # so that a dict is allocated, not reused
    gc.callbacks.append(use_state)
    gc.set_threshold(1)
    state = client.state
    gc.set_threshold(700)
    if seen:  # 3.12 and later collect between instructions, not there
        assert seen[0] is client.state is state
        assert state == {"who": "set meanwhile"}
""")


def test_a_client_whose_end_was_told_is_not_kept_for_its_state() -> None:
    with serving() as server:
        events = server.hub.events(TIMEOUT)
        client, own = server.connect("a")
        assert isinstance(next(events), wssend.Connected)
        own.close()
        assert isinstance(next(events), wssend.Disconnected)
        server.connect("b")  # the pump has let go of the first one by then
        client.state["late"] = True
        gone = weakref.ref(client)
        del client
        gc.collect()
        assert gone() is None
