"""Django, set up for the tests of this process, with a database of its own.

Tests take from here what Django has only when it is set up: its models.
"""

from __future__ import annotations

import atexit
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import django
import wsclient
from django.conf import settings
from django.core.management import call_command

__all__ = [
    "INSTALLED",
    "AnonymousUser",
    "Running",
    "Session",
    "SessionStore",
    "User",
    "log_in",
    "new_user",
    "running",
]


def _set_up() -> None:
    folder = tempfile.mkdtemp(prefix="wssend-django-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["WSSEND_TEST_DATABASE"] = f"{folder}/db.sqlite3"
    os.environ["DJANGO_SETTINGS_MODULE"] = "django_project.settings"
    django.setup()
    # It has been read: programs that other tests start are not to find it.
    del os.environ["DJANGO_SETTINGS_MODULE"]
    call_command("migrate", run_syncdb=True, verbosity=0)


if not settings.configured:  # pytest also loads this file to look for doctests
    _set_up()

from django.contrib.auth.models import AnonymousUser, User  # noqa: E402
from django.contrib.sessions.backends.db import SessionStore  # noqa: E402
from django.contrib.sessions.models import Session  # noqa: E402
from django.db import connections  # noqa: E402
from django.test import Client  # noqa: E402

from wssend.django.conf import parse  # noqa: E402
from wssend.django.service import Service  # noqa: E402

INSTALLED = settings.INSTALLED_APPS
atexit.register(connections.close_all)
_numbers = itertools.count()


def new_user(**fields: Any) -> Any:
    """Make a user that is in the database, with the password ``secret``."""
    name = f"user-{next(_numbers)}"
    return User.objects.create_user(name, password="secret", **fields)


def log_in(user: Any) -> str:
    """Log a user in, as a browser would be, and return the session's key."""
    client = Client()
    client.force_login(user)
    session: SessionStore = client.session
    key: str = session.session_key
    return key


class Running:
    """A Service that runs, with WSSEND as given, and clients that log in."""

    def __init__(self, stack: ExitStack, setting: dict[str, Any]) -> None:
        settings, problems = parse({"EMBEDDED": True, "PORT": 0} | setting)
        assert problems == []
        self.service = Service(settings)
        stack.callback(self.service.stop, 5.0)
        self.service.start()
        self.hub = self.service.hub
        self.url = self.service.listener.url
        self._stack = stack

    def dial(
        self,
        session: str | None = None,
        *,
        target: str = "/ws",
        origin: str | None = "http://localhost",
        headers: Iterable[tuple[str, str]] = (),
    ) -> wsclient.Client:
        """Connect, with a session's cookie and an origin."""
        lines = list(headers)
        if session is not None:
            lines.append(("Cookie", f"theme=dark; sessionid={session}"))
        if origin is not None:
            lines.append(("Origin", origin))
        client = wsclient.Client(self.url, target, lines)
        self._stack.callback(client.close)
        return client


@contextmanager
def running(**setting: Any) -> Iterator[Running]:
    """A Service that runs until the block ends."""
    with ExitStack() as stack:
        yield Running(stack, setting)
