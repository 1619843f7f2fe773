"""examples/prices: real clients, one that is behind, and a browser."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aio_kit import in_thread, run_in
from aio_kit import until as aio_until
from e2e.webdriver import Browser
from prices.server import START, Board
from programs import LIMIT, Program
from wsclient import Client

import wssend
from wssend import aio
from wssend.testing import MemoryClient, connect

pytestmark = pytest.mark.timeout(120)

ROOT = Path(__file__).parents[2]


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    command = [sys.executable, str(ROOT / "examples/prices/server.py"), "--port=0"]
    with Program(tmp_path / "prices.log", [*command, "--rate=1000"]) as program:
        yield program.wait_for(r"open (http://127.0.0.1:\d+/)")[1]
        assert program.stop() == 0
        assert len(program.said().splitlines()) == 1, program.said()


def dial(url: str) -> Client:
    page = ("Origin", "http://localhost")
    return Client(url.replace("http", "ws"), "/", [page])


def ask(client: Client | MemoryClient, **wish: list[str]) -> None:
    client.send(json.dumps(wish))


def symbol(client: Client) -> str:
    """Whose price comes next."""
    name: str = json.loads(client.recv())["symbol"]
    return name


def test_a_client_gets_the_symbols_that_it_asks_for(url: str) -> None:
    with dial(url) as one, dial(url) as other:
        ask(one, subscribe=["ACME", "BOLT", "no such"])
        ask(other, subscribe=["CRUX"])
        assert {symbol(one), symbol(one)} == {"ACME", "BOLT"}, "the prices of now"
        assert {symbol(one) for _ in range(60)} == {"ACME", "BOLT"}
        assert {symbol(other) for _ in range(20)} == {"CRUX"}
        ask(one, drop=["ACME"], subscribe=["DUNE"])
        while symbol(one) != "DUNE":
            pass
        assert "ACME" not in {symbol(one) for _ in range(30)}


def test_who_asks_for_nonsense_is_told_and_closed(url: str) -> None:
    for wish in ("{", "1", '{"subscribe": 1}', '{"drop": [[]]}'):
        with dial(url) as client:
            client.send(wish)
            close = client.answer_close()
            assert (close.code, close.reason) == (
                1007,
                'I take {"subscribe": ["ACME"]}.',
            )


def test_who_was_behind_gets_the_latest_prices_when_there_is_room() -> None:
    async def main() -> None:
        with wssend.WSHub(send_queue=16) as hub:
            board = Board(hub, seed=1)
            async with aio.serve(board.handle, hub=hub):
                slow, quick = connect(hub), connect(hub)
                for client in (slow, quick):
                    ask(client, subscribe=["ACME", "BOLT"])
                await aio_until(lambda: all(len(c.topics) == 2 for c in hub.clients()))
                slow.stall()
                for _ in range(20):
                    board.tick("ACME")
                board.tick("BOLT")
                assert board.missed == {slow.client: {"ACME", "BOLT"}}
                assert len(quick.received) == 2 + 21
                slow.resume()
                await aio_until(lambda: not board.missed)
                await in_thread(lambda: [slow.receive(10) for _ in range(2 + 16 + 2)])
                last = {json.loads(m)["symbol"]: m for m in slow.received}
                assert last == {
                    s: board.latest[s].data.decode() for s in ("ACME", "BOLT")
                }
                slow.expect_nothing()
                slow.vanish()
                quick.close()
                await aio_until(lambda: not board.viewers)

    run_in("asyncio", main)


def test_who_leaves_while_behind_is_forgotten() -> None:
    async def main() -> None:
        with wssend.WSHub(send_queue=4) as hub:
            board = Board(hub)
            async with aio.serve(board.handle, hub=hub):
                slow = connect(hub)
                slow.stall()
                ask(slow, subscribe=list(START))  # more than it has room for
                await aio_until(lambda: len(board.missed.get(slow.client, ())) == 4)
                slow.vanish()
                await aio_until(lambda: not (board.missed or board.tasks))
                assert board.viewers == {}

    run_in("asyncio", main)


def test_the_page_shows_prices_that_move(url: str, browser: Browser) -> None:
    tab = browser.tab(url)
    tab.wait("document.querySelector('#status').textContent === 'live'", timeout=LIMIT)
    moved = "[...rows.values()].every(({past}) => past.length === 60)"
    tab.wait(moved, timeout=LIMIT)
    tab.wait("document.querySelector('.rose') && document.querySelector('.fell')")
    for name, scheme, width in (("wide", "light", 800), ("narrow", "dark", 420)):
        tab.look(width=width, height=520, scheme=scheme)
        tab.screenshot(ROOT / f"build/prices-{name}.png")
    tab.click("#ACME input")
    tab.click("#BOLT input")
    tab.click("#BOLT input")
    script = "return [...document.querySelectorAll('tr.off')].map((row) => row.id)"
    off: Any = tab.run(script)
    assert off == ["ACME"]
