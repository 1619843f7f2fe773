"""Programs in processes of their own, whatever they are."""

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
        self._asked = False
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

    def ask_to_end(self, number: int = signal.SIGTERM) -> None:
        """Send it a signal, the first time; a second one might cut it short."""
        if not self._asked and self.process.poll() is None:
            self.process.send_signal(number)
        self._asked = True

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end, and return its exit status."""
        self.ask_to_end(number)
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


class Visitor:
    """Asks an HTTP server, and keeps its cookies."""

    def __init__(self, url: str) -> None:
        self._place = urllib.parse.urlsplit(url).netloc
        self._cookies: dict[str, str] = {}

    def ask(
        self, method: str, path: str, body: Any = None, token: str = ""
    ) -> tuple[int, Any]:
        """Send JSON and return the status and the JSON, or the text, of the answer."""
        headers = {"Content-Type": "application/json"}
        if self._cookies:
            headers["Cookie"] = "; ".join(f"{k}={v}" for k, v in self._cookies.items())
        if token:
            headers["Authorization"] = f"Bearer {token}"
        connection = http.client.HTTPConnection(self._place, timeout=LIMIT)
        try:
            sent = None if body is None else json.dumps(body)
            connection.request(method, path, sent, headers)
            answer = connection.getresponse()
            for line in answer.headers.get_all("Set-Cookie", []):
                name, _, value = line.partition(";")[0].partition("=")
                self._cookies[name] = value
            text = answer.read().decode()
        finally:
            connection.close()
        kind = answer.headers.get_content_type()
        return answer.status, json.loads(text) if kind == "application/json" else text
