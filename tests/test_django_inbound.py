"""Receivers: what clients send, and their coming and going."""

from __future__ import annotations

import asyncio
import gc
import logging
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection
from django_kit import User, log_in, new_user, running
from wsclient import TIMEOUT

from wssend.django import Message, connected, disconnected, message_received, receiver

SIGNALS = (message_received, connected, disconnected)


@pytest.fixture(autouse=True)
def no_receivers() -> Iterator[None]:
    """What a test connects is gone after it."""
    before = [signal.receivers[:] for signal in SIGNALS]
    yield
    for signal, receivers in zip(SIGNALS, before, strict=True):
        signal.receivers = receivers
        signal.sender_receivers_cache.clear()
    gc.collect()


def put_into(signal: Any) -> queue.Queue[dict[str, Any]]:
    """A queue of what a signal's receivers are told."""
    told: queue.Queue[dict[str, Any]] = queue.Queue()

    def note(sender: object, **arguments: Any) -> None:
        told.put(arguments)

    signal.connect(note, weak=False)
    return told


def test_a_message_comes_with_its_user() -> None:
    got: queue.Queue[tuple[Any, ...]] = queue.Queue()

    @receiver
    def on_message(message: Message) -> None:
        got.put((message.data, message.user, message.client.user))

    user = new_user()
    with running() as server:
        client = server.dial(log_in(user))
        client.send("hello")
        client.send(b"bytes")
        assert got.get(timeout=TIMEOUT) == ("hello", user, str(user.pk))
        assert got.get(timeout=TIMEOUT)[0] == b"bytes"


def test_a_receiver_can_answer() -> None:
    @receiver()
    def on_message(message: Message) -> None:
        message.client.send(f"{message.user.username}: {message.data!r}")

    user = new_user()
    with running() as server:
        client = server.dial(log_in(user))
        client.send("hello")
        assert client.recv() == f"{user.username}: 'hello'"


def test_a_receiver_of_a_type_gets_only_that() -> None:
    got: queue.Queue[Any] = queue.Queue()

    @receiver("chat")
    def on_chat(message: Message) -> None:
        got.put(message.json["text"])

    others = ["no JSON", "[1]", '{"type": 3}', '{"type": "x"}', "3", "[" * 100_000]
    with running(ALLOW_ANONYMOUS=True) as server:
        client = server.dial()
        for text in [*others, '{"type": "chat", "text": "hello"}']:
            client.send(text)
        client.send(b"\xff")
        client.send(b'{"type": "chat", "text": "in bytes"}')
        assert got.get(timeout=TIMEOUT) == "hello"
        assert got.get(timeout=TIMEOUT) == "in bytes"


def test_a_receiver_may_be_a_coroutine() -> None:
    got: queue.Queue[Any] = queue.Queue()

    @receiver
    async def on_message(message: Message) -> None:
        await asyncio.sleep(0)
        got.put(await message.auser())

    user = new_user()
    with running() as server:
        server.dial(log_in(user)).send("hello")
        assert got.get(timeout=TIMEOUT) == user


def test_coming_and_going_are_told_in_order() -> None:
    came, went, said = map(put_into, (connected, disconnected, message_received))
    user = new_user()
    with running() as server:
        client = server.dial(log_in(user))
        first = came.get(timeout=TIMEOUT)
        assert first["user"] == user
        client.send("hello")
        client.leave(1000)
        assert said.get(timeout=TIMEOUT)["message"].client is first["client"]
        last = went.get(timeout=TIMEOUT)
        assert last["client"] is first["client"]
        assert (last["user"], last["code"], last["reason"]) == (user, 1000, "")


def test_a_client_can_be_subscribed_when_it_comes() -> None:
    def subscribe(sender: object, client: Any, user: Any, **_: object) -> None:
        client.subscribe(f"user-{user.username}")
        client.send("subscribed")

    connected.connect(subscribe, weak=False)
    user = new_user()
    with running() as server:
        client = server.dial(log_in(user))
        assert client.recv() == "subscribed"
        server.hub.publish(f"user-{user.username}", "hello")
        assert client.recv() == "hello"


def test_messages_of_a_client_are_received_in_order() -> None:
    got: list[str] = []
    done = threading.Event()

    @receiver
    def on_message(message: Message) -> None:
        got.append(str(message.data))
        if message.data == "499":
            done.set()

    with running(ALLOW_ANONYMOUS=True) as server:
        client = server.dial()
        for number in range(500):
            client.send(str(number))
        assert done.wait(TIMEOUT)
    assert got == [str(number) for number in range(500)]


def test_a_receiver_that_raises_is_logged_and_costs_nobody_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @receiver
    def bad(message: Message) -> None:
        raise ZeroDivisionError("mine")

    got = put_into(message_received)
    with caplog.at_level(logging.ERROR), running(ALLOW_ANONYMOUS=True) as server:
        client = server.dial()
        client.send("one")
        client.send("two")
        assert got.get(timeout=TIMEOUT)["message"].data == "one"
        assert got.get(timeout=TIMEOUT)["message"].data == "two"
    assert "bad has failed" in caplog.text
    assert "ZeroDivisionError: mine" in caplog.text


def test_a_receiver_that_is_stuck_delays_no_other_client() -> None:
    let_go, got = threading.Event(), threading.Event()

    @receiver
    def on_message(message: Message) -> None:
        if message.data == "wait":
            assert let_go.wait(TIMEOUT)
        else:
            got.set()

    with running(ALLOW_ANONYMOUS=True, THREADS=2) as server:
        server.dial().send("wait")
        server.dial().send("go on")
        assert got.wait(TIMEOUT)
        let_go.set()


def test_a_receiver_runs_in_a_thread_whose_connections_are_closed() -> None:
    got: queue.Queue[tuple[str, bool]] = queue.Queue()

    @receiver
    def on_message(message: Message) -> None:
        name = threading.current_thread().name
        got.put((name, connection.connection is None))
        User.objects.count()

    with running(ALLOW_ANONYMOUS=True, THREADS=1) as server:
        client = server.dial()
        for _ in range(3):
            client.send("hello")
        found = [got.get(timeout=TIMEOUT) for _ in range(3)]
    assert found == [("wssend-receiver-0", True)] * 3


@pytest.mark.parametrize("user", [None, "7" * 30, "no number", "device-7"])
def test_a_name_of_no_user_is_anonymous(user: str | None) -> None:
    class Client:
        def __init__(self) -> None:
            self.user = user
            self.id = "a"

    assert Message(Client(), "x").user.is_anonymous  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [3, b"chat"])
def test_a_type_must_be_a_text(wrong: Any) -> None:
    with pytest.raises(TypeError, match="the type must be a str"):
        receiver(wrong)


def test_a_receiver_stays_a_function_that_can_be_called() -> None:
    def on_message(message: str) -> str:
        return message.upper()

    decorated: Callable[[str], str] = receiver("chat")(on_message)
    assert decorated is on_message
    assert decorated("hello") == "HELLO"
