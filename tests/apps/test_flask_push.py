"""examples/flask_push under gunicorn: two workers, and the hub beside them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from e2e.webdriver import Browser
from kit import until
from programs import LIMIT, Program, Visitor, gunicorn_of
from wsclient import Client

pytestmark = pytest.mark.timeout(180)

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/flask_push"
WORKERS = {
    "sync": ["--workers=2"],
    "preloaded": ["--workers=2", "--preload"],
    "gthread": ["--workers=2", "--worker-class=gthread", "--threads=4"],
}
STATUS = "document.querySelector('#status').textContent"
LOG = "[...document.querySelectorAll('#log li')].map((line) => line.innerText)"


class Shop:
    """The hub and gunicorn."""

    def __init__(self, stack: ExitStack, folder: Path, options: list[str]) -> None:
        self._stack, self._folder = stack, folder
        self._environment = {
            "SECRET": "only for this test",
            "HUB_SOCKET": f"unix:{folder}/hub.sock",
            "HUB_PORT": "0",
        }
        self.hub, self.hub_url = self.start_hub()
        self._environment["HUB_PORT"] = self.hub_url.split(":")[-1].strip("/")
        self.gunicorn = self._run("gunicorn", gunicorn_of("app:app", *options))
        self.url = self.gunicorn.wait_for(r"Listening at: (http://[\d.:]+)")[1]

    def _run(self, name: str, command: list[str]) -> Program:
        log = self._folder / f"{name}.log"
        program = Program(log, command, self._environment, EXAMPLE)
        return self._stack.enter_context(program)

    def start_hub(self) -> tuple[Program, str]:
        """The hub's process and its address."""
        hub = self._run("hub", [sys.executable, "hub.py"])
        return hub, hub.wait_for(r"hub at (ws://\S+)")[1]

    def log_in(self, user: str) -> Visitor:
        """Somebody who is logged in."""
        visitor = Visitor(self.url)
        assert visitor.ask("POST", "/login", {"user": user}) == (200, {"user": user})
        return visitor

    def connect(self, visitor: Visitor) -> Client:
        """A page of that visitor's."""
        status, answer = visitor.ask("POST", "/ticket", {})
        assert status == 200, answer
        return Client(self.hub_url, f"/?ticket={answer['ticket']}")


@pytest.fixture
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    kind: str = getattr(request, "param", "gthread")
    with ExitStack() as stack:
        shop = Shop(stack, tmp_path, WORKERS[kind])
        yield shop
        assert shop.hub.stop() == 0
        assert "Traceback" not in shop.hub.said() + shop.gunicorn.said()


def hear(client: Client) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(client.recv())
    return event


@pytest.mark.parametrize("shop", WORKERS, indirect=True)
def test_views_push_to_a_customer_and_to_everybody(shop: Shop) -> None:
    ada, grace = shop.log_in("ada"), shop.log_in("grace")
    laptop, phone, other = (shop.connect(who) for who in (ada, ada, grace))
    with laptop, phone, other:
        for number in range(8):  # both workers have had some of them
            item = f"bell {number}"
            status, _ = ada.ask("POST", "/orders", {"item": item})
            assert status == 201
        for client in (laptop, phone):
            items = {hear(client)["item"] for _ in range(8)}
            assert items == {f"bell {number}" for number in range(8)}
        answer = grace.ask("POST", "/news", {"text": "closed at noon"})
        assert answer == (200, {"reached": 3, "slow": 0})
        for client in (laptop, phone, other):
            event = {"type": "news", "text": "closed at noon", "from": "grace"}
            assert hear(client) == event


def test_only_those_with_a_ticket_come_in(shop: Shop) -> None:
    status, _ = Visitor(shop.url).ask("POST", "/ticket", {})
    assert status == 401
    ada = shop.log_in("ada")
    ticket = ada.ask("POST", "/ticket", {})[1]["ticket"]
    with Client(shop.hub_url, f"/?ticket={ticket}") as client:
        with Client(shop.hub_url, f"/?ticket={ticket}") as again:
            close = again.answer_close()
            assert (close.code, close.reason) == (4401, "the ticket was used before")
        client.leave()
    wrong: list[Any] = [None, [], {}, {"user": ""}, {"user": 1}]
    for body in wrong:
        status, _ = ada.ask("POST", "/login", body)
        assert status == 400, body


def test_the_shop_goes_on_without_its_hub_and_pushes_when_it_is_back(
    shop: Shop,
) -> None:
    ada = shop.log_in("ada")
    with shop.connect(ada) as client:
        assert ada.ask("POST", "/orders", {"item": "a bell"})[0] == 201
        assert hear(client)["item"] == "a bell"
        shop.hub.ask_to_end()
        assert client.answer_close().code == 1001
        assert shop.hub.stop() == 0
        assert ada.ask("POST", "/orders", {"item": "a horn"})[0] == 201
        status, _ = ada.ask("POST", "/news", {"text": "nobody hears it"})
        assert status == 503
    shop.hub, shop.hub_url = shop.start_hub()
    with shop.connect(ada) as client:
        # until the worker that answers has connected again
        until(lambda: ada.ask("POST", "/news", {"text": "back"})[0] == 200, LIMIT)
        event = hear(client)
        while event["type"] == "order":  # what was queued when the hub went
            event = hear(client)
        assert event["text"] == "back"


def test_the_page(shop: Shop, browser: Browser) -> None:
    tab = browser.tab(shop.url)
    tab.type("#login input", "ada")
    tab.click("#login button")
    tab.wait(f"{STATUS} === 'connected'", timeout=LIMIT)
    tab.type("#orders input", "A bicycle bell")
    tab.click("#orders button")
    tab.wait(f"{LOG}.length === 1")
    tab.type("#news input", "We close at noon")
    tab.click("#news button")
    tab.wait(f"{LOG}.length === 2")
    shown = tab.run(f"return {LOG}")
    assert ["".join(line.split()) for line in shown] == [
        "newsWecloseatnoon(ada)",
        "orderAbicyclebellisonitsway",
    ]
    tab.look(width=720, height=420)
    tab.screenshot(ROOT / "build/flask-push.png")
