"""Logging out closes connections."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import logout
from django.db import connections
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django_kit import AnonymousUser, Running, Session, SessionStore, new_user, running
from kit import until

import wssend
from wssend.django import override_hub

HERE = {"SOCKET": "unix:/run/wssend/none.sock"}


def browser(user: Any) -> tuple[Client, str]:
    """Log in; the browser, and the session's key."""
    client = Client()
    client.force_login(user)
    return client, client.cookies["sessionid"].value


def count(server: Running, number: int) -> None:
    until(lambda: len(server.hub) == number)


def test_all_tabs_and_devices_of_the_user_are_closed() -> None:
    ada, grace = new_user(), new_user()
    laptop, one = browser(ada)
    _, two = browser(ada)
    _, other = browser(grace)
    with running() as server, override_hub(server.hub):
        tabs = [server.dial(one), server.dial(one), server.dial(two)]
        stays = server.dial(other)
        count(server, 4)
        laptop.post("/logout/")
        for tab in tabs:
            close = tab.recv_close()
            assert (close.code, close.reason) == (4401, "logged out")
        server.hub.broadcast("still here")
        assert stays.recv() == "still here"


def test_they_are_closed_when_the_session_is_gone() -> None:
    """Not before: a page that comes back at once would be let in."""
    Session.objects.all().delete()
    ada = new_user()
    laptop, _ = browser(ada)
    there: list[bool] = []  # whether the session was, when the hub was told

    class Hub:
        def close_user(self, user: str, code: int, reason: str) -> None:
            there.append(Session.objects.exists())
            connections.close_all()  # it may be a thread of asgiref's

    with override_hub(Hub()):  # type: ignore[arg-type]
        laptop.post("/logout/")
    assert there == [False]

    phone, _ = browser(ada)

    async def leave() -> None:
        client = AsyncClient()
        client.cookies = phone.cookies
        await client.post("/logout/")
        await sync_to_async(connections.close_all)()  # that of the view

    with override_hub(Hub()):  # type: ignore[arg-type]
        asyncio.run(leave())
    assert there == [False, False]


def test_only_the_session_may_be_meant() -> None:
    """The others' pages come back, as they do after 1012."""
    ada = new_user()
    laptop, one = browser(ada)
    _, two = browser(ada)
    with (
        override_settings(WSSEND=HERE | {"LOGOUT": "session"}),
        running() as server,
        override_hub(server.hub),
    ):
        tabs = [server.dial(one), server.dial(two)]
        count(server, 2)
        laptop.post("/logout/")
        assert [tab.recv_close().code for tab in tabs] == [1012, 1012]
        assert server.dial(one).recv_close().code == 4401
        server.dial(two)
        count(server, 1)


def test_a_logout_may_close_nothing() -> None:
    laptop, session = browser(new_user())
    with (
        override_settings(WSSEND=HERE | {"LOGOUT": None}),
        running() as server,
        override_hub(server.hub),
    ):
        tab = server.dial(session)
        count(server, 1)
        laptop.post("/logout/")
        server.hub.broadcast("still here")
        assert tab.recv() == "still here"


def test_a_logout_outside_of_a_request_closes_at_once() -> None:
    ada = new_user()
    _, session = browser(ada)
    request = RequestFactory().get("/")
    request.session = SessionStore(session)
    request.user = ada
    with running() as server, override_hub(server.hub):
        tab = server.dial(session)
        count(server, 1)
        logout(request)
        assert tab.recv_close().code == 4401


def test_who_was_not_logged_in_closes_nothing() -> None:
    request = RequestFactory().get("/")
    request.session = SessionStore()
    request.user = AnonymousUser()
    with override_hub(object()):  # type: ignore[arg-type]
        logout(request)


def test_a_logout_succeeds_without_the_hub(caplog: pytest.LogCaptureFixture) -> None:
    laptop, session = browser(new_user())
    hub = wssend.WSHub()
    hub.close()
    with override_hub(hub), caplog.at_level(logging.WARNING):
        assert laptop.post("/logout/").status_code == 204
    assert not SessionStore().exists(session)
    assert "stay after a logout: " in caplog.text
