"""Handshakes that wait until they are accepted or rejected."""

from __future__ import annotations

import gc
import os
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from kit import make_pair, run_script, there, until
from wsclient import TEXT, Asker

import wssend
from wssend import (
    Accept,
    Authorize,
    Connected,
    Disconnected,
    Handshake,
    Message,
    Reject,
    WSHub,
)


class Door:
    """A hub that asks about everybody, and those who ask to be let in."""

    def __init__(self, stack: ExitStack, tls: Path | None, **options: Any) -> None:
        options.setdefault("pumps", int(os.environ.get("WSSEND_TEST_PUMPS", "1")))
        options.setdefault("close_timeout", 2)
        self.hub = stack.enter_context(WSHub(authorize=True, **options))
        self.listener = self.hub.listen("127.0.0.1", 0, tls_cert=tls)
        self.events = self.hub.events(timeout=10)
        self._stack = stack

    def ask(self, target: str = "/", **options: Any) -> Asker:
        """Send a request."""
        asker = Asker(self.listener.url, target, **options)
        self._stack.callback(asker.close)
        return asker

    def asked(self) -> Handshake:
        """What the next event is about."""
        event = next(self.events)
        assert type(event) is Authorize
        return event.handshake

    def let_in(self, **decision: Any) -> tuple[wssend.WSClient, Asker]:
        """Let one in, and hand out both of its ends."""
        asker = self.ask()
        assert self.asked().accept(**decision)
        asker.opened()
        event = next(self.events)
        while type(event) is not Connected:
            event = next(self.events)
        return event.client, asker

    def waiting(self) -> int:
        return self.hub.stats().handshakes

    def nothing_happens(self) -> bool:
        """Whether no event is there; it ends the taking of events."""
        self.events.close()
        return list(self.hub.events(timeout=0)) == []


@contextmanager
def opening(tls: Path | None = None, **options: Any) -> Iterator[Door]:
    with ExitStack() as stack:
        yield Door(stack, tls, **options)


@pytest.fixture(scope="module", params=["plain", "tls"])
def pem(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Path | None:
    """None, or a certificate with its key."""
    if request.param == "plain":
        return None
    return make_pair(tmp_path_factory.mktemp("tls"), "localhost").both


# ---- accepting


def test_accepted_with_everything(pem: Path | None) -> None:
    with opening(pem) as door:
        offer = ("Sec-WebSocket-Protocol", "chat.v2, chat.v1")
        asker = door.ask("/room?x=1", headers=[offer, ("Cookie", "sid=7")])
        handshake = door.asked()
        assert handshake.subprotocols == ("chat.v2", "chat.v1")
        assert (handshake.remote, handshake.peer) == ("127.0.0.1", "127.0.0.1")
        request = handshake.request
        assert (request.path, request.query) == ("/room", "x=1")
        assert request.cookies == {"sid": "7"}
        assert request.subprotocol is None
        assert handshake.request is request
        assert not handshake.decided
        assert repr(handshake) == "<Handshake from 127.0.0.1, undecided>"
        assert door.waiting() == 1

        assert handshake.accept(
            user="42",
            id="me",
            topics=iter(["news", "sport"]),
            subprotocol="chat.v1",
            headers={"X-One": "1", "Set-Cookie": "a=b; Secure"},
        )
        assert handshake.decided
        assert repr(handshake) == "<Handshake from 127.0.0.1, accepted>"
        lines = asker.opened().response.split("\r\n")
        assert "Sec-WebSocket-Protocol: chat.v1" in lines
        assert lines[-2:] == ["X-One: 1", "Set-Cookie: a=b; Secure"]

        event = next(door.events)
        assert isinstance(event, Connected)
        client = event.client
        assert (client.id, client.user) == ("me", "42")
        assert client.topics == {"news", "sport"}
        assert client.request.subprotocol == "chat.v1"
        assert client.request.raw == request.raw
        assert door.hub.publish("sport", "goal").queued == 1
        assert door.hub.send_to_user("42", "you").queued == 1
        assert [asker.recv(), asker.recv()] == ["goal", "you"]
        asker.send("hello")
        assert next(door.events) == Message(client, "hello")
        asker.leave()
        assert door.waiting() == 0


def test_accepted_with_nothing() -> None:
    with opening() as door:
        client, own = door.let_in()
        assert len(client.id) == 32
        assert (client.user, client.topics) == (None, frozenset())
        assert "Sec-WebSocket-Protocol" not in own.response


def test_without_a_word_the_hub_selects_the_subprotocol() -> None:
    with opening(subprotocols=["b", "c"]) as door:
        asker = door.ask(headers=[("Sec-WebSocket-Protocol", "a, c, b")])
        assert door.asked().accept()
        assert "Sec-WebSocket-Protocol: b" in asker.opened().response


def test_what_the_client_says_before_it_is_let_in_comes_behind_connected(
    pem: Path | None,
) -> None:
    with opening(pem) as door:
        asker = door.ask()
        asker.send_frame(TEXT, b"early")
        handshake = door.asked()
        asker.send_frame(TEXT, b"later")
        assert handshake.accept(id="a")
        asker.opened()
        client = there(door.hub.get("a"))
        assert [next(door.events) for _ in range(3)] == [
            Connected(client),
            Message(client, "early"),
            Message(client, "later"),
        ]


def test_an_id_in_use_is_refused() -> None:
    with opening() as door:
        door.let_in(id="a")
        asker = door.ask()
        assert door.asked().accept(id="a")
        answer = asker.answer()
        assert (answer.status, answer.body) == (409, "The client id is in use.\n")


def test_who_is_replaced_is_told_of_first() -> None:
    with opening() as door:
        old, own = door.let_in(id="a", topics=["t"])
        asker = door.ask()
        assert door.asked().accept(id="a", topics=["t"], replace=True)
        asker.opened()
        gone, come = next(door.events), next(door.events)
        assert gone == Disconnected(old, 4409, "replaced by another connection", False)
        assert isinstance(come, Connected)
        assert come.client is door.hub.get("a") is not old
        assert old.closed
        assert old.close_code == 4409
        assert door.hub.publish("t", "x").queued == 1
        assert asker.recv() == "x"
        assert own.answer_close().code == 4409
        until(lambda: door.hub.stats().closing == 0)
        assert door.nothing_happens()


def test_replacing_nobody_is_accepting() -> None:
    with opening() as door:
        client, _ = door.let_in(id="a", replace=True)
        assert client.id == "a"


def test_all_tabs_of_a_user_are_reached_and_logged_out() -> None:
    with opening() as door:
        tabs = [door.let_in(user="42")[1] for _ in range(3)]
        _, other = door.let_in(user="43")
        assert door.hub.send_to_user("42", "hello").queued == 3
        assert door.hub.close_user("42") == 3
        for own in tabs:
            assert own.recv() == "hello"
            assert own.answer_close().code == 4401
        door.hub.broadcast("still here")
        assert other.recv() == "still here"


def test_max_clients_holds_for_those_that_are_accepted() -> None:
    with opening(max_clients=1) as door:
        door.let_in(id="a")
        asker = door.ask()
        assert door.asked().accept(id="a", replace=True)
        answer = asker.answer()
        assert (answer.status, answer.headers["Retry-After"]) == (503, "10")
        assert "a" in door.hub


# ---- rejecting


def test_rejected_with_everything(pem: Path | None) -> None:
    with opening(pem) as door:
        asker = door.ask()
        handshake = door.asked()
        assert handshake.reject(401, "Who are you?", {"WWW-Authenticate": "Bearer"})
        assert repr(handshake) == "<Handshake from 127.0.0.1, rejected>"
        answer = asker.answer()
        assert (answer.status, answer.body) == (401, "Who are you?")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert door.hub.stats().refused_handshakes == 1
        assert door.hub.stats().joined == 0
        assert door.nothing_happens()


def test_rejected_with_nothing_it_is_403() -> None:
    with opening() as door:
        asker = door.ask()
        assert door.asked().reject()
        assert asker.answer().status == 403


def test_a_content_type_takes_the_place_of_ours() -> None:
    with opening() as door:
        asker = door.ask()
        kind = ("content-type", "application/json")
        assert door.asked().reject(400, '{"ä": 1}', [kind, ("X-A", "b")])
        answer = asker.answer()
        assert answer.headers["Content-Type"] == "application/json"
        assert (answer.headers["X-A"], answer.body) == ("b", '{"ä": 1}')


def test_sent_elsewhere() -> None:
    with opening() as door:
        asker = door.ask()
        assert door.asked().reject(307, headers={"Location": "wss://other.example/"})
        answer = asker.answer()
        assert (answer.status, answer.headers["Location"]) == (
            307,
            "wss://other.example/",
        )


def test_with_a_close_code_a_page_can_see_why(pem: Path | None) -> None:
    with opening(pem) as door:
        asker = door.ask(headers=[("Sec-WebSocket-Protocol", "bearer, t0ken")])
        assert door.asked().reject(403, "not for you", {"X-A": "b"}, close_code=4403)
        lines = asker.opened().response.split("\r\n")
        assert "X-A: b" in lines
        assert "Sec-WebSocket-Protocol: bearer" in lines
        close = asker.answer_close()
        assert (close.code, close.reason) == (4403, "not for you")
        stats = door.hub.stats()
        assert (stats.joined, stats.refused_handshakes) == (0, 1)
        assert door.nothing_happens()


def test_a_decision_may_be_made_elsewhere_and_handed_in() -> None:
    with opening() as door:
        asker = door.ask()
        assert door.asked().decide(Accept(id="a", topics={"t": 1}))
        asker.opened()
        event = next(door.events)
        assert isinstance(event, Connected)
        assert event.client.topics == {"t"}
        asker = door.ask()
        assert door.asked().decide(Reject(418, "short and stout"))
        assert asker.answer().body == "short and stout"
        asker = door.ask()
        handshake = door.asked()
        text = "^decision must be a wssend.Accept or a wssend.Reject, not None$"
        with pytest.raises(TypeError, match=text):
            handshake.decide(None)  # type: ignore[arg-type]
        assert not handshake.decided


# ---- deciding


def test_any_thread_may_decide() -> None:
    with opening() as door, ThreadPoolExecutor(4) as pool:
        askers = [door.ask() for _ in range(20)]
        asked = [door.asked() for _ in askers]
        assert all(pool.map(lambda handshake: handshake.accept(user="u"), asked))
        for asker in askers:
            asker.opened()
        assert len(door.hub.clients(user="u")) == 20


def test_it_is_decided_once() -> None:
    with opening(pumps=1) as door:
        for first, made in (
            (Accept(), "accepted"),
            (Reject(), "rejected"),
            (Reject(close_code=4000), "rejected"),
        ):
            asker = door.ask()
            handshake = door.asked()
            assert handshake.decide(first)
            asker.close()
            until(lambda: door.hub.stats().pumps == (0,))
            text = f"^the handshake has been {made} already: it is decided on once$"
            for second in (handshake.accept, handshake.reject):
                with pytest.raises(RuntimeError, match=text):
                    second()


@pytest.mark.parametrize("cycle", [False, True])
def test_one_that_is_dropped_is_refused(cycle: bool) -> None:
    with opening() as door:
        asker = door.ask()
        event: object = next(door.events)
        if cycle:
            knot = [event]
            knot.append(knot)
            del knot
        del event
        gc.collect()
        answer = asker.answer()
        assert (answer.status, answer.headers["Retry-After"]) == (503, "10")


def test_one_that_was_decided_may_be_dropped() -> None:
    with opening() as door:
        asker = door.ask()
        assert door.asked().accept()
        asker.opened().send("hello")
        assert isinstance(next(door.events), Connected)
        assert isinstance(next(door.events), Message)


def test_it_is_one_object_and_belongs_to_its_hub() -> None:
    with opening() as door:
        door.ask()
        handshake = door.asked()
        with pytest.raises(TypeError):
            Handshake()
        with pytest.raises(TypeError):
            pickle.dumps(handshake)
        with pytest.raises(AttributeError):
            handshake.decided = True  # type: ignore[misc]


# ---- not in time


def test_undecided_in_time_it_is_refused() -> None:
    with opening(open_timeout=1) as door:
        door.events.close()
        event: wssend.Event | None = None
        while event is None:  # unless its time was up already
            taken = door.ask()
            events = door.hub.events(timeout=1)
            event = next(events, None)
            events.close()
        assert isinstance(event, Authorize)
        handshake = event.handshake
        answer = taken.answer()
        assert (answer.status, answer.headers["Retry-After"]) == (503, "10")
        assert handshake.decided
        assert repr(handshake) == "<Handshake from 127.0.0.1, expired>"
        assert (handshake.accept(), handshake.reject()) == (False, False)
        assert door.hub.stats().timeouts >= 1


def test_untaken_in_time_it_is_refused() -> None:
    with opening(open_timeout=1) as door:
        answer = door.ask().answer()
        while answer.status == 408:  # it did not even get to wait
            answer = door.ask().answer()
        assert answer.body == "The server did not decide in time.\n"
        assert door.nothing_happens()


def test_where_nobody_takes_events_they_wait_for_it() -> None:
    with WSHub(authorize=True) as hub:
        listener = hub.listen("127.0.0.1", 0)
        with Asker(listener.url) as asker:
            until(lambda: hub.stats().handshakes == 1)
            event = next(hub.events(timeout=10))
            assert isinstance(event, Authorize)
            assert event.handshake.accept()
            asker.opened()


def test_who_leaves_untaken_is_never_seen(pem: Path | None) -> None:
    with opening(pem) as door:
        asker = door.ask()
        until(lambda: door.waiting() == 1)
        asker.close()
        until(lambda: door.waiting() == 0)
        assert door.hub.stats().failed_handshakes == 1
        assert door.nothing_happens()


def test_for_who_leaves_it_is_too_late(pem: Path | None) -> None:
    with opening(pem) as door:
        asker = door.ask()
        handshake = door.asked()
        asker.close()
        until(lambda: handshake.decided)
        assert repr(handshake) == "<Handshake from 127.0.0.1, gone>"
        assert (handshake.reject(), handshake.accept(id="a")) == (False, False)
        assert "a" not in door.hub
        assert door.nothing_happens()


def test_the_hub_may_close_meanwhile() -> None:
    with opening() as door:
        taken, untaken = door.ask(), door.ask()
        handshake = door.asked()
        until(lambda: door.waiting() == 2)
        door.hub.close()
        for asker in (taken, untaken):
            answer = asker.answer()
            assert (answer.status, answer.body) == (503, "The server is going away.\n")
        assert (handshake.accept(), handshake.decided) == (False, True)
        assert door.waiting() == 0


# ---- how many


def test_so_many_wait_and_no_more() -> None:
    with opening(max_handshakes=2) as door:
        first, _second = door.ask(), door.ask()
        until(lambda: door.waiting() == 2)
        answer = door.ask().answer()
        assert (answer.status, answer.headers["Retry-After"]) == (503, "10")
        assert door.asked().reject()
        assert first.answer().status == 403
        door.ask()
        until(lambda: door.waiting() == 2)


def test_a_thousand_wait() -> None:
    run_script(
        """
import resource
import wssend
from kit import until
from wsclient import Asker

MANY = 1200
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
with wssend.WSHub(authorize=True, max_handshakes=MANY, open_timeout=60) as hub:
    listener = hub.listen("127.0.0.1", 0)
    askers = [Asker(listener.url) for _ in range(MANY)]
    until(lambda: hub.stats().handshakes == MANY, 30)
    late = Asker(listener.url)
    assert late.answer().status == 503
    events = hub.events(timeout=10)
    asked = [next(events).handshake for _ in range(MANY)]
    assert hub.stats().handshakes == MANY
    for handshake in asked[::2]:
        assert handshake.accept(user="u")
    del asked, handshake, events  # and the others are refused
    for own in askers[::2]:
        own.opened()
    for own in askers[1::2]:
        assert own.answer().status == 503
    assert len(hub.clients(user="u")) == MANY / 2
    assert hub.broadcast("x").queued == MANY / 2
    for own in askers[::2]:
        own.close()
""",
        timeout=50,
    )


def test_each_pump_gets_its_own_decisions() -> None:
    with opening(pumps=3) as door:
        askers = [door.ask() for _ in range(9)]
        asked = [door.asked() for _ in askers]
        assert door.hub.stats().pumps == (3, 3, 3)
        for n, handshake in enumerate(asked):
            assert handshake.accept(id="a", user=str(n), replace=True)
        for asker in askers:
            asker.opened()
        until(lambda: len(door.hub) == 1)
        assert door.hub.stats().joined == 9
        (client,) = door.hub.clients()
        # Those that came and went before anybody looked are not told of.
        assert next(door.events) == Connected(client)


# ---- around it


@pytest.mark.forks
def test_in_a_forked_child_nothing_can_be_decided() -> None:
    run_script("""
import os, signal, traceback, warnings
import wssend
from wsclient import Asker
warnings.simplefilter("ignore", DeprecationWarning)  # "process is multi-threaded"

with wssend.WSHub(authorize=True) as hub:
    listener = hub.listen("127.0.0.1", 0)
    asker = Asker(listener.url, "/path")
    events = hub.events(timeout=10)
    handshake = next(events).handshake
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            signal.alarm(10)
            for decide in (handshake.accept, handshake.reject):
                try:
                    decide()
                except wssend.HubClosed:
                    pass
                else:
                    raise AssertionError
            assert handshake.decided
            assert handshake.request.path == "/path"
            assert "of another process" in repr(handshake)
            del handshake
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert not handshake.decided
    assert handshake.accept()
    asker.opened().close()
""")


@pytest.mark.parametrize(
    "left",
    ["", "next(events)", "kept = next(events)", "kept = next(events).handshake.accept"],
)
def test_the_interpreter_may_end_meanwhile(left: str) -> None:
    run_script(f"""
import warnings
import wssend
from kit import until
from wsclient import Asker
warnings.filterwarnings("ignore", "unclosed")
hub = wssend.WSHub(authorize=True)
listener = hub.listen("127.0.0.1", 0)
asker = Asker(listener.url)
until(lambda: hub.stats().handshakes == 1)
events = hub.events(timeout=10)
{left}
""")


def test_the_decision_names_id_and_user_and_nothing_else() -> None:
    for name in ("id_query", "user_query"):
        text = f"^authorize=True goes without {name}: the decision names id and user$"
        with pytest.raises(ValueError, match=text):
            WSHub(authorize=True, **{name: "x"})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^authorize must be True or False, not 1$"):
        WSHub(authorize=1)  # type: ignore[arg-type]


def test_a_closed_hub_keeps_its_handshakes_readable() -> None:
    with opening() as door:
        door.ask("/x")
        handshake = door.asked()
    assert handshake.request.path == "/x"
    assert handshake.decided
    assert handshake.accept() is False


# ---- what may be said

BOTH: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"headers": 7}, TypeError, "headers must be a mapping, or an iterable of pairs"),
    ({"headers": "A: b"}, TypeError, "headers must be a mapping, or an iterable"),
    ({"headers": ["ab"]}, TypeError, "headers must be pairs of a name and a value"),
    ({"headers": [("a",)]}, TypeError, "headers must be pairs of a name and a value"),
    ({"headers": {"a": 7}}, TypeError, "headers must be pairs of a name and a value"),
    ({"headers": {"": "x"}}, ValueError, r"headers: \('', 'x'\) must be a token"),
    ({"headers": {"a b": "x"}}, ValueError, "must be a token"),
    ({"headers": {"a:": "x"}}, ValueError, "must be a token"),
    ({"headers": {"A": "x\r\nB: y"}}, ValueError, "without control characters"),
    ({"headers": {"A": "x\0"}}, ValueError, "without control characters"),
    ({"headers": {"A\r\n": "x"}}, ValueError, "must be a token"),
    ({"headers": {"A": " x"}}, ValueError, "blanks around it"),
    ({"headers": {"A": "ä"}}, ValueError, "must be ASCII"),
    ({"headers": {"CONNECTION": "x"}}, ValueError, "is for the server to say"),
    ({"headers": {"upgrade": "x"}}, ValueError, "is for the server to say"),
    ({"headers": {"Content-Length": "1"}}, ValueError, "is for the server to say"),
    ({"headers": {"Transfer-Encoding": "x"}}, ValueError, "for the server to say"),
    ({"headers": {"sec-websocket-accept": "x"}}, ValueError, "is for the server"),
    ({"headers": {"A": "x" * 8188}}, ValueError, "at most 8192 bytes together"),
]
ACCEPT: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"user": 42}, TypeError, "user must be a str, not 42"),
    ({"user": ""}, ValueError, "user must not be empty or hold a NUL"),
    ({"user": "ä" * 128}, ValueError, "user must be at most 255 bytes of UTF-8, but"),
    ({"id": b"a"}, TypeError, "id must be a str, not b'a'"),
    ({"id": "a\0"}, ValueError, "id must not be empty or hold a NUL"),
    ({"id": "a" * 256}, ValueError, "id must be at most 255 bytes of UTF-8, but has"),
    ({"topics": "news"}, TypeError, "topics must be an iterable of str, not 'news'"),
    ({"topics": None}, TypeError, "topics must be an iterable of str, not None"),
    ({"topics": [7]}, TypeError, "a topic must be a str, not 7"),
    ({"topics": [""]}, ValueError, "a topic must not be empty"),
    ({"topics": ["t"] * 257}, ValueError, "topics must be at most 256, not 257"),
    ({"subprotocol": 7}, TypeError, "subprotocol must be a str, not 7"),
    ({"subprotocol": "a b"}, ValueError, "subprotocol 'a b' is not a token"),
    ({"replace": 1}, TypeError, "replace must be True or False, not 1"),
]
REJECT: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"status": "403"}, TypeError, "status must be an int, not '403'"),
    ({"status": 200}, ValueError, "status must be from 300 to 599, not 200"),
    ({"status": 600}, ValueError, "status must be from 300 to 599, not 600"),
    ({"status": 302}, ValueError, "with a Location in headers, not 302"),
    ({"status": 304, "headers": {"Location": "/"}}, ValueError, "but not 304"),
    ({"body": b"x"}, TypeError, "body must be a str, not b'x'"),
    ({"body": "x" * 4097}, ValueError, "body must be at most 4096 bytes of UTF-8"),
    ({"body": "\ud800"}, UnicodeEncodeError, "surrogates"),
    ({"close_code": "4403"}, TypeError, "close_code must be an int, not '4403'"),
    ({"close_code": 1005}, ValueError, "close_code must be 1000 to 1003, 1007 to"),
    ({"close_code": 70000}, ValueError, "close_code must be from 0 to 65535"),
    (
        {"close_code": 4403, "body": "x" * 124},
        ValueError,
        "body, which with close_code is the reason, must be at most 123 bytes",
    ),
]


@pytest.mark.parametrize(("bad", "kind", "text"), [*BOTH, *ACCEPT])
def test_a_bad_accept_is_named_and_decides_nothing(
    bad: dict[str, Any], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=text):
        Accept(**bad)
    check_call("accept", bad, kind, text)


@pytest.mark.parametrize(("bad", "kind", "text"), [*BOTH, *REJECT])
def test_a_bad_reject_is_named_and_decides_nothing(
    bad: dict[str, Any], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=text):
        Reject(**bad)
    check_call("reject", bad, kind, text)


def check_call(
    name: str, bad: dict[str, Any], kind: type[Exception], text: str
) -> None:
    with opening() as door:
        asker = door.ask()
        handshake = door.asked()
        call: Callable[..., bool] = getattr(handshake, name)
        with pytest.raises(kind, match=text):
            call(**bad)
        assert not handshake.decided
        assert handshake.reject(410)
        assert asker.answer().status == 410


def test_a_subprotocol_must_be_offered() -> None:
    with opening(subprotocols=["chat"]) as door:
        door.ask(headers=[("Sec-WebSocket-Protocol", "chat, other")])
        handshake = door.asked()
        text = "subprotocol 'Chat' is not among those that the client offers"
        with pytest.raises(ValueError, match=text):
            handshake.accept(subprotocol="Chat")
        with pytest.raises(ValueError, match="not among those"):
            handshake.decide(Accept(subprotocol="oth"))
        assert handshake.accept(subprotocol="other")


def test_decisions_are_values() -> None:
    assert Accept(topics=["a"]) == Accept(topics=("a",))
    assert Accept(headers={"A": "b"}).headers == (("A", "b"),)
    assert Reject(headers=[["A", "b"]]) == Reject(headers={"A": "b"})  # type: ignore[list-item]
    assert hash(Accept(topics=["a"])) == hash(Accept(topics=("a",)))
    assert pickle.loads(pickle.dumps(Reject(401, "x"))) == Reject(401, "x")
    with pytest.raises(AttributeError):
        Accept().user = "x"  # type: ignore[misc]
    for most in (Reject(body="x" * 4096), Reject(body="x" * 123, close_code=4000)):
        assert most.status == 403
    assert Accept(headers={"A": "x" * 8187}).headers
    assert len(tuple(Accept(topics=map(str, range(256))).topics)) == 256
