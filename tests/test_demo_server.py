"""What the demo's server answers; tests/e2e has the page in a browser."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

import wssend
from wssend.demo import Demo

websockets = pytest.importorskip("websockets.sync.client")

TIMEOUT = 10.0  # seconds


class Page:
    """What the page does, in Python."""

    def __init__(self, port: int | None, name: str, stack: ExitStack) -> None:
        url = f"ws://127.0.0.1:{port}/?id={name}"
        options = {"proxy": None, "compression": None, "max_queue": 1}
        connection = websockets.connect(url, close_timeout=1, **options)
        self.socket = stack.enter_context(connection)

    def tell(self, **command: object) -> None:
        self.socket.send(json.dumps(command))

    def next(self, type_: str, /, **wanted: object) -> dict[str, Any]:
        """The next message of that type, with those values."""
        end = time.monotonic() + TIMEOUT
        while True:
            message: dict[str, Any] = json.loads(
                self.socket.recv(max(0.0, end - time.monotonic()))
            )
            if message["type"] == type_ and wanted.items() <= message.items():
                return message

    def ask(self, **command: object) -> dict[str, Any]:
        self.tell(**command)
        return self.next("answer", do=command["do"])


@pytest.fixture
def hub() -> Iterator[wssend.WSHub]:
    with wssend.WSHub(id_query="id") as hub:
        yield hub


@pytest.fixture
def demo(hub: wssend.WSHub) -> Iterator[Demo]:
    demo = Demo(hub)
    demo.start()
    yield demo
    hub.close()
    demo.join(TIMEOUT)


@pytest.fixture
def page(hub: wssend.WSHub, demo: Demo) -> Iterator[Callable[[str], Page]]:
    listener = hub.listen("127.0.0.1", 0)
    with ExitStack() as stack:
        yield lambda name: Page(listener.port, name, stack)


def test_a_page_is_told_its_id_and_the_limits(page: Callable[[str], Page]) -> None:
    hello = page("ada").next("hello")
    assert hello["id"] == "ada"
    assert hello["limits"] == {"messages": 256, "bytes": 1 << 20}


def test_everyone_hears_ticks_with_the_time(page: Callable[[str], Page]) -> None:
    tick = page("ada").next("message", topic="ticks", **{"from": "server"})
    assert abs(time.time() * 1000 - tick["sent"]) < 10_000


def test_who_watches_sees_all_clients(page: Callable[[str], Page]) -> None:
    ada, _ = page("ada"), page("grace")
    ada.tell(do="watch")
    while (table := ada.next("table"))["clients"] != 2:
        pass
    assert table["full"] == 0
    assert {row["id"] for row in table["rows"]} == {"ada", "grace"}
    assert {type(row["accepted"]) for row in table["rows"]} == {int}
    assert ada.ask(do="send", to="ada", text="x")["queued"] == 1


def test_a_text_goes_to_one(page: Callable[[str], Page]) -> None:
    ada, grace = page("ada"), page("grace")
    grace.next("hello")
    answer = ada.ask(do="send", to="grace", text="hello")
    assert (answer["to"], answer["queued"], answer["full"]) == ("grace", 1, [])
    message = grace.next("message", kind="direct")
    assert (message["from"], message["text"]) == ("ada", "hello")


def test_a_text_goes_to_a_topic(page: Callable[[str], Page]) -> None:
    ada, grace = page("ada"), page("grace")
    grace.tell(do="subscribe", topic="news")
    assert grace.next("topics", topics=["news", "ticks"])
    assert ada.ask(do="publish", topic="news", text="hello")["queued"] == 1
    assert grace.next("message", topic="news")["text"] == "hello"
    grace.tell(do="unsubscribe", topic="news")
    assert grace.next("topics", topics=["ticks"])
    assert ada.ask(do="publish", topic="news", text="hello")["queued"] == 0


def test_a_text_goes_to_everyone(demo: Demo, page: Callable[[str], Page]) -> None:
    ada, grace = page("ada"), page("grace")
    for one in (ada, grace):
        one.next("hello")
    assert ada.ask(do="broadcast", text="hello")["queued"] == 2
    assert grace.next("message", kind="everyone")["from"] == "ada"
    assert demo.say("closing time").queued == 2
    assert grace.next("message", text="closing time")["from"] == "server"


@pytest.mark.slow
def test_only_a_flooded_client_that_does_not_read_is_full(
    hub: wssend.WSHub, page: Callable[[str], Page]
) -> None:
    ada, grace = page("ada"), page("grace")
    ada.next("hello")
    for _ in range(2):
        ada.tell(do="flood", to="grace")
    assert ada.next("answer", error="'grace' is being flooded already")
    answer = ada.next("answer", do="flood", running=False)
    assert answer["full"] == ["grace"]
    assert answer["refused"] > 0
    slow = hub.get("grace")
    assert slow is not None
    assert slow.stats().refused_full >= answer["refused"]
    quick = hub.get("ada")
    assert quick is not None
    assert quick.stats().refused_full == 0
    full = ada.ask(do="send", to="grace", text="x" * 4000)
    assert (full["queued"], full["full"]) == (0, ["grace"])
    grace.next("message", kind="flood")  # she reads again
    assert grace.socket.close_code is None


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("{", "a command is a JSON object"),
        ("[1]", "a command is a JSON object"),
        ("[" * 100_000, "a command is a JSON object"),
        (b"\xff\xfe", "a command is a JSON object"),
        ("{}", "do must be a text of 1 to 4096 characters"),
        ('{"do": "dance"}', "do must be one of send, publish"),
        ('{"do": ["send"]}', "do must be a text"),
        ('{"do": "send", "to": "ada"}', "text must be a text"),
        ('{"do": "send", "to": "nobody", "text": "x"}', "nobody"),
        ('{"do": "send", "to": "\\ud800", "text": "x"}', "surrogates not allowed"),
        ('{"do": "publish", "topic": "", "text": "x"}', "topic must be a text of 1"),
        ('{"do": "broadcast", "text": 7}', "text must be a text"),
        ('{"do": "flood", "to": "nobody"}', "there is no client 'nobody'"),
    ],
)
def test_nonsense_is_answered(
    page: Callable[[str], Page], command: str | bytes, error: str
) -> None:
    ada = page("ada")
    ada.socket.send(command)
    assert error in ada.next("answer")["error"]
    assert ada.ask(do="send", to="ada", text="still here")["queued"] == 1


def test_the_demo_ends_with_its_hub(hub: wssend.WSHub) -> None:
    demo = Demo(hub)
    demo.start()
    hub.close()
    demo.join(TIMEOUT)
    demo.run()  # over at once
