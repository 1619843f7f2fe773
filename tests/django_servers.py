"""Real servers for Django projects, and visitors of theirs.

They use the database of this process, so a test makes users and sessions itself.
"""

from __future__ import annotations

import http.client
import json
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import wsclient
from programs import LIMIT

TESTS = Path(__file__).parent


def environment(setting: Mapping[str, Any], module: str = "") -> dict[str, str]:
    """The environment of a process of tests/django_project."""
    return {
        "DJANGO_SETTINGS_MODULE": module or "django_project.settings",
        "WSSEND_TEST_SETTINGS": json.dumps(setting, default=str),
        "PYTHONPATH": str(TESTS),
    }


class Site:
    """A server's pages, as a visitor with a session sees them."""

    def __init__(self, url: str, session: str | None = None) -> None:
        self.url = url
        self._place = urllib.parse.urlsplit(url).netloc
        self._cookie = {} if session is None else {"Cookie": f"sessionid={session}"}

    def ask(
        self, method: str, path: str, body: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        """Return the status and the body of an answer."""
        connection = http.client.HTTPConnection(self._place, timeout=LIMIT)
        headers = {**self._cookie, "Content-Type": "application/x-www-form-urlencoded"}
        try:
            sent = urllib.parse.urlencode(body or {})
            connection.request(method, path, sent, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def push(self, text: str, **to: str) -> None:
        """Let a view of this process push."""
        status, body = self.ask("POST", "/push/", {"text": text, **to})
        assert status == 204, body


def dial(url: str, session: str, target: str = "/ws") -> wsclient.Client:
    """Connect to a hub as somebody who is logged in."""
    headers = [("Cookie", f"sessionid={session}"), ("Origin", "http://localhost")]
    return wsclient.Client(url, target, headers)
