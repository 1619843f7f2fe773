"""Who may connect: Django's session, the page's origin, ``WSSEND["AUTHORIZE"]``.

A handshake is held while one of the hub's threads decides. It becomes an
``HttpRequest`` with the session that its cookie names and the user that is logged in
there, by the rules of ``django.contrib.auth`` (a changed password ends the session).
The session can only be read.
"""

from __future__ import annotations

import dataclasses
import logging
from asyncio import iscoroutinefunction
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from django.apps import apps
from django.conf import settings as django_settings
from django.http import HttpRequest, QueryDict
from django.http.cookie import parse_cookie
from django.utils.functional import SimpleLazyObject

import wssend

from .conf import Settings
from .inbound import plain

if TYPE_CHECKING:
    from wssend import Accept, Handshake, Reject

__all__ = ["Request", "decide", "hub_origins", "judge"]

logger: Final = logging.getLogger("wssend.django")

NOT_LOGGED_IN: Final = 4401
FORBIDDEN: Final = 4403


class Request(HttpRequest):
    """The handshake as Django's request: ``user``, ``session``, ``GET``, ``COOKIES``...

    Args:
        handshake: What the client has sent.

    Attributes:
        handshake: The same; its ``subprotocols``, say.
    """

    def __init__(self, handshake: Handshake) -> None:
        super().__init__()
        sent = handshake.request
        self.handshake = handshake
        self.method = "GET"
        self.path = self.path_info = _utf8(unquote(sent.path, "latin-1"))
        self.GET = QueryDict(sent.query)
        host, _, port = sent.headers.get("Host", "localhost").rpartition(":")
        self.META = {
            "REQUEST_METHOD": "GET",
            "QUERY_STRING": sent.query,
            "REMOTE_ADDR": handshake.remote,
            "SERVER_NAME": host or port,
            "SERVER_PORT": port if host else "80",
            **{
                f"HTTP_{name.upper().replace('-', '_')}": value
                for name, value in sent.headers.items()
                if "_" not in name  # it would be one that a proxy has set
            },
        }
        self.COOKIES = parse_cookie(_utf8(sent.headers.get("Cookie", "")))
        self.session = _session(self.COOKIES)
        self.user = SimpleLazyObject(lambda: _user(self))


def _utf8(text: str) -> str:
    return text.encode("latin-1").decode("utf-8", "replace")


def _session(cookies: dict[str, str]) -> Any:
    store = import_module(django_settings.SESSION_ENGINE).SessionStore
    return _read_only(store)(cookies.get(django_settings.SESSION_COOKIE_NAME))


@lru_cache(maxsize=4)
def _read_only(store: type[Any]) -> type[Any]:
    """Make a session store that saves nothing: no cookie could follow a change.

    ``get_user()`` would otherwise give the session a new key where its hash was made
    with one of ``SECRET_KEY_FALLBACKS``, and log the user out.
    """

    class ReadOnly(store):
        def save(self, must_create: bool = False) -> None:
            pass

        def create(self) -> None:
            pass

        def delete(self, session_key: str | None = None) -> None:
            pass

        def cycle_key(self) -> None:
            pass

        def flush(self) -> None:
            self.clear()

    ReadOnly.__qualname__ = store.__qualname__  # sessions are signed with it
    return ReadOnly


def _user(request: Request) -> Any:
    from django.contrib.auth import get_user
    from django.contrib.auth.models import AnonymousUser

    if not apps.is_installed("django.contrib.sessions"):
        return AnonymousUser()
    return get_user(request)


def hub_origins(settings: Settings) -> tuple[str, ...] | None:
    """Return the origins for the hub to check; None: :func:`judge` does.

    Where pages connect to another port of their host, the hub's rule "same-host",
    which means the port, too, is too strict.
    """
    if settings.origins is not None:
        return settings.origins
    if settings.behind_proxy:
        return ("same-host", *django_settings.CSRF_TRUSTED_ORIGINS)
    return None


def _same_site(handshake: Handshake) -> bool:
    """Whether the page is of this host, whatever its port, or a trusted one."""
    headers = handshake.request.headers
    origin, host = headers.get("Origin", ""), headers.get("Host", "")
    try:
        page, own = urlsplit(origin), urlsplit(f"//{host}")
        if page.scheme in ("http", "https") and page.hostname == own.hostname:
            return page.hostname is not None
    except ValueError:
        return False
    return any(_matches(page, rule) for rule in django_settings.CSRF_TRUSTED_ORIGINS)


def _matches(page: Any, rule: str) -> bool:
    wanted = urlsplit(rule.replace("*", "", 1))
    if (page.scheme, page.port) != (wanted.scheme, wanted.port):
        return False
    host, name = page.hostname or "", wanted.hostname or ""
    return host.endswith(name) and host != name if "*" in rule else host == name


def judge(handshake: Handshake, settings: Settings) -> Accept | Reject:
    """Say who it is and whether he may connect.

    Returns:
        ``Accept`` with the user's primary key, unless ``AUTHORIZE`` names another
        user; ``Reject`` with a close code, which a page can see.
    """
    if hub_origins(settings) is None and not _same_site(handshake):
        return wssend.Reject(403, "origin not allowed")
    request = Request(handshake)
    verdict: Any = True
    if settings.authorize is not None:
        if iscoroutinefunction(settings.authorize):
            _ = request.user.is_authenticated  # looked up here: there, it may not be
        verdict = plain(settings.authorize)(request, request.user)
    if isinstance(verdict, wssend.Reject):
        return verdict
    if isinstance(verdict, wssend.Accept):
        if verdict.user is None and request.user.is_authenticated:
            return dataclasses.replace(verdict, user=str(request.user.pk))
        return verdict
    if verdict is not True and verdict is not False and verdict is not None:
        raise TypeError(
            "WSSEND['AUTHORIZE'] must return Accept, Reject, True or False, "
            f"not {verdict!r}"
        )
    if not verdict:
        return wssend.Reject(403, "not allowed", close_code=FORBIDDEN)
    if request.user.is_authenticated:
        return wssend.Accept(user=str(request.user.pk))
    if settings.allow_anonymous:
        return wssend.Accept()
    return wssend.Reject(401, "log in first", close_code=NOT_LOGGED_IN)


def decide(handshake: Handshake, settings: Settings) -> None:
    """Answer a handshake; what goes wrong is logged, and answered with 500."""
    if handshake.decided:
        return  # it has left while it waited for a thread
    try:
        decision: Accept | Reject = judge(handshake, settings)
    except Exception:
        logger.exception("no decision about a client from %s", handshake.remote)
        decision = wssend.Reject(500, "no decision")
    handshake.decide(decision)
