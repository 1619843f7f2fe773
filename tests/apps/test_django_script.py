"""wssend.js in a real Chromium, with a page that the hub itself serves."""

from __future__ import annotations

import queue
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django_kit import log_in, new_user
from e2e.webdriver import Browser, Tab
from kit import there, until
from wsclient import TIMEOUT

import wssend
from wssend.django import Message, message_received
from wssend.django.conf import parse
from wssend.django.service import Service

pytestmark = pytest.mark.timeout(120)

SCRIPT = Path(there(finders.find("wssend/wssend.js"))).read_text()
QUICK = "firstDelay: 20, longestDelay: 100"
CONNECT = """
    const got = [], ends = [];
    const socket = wssend.connect({
        QUICK,
        onmessage: (data) => got.push(data),
        onclose: (end) => ends.push(end),
    });
""".replace("QUICK", QUICK)
OPEN = "socket.state === 'open'"


class Place:
    """A port where a hub may serve, stop, and serve again."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._socket = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/"

    def serve(self, script: str = CONNECT, **setting: Any) -> Service:
        """Start a hub, whose page runs a script after wssend.js."""
        settings, problems = parse({"EMBEDDED": True, "PORT": 0} | setting)
        assert problems == []
        service = Service(settings)
        self._stack.callback(service.stop, 5.0)
        service.start()
        at = f"{self.url.replace('http', 'ws')}ws"
        service.hub.add_page(
            "/",
            "text/html",
            "<!doctype html><title>page</title><link rel=icon href=data:,>"
            f'<body><script src="/wssend.js" data-url="{at}"></script>'
            f"<script>{script}</script>",
        )
        service.hub.add_page("/wssend.js", "text/javascript", SCRIPT)
        service.hub.listen(sock=self._socket)
        return service


@contextmanager
def making_places() -> Iterator[Place]:
    with ExitStack() as stack:
        yield Place(stack)


@pytest.fixture
def place() -> Iterator[Place]:
    """It outlives the browser's tabs: it comes before `browser` everywhere."""
    with making_places() as place:
        yield place


def only_client(service: Service) -> wssend.WSClient:
    (client,) = until(service.hub.clients)
    return client


def test_messages_are_parsed_where_they_are_json(
    place: Place, browser: Browser
) -> None:
    service = place.serve(ALLOW_ANONYMOUS=True)
    tab = browser.tab(place.url)
    tab.wait(OPEN)
    client = only_client(service)
    client.send('{"n": [1]}')
    client.send("as it is")
    client.send(b"\x01\x02")
    tab.wait("got.length === 3")
    assert tab.run("return [got[0], got[1], [...new Uint8Array(got[2])]]") == [
        {"n": [1]},
        "as it is",
        [1, 2],
    ]


def test_objects_are_sent_as_json(place: Place, browser: Browser) -> None:
    got: queue.Queue[str | bytes] = queue.Queue()

    def note(sender: object, message: Message, **_: object) -> None:
        got.put(message.data)

    message_received.connect(note)
    place.serve(ALLOW_ANONYMOUS=True)
    tab = browser.tab(place.url)
    tab.wait(OPEN)
    sent = "socket.send({a: 1}), socket.send('b'), socket.send(new Uint8Array([7]))"
    assert tab.run(f"return [{sent}]") == [True] * 3
    assert [got.get(timeout=TIMEOUT) for _ in range(3)] == ['{"a":1}', "b", b"\7"]


def test_it_is_who_the_session_says(place: Place, browser: Browser) -> None:
    user = new_user()
    script = f"document.cookie = 'sessionid={log_in(user)}';" + CONNECT
    service = place.serve(script)
    tab = browser.tab("about:blank")
    tab.devtools("Network.clearBrowserCookies")  # those of another test
    tab.open(place.url)
    tab.wait(OPEN)
    assert only_client(service).user == str(user.pk)


@pytest.mark.parametrize("code", [1001, 1011, 1012, 4000])
def test_it_comes_back(place: Place, browser: Browser, code: int) -> None:
    service = place.serve(ALLOW_ANONYMOUS=True)
    tab = browser.tab(place.url)
    tab.wait(OPEN)
    only_client(service).close(code)
    tab.wait(f"ends.length === 1 && {OPEN}")
    assert tab.run("return ends") == [{"code": code, "reason": "", "final": False}]


@pytest.mark.parametrize("code", [4401, 4403, 4409])
def test_it_does_not_come_back_where_it_would_be_refused(
    place: Place, browser: Browser, code: int
) -> None:
    service = place.serve(ALLOW_ANONYMOUS=True)
    tab = browser.tab(place.url)
    tab.wait(OPEN)
    only_client(service).close(code, "no")
    tab.wait("ends.length === 1")
    assert tab.run("return ends") == [{"code": code, "reason": "no", "final": True}]
    assert tab.run("return socket.state") == "closed"
    assert tab.run("dispatchEvent(new Event('online')); return socket.state") == (
        "closed"
    )


def test_it_does_not_come_back_after_close(place: Place, browser: Browser) -> None:
    service = place.serve(ALLOW_ANONYMOUS=True)
    tab = browser.tab(place.url)
    tab.wait(OPEN)
    assert tab.run("socket.close(); socket.close(); return socket.state") == "closed"
    assert tab.run("return socket.send('too late')") is False
    until(lambda: len(service.hub) == 0)


def test_it_comes_back_when_the_server_does(place: Place, browser: Browser) -> None:
    first = place.serve(ALLOW_ANONYMOUS=True)
    tab = browser.tab(place.url)
    tab.wait(OPEN)
    first.stop(5.0)
    tab.wait("ends.length >= 1")
    second = place.serve(ALLOW_ANONYMOUS=True)
    tab.wait(OPEN, timeout=40)
    only_client(second).send("again")
    tab.wait("got.includes('again')")
    browser.console()  # attempts that failed are among the complaints


def test_it_waits_longer_each_time_and_at_random(
    place: Place, browser: Browser
) -> None:
    place.serve("")
    tab = browser.tab(place.url)
    waits = tab.run_async(
        """
        const done = arguments[0], later = setTimeout, waits = [];
        Math.random = () => 0.5;
        window.setTimeout = (job, most) => {
            waits.push(most);
            if (waits.length < 8) return later(job, 0);
            window.setTimeout = later;
            socket.close();
            done(waits);
        };
        const socket = wssend.connect({ url: "ws://127.0.0.1:1/" });
        """
    )
    assert waits == [500, 1000, 2000, 4000, 8000, 15000, 15000, 15000]
    browser.console()  # the attempts failed


@pytest.mark.parametrize(
    "event", ["window.dispatchEvent(new Event('online'))", "wake()"]
)
def test_it_comes_back_at_once_when_there_is_a_reason_to(
    place: Place, browser: Browser, event: str
) -> None:
    script = """
        const wake = () => document.dispatchEvent(new Event('visibilitychange'));
        Math.random = () => 1;
    """ + CONNECT.replace(QUICK, "firstDelay: 3600000, longestDelay: 3600000")
    service = place.serve(script, ALLOW_ANONYMOUS=True)
    tab = browser.tab(place.url)
    tab.wait(OPEN)
    only_client(service).close(1012)
    tab.wait("socket.state === 'waiting'")
    tab.run(event)
    tab.wait(OPEN)


def test_it_can_be_imported_by_a_module(place: Place, browser: Browser) -> None:
    service = place.serve("", ALLOW_ANONYMOUS=True)
    tab: Tab = browser.tab(place.url)
    state = tab.run_async(
        """
        const done = arguments[0];
        import("/wssend.js").then(() => {
            const socket = wssend.connect({ onopen: () => done(socket.state) });
        });
        """
    )
    assert state == "open"
    only_client(service)
