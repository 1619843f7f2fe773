"""Real servers for Django projects, and visitors of theirs.

They use the database of this process, so a test makes users and sessions itself.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import urllib.parse
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import wsclient
from kit import until

TESTS = Path(__file__).parent
LIMIT = 40.0  # seconds; servers start slowly on a machine that has much to do


class Program:
    """A program that runs in the background; what it says goes to a file.

    Args:
        log: That file.
        command: The program and its arguments.
        environment: What is added to the environment.
        folder: Where it runs.
    """

    def __init__(
        self,
        log: Path,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        folder: Path = TESTS,
    ) -> None:
        self.log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # all of its children are ended with it
            )

    def said(self) -> str:
        """What it has said until now."""
        return self.log.read_text(errors="replace")

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait until it says something."""

        def look() -> re.Match[str] | None:
            found = re.search(pattern, self.said())
            if not found and self.process.poll() is not None:
                raise AssertionError(f"it has ended:\n{self.said()}")
            return found

        try:
            found = until(look, LIMIT)
        except AssertionError as error:
            raise AssertionError(f"no {pattern!r} in:\n{self.said()}") from error
        assert found is not None
        return found

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end, and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(LIMIT)

    def __enter__(self) -> Program:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.stop()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(LIMIT)
        if error is not None:
            print(f"{self.log.name}:\n{self.said()}", file=sys.stderr)


def python(*arguments: str) -> list[str]:
    """The command that runs a Python module."""
    return [sys.executable, "-m", *arguments]


def gunicorn_of(application: str, *options: str) -> list[str]:
    """The command that serves an application with gunicorn, at any free port."""
    command = python("gunicorn", application, "--bind=127.0.0.1:0", *options)
    return [*command, "--no-control-socket"]  # there is one a user, in his home


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
