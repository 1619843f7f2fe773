"""The demo page in a real Chromium, served by the real command."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from e2e.programs import DemoServer
from e2e.webdriver import Browser, Tab

pytestmark = pytest.mark.timeout(120)

# The server outlives its pages: `demo` comes before `browser` everywhere.

STATUS = "document.querySelector('#status').textContent"
TEXT = "document.querySelector(arguments[0]).textContent"
LOG = "[...document.querySelectorAll('#log li')].map((line) => line.textContent)"
SHOWS = f"{LOG}.find((text) => text.includes(arguments[0]))"
ROW = "rows.get(arguments[0])"  # of the live table: view.js has them by id
CELL = f"{ROW}.cells[arguments[1]].textContent"


def open_tab(browser: Browser, demo: DemoServer, name: str = "") -> Tab:
    tab = browser.tab(demo.url + (f"?id={name}" if name else ""))
    tab.wait(f"{STATUS} === 'connected'")
    return tab


def choose(tab: Tab, kind: str, to: str = "") -> None:
    script = "document.querySelector(`input[value=${arguments[0]}]`).click();"
    tab.run(script, kind)
    if to:
        tab.type("#to", to)


def say(tab: Tab, text: str) -> None:
    tab.type("#text", text)
    tab.click("#send .primary")


def shown(tab: Tab, selector: str) -> str:
    """The text of an element that may be replaced at any moment."""
    text: str = tab.wait(TEXT, selector)
    return text


def answer(tab: Tab, asked: str, place: str = "#answer") -> dict[str, str]:
    """What the page shows that the hub answered."""
    tab.wait(f"{TEXT}.includes(arguments[1])", place, asked)
    pairs: dict[str, str] = tab.run(
        "const pairs = document.querySelectorAll(`${arguments[0]} dl div`);"
        "return Object.fromEntries([...pairs].map("
        "(p) => [p.firstChild.textContent, p.lastChild.textContent]));",
        place,
    )
    return pairs


def log(tab: Tab) -> str:
    lines: list[str] = tab.run(f"return {LOG};")
    return "\n".join(lines)


def number(tab: Tab, client: str, column: str) -> int:
    """A number out of the live table."""
    text: str = tab.wait(f"{ROW} && {CELL}", client, column)
    return int(text.replace(",", ""))


@pytest.fixture
def ada(demo: DemoServer, browser: Browser) -> Tab:
    return open_tab(browser, demo, "ada")


@pytest.fixture
def grace(demo: DemoServer, browser: Browser) -> Tab:
    return open_tab(browser, demo, "grace")


def test_messages_arrive_by_themselves(ada: Tab) -> None:
    line = ada.wait(SHOWS, "tick ")
    assert line.endswith(" ms")
    ada.wait("Number(document.querySelector('#received').textContent) >= 3")
    assert ada.text("#latency").endswith("ms")
    assert ada.text("#my-id") == "ada"


def test_a_page_names_itself_and_keeps_its_name(
    demo: DemoServer, browser: Browser
) -> None:
    tab = open_tab(browser, demo)
    name = tab.text("#my-id")
    assert name.count("-") == 2
    tab.open(demo.url)
    tab.wait(f"{STATUS} === 'connected'")
    assert tab.text("#my-id") == name


def test_the_table_shows_all_clients_to_all(ada: Tab, grace: Tab) -> None:
    for tab in (ada, grace):
        tab.wait("rows.has('ada') && rows.has('grace')")
        assert tab.text("#client-count") == "2"
    assert ada.run("return rows.get('ada').tag.textContent") == "this tab"
    assert ada.run("return rows.get('grace').tag") is None
    before = number(grace, "ada", "accepted")
    grace.wait(
        "Number(rows.get('ada').cells.accepted.textContent) > arguments[0]", before
    )


def test_a_message_to_one_reaches_that_one(ada: Tab, grace: Tab) -> None:
    ada.wait("rows.has('grace')")
    ada.click("tbody tr:last-child .client button")  # her name fills the form
    assert ada.run("return document.querySelector('#to').value") == "grace"
    say(ada, "for you alone")
    assert answer(ada, "To client grace") == {"queued": "1", "full": "0", "closed": "0"}
    assert "from ada" in grace.wait(SHOWS, "for you alone")
    assert "for you alone" not in log(ada)


def test_a_message_to_nobody_is_refused(ada: Tab) -> None:
    choose(ada, "send", "nobody")
    say(ada, "hello?")
    ada.wait("document.querySelector('#answer .error')")
    assert "nobody" in ada.text("#answer .error")


def test_a_topic_reaches_its_subscribers(ada: Tab, grace: Tab) -> None:
    choose(ada, "publish", "news")
    say(ada, "unheard")
    assert answer(ada, "To topic news")["queued"] == "0"
    grace.click("#topics button:nth-child(2)")
    grace.wait(
        "document.querySelector('#topics button:nth-child(2)[aria-pressed=true]')"
    )
    ada.run("document.querySelector('#answer').replaceChildren()")
    say(ada, "heard")
    assert answer(ada, "To topic news")["queued"] == "1"
    grace.wait(SHOWS, "heardfrom ada")
    assert "unheard" not in log(grace)


def test_a_new_topic_can_be_added(ada: Tab, grace: Tab) -> None:
    grace.type("#new-topic", "weather")
    grace.click("#add-topic button")
    grace.wait("document.querySelector('#topics').textContent.includes('weather')")
    choose(ada, "publish", "weather")
    say(ada, "sunny")
    grace.wait(SHOWS, "sunny")


def test_a_broadcast_reaches_all(ada: Tab, grace: Tab) -> None:
    choose(ada, "broadcast")
    say(ada, "dear all")
    assert answer(ada, "To everyone") == {"queued": "2", "full": "0", "closed": "0"}
    for tab in (ada, grace):
        tab.wait(SHOWS, "dear all")


def test_markup_stays_text(ada: Tab, grace: Tab) -> None:
    markup = "<img src=x onerror='window.bad = 1'><b>bold</b>"
    choose(ada, "broadcast")
    say(ada, markup)
    assert markup in grace.wait(SHOWS, "<b>")
    assert grace.run("return document.querySelectorAll('#log img, #log b').length") == 0
    assert grace.run("return window.bad") is None


def test_the_page_may_talk_to_its_own_server_only(browser: Browser, ada: Tab) -> None:
    blocked = ada.run_async(
        "const done = arguments[0];"
        "document.addEventListener('securitypolicyviolation',"
        "  (event) => done(event.blockedURI), { once: true });"
        "try { new WebSocket('ws://127.0.0.2:1/'); } catch {}"
    )
    assert blocked.startswith("ws://127.0.0.2:1")
    browser.console()  # that was the complaint


def test_what_is_typed_at_the_server_arrives(demo: DemoServer, ada: Tab) -> None:
    demo.feed("from the terminal\n")
    assert "from server" in ada.wait(SHOWS, "from the terminal")


def test_only_the_stalled_client_is_refused(
    ada: Tab, grace: Tab, tmp_path: Path
) -> None:
    ada.click("#stall")
    ada.wait(f"{STATUS} === 'not reading'")
    ada.click("#flood")
    grace.wait(f"{ROW}.line.classList.contains('crowded')", "ada")
    grace.wait(f"{CELL} !== '0'", "ada", "full")
    ada.wait("document.querySelector('#flood-answer .names')")
    assert shown(ada, "#flood-answer .names") == "ChannelFull: ada"

    # To the others nothing happens, and to all of them a message gets through.
    choose(grace, "broadcast")
    say(grace, "is anybody slow?")
    assert answer(grace, "To everyone") == {"queued": "2", "full": "1", "closed": "0"}
    assert shown(grace, "#answer .names") == "ChannelFull: ada"
    grace.wait(SHOWS, "is anybody slow?")
    ticks = grace.run(f"return {LOG}.length")
    grace.wait(f"{LOG}.length >= arguments[0] + 2", ticks)
    for name in ("grace", "ada-observer"):
        assert number(grace, name, "full") == 0
    grace.screenshot(tmp_path / "stalled.png")

    # It reads again: what was queued arrives, late, and its queue empties.
    ada.wait(f"{STATUS} === 'connected'", timeout=20)
    late = ada.wait(f"{LOG}.find((text) => text.includes('flood'))")
    assert late.endswith(" s")
    ada.wait("rows.get('ada').count.textContent === '0'")
    ada.wait("!rows.has('ada-observer')")


def test_the_page_can_leave_and_come_back(ada: Tab, grace: Tab) -> None:
    grace.wait("rows.has('ada')")
    ada.click("#connect")
    ada.wait(f"{STATUS} === 'disconnected'")
    grace.wait("!rows.has('ada')")
    ada.click("#connect")
    ada.wait(f"{STATUS} === 'connected'")
    grace.wait("rows.has('ada')")


def test_the_page_comes_back_when_the_server_does(browser: Browser) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
    with DemoServer("--demo", "--port", port) as first:
        tab = open_tab(browser, first, "ada")
        assert first.stop()[0] == 0
    tab.wait(SHOWS, "the connection ended with 1001: the server stops")
    tab.wait(f"{STATUS} === 'waiting for the server'")
    with DemoServer("--demo", "--port", port):
        tab.wait(f"{STATUS} === 'connected'")
        tab.close()
    browser.console()  # the failed attempts are among the complaints


def test_an_id_in_use_is_told(demo: DemoServer, browser: Browser, ada: Tab) -> None:
    second = browser.tab(f"{demo.url}?id=ada")
    second.wait(f"{STATUS}.startsWith('refused')")
    ada.close()
    second.wait(f"{STATUS} === 'connected'")
    browser.console()  # the refusals are among the complaints


def test_without_the_demo_the_page_shows_lines(browser: Browser) -> None:
    with DemoServer() as server:
        tab = open_tab(browser, server)
        assert not tab.run(
            "return document.querySelector('#clients').checkVisibility()"
        )
        assert not tab.run("return document.querySelector('#me').checkVisibility()")
        server.feed("first\nsecond\n<b>third</b>")
        tab.wait(SHOWS, "second")
        assert "first" in log(tab)
        tab.close()


SCREENS: list[Any] = [
    pytest.param(1280, 900, id="desktop"),
    pytest.param(820, 1100, id="tablet"),
    pytest.param(390, 844, id="phone"),
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), SCREENS)
def test_the_page_fits_the_screen(
    ada: Tab, width: int, height: int, scheme: str, tmp_path: Path
) -> None:
    ada.look(width=width, height=height, scheme=scheme)
    choose(ada, "broadcast")
    say(ada, "a long word: " + "wssend" * 40)
    ada.wait(SHOWS, "a long word")
    ada.wait("rows.has('ada')")
    assert ada.run("return document.documentElement.scrollWidth") <= width
    ada.screenshot(tmp_path / f"{width}-{scheme}.png", whole=True)
    colour: str = ada.run("return getComputedStyle(document.body).backgroundColor")
    assert (colour == "rgb(14, 16, 22)") == (scheme == "dark")


def test_everything_that_can_be_used_has_a_name(ada: Tab) -> None:
    tree = ada.devtools("Accessibility.getFullAXTree")["nodes"]
    usable = {"button", "textbox", "combobox", "radio", "checkbox", "link"}
    nodes = [n for n in tree if n.get("role", {}).get("value") in usable]
    assert len(nodes) > 12
    assert [n for n in nodes if not n.get("name", {}).get("value")] == []
