"""Django, set up for the tests of this process, with a database of its own."""

from __future__ import annotations

import atexit
import itertools
import os
import shutil
import tempfile
from typing import Any

_folder = tempfile.mkdtemp(prefix="wssend-django-")
atexit.register(shutil.rmtree, _folder, ignore_errors=True)
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "django_project.settings")
os.environ["WSSEND_TEST_DATABASE"] = f"{_folder}/db.sqlite3"

import django  # noqa: E402
from django.core.management import call_command  # noqa: E402

django.setup()
call_command("migrate", run_syncdb=True, verbosity=0)

from django.contrib.auth.models import User  # noqa: E402
from django.contrib.sessions.backends.db import SessionStore  # noqa: E402
from django.db import connections  # noqa: E402
from django.test import Client  # noqa: E402

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
