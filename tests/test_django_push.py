"""Pushing: what becomes of data, to whom it goes, and when."""

from __future__ import annotations

import datetime
import decimal
import json
import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from django.db import transaction
from django.test import override_settings
from django.utils.functional import SimpleLazyObject
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy
from django_kit import AnonymousUser, User, new_user
from kit import Server, serving
from wsclient import Client

import wssend
from wssend.django import (
    broadcast,
    close_user,
    override_hub,
    publish,
    send_to_user,
)
from wssend.django.push import encode


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server, override_hub(server.hub):
        yield server


def dial(server: Server, user: Any = None, name: str = "a") -> Client:
    return server.connect(name, None if user is None else str(user.pk))[1]


# What is sent.


@pytest.mark.parametrize(
    ("data", "arrives"),
    [
        ("as it is", "as it is"),
        ('"not JSON again"', '"not JSON again"'),
        (mark_safe("<b>"), "<b>"),
        (gettext_lazy("lazy"), "lazy"),
        (b"bytes", b"bytes"),
        (bytearray(b"bytes"), b"bytes"),
        (memoryview(b"bytes"), b"bytes"),
        (wssend.PreparedMessage("framed"), "framed"),
        ({"unread": 3}, '{"unread":3}'),
        ([1, "ü", None], '[1,"ü",null]'),
        ((1, 2), "[1,2]"),
        (7, "7"),
        (True, "true"),
        (None, "null"),
        ({"at": datetime.date(2026, 11, 25)}, '{"at":"2026-11-25"}'),
        ({"price": decimal.Decimal("1.50")}, '{"price":"1.50"}'),
        ({"id": uuid.UUID(int=7)}, f'{{"id":"{uuid.UUID(int=7)}"}}'),
        ({"text": gettext_lazy("lazy")}, '{"text":"lazy"}'),
    ],
)
def test_data_becomes_a_message(server: Server, data: object, arrives: object) -> None:
    client = dial(server)
    broadcast(data)
    assert client.recv() == arrives


class Order:
    def __repr__(self) -> str:
        return "<Order 7>"


def loop() -> list[object]:
    found: list[object] = []
    found.append(found)
    return found


@pytest.mark.parametrize("on_commit", [False, True])
@pytest.mark.parametrize(
    ("data", "error", "said"),
    [
        ({"order": Order()}, TypeError, "<Order 7> of type Order is no JSON"),
        (Order(), TypeError, "<Order 7> of type Order is no JSON"),
        ({"ids": {1, 2}}, TypeError, "{1, 2} of type set is no JSON"),
        ({(1, 2): 3}, TypeError, "keys must be str"),
        ({"x": float("nan")}, ValueError, "NaN and infinity are no JSON"),
        (loop(), ValueError, "Circular reference"),
        ({"x": "\ud800"}, UnicodeEncodeError, "surrogates"),
        ("\ud800", UnicodeEncodeError, "surrogates"),
    ],
)
def test_what_cannot_be_encoded_is_told_at_once(
    data: object, error: type[Exception], said: str, on_commit: bool
) -> None:
    with wssend.WSHub() as hub, override_hub(hub):
        with transaction.atomic(), pytest.raises(error) as caught:
            broadcast(data, on_commit=on_commit)
        assert said in str(caught.value)


def test_what_is_named_in_an_error_is_cut_short() -> None:
    with pytest.raises(TypeError) as caught:
        encode({"x" * 1000: Order(), "y" * 10_000: 1})
    assert len(str(caught.value)) < 400


class ShoutingEncoder(json.JSONEncoder):
    def default(self, o: object) -> object:
        return str(o).upper()


def test_the_encoder_can_be_chosen(server: Server) -> None:
    client = dial(server)
    wanted = {"SOCKET": "/run/a.sock", "ENCODER": ShoutingEncoder}
    with override_settings(WSSEND=wanted):
        broadcast([Order()])
    assert client.recv() == '["<ORDER 7>"]'


# To whom.


def test_all_connections_of_a_user_get_it_and_nobody_else(server: Server) -> None:
    ada, grace = new_user(), new_user()
    tabs = [dial(server, ada, "a"), dial(server, ada, "b")]
    other = dial(server, grace, "c")
    report = send_to_user(ada, "for ada")
    broadcast("for all")
    assert report is not None
    assert report.queued == 2
    assert [tab.recv() for tab in tabs] == ["for ada"] * 2
    assert other.recv() == "for all"


def test_a_user_may_be_lazy_or_a_key(server: Server) -> None:
    ada = new_user()
    client = dial(server, ada)
    for user in (SimpleLazyObject(lambda: ada), ada.pk, str(ada.pk)):
        send_to_user(user, "hello")
        assert client.recv() == "hello"


def test_a_key_may_be_a_uuid(server: Server) -> None:
    key = uuid.uuid4()
    client = server.connect("a", str(key))[1]
    send_to_user(key, "hello")
    assert client.recv() == "hello"


@pytest.mark.parametrize("call", [send_to_user, lambda user, _: close_user(user)])
@pytest.mark.parametrize(
    ("user", "error", "said"),
    [
        (None, ValueError, "user is None: pass a user or its primary key"),
        (AnonymousUser(), ValueError, "check user.is_authenticated, or publish()"),
        (User(username="new"), ValueError, "<User: new> has no primary key: save()"),
        ("", ValueError, "user must not be an empty str"),
        (True, TypeError, "not True"),
        ({"pk": 3}, TypeError, "user or its primary key (int, str or UUID), not {"),
    ],
)
def test_a_user_that_is_none_is_told_what_to_do(
    call: Any, user: object, error: type[Exception], said: str
) -> None:
    with pytest.raises(error) as caught:
        call(user, "hello")
    assert said in str(caught.value)


def test_a_topic_reaches_its_subscribers(server: Server) -> None:
    inside, client = server.connect("a")
    inside.subscribe("news")
    dial(server, name="b")
    report = publish("news", {"n": 1})
    assert report is not None
    assert report.queued == 1
    assert client.recv() == '{"n":1}'


@pytest.mark.parametrize("topic", ["", None, 3])
def test_a_topic_must_be_a_text(topic: Any) -> None:
    with pytest.raises(TypeError, match="topic must be a str, and not empty, not "):
        publish(topic, "hello")


def test_a_user_can_be_closed_everywhere(server: Server) -> None:
    ada, grace = new_user(), new_user()
    tabs = [dial(server, ada, "a"), dial(server, ada, "b")]
    other = dial(server, grace, "c")
    close_user(ada, 4401, "logged out")
    for tab in tabs:
        close = tab.recv_close()
        assert (close.code, close.reason) == (4401, "logged out")
    broadcast("still here")
    assert other.recv() == "still here"


# When.


@contextmanager
def undone() -> Iterator[None]:
    """A transaction that is rolled back, by an error that ends here."""
    with suppress(ZeroDivisionError), transaction.atomic():
        yield
        1 / 0  # noqa: B018


def test_a_push_waits_for_the_commit(server: Server) -> None:
    client = dial(server)
    with transaction.atomic():
        user = new_user()
        data = {"name": user.username}
        assert broadcast(data, on_commit=True) is None
        data["name"] = "changed later"
        broadcast("before")
    broadcast("after")
    assert [client.recv() for _ in range(3)] == [
        "before",
        json.dumps({"name": user.username}, separators=(",", ":")),
        "after",
    ]


def test_a_rollback_pushes_nothing(server: Server) -> None:
    client = dial(server)
    with undone():
        user = new_user()
        broadcast("never", on_commit=True)
        send_to_user(user, "never", on_commit=True)
        publish("news", "never", on_commit=True)
    broadcast("after")
    assert client.recv() == "after"
    assert not User.objects.filter(pk=user.pk).exists()


def test_an_inner_rollback_takes_its_pushes_along(server: Server) -> None:
    client = dial(server)
    with transaction.atomic():
        broadcast("outer", on_commit=True)
        with undone():
            broadcast("never", on_commit=True)
    broadcast("after")
    assert [client.recv() for _ in range(2)] == ["outer", "after"]


def test_without_a_transaction_a_push_is_made_at_once(server: Server) -> None:
    client = dial(server)
    broadcast("now", on_commit=True, using="default")
    assert client.recv() == "now"


def test_a_push_that_fails_after_the_commit_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hub = wssend.WSHub()
    hub.close()
    with override_hub(hub), caplog.at_level(logging.ERROR), transaction.atomic():
        user = new_user()
        broadcast("lost", on_commit=True)
    assert User.objects.filter(pk=user.pk).exists()
    assert "HubClosed" in caplog.text


def test_nobody_can_wait_for_a_push_that_is_put_off() -> None:
    with pytest.raises(ValueError, match=r"^wait: "):
        broadcast("hello", on_commit=True, wait=1)


def test_a_closed_hub_is_told() -> None:
    hub = wssend.WSHub()
    hub.close()
    with override_hub(hub), pytest.raises(wssend.HubClosed):
        broadcast("hello")


def test_a_message_that_no_channel_can_hold_is_told() -> None:
    with (
        wssend.WSHub(send_queue_bytes=10) as hub,
        override_hub(hub),
        pytest.raises(wssend.MessageTooLarge),
    ):
        broadcast({"text": "more than ten bytes"})
