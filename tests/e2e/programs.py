"""Programs that the tests run: other people's clients, and our own command."""

from __future__ import annotations

import json
import re
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from e2e.webdriver import Browser

__all__ = ["ChromiumClient", "Client", "Command", "DemoServer", "python_driver"]

TESTS = Path(__file__).parents[1]
TIMEOUT = 30.0  # seconds


class Client(Protocol):
    """A WebSocket client of somebody else's."""

    def run(self, url: str, scenario: str) -> dict[str, Any]:
        """Play a scenario; return what the client saw."""


@dataclass(frozen=True, slots=True)
class Command:
    """A driver in a process of its own."""

    command: list[str]
    cwd: Path | None = None

    def run(self, url: str, scenario: str) -> dict[str, Any]:
        """Play a scenario; return what the client saw."""
        done = subprocess.run(
            [*self.command, url, scenario],
            cwd=self.cwd,
            timeout=TIMEOUT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        seen: dict[str, Any] = json.loads(done.stdout)
        return seen


def python_driver(name: str) -> Command:
    """Return a driver out of drivers/."""
    return Command([sys.executable, "-m", f"e2e.drivers.{name}"], cwd=TESTS)


@dataclass(frozen=True, slots=True)
class ChromiumClient:
    """The driver in a page; a page can neither ping nor send fragments."""

    browser: Browser
    script: str = field(
        default_factory=lambda: (TESTS / "e2e/drivers/chromium.js").read_text()
    )

    def run(self, url: str, scenario: str) -> dict[str, Any]:
        """Play a scenario; return what the page saw."""
        # A page of the same server: others may not connect to this machine.
        tab = self.browser.tab(re.sub(r"^ws(.*)/.*", r"http\1/page", url))
        seen: dict[str, Any] = tab.run_async(self.script, url, scenario)
        assert "error" not in seen, seen
        return seen


class DemoServer:
    """``wssend serve`` in a process of its own, on a free port.

    Args:
        options: More options for the command.

    Attributes:
        url: The page's address.
        output: What it has printed.
    """

    def __init__(self, *options: str) -> None:
        command = [sys.executable, "-m", "wssend", "serve", "--port", "0", *options]
        self.process = subprocess.Popen(
            command,
            cwd=TESTS,  # not where `import wssend` finds the sources
            bufsize=0,  # so that readline() leaves the rest for communicate()
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], TIMEOUT)
        self.output = self.process.stdout.readline().decode() if ready else ""
        match = re.search(r"https?://\S+", self.output)
        if match is None:
            self.process.kill()
            errors = self.process.communicate()[1].decode()
            raise AssertionError(f"no address: {self.output!r} {errors!r}")
        self.url = match[0]

    def feed(self, text: str) -> None:
        """Write to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())

    def stop(self, number: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        """Send a signal; return the exit status and what stood on stderr."""
        self.process.send_signal(number)
        start = time.monotonic()
        out, err = self.process.communicate(timeout=TIMEOUT)
        self.output += out.decode()
        self.stopped_after = time.monotonic() - start
        return self.process.returncode, err.decode()

    def __enter__(self) -> DemoServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate(timeout=TIMEOUT)
