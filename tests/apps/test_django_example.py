"""examples/notifications: two browsers, a Celery worker, gunicorn and the hub."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from e2e.conftest import tool
from e2e.webdriver import Browser, Tab
from programs import LIMIT, Program, gunicorn_of, python

pytestmark = pytest.mark.timeout(180)

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/notifications"
CONNECTED = "document.querySelector('#status').textContent === 'connected'"
JOBS = "[...document.querySelectorAll('#jobs li')].map((line) => line.innerText)"
PROGRESS = "document.querySelector('#jobs progress').value"  # of the newest
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
        server = self._run(
            "redis",
            [redis, *f"--port 0 --unixsocket {folder}/redis.sock --save".split(), ""],
        )
        for command in ("migrate", "people"):
            subprocess.run(
                [sys.executable, "manage.py", command],
                cwd=EXAMPLE,
                env={**os.environ, **self._environment},
                timeout=LIMIT,
                check=True,
                capture_output=True,
            )
        hub = self._run("hub", python("django", "wssend", "--port=0"))
        server.wait_for("eady to accept connections")
        worker = self._run(
            "celery",
            python("celery", "-A", "config", "worker", "--concurrency=1", "-lINFO"),
        )
        port = hub.wait_for(r"serving ws://127.0.0.1:(\d+)/")[1]
        self._environment["WSSEND_PORT"] = port
        # Threads, since browsers open connections that they may need later.
        threads = ["--worker-class=gthread", "--threads=4"]
        gunicorn = self._run(
            "gunicorn", gunicorn_of("config.wsgi", "--workers=2", *threads)
        )
        self.url = gunicorn.wait_for(r"Listening at: (http://[\d.:]+)")[1]
        worker.wait_for(r"celery@\S+ ready\.")

    def _run(self, name: str, command: list[str]) -> Program:
        log = self._folder / f"{name}.log"
        program = Program(log, command, self._environment, EXAMPLE)
        return self._stack.enter_context(program)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(stack, tmp_path)


@pytest.fixture
def second(tmp_path: Path) -> Iterator[Browser]:
    """Another browser, with cookies of its own."""
    driver, program = tool("chromedriver"), tool("chromium", "google-chrome")
    (tmp_path / "second").mkdir()
    browser = Browser(driver, program, tmp_path / "second")
    try:
        yield browser
        browser.close_tabs()
        assert browser.console() == []
    finally:
        browser.quit()


def log_in(browser: Browser, url: str, name: str) -> Tab:
    tab = browser.tab(url)
    tab.type("[name=username]", name)
    tab.type("[name=password]", "wssend")
    tab.click(".login .primary")
    tab.wait(f"document.querySelector('#status') && {CONNECTED}", timeout=LIMIT)
    return tab


def test_two_browsers_see_a_celery_task_and_a_logout(
    site: Site, browser: Browser, second: Browser
) -> None:
    laptop = log_in(browser, site.url, "ada")
    phone = log_in(second, site.url, "ada")
    elsewhere = site.url.replace("127.0.0.1", "localhost")  # other cookies
    other = log_in(second, elsewhere, "grace")
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

    laptop.type("[name=title]", "Stock by warehouse")
    laptop.click("#start .primary")
    for tab in (laptop, phone):
        tab.wait(f"{JOBS}.length === 2 && {PROGRESS} >= 40", timeout=LIMIT)
    for name, tab, scheme, width in (
        ("laptop", laptop, "light", 1100),
        ("phone", phone, "dark", 420),
    ):
        tab.look(width=width, height=420, scheme=scheme)
        tab.screenshot(ROOT / f"build/notifications-{name}.png")

    laptop.click("header button")
    for tab in (laptop, phone):
        tab.wait("document.querySelector('[name=password]')", timeout=LIMIT)
    assert other.run(f"return {CONNECTED}")
    other.type("#announce [name=text]", "still here")
    other.click("#announce button")
    other.wait(f"{NOTES}.some((note) => note.includes('still here'))")
