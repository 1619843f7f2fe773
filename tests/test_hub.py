"""WSHub: finding clients, sending to many, and the hub's own life."""

from __future__ import annotations

import gc
import pickle
import signal
import socket
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from kit import Background, Server, fill, serving, there, until
from wsclient import Gone, connect_socket

import wssend


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


def test_clients_are_found_by_id_and_by_user(server: Server) -> None:
    hub = server.hub
    assert (len(hub), hub.clients(), hub.get("a")) == (0, [], None)
    (a, _), (b, _), (c, _) = (
        server.connect("a", "u"),
        server.connect("b", "u"),
        server.connect("c"),
    )
    assert hub.get("a") is a
    assert hub.get(client_id="b") is b
    assert len(hub) == 3
    assert set(hub.clients()) == {a, b, c}
    assert set(hub.clients("u")) == {a, b}
    assert set(hub.clients(user=None)) == {a, b, c}
    assert hub.clients("nobody") == []
    assert "a" in hub
    assert "x" not in hub
    assert a in hub
    a.close()
    assert a not in hub
    assert "a" not in hub
    assert hub.clients("u") == [b]


def test_a_hub_is_true_even_without_clients() -> None:
    assert wssend.WSHub()


def test_wrong_types_are_named(server: Server) -> None:
    hub = server.hub
    calls: list[tuple[Any, tuple[Any, ...], str]] = [
        (hub.get, (7,), "client_id must be a str, not 7"),
        (hub.send, (b"a", "x"), "client_id must be a str, not b'a'"),
        (hub.clients, (7,), "user must be a str, not 7"),
        (hub.send_to_user, (None, "x"), "user must be a str, not None"),
        (hub.publish, (None, "x"), "topic must be a str, not None"),
        (hub.close_user, (None,), "user must be a str, not None"),
        (hub.broadcast, (7,), "data must be str, bytes-like or a Prepared"),
        (hub.add_page, ("/", b"text/html", ""), "content_type must be a str"),
        (hub.add_page, ("/", "text/html", 7), "body must be str or bytes-like"),
        (hub.__contains__, (7,), "what is looked for must be an id or a WSClient"),
        (hub.flush, ("1",), "timeout must be a number of seconds or None"),
        (hub.events, ("1",), "timeout must be a number of seconds or None"),
        (hub.close, ("1000",), "code must be an int"),
    ]
    for call, args, text in calls:
        with pytest.raises(TypeError) as caught:
            call(*args)
        assert str(caught.value).startswith(text)


def test_send_by_id(server: Server) -> None:
    client, own = server.connect("a")
    server.hub.send("a", "text")
    server.hub.send(client_id="a", data=b"json", text=True)
    assert [own.recv(), own.recv()] == ["text", "json"]
    with pytest.raises(wssend.ClientNotFound) as caught:
        server.hub.send("nobody", "x")
    assert str(caught.value) == "there is no open client 'nobody'"
    assert caught.value.client_id == "nobody"
    assert isinstance(caught.value, LookupError)
    with pytest.raises(UnicodeDecodeError):
        server.hub.send("a", b"\xff", text=True)
    client.close()
    with pytest.raises(wssend.ClientNotFound):
        server.hub.send("a", "x")


def test_send_by_id_refuses_as_the_client_does() -> None:
    with serving(send_queue_bytes=20000) as server:
        client, _ = server.stalled("a")
        with pytest.raises(wssend.ChannelFull) as caught:
            server.hub.send("a", bytes(8192))
        assert caught.value.client is client
        with pytest.raises(wssend.MessageTooLarge) as large:
            server.hub.send("a", bytes(20001))
        assert large.value.client is client


def test_broadcast_reports_exactly() -> None:
    with serving(send_queue_bytes=20000) as server:
        slow, _ = server.stalled("slow", "u")
        quick, own = server.connect("quick", "u")
        slow.subscribe("t")
        quick.subscribe("t")
        data = bytes(8192)
        for send in (
            server.hub.broadcast,
            partial(server.hub.publish, "t"),
            partial(server.hub.send_to_user, "u"),
        ):
            report = send(data)
            assert report == wssend.SendReport(queued=1, full=(slow,))
            assert not report
            assert report.full_ids == ("slow",)
            assert report.tried == 2
            assert own.recv() == data


@pytest.mark.parametrize("call", ["broadcast", "publish", "send_to_user"])
def test_exclude(server: Server, call: str) -> None:
    (a, at_a), (b, at_b), (c, at_c) = (server.connect(x, "u") for x in "abc")
    for client in (a, b, c):
        client.subscribe("u")

    def send(data: str, exclude: Any) -> wssend.SendReport:
        name = () if call == "broadcast" else ("u",)
        report = getattr(server.hub, call)(*name, data, exclude=exclude)
        assert isinstance(report, wssend.SendReport)
        return report

    assert send("1", [a, "b", "nobody"]).queued == 1
    assert send("2", {a, b, c}).queued == 0
    assert send("3", (x for x in ("a", "a", a))).queued == 2
    assert send("4", []).queued == 3
    with serving() as other:
        stranger, _ = other.connect("a")
        assert send("5", [stranger]).queued == 3
    assert [at_c.recv() for _ in range(4)] == ["1", "3", "4", "5"]
    assert [at_b.recv() for _ in range(3)] == ["3", "4", "5"]
    assert [at_a.recv() for _ in range(2)] == ["4", "5"]


@pytest.mark.parametrize("exclude", ["a", b"a", 7, None])
def test_exclude_is_an_iterable_and_no_str(server: Server, exclude: Any) -> None:
    match = "^exclude must be an iterable of WSClients and ids, not "
    with pytest.raises(TypeError, match=match):
        server.hub.broadcast("x", exclude=exclude)


def test_exclude_holds_clients_and_ids(server: Server) -> None:
    with pytest.raises(
        TypeError, match=r"^exclude must hold WSClients and ids, not 7$"
    ):
        server.hub.broadcast("x", exclude=[7])  # type: ignore[list-item]

    def fails() -> Iterator[str]:
        yield "a"
        raise KeyError("in the middle")

    with pytest.raises(KeyError, match="in the middle"):
        server.hub.broadcast("x", exclude=fails())


def test_a_message_too_large_for_all_is_an_error_and_counted() -> None:
    with serving(send_queue_bytes=10) as server:
        a, _ = server.connect("a")
        server.connect("b")
        with pytest.raises(wssend.MessageTooLarge) as caught:
            server.hub.broadcast(bytes(11))
        assert (caught.value.client, caught.value.client_id) == (None, None)
        assert (caught.value.size, caught.value.limit) == (11, 10)
        assert str(caught.value).startswith("a message of 11 bytes can never fit")
        assert a.stats().refused_too_large == 1
        assert server.hub.stats().refused_too_large == 2


def test_bad_utf8_reaches_nobody(server: Server) -> None:
    server.connect("a")
    with pytest.raises(UnicodeDecodeError):
        server.hub.broadcast(b"\xff", text=True)
    assert server.hub.stats().attempted == 0


def test_nobody_is_no_error(server: Server) -> None:
    for report in (
        server.hub.broadcast("x"),
        server.hub.publish("no such topic", "x"),
        server.hub.send_to_user("nobody", "x"),
    ):
        assert report == wssend.SendReport()
        assert report


def test_close_user(server: Server) -> None:
    (_, at_a), (_, at_b), (other, _) = (
        server.connect("a", "u"),
        server.connect("b", "u"),
        server.connect("c", "v"),
    )
    assert server.hub.close_user("u") == 2
    assert server.hub.close_user("u", 4000, "again") == 0
    assert at_a.recv_close().code == at_b.recv_close().code == 4401
    assert server.hub.clients() == [other]
    assert server.hub.close_user("v", reason="out", code=4000) == 1
    assert other.close_reason == "out"


def test_flush_waits_for_all(server: Server) -> None:
    server.hub.flush(0)
    client, own = server.connect(receive_buffer=4096)
    accepted = fill(client)
    with pytest.raises(TimeoutError, match=r"^timed out with \d+ messages, \d+ bytes"):
        server.hub.flush(0.05)
    waiting = Background(server.hub.flush)
    for _ in range(accepted):
        own.recv()
    waiting.result()


def test_flush_does_not_wait_for_the_dead(server: Server) -> None:
    _, own = server.stalled()
    waiting = Background(lambda: server.hub.flush(10))
    own.close()
    waiting.result()
    assert server.hub.stats().lost > 0


def test_close_drains() -> None:
    with serving() as server:
        client, own = server.connect()
        other, at_other = server.connect("b")
        listener = server.listener
        client.send("the last")
        closing = Background(lambda: server.hub.close(4001, "maintenance"))
        assert own.recv() == "the last"
        for end in (own, at_other):
            frame = end.answer_close()
            assert (frame.code, frame.reason) == (4001, "maintenance")
        closing.result()
        assert server.hub.closed
        assert listener.closed
        assert (client.close_code, other.close_code) == (4001, 4001)
        assert server.hub.clients() == []
        assert server.hub.stats().written == 1
        with pytest.raises(OSError, match="refused"):
            connect_socket(server.url)


def test_close_cuts_what_does_not_end_in_time() -> None:
    with serving(close_timeout=None) as server:
        _, own = server.stalled()
        began = time.monotonic()
        server.hub.close(timeout=0.2)
        assert 0.15 < time.monotonic() - began < 8
        with pytest.raises(Gone):
            own.recv_close()
        stats = server.hub.stats()
        assert (stats.clients, stats.closing, stats.queued) == (0, 0, 0)
        assert stats.lost > 0
        assert stats.accepted == stats.written + stats.lost


def test_close_at_once() -> None:
    with serving() as server:
        server.stalled()
        began = time.monotonic()
        server.hub.close(timeout=0)
        assert time.monotonic() - began < 8


@pytest.mark.parametrize("listening", [True, False])
def test_a_closed_hub_says_so(listening: bool) -> None:
    hub = wssend.WSHub()
    if listening:
        hub.listen("127.0.0.1", 0)
    hub.close()
    hub.close(code=1000, timeout=None)
    assert hub.closed
    assert repr(hub).endswith("closed>")
    calls: list[tuple[Any, tuple[Any, ...]]] = [
        (hub.listen, ("127.0.0.1", 0)),
        (hub.send, ("a", "x")),
        (hub.send_to_user, ("a", "x")),
        (hub.broadcast, ("x",)),
        (hub.publish, ("t", "x")),
        (hub.flush, (1,)),
        (hub.close_user, ("u",)),
        (hub.add_page, ("/", "text/plain", "x")),
        (hub.__enter__, ()),
    ]
    for call, args in calls:
        with pytest.raises(wssend.HubClosed, match=r"^the hub is closed$"):
            call(*args)
    assert (len(hub), hub.clients(), hub.get("a"), "a" in hub) == (0, [], None, False)
    assert hub.stats().clients == 0
    assert list(hub.events()) == []


def test_several_threads_may_close() -> None:
    with serving() as server:
        _, own = server.stalled()
        closers = [Background(lambda: server.hub.close(timeout=5)) for _ in range(4)]
        time.sleep(0.05)
        own.close()
        for closer in closers:
            closer.result()


def test_an_impatient_closer_ends_the_wait_of_the_patient() -> None:
    with serving(close_timeout=None) as server:
        server.stalled()
        patient = Background(lambda: server.hub.close(timeout=None))
        until(lambda: server.hub.closed)
        server.hub.close(timeout=0)
        patient.result()


def test_listening_while_it_closes() -> None:
    with serving() as server:
        results: list[Any] = []

        def listen() -> None:
            try:
                while True:
                    results.append(server.hub.listen("127.0.0.1", 0))
            except wssend.HubClosed as error:
                results.append(error)

        thread = Background(listen)
        until(lambda: len(results) > 3)
        server.hub.close()
        thread.result()
        for listener in results[:-1]:
            with pytest.raises(OSError, match="refused"):
                connect_socket(listener.url)


def interrupt_main_thread(after: float) -> threading.Timer:
    main = threading.main_thread().ident
    assert main is not None
    timer = threading.Timer(after, signal.pthread_kill, (main, signal.SIGINT))
    timer.start()
    return timer


@pytest.mark.parametrize("call", ["close", "hub.flush", "client.flush"])
def test_ctrl_c_interrupts_a_wait(call: str) -> None:
    with serving(close_timeout=None) as server:
        client, own = server.stalled()
        waits: dict[str, Callable[[], None]] = {
            "close": lambda: server.hub.close(timeout=None),
            "hub.flush": server.hub.flush,
            "client.flush": client.flush,
        }
        timer = interrupt_main_thread(0.1)
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            waits[call]()
        assert time.monotonic() - began < 8
        timer.join()
        if call == "close":
            assert server.hub.closed
            with pytest.raises(Gone):
                own.recv_close()
        else:
            server.hub.close(timeout=0)


def test_it_is_a_context_manager() -> None:
    with wssend.WSHub() as hub:
        assert isinstance(hub, wssend.WSHub)
        assert not hub.closed
    assert hub.closed
    with pytest.raises(KeyError), wssend.WSHub() as hub:
        raise KeyError
    assert hub.closed


def http(url: str, request: str) -> bytes:
    with connect_socket(url) as sock:
        sock.sendall(request.encode())
        sock.shutdown(socket.SHUT_WR)
        parts = []
        while part := sock.recv(65536):
            parts.append(part)
        return b"".join(parts)


def test_pages() -> None:
    with wssend.WSHub() as hub:
        hub.add_page("/early", "text/plain; charset=utf-8", "früh")
        listener = hub.listen("127.0.0.1", 0)
        hub.add_page("/bytes", "application/octet-stream", memoryview(b"\x00\x01"))
        hub.add_page(path="/early", content_type="text/html", body=b"replaced")
        get = "GET {} HTTP/1.1\r\nHost: x\r\n\r\n"
        early = http(listener.url, get.format("/early"))
        assert early.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"Content-Type: text/html\r\n" in early
        assert early.endswith(b"\r\n\r\nreplaced")
        assert http(listener.url, get.format("/bytes")).endswith(b"\r\n\r\n\x00\x01")
        assert http(listener.url, get.format("/no")).startswith(b"HTTP/1.1 426 ")
        assert hub.stats().served_pages >= 2


@pytest.mark.parametrize("path", ["", "x", "/a b", "/a?b", "/a#b", "/ä", "/\n"])
def test_a_wrong_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r'^path must begin with "/" and hold visible'):
        wssend.WSHub().add_page(path, "text/plain", "")


def test_the_longest_content_type_is_served() -> None:
    kind = "x" * 255
    with wssend.WSHub() as hub:
        hub.add_page("/", kind, "there")
        got = http(hub.listen("127.0.0.1", 0).url, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert f"Content-Type: {kind}\r\n".encode() in got
        assert got.endswith(b"\r\n\r\nthere")


@pytest.mark.parametrize(
    "kind", ["", " text", "text ", "a\r\nSet-Cookie: x", "ü", "x" * 256]
)
def test_a_wrong_content_type_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match=r"^content_type must be visible ASCII"):
        wssend.WSHub().add_page("/", kind, "")


def test_one_that_nobody_closed_warns_and_closes() -> None:
    hub = wssend.WSHub()
    url = hub.listen("127.0.0.1", 0).url
    with pytest.warns(ResourceWarning, match=r"^unclosed <WSHub at .*, 0 clients>$"):
        del hub
    with pytest.raises(OSError, match="refused"):
        connect_socket(url)


def test_a_warning_that_is_an_error_cannot_be_raised_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caught: list[str] = []
    monkeypatch.setattr(
        sys, "unraisablehook", lambda u: caught.append(str(u.exc_value))
    )
    hub = wssend.WSHub()
    url = hub.listen("127.0.0.1", 0).url
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del hub
    assert len(caught) == 1
    assert caught[0].startswith("unclosed <WSHub")
    with pytest.raises(OSError, match="refused"):
        connect_socket(url)


def test_its_clients_do_not_keep_it() -> None:
    with serving() as server:
        client, own = server.connect()
    ref = weakref.ref(server.hub)
    server.__dict__.clear()
    gc.collect()
    assert ref() is None
    assert client.closed
    own.close()


def test_listeners_and_event_iterators_keep_it() -> None:
    hub = wssend.WSHub()
    ref = weakref.ref(hub)
    listener: Any = hub.listen("127.0.0.1", 0)
    events: Any = hub.events(0)
    del hub
    gc.collect()
    there(ref())
    del events
    gc.collect()
    there(ref()).close()
    del listener
    gc.collect()
    assert ref() is None


def test_one_that_never_listened_goes_without_a_word() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wssend.WSHub()
        gc.collect()


def test_it_is_final_and_not_pickled() -> None:
    with pytest.raises(TypeError):
        type("Sub", (wssend.WSHub,), {})
    with pytest.raises(TypeError):
        pickle.dumps(wssend.WSHub())
    with pytest.raises(TypeError):
        wssend.WSHub.send = None  # type: ignore[assignment,method-assign]
    with pytest.raises(AttributeError):
        wssend.WSHub().extra = 1  # type: ignore[attr-defined]


def test_an_id_in_use_is_refused(server: Server) -> None:
    server.connect("a")
    with pytest.raises(AssertionError, match=r"HTTP/1.1 409 "):
        server.dial("a")


def test_a_hub_closed_by_what_it_iterates_over_says_so(server: Server) -> None:
    def close() -> Iterator[str]:
        server.hub.close(timeout=0)
        yield "nobody"

    with pytest.raises(wssend.HubClosed):
        server.hub.broadcast("x", exclude=close())
