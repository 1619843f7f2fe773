"""System checks of the ``WSSEND`` setting.

| id | meaning |
|---|---|
| wssend.E001 | ``WSSEND`` is no dict |
| wssend.E002 | a key that does not exist |
| wssend.E003 | a key with a wrong value |
| wssend.E004 | neither ``SOCKET`` nor ``EMBEDDED`` |
| wssend.E005 | a dotted path that cannot be imported |
| wssend.E006 | logins are wanted, but sessions or users are not installed |
| wssend.W001 | the session cookie is not sent to ``PATH`` |
| wssend.W002 | sessions that the hub's process cannot see |
| wssend.W003 | the local socket is open to everybody |
| wssend.W004 | the page's script cannot be found |
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as Caution

from .conf import Settings, parse

__all__ = ["check_settings"]

CACHED_SESSIONS = "django.contrib.sessions.backends.cache"
LOCAL_CACHES = ("locmem.LocMemCache", "dummy.DummyCache")


def check_settings(app_configs: Any = None, **_: object) -> list[CheckMessage]:
    """Check ``WSSEND`` and what it needs of the other settings."""
    raw = getattr(django_settings, "WSSEND", {})
    settings, problems = parse(raw, debug=django_settings.DEBUG)
    found: list[CheckMessage] = [
        Error(problem.text, hint=problem.hint, id=problem.id) for problem in problems
    ]
    found += _logins(settings)
    found += _cookie(settings)
    found += _sessions(settings)
    found += _socket(settings)
    found += _static()
    return found


def _logins(settings: Settings) -> Iterator[CheckMessage]:
    needed = ["django.contrib.auth", "django.contrib.sessions"]
    missing = [name for name in needed if not apps.is_installed(name)]
    if missing and settings.authorize is None and not settings.allow_anonymous:
        yield Error(
            "clients are let in by Django's sessions, but INSTALLED_APPS lacks "
            + " and ".join(missing),
            hint='Install them, or set WSSEND["AUTHORIZE"] or '
            'WSSEND["ALLOW_ANONYMOUS"].',
            id="wssend.E006",
        )


def _cookie(settings: Settings) -> Iterator[CheckMessage]:
    cookie_path = django_settings.SESSION_COOKIE_PATH.rstrip("/")
    if settings.url is None and not f"{settings.path}/".startswith(f"{cookie_path}/"):
        yield Caution(
            f"the session cookie is sent to {cookie_path}/ only, and so never to "
            f"WSSEND['PATH'], which is {settings.path!r}: nobody is logged in there",
            hint=f'Set WSSEND["PATH"] to "{cookie_path}/ws".',
            id="wssend.W001",
        )


def _sessions(settings: Settings) -> Iterator[CheckMessage]:
    if settings.embedded or django_settings.SESSION_ENGINE != CACHED_SESSIONS:
        return
    alias = django_settings.SESSION_CACHE_ALIAS
    backend = django_settings.CACHES.get(alias, {}).get("BACKEND", "")
    if backend.endswith(LOCAL_CACHES):
        yield Caution(
            f"sessions are kept in the cache {alias!r}, which is one of each process: "
            "`manage.py wssend` cannot see them, and lets nobody in",
            hint="Keep sessions in the database, or in a cache that is shared.",
            id="wssend.W002",
        )


def _socket(settings: Settings) -> Iterator[CheckMessage]:
    if settings.socket is None:
        return
    if settings.socket_mode & stat.S_IWOTH:
        yield Caution(
            f"WSSEND['SOCKET_MODE'] is {oct(settings.socket_mode)}: every user of this "
            "machine can push to every client",
            hint="Use 0o660, and a group that the workers are in.",
            id="wssend.W003",
        )
    folder = Path(settings.socket.removeprefix("unix:")).parent
    try:
        mode = os.stat(folder).st_mode
    except OSError:
        return  # it may be made later, by systemd say
    if mode & stat.S_IWOTH:
        yield Caution(
            f"WSSEND['SOCKET'] is in {folder}, where every user of this machine can "
            "put a socket of that name, and so see what is pushed",
            hint="Use a folder of your own, as in /run/app.",
            id="wssend.W003",
        )


def _static() -> Iterator[CheckMessage]:
    if not apps.is_installed("django.contrib.staticfiles"):
        yield Caution(
            "django.contrib.staticfiles is not installed, so wssend.js, which "
            "{% wssend_script %} names, has to be served in another way",
            hint="Install it, or silence this check if you do not use the tag.",
            id="wssend.W004",
        )
