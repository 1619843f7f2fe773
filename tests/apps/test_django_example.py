"""examples/notifications: two browsers, a Celery worker, gunicorn and the hub."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from django_servers import LIMIT, Program, python
from e2e.conftest import tool
from e2e.webdriver import Browser, Tab

pytestmark = pytest.mark.timeout(180)

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/notifications"
CONNECTED = "document.querySelector('#status').textContent === 'connected'"
JOBS = "[...document.querySelectorAll('#jobs li')].map((line) => line.innerText)"
NOTES = "[...document.querySelectorAll('#notes li')].map((line) => line.innerText)"


class Site:
    """All of its processes."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        redis = tool("redis-server")
        self._stack, self._folder = stack, folder
        self._environment = {
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "PYTHONPATH": str(EXAMPLE),
            "DATA": str(folder / "data"),
            "BROKER": f"redis+socket://{folder}/redis.sock",
            "REPORT_STEP": "0.05",
        }
        for command in ("migrate", "people"):
            subprocess.run(
                [sys.executable, "manage.py", command],
                cwd=EXAMPLE,
                env={**os.environ, **self._environment},
                timeout=LIMIT,
                check=True,
                capture_output=True,
            )
        # The browser's part of the address; localhost keeps the cookies.
        hub = self._run("hub", python("django", "wssend", "--port=0"))
        port = hub.wait_for(r"serving ws://127.0.0.1:(\d+)/")[1]
        self._environment["WSSEND_PORT"] = port
        server = self._run(
            "redis",
            [redis, *f"--port 0 --unixsocket {folder}/redis.sock --save".split(), ""],
        )
        server.wait_for("Ready to accept connections")
        worker = python("celery", "-A", "config", "worker", "--concurrency=1")
        self._run("celery", worker).wait_for(r"celery@\S+ ready\.")
        gunicorn = self._run(
            "gunicorn",
            python("gunicorn", "config.wsgi", "--workers=2", "--bind=127.0.0.1:0"),
        )
        self.url = gunicorn.wait_for(r"Listening at: (http://[\d.:]+)")[1]

    def _run(self, name: str, command: list[str]) -> Program:
        log = self._folder / f"{name}.log"
        program = Program(log, command, self._environment, EXAMPLE)
        return self._stack.enter_context(program)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(stack, tmp_path_factory.mktemp("example"))


@pytest.fixture
def visitors(site: Site, browser: Browser) -> Iterator[Visitors]:
    visitors = Visitors(site, browser)
    yield visitors
    visitors.leave()


class Visitors:
    """Browsers, each with cookies of its own."""

    def __init__(self, site: Site, browser: Browser) -> None:
        self._site, self._browser = site, browser
        self._contexts: list[str] = []

    def log_in(self, name: str) -> Tab:
        """A browser in which somebody has logged in."""
        tab = self._browser.tab("about:blank")
        context = tab.devtools("Target.createBrowserContext")["browserContextId"]
        self._contexts.append(context)
        before = set(self._browser.command("GET", "/window/handles"))
        tab.devtools(
            "Target.createTarget",
            url=f"{self._site.url}/",
            browserContextId=context,
            newWindow=True,
        )
        (handle,) = set(self._browser.command("GET", "/window/handles")) - before
        tab.close()
        tab = Tab(self._browser, handle)
        tab.wait("document.querySelector('[name=password]')", timeout=LIMIT)
        tab.type("[name=username]", name)
        tab.type("[name=password]", "wssend")
        tab.click(".login .primary")
        tab.wait(f"document.querySelector('#status') && {CONNECTED}", timeout=LIMIT)
        return tab

    def leave(self) -> None:
        """Close them all."""
        self._browser.close_tabs()
        for context in self._contexts:
            self._browser.command(
                "POST",
                "/goog/cdp/execute",
                {
                    "cmd": "Target.disposeBrowserContext",
                    "params": {"browserContextId": context},
                },
            )


def test_a_celery_tasks_progress_arrives_in_both_browsers(visitors: Visitors) -> None:
    laptop, phone, other = map(visitors.log_in, ("ada", "ada", "grace"))
    laptop.type("[name=title]", "Sales, November")
    laptop.click("#start .primary")
    for tab in (laptop, phone):
        tab.wait(f"{JOBS}.some((job) => job.includes('ready'))", timeout=LIMIT)
        assert "Sales, November" in tab.run(f"return {JOBS}[0]")
    phone.type("#announce [name=text]", "Lunch is ready")
    phone.click("#announce button")
    for tab in (laptop, phone, other):
        tab.wait(f"{NOTES}.some((note) => note.includes('Lunch is ready'))")
    assert other.run(f"return {JOBS}") == []

    build = ROOT / "build"
    for name, tab, scheme, width in (
        ("laptop", laptop, "light", 1100),
        ("phone", phone, "dark", 420),
    ):
        tab.look(width=width, height=640, scheme=scheme)
        tab.screenshot(build / f"notifications-{name}.png")


def test_a_logout_ends_all_of_the_users_pages(visitors: Visitors) -> None:
    laptop, phone, other = map(visitors.log_in, ("ada", "ada", "grace"))
    laptop.click("header button")
    for tab in (laptop, phone):
        tab.wait("document.querySelector('[name=password]')", timeout=LIMIT)
    assert other.run(f"return {CONNECTED}")
    other.type("#announce [name=text]", "still here")
    other.click("#announce button")
    other.wait(f"{NOTES}.some((note) => note.includes('still here'))")
