"""examples/fastapi_push under uvicorn: the hub in the application's own loop."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e.webdriver import Browser
from programs import LIMIT, Program, Visitor, python
from wsclient import Client

pytestmark = pytest.mark.timeout(180)

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/fastapi_push"
STATUS = "document.querySelector('#status').textContent"
LOG = "document.querySelectorAll('#log li').length"


class Jobs:
    """The application, under uvicorn."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.url = program.wait_for(r"running on (http://[\d.:]+)")[1]

    def log_in(self, user: str) -> tuple[str, str]:
        """The user's token, and the hub's address."""
        status, answer = self.ask("/login", {"user": user})
        assert status == 200, answer
        return answer["token"], answer["url"]

    def ask(self, path: str, body: Any = None, token: str = "") -> tuple[int, Any]:
        """Call an endpoint."""
        return Visitor(self.url).ask("POST", path, body, token)

    def connect(self, user: str) -> tuple[str, Client]:
        """A user's token, and a page of theirs."""
        token, url = self.log_in(user)
        return token, Client(url, headers=[("Authorization", f"Bearer {token}")])


@pytest.fixture(params=["asyncio", "uvloop"])
def jobs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Jobs]:
    options = ["--port=0", f"--loop={request.param}"]
    environment = {"HUB_PORT": "0", "JOB_STEP": "0.01"}
    command = python("uvicorn", "app:app", *options)
    with Program(tmp_path / "uvicorn.log", command, environment, EXAMPLE) as program:
        jobs = Jobs(program)
        yield jobs
        program.stop()
        assert "Application shutdown complete" in program.said()
        assert "Traceback" not in program.said()


def hear(client: Client) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(client.recv())
    return event


def test_endpoints_push_from_coroutines_and_from_threads(jobs: Jobs) -> None:
    token, ada = jobs.connect("ada")
    _, grace = jobs.connect("grace")
    with ada, grace:
        assert jobs.ask("/jobs", token=token) == (202, {"watched": True})
        assert [hear(ada)["percent"] for _ in range(6)] == [0, 20, 40, 60, 80, 100]
        answer = jobs.ask("/news", {"text": "done"}, token)
        assert answer == (200, {"reached": 2, "slow": 0})
        for client in (ada, grace):
            assert hear(client) == {"type": "news", "text": "done", "from": "ada"}


def test_who_connects_shows_the_token_that_the_endpoints_want(jobs: Jobs) -> None:
    token, url = jobs.log_in("ada")
    offer = ("Sec-WebSocket-Protocol", f"bearer, {token}")
    with Client(url, headers=[offer]) as client:  # as browsers do it
        assert "Sec-WebSocket-Protocol: bearer" in client.response.splitlines()
        client.send("hello")
        close = client.answer_close()
        assert (close.code, close.reason) == (1008, "Call the endpoints.")
    with Client(url, headers=[("Authorization", "Bearer wrong")]) as client:
        assert client.answer_close().code == 4401
    for wrong in ("", "wrong"):
        assert jobs.ask("/jobs", token=wrong)[0] == 401
    assert jobs.ask("/login", {"user": ""})[0] == 422


def test_a_logout_closes_all_that_the_user_has_open(jobs: Jobs) -> None:
    token, laptop = jobs.connect("ada")
    _, phone = jobs.connect("ada")
    _, other = jobs.connect("grace")
    with laptop, phone, other:
        assert jobs.ask("/logout", token=token)[0] == 200
        for client in (laptop, phone):
            close = client.answer_close()
            assert (close.code, close.reason) == (4401, "logged out")
        jobs.program.ask_to_end()
        assert other.answer_close().code == 1001, "the application ends"


@pytest.mark.parametrize("jobs", ["uvloop"], indirect=True)
def test_the_page(jobs: Jobs, browser: Browser) -> None:
    tab = browser.tab(jobs.url)
    tab.type("#login input", "ada")
    tab.click("#login button")
    tab.wait(f"{STATUS} === 'connected'", timeout=LIMIT)
    tab.click("#jobs button")
    tab.wait("document.querySelector('#log progress')?.value === 100")
    tab.type("#news input", "All reports are ready")
    tab.click("#news button")
    tab.wait(f"{LOG} === 2")
    tab.look(width=720, height=420)
    tab.screenshot(ROOT / "build/fastapi-push.png")
    tab.click("#logout")
    tab.wait(f"{STATUS} === 'logged out'")
