"""Who may connect: real sessions, origins, and WSSEND["AUTHORIZE"]."""

from __future__ import annotations

import logging
from typing import Any

import django_kit
import pytest
import wsclient
from django.test import override_settings
from django_kit import AnonymousUser, SessionStore, log_in, new_user, running
from kit import until

import wssend
from wssend.django.auth import hub_origins
from wssend.django.conf import parse


def refused(client: wsclient.Client) -> tuple[int, str]:
    """With what code, and why."""
    close = client.recv_close()
    return close.code, close.reason


def only_client(hub: wssend.WSHub) -> wssend.WSClient:
    (client,) = until(hub.clients)
    return client


def test_the_session_says_who_it_is() -> None:
    user = new_user()
    with running() as server:
        server.dial(log_in(user))
        assert only_client(server.hub).user == str(user.pk)


def test_the_cookie_may_have_another_name() -> None:
    user = new_user()
    with running() as server, override_settings(SESSION_COOKIE_NAME="shop"):
        server.dial(headers=[("Cookie", f"shop={log_in(user)}")])
        assert only_client(server.hub).user == str(user.pk)


@pytest.mark.parametrize("engine", ["db", "cached_db", "cache", "file"])
def test_sessions_may_be_kept_anywhere(engine: str, tmp_path: Any) -> None:
    with (
        override_settings(
            SESSION_ENGINE=f"django.contrib.sessions.backends.{engine}",
            SESSION_FILE_PATH=str(tmp_path),
        ),
        running() as server,
    ):
        user = new_user()
        server.dial(log_in(user))
        assert only_client(server.hub).user == str(user.pk)


def test_sessions_may_be_in_the_cookie_itself() -> None:
    signed = "django.contrib.sessions.backends.signed_cookies"
    with override_settings(SESSION_ENGINE=signed), running() as server:
        user = new_user()
        server.dial(log_in(user))
        assert only_client(server.hub).user == str(user.pk)


@pytest.mark.parametrize("session", [None, "", "nosuchsession", "x" * 500, "a;b"])
def test_who_is_not_logged_in_is_closed_with_4401(session: str | None) -> None:
    with running() as server:
        assert refused(server.dial(session)) == (4401, "log in first")
        assert server.hub.clients() == []


def test_a_session_without_a_login_is_anonymous() -> None:
    store = SessionStore()
    store["basket"] = [1, 2]
    store.save()
    with running() as server:
        assert refused(server.dial(store.session_key)) == (4401, "log in first")
    with running(ALLOW_ANONYMOUS=True) as server:
        server.dial(store.session_key)
        assert only_client(server.hub).user is None


def test_a_session_that_has_ended_is_none() -> None:
    session = log_in(new_user())
    SessionStore(session).delete()
    with running() as server:
        assert refused(server.dial(session))[0] == 4401


def test_a_changed_password_ends_the_session() -> None:
    user = new_user()
    session = log_in(user)
    user.set_password("another")
    user.save()
    with running() as server:
        assert refused(server.dial(session))[0] == 4401


def test_a_user_who_has_been_deactivated_is_not_let_in() -> None:
    user = new_user()
    session = log_in(user)
    user.is_active = False
    user.save()
    with running() as server:
        assert refused(server.dial(session))[0] == 4401


def test_a_session_of_an_older_secret_key_stays_as_it_is() -> None:
    user = new_user()
    with override_settings(SECRET_KEY="an older one"):
        session = log_in(user)
    with override_settings(SECRET_KEY_FALLBACKS=["an older one"]), running() as server:
        server.dial(session)
        assert only_client(server.hub).user == str(user.pk)
    assert SessionStore().exists(session)


# Origins.

WELCOME = ["http://localhost", "https://localhost", "https://www.example.com"]
UNWELCOME = [
    "http://evil.example",
    "https://example.com",
    "http://www.example.com",
    "https://www.example.com.evil.example",
    "https://shop.example",
    "null",
    None,
]


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("origin", [*WELCOME, "https://shop.example:8443"])
def test_pages_of_this_host_and_trusted_ones_may_connect(
    origin: str, direct: bool
) -> None:
    session = log_in(new_user())
    with running(BEHIND_PROXY=not direct) as server:
        server.dial(session, origin=origin)
        until(server.hub.clients)


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("origin", UNWELCOME)
def test_pages_of_others_may_not(origin: str | None, direct: bool) -> None:
    session = log_in(new_user())
    with running(BEHIND_PROXY=not direct) as server:
        with pytest.raises(AssertionError, match="403"):
            server.dial(session, origin=origin)
        assert server.hub.clients() == []


def test_a_page_of_another_port_may_connect_where_there_is_no_proxy() -> None:
    session = log_in(new_user())
    with running(BEHIND_PROXY=False) as server:
        server.dial(session, origin="http://localhost:8000")
        until(server.hub.clients)
    with (
        running(BEHIND_PROXY=True) as server,
        pytest.raises(AssertionError, match="403"),
    ):
        server.dial(session, origin="http://localhost:8000")


@pytest.mark.parametrize("origin", ["http://[::1", "http://:0", "http://", "//"])
def test_an_origin_that_makes_no_sense_is_refused(origin: str) -> None:
    with (
        running(BEHIND_PROXY=False) as server,
        pytest.raises(AssertionError, match="403"),
    ):
        server.dial(origin=origin)


def test_origins_can_be_set() -> None:
    session = log_in(new_user())
    with running(ORIGINS=["https://app.example", ""]) as server:
        server.dial(session, origin="https://app.example")
        server.dial(session, origin=None)
        until(lambda: len(server.hub) == 2)
        with pytest.raises(AssertionError, match="403"):
            server.dial(session, origin="http://localhost")


def test_the_hub_checks_what_it_can() -> None:
    settings, _ = parse({"EMBEDDED": True})
    assert hub_origins(settings) == (
        "same-host",
        "https://*.example.com",
        "https://shop.example:8443",
    )


# AUTHORIZE.


def test_a_function_decides() -> None:
    seen: list[Any] = []

    def authorize(request: Any, user: Any) -> wssend.Accept:
        seen.append(request)
        assert request.user == user
        return wssend.Accept(topics=[f"room-{request.GET['room']}"])

    user = new_user()
    with running(AUTHORIZE=authorize, TRUSTED_PROXIES=["127.0.0.1"]) as server:
        server.dial(
            log_in(user),
            target="/ws?room=7",
            headers=[("X-Tenant", "ü".encode().decode("latin-1")), ("X_Real", "no")],
        )
        client = only_client(server.hub)
        assert client.user == str(user.pk)
        assert client.topics == {"room-7"}
    (request,) = seen
    assert (request.method, request.path) == ("GET", "/ws")
    assert request.get_host() == "localhost"
    assert request.META["REMOTE_ADDR"] == "127.0.0.1"
    assert request.COOKIES["theme"] == "dark"
    assert request.session["_auth_user_id"] == str(user.pk)
    assert request.headers["Upgrade"] == "websocket"
    assert "HTTP_X_REAL" not in request.META
    assert request.handshake.decided


async def coroutine(request: Any, user: Any) -> bool:
    return bool(user.is_authenticated)


def test_a_function_may_be_a_coroutine() -> None:
    with running(AUTHORIZE=coroutine) as server:
        assert refused(server.dial())[0] == 4403
        server.dial(log_in(new_user()))
        until(server.hub.clients)


def verdict(value: Any) -> Any:
    return lambda request, user: value


def test_it_may_name_another_user() -> None:
    with running(AUTHORIZE=verdict(wssend.Accept(user="device-7"))) as server:
        server.dial()
        assert only_client(server.hub).user == "device-7"


def test_it_may_accept_somebody_without_a_login() -> None:
    with running(AUTHORIZE=verdict(wssend.Accept())) as server:
        server.dial()
        assert only_client(server.hub).user is None


def test_true_leaves_the_login_to_the_session() -> None:
    with running(AUTHORIZE=verdict(True)) as server:
        assert refused(server.dial())[0] == 4401
        server.dial(log_in(new_user()))
        until(server.hub.clients)


@pytest.mark.parametrize("no", [False, None])
def test_false_and_nothing_refuse(no: object) -> None:
    with running(AUTHORIZE=verdict(no)) as server:
        assert refused(server.dial(log_in(new_user()))) == (4403, "not allowed")


def test_it_may_refuse_in_its_own_words() -> None:
    no = wssend.Reject(body="too many tabs", close_code=4429)
    with running(AUTHORIZE=verdict(no)) as server:
        assert refused(server.dial()) == (4429, "too many tabs")


@pytest.mark.parametrize("wrong", ["yes", 1, lambda request, user: 1 // 0])
def test_what_goes_wrong_is_logged_and_lets_nobody_in(
    wrong: Any, caplog: pytest.LogCaptureFixture
) -> None:
    authorize = wrong if callable(wrong) else verdict(wrong)
    with caplog.at_level(logging.ERROR), running(AUTHORIZE=authorize) as server:
        with pytest.raises(AssertionError, match="500"):
            server.dial(log_in(new_user()))
        assert server.hub.clients() == []
    assert "no decision about a client from 127.0.0.1" in caplog.text
    assert "ZeroDivisionError" in caplog.text or "must return Accept" in caplog.text


def test_users_are_not_needed_where_a_function_decides() -> None:
    def authorize(request: Any, user: Any) -> wssend.Accept:
        assert isinstance(user._wrapped, AnonymousUser) or user.is_anonymous
        return wssend.Accept(user="42")

    kept = [a for a in django_kit.INSTALLED if a != "django.contrib.sessions"]
    with override_settings(INSTALLED_APPS=kept), running(AUTHORIZE=authorize) as server:
        server.dial("anything")
        assert only_client(server.hub).user == "42"
