"""examples/chat: real clients, a stalled one, and two windows of a browser."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aio_kit import in_thread, run_in
from aio_kit import until as aio_until
from chat.server import HISTORY, ROOMS, Chat
from e2e.webdriver import Browser, Tab
from programs import LIMIT, Program
from wsclient import Client

import wssend
from wssend import aio
from wssend.testing import MemoryClient, connect

pytestmark = pytest.mark.timeout(120)

ROOT = Path(__file__).parents[2]
SAID = "[...document.querySelectorAll('#log .text')].map((each) => each.innerText)"
PEOPLE = "[...document.querySelectorAll('#people li')].map((each) => each.innerText)"
STATUS = "document.querySelector('#status').dataset.is"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Program]:
    command = [sys.executable, str(ROOT / "examples/chat/server.py"), "--port=0"]
    with Program(tmp_path / "chat.log", command) as program:
        yield program
        assert program.stop() == 0
        assert len(program.said().splitlines()) == 1, program.said()


@pytest.fixture
def url(server: Program) -> str:
    return server.wait_for(r"open (http://127.0.0.1:\d+/)")[1]


def come(url: str, name: str, **options: Any) -> Client:
    page = ("Origin", "http://localhost")
    return Client(url.replace("http", "ws"), f"/?name={name}", [page], **options)


def say(client: Client, text: str, kind: str = "say") -> None:
    client.send(json.dumps({"type": kind, "text": text}))


def hear(client: Client, kind: str = "said") -> dict[str, Any]:
    """The next message of that kind."""
    while True:
        line: dict[str, Any] = json.loads(client.recv())
        if line["type"] == kind:
            return line


def see(client: Client, *names: str) -> None:
    """Wait until exactly they are in the room."""
    while hear(client, "people")["names"] != list(names):
        pass


def test_two_people_talk_and_one_goes_to_another_room(url: str) -> None:
    with come(url, "ada") as ada, come(url, "grace") as grace:
        assert hear(ada, "room")["room"] == "lobby"
        see(ada, "ada", "grace")
        say(ada, "hello")
        for one in (ada, grace):
            line = hear(one)
            assert (line["name"], line["text"]) == ("ada", "hello")
        say(grace, "garden", "join")
        assert hear(grace, "room")["room"] == "garden"
        see(ada, "ada")
        say(grace, "nobody hears it")
        assert hear(grace)["text"] == "nobody hears it"
        say(grace, "lobby", "join")
        assert hear(grace)["text"] == "hello", "what was said there before"
        say(grace, "and I am back")
        assert hear(ada)["text"] == "and I am back"
        ada.leave()
        see(grace, "grace")
        grace.leave()


def test_nonsense_is_answered_and_nobody_leaves(url: str) -> None:
    with come(url, "ada") as ada:
        for what in ("{", "[]", "1", '{"type": "say", "text": 1}', '{"type": "say"}'):
            ada.send(what)
            assert hear(ada, "error")["text"] == "not a message of this chat", what
        say(ada, "no such, place", "join")
        assert hear(ada, "error")["text"] == "cannot join 'no such, place'"
        say(ada, "still here")
        assert hear(ada)["text"] == "still here"
        ada.leave()


def test_a_name_that_is_wrong_or_taken_is_turned_away(url: str) -> None:
    with come(url, "ada") as ada:
        hear(ada, "people")
        for name, code in (("", 4403), ("a%20b", 4403), ("ada", 4409)):
            with come(url, name) as other:
                assert other.answer_close().code == code, name
        ada.leave()


def test_a_member_that_does_not_read_leaves_and_holds_up_nobody(url: str) -> None:
    with (
        come(url, "ada") as ada,
        come(url, "grace") as grace,
        come(url, "stalled", receive_buffer=4096),
    ):
        see(ada, "ada", "grace", "stalled")
        names = None
        for number in range(5000):
            say(ada, f"{number} {'x' * 3500}")
            for one in (ada, grace):
                line = json.loads(one.recv())
                while line["type"] != "said":
                    names = line.get("names", names)
                    line = json.loads(one.recv())
                assert line["text"].startswith(f"{number} ")
            if names == ["ada", "grace"]:
                break
        assert names == ["ada", "grace"], "the stalled one was let go"
        grace.leave()
        ada.leave()


def test_everybody_is_told_to_come_back_when_the_server_ends(
    server: Program, url: str
) -> None:
    with come(url, "ada") as ada:
        hear(ada, "people")
        server.ask_to_end()
        assert ada.answer_close().code == 1001


# The chat itself, with clients that need no sockets.


def enter(chat: Chat, name: str, room: str = "lobby") -> MemoryClient:
    client = connect(chat.hub, id=name)
    chat.enter(client.client, room)
    return client


def test_a_stalled_member_is_closed_when_its_channel_is_full() -> None:
    with wssend.WSHub(authorize=True, send_queue=8) as hub:
        chat = Chat(hub)
        ada, slow = enter(chat, "ada"), enter(chat, "slow")
        slow.stall()
        for number in range(8):
            chat.say(ada.client, f"line {number}")
        assert not slow.client.closed
        chat.say(ada.client, "one too many")
        assert (slow.client.closed, ada.client.closed) == (True, False)
        chat.obey(slow.client, '{"type": "say", "text": "too late"}')
        slow.resume()
        assert slow.expect_close(1013) == 1013
        texts = [json.loads(line).get("text") for line in ada.received]
        assert texts[-3:] == ["line 7", "one too many", None]
        assert json.loads(ada.received[-1]) == {"type": "people", "names": ["ada"]}


def test_a_newcomer_that_cannot_take_the_history_is_closed() -> None:
    with wssend.WSHub(authorize=True, send_queue=4) as hub:
        chat = Chat(hub)
        ada = enter(chat, "ada")
        for number in range(10):
            chat.say(ada.client, f"line {number}")
        slow = connect(hub, id="slow")
        slow.stall()
        with pytest.raises(wssend.ChannelClosed):
            chat.enter(slow.client, "lobby")  # what handle() does
        assert slow.client.close_code == 1013
        assert set(chat.rooms) == {ada.client}


def test_a_room_remembers_the_last_lines_and_the_chat_so_many_rooms() -> None:
    with wssend.WSHub(authorize=True) as hub:
        chat = Chat(hub)
        ada = enter(chat, "ada", "room0")
        for number in range(HISTORY + 5):
            chat.say(ada.client, f"line {number}")
        heard = [json.loads(line) for line in enter(chat, "grace", "room0").received]
        texts = [line["text"] for line in heard if line["type"] == "said"]
        assert texts == [f"line {number}" for number in range(5, HISTORY + 5)]
        for number in range(1, 2 * ROOMS):
            enter(chat, f"visitor{number}", f"room{number}").close()
            chat.leave(next(c for c in chat.rooms if c.id == f"visitor{number}"))
        assert len(chat.said) == ROOMS
        assert {"lobby", "room0"} <= chat.said.keys()


def test_the_handler_lets_go_of_who_has_gone() -> None:
    async def main() -> None:
        with wssend.WSHub() as hub:
            chat = Chat(hub)
            async with aio.serve(chat.handle, hub=hub):
                ada = connect(hub, id="ada")
                line = await in_thread(ada.receive, 10)
                assert json.loads(line) == {"type": "room", "room": "lobby"}
                ada.vanish()
                await aio_until(lambda: not chat.rooms)

    run_in("asyncio", main)


# In a browser.


def join(browser: Browser, url: str, name: str) -> Tab:
    tab = browser.tab(url)
    tab.type("[name=name]", name)
    tab.click("#login button")
    tab.wait(f"{STATUS} === 'connected'", timeout=LIMIT)
    return tab


def speak(tab: Tab, text: str) -> None:
    tab.type("#say input", text)
    tab.click("#say button")


def test_two_windows_of_a_browser(url: str, browser: Browser) -> None:
    ada, grace = join(browser, url, "ada"), join(browser, url, "grace")
    ada.wait(f"{PEOPLE}.length === 2")
    talk = [
        (ada, "Morning! Is the release out?"),
        (grace, "Since nine. The board is green on all four Pythons."),
        (ada, "<b>Great</b> & thank you"),
        (grace, "Lunch in the garden at noon, who comes along?"),
    ]
    for number, (tab, text) in enumerate(talk, 1):
        speak(tab, text)
        for each in (ada, grace):
            each.wait(f"{SAID}.length === {number}")
            assert text in each.run(f"return {SAID}.at(-1)")
    for name, tab, scheme, width in (
        ("wide", ada, "light", 960),
        ("narrow", grace, "dark", 420),
    ):
        tab.look(width=width, height=560, scheme=scheme)
        tab.run("document.querySelector('#log').lastChild.scrollIntoView()")
        tab.screenshot(ROOT / f"build/chat-{name}.png")

    twin = browser.tab(url)
    twin.type("[name=name]", "ada")
    twin.click("#login button")
    twin.wait("document.querySelector('.wrong').textContent === 'ada is here already.'")
    twin.look(width=960, height=560)
    twin.screenshot(ROOT / "build/chat-login.png")

    ada.look(width=960, height=560)
    ada.click("#rooms li:nth-child(2) button")
    grace.wait(f"{PEOPLE}.length === 1")
    ada.wait("document.querySelector('#room').textContent === 'garden'")
    assert ada.run(f"return {SAID}.length") == 0
