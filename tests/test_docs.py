"""The Python in README.md and docs/ runs, as it stands there."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wsclient
from aio_kit import in_thread, run_in, until
from kit import Background, make_pair

import wssend
from wssend.testing import MemoryClient

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(name: str) -> list[str]:
    return BLOCK.findall((ROOT / name).read_text())


def run(code: str, names: dict[str, Any]) -> None:
    exec(compile(code, "<documentation>", "exec"), names)


def test_the_server_of_the_readme_serves(tmp_path: Path) -> None:
    script = tmp_path / "server.py"
    code = blocks("README.md")[0]
    assert "8765" in code
    script.write_text(code.replace("8765", "0"))  # any port that is free
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            url = server.stdout.readline().removeprefix("listening on ").strip()
            with wsclient.Client(url) as one, wsclient.Client(url) as two:
                assert str(one.recv()).startswith("hello, you are ")
                assert str(two.recv()).startswith("hello, you are ")
                one.send("news!")
                assert two.recv() == "news!"
                assert one.recv() == "sent to 1, 0 too slow"
                one.leave()
            assert "left with 1000" in server.stdout.readline()
        finally:
            server.terminate()


@pytest.mark.parametrize("oldest_age", [0.0, 31.0])
def test_the_readme_treats_a_slow_client_and_a_gone_one(
    oldest_age: float, capsys: pytest.CaptureFixture[str]
) -> None:
    code = blocks("README.md")[1].replace("> 30", f"> {30 - oldest_age}")
    with wssend.WSHub(send_queue=1, send_queue_bytes=1 << 22) as hub:
        listener = hub.listen("127.0.0.1", 0)
        with wsclient.Client(listener.url, receive_buffer=4096):
            (client,) = hub.clients()
            names = {"wssend": wssend, "client": client, "data": bytes(1 << 22)}
            while client.stats().refused_full == 0:  # until the kernel is full, too
                run(code, names)
            assert "the send channel is full" in capsys.readouterr().out
            assert client.closed == (oldest_age > 30)
            client.close()
            run(code, names)
            assert client.stats().refused_closed == 1
        hub.close(timeout=0)


def test_the_other_calls_of_the_readme() -> None:
    with wssend.WSHub(id_query="id") as hub:
        listener = hub.listen("127.0.0.1", 0)
        with wsclient.Client(listener.url, "/?id=user-42") as client:
            hub.clients()[0].subscribe("news")
            run(blocks("README.md")[2], {"wssend": wssend, "hub": hub})
            assert client.recv() == b"binary"
            assert client.recv() == '{"price": 101.5}'
            assert client.recv() == "to the subscribers"
            assert client.recv() == "framed once"


def test_the_how_to_and_the_page_on_proxies_run_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = make_pair(tmp_path, "localhost")
    pair.cert.rename(tmp_path / "fullchain.pem")
    pair.key.rename(tmp_path / "privkey.pem")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"wssend": wssend}
    for code in blocks("docs/howto.md") + blocks("docs/proxies.md"):
        fresh = "wssend.WSHub(" in code
        if not fresh:  # it goes on with a hub that is open
            names["hub"] = wssend.WSHub()
            names["hub"].listen("127.0.0.1", 0)
        run(code, names)
        if not fresh:
            names["hub"].close()
        assert names["hub"].closed, code


def test_the_page_on_authorising_lets_the_right_ones_in() -> None:
    names: dict[str, Any] = {}
    by_cookie, by_token = blocks("docs/authorising.md")
    run(by_cookie, names)
    hub, url = names["hub"], names["listener"].url
    page = ("Origin", "http://localhost")
    with wsclient.Asker(url, headers=[page]) as stranger:
        server = Background(names["serve"])
        close = stranger.opened().answer_close()
        assert (close.code, close.reason) == (4401, "log in first")
        cookie = ("Cookie", "sid=0123abcd")
        with wsclient.Client(url, headers=[page, cookie]) as client:
            assert client.recv() == "hello, user 42"
            hub.publish("news", "x")
            assert client.recv() == "x"
            client.leave()
    hub.close()
    server.result()

    names["hub"] = hub = wssend.WSHub(authorize=True)
    url = hub.listen("127.0.0.1", 0).url
    run(by_token, names)
    server = Background(names["serve_with_threads"])
    with wsclient.Asker(url) as stranger:
        answer = stranger.answer()
        assert (answer.status, answer.body) == (401, "no")
    with wsclient.Client(url, headers=[("Authorization", "Bearer s3cret")]) as client:
        assert client.recv() == "hello, user 42"
        client.leave()
    hub.close()
    server.result()


@pytest.mark.wssend(send_queue=4)
def test_the_page_on_testing_runs_from_top_to_bottom(
    wssend_hub: wssend.WSHub, wssend_client: Callable[..., MemoryClient]
) -> None:
    names: dict[str, Any] = {}
    for code in blocks("docs/testing.md"):
        run(code, names)
    test = names["test_a_slow_client_is_closed"]
    assert [mark.kwargs for mark in test.pytestmark] == [{"send_queue": 4}]
    test(wssend_hub, wssend_client)
    assert wssend_hub.stats().refused_full == 1


def test_the_page_on_tokens_lets_in_who_has_a_ticket(
    capsys: pytest.CaptureFixture[str],
) -> None:
    names: dict[str, Any] = {}
    for code in blocks("docs/tokens.md"):
        run(code, names)
    assert capsys.readouterr().out == (
        "signature the token's signature is wrong\nused the ticket was used before\n"
    )
    tickets, decide, authorize = (names[n] for n in ("tickets", "decide", "authorize"))

    def serve() -> None:
        for event in hub.events(timeout=wsclient.TIMEOUT):
            if isinstance(event, wssend.Authorize):
                by_url = event.handshake.request.query
                event.handshake.decide(
                    (decide if by_url else authorize)(event.handshake)
                )

    with wssend.WSHub(authorize=True) as hub:
        url = hub.listen("127.0.0.1", 0).url
        server = Background(serve)
        target = f"/?ticket={tickets.issue('42')}"
        with wsclient.Client(url, target) as client:
            assert [c.topics for c in hub.clients(user="42")] == [{"news"}]
            client.leave()
        with wsclient.Asker(url, target) as again:
            answer = again.answer()
            assert (answer.status, answer.body) == (401, "the ticket was used before")
        offer = ("Sec-WebSocket-Protocol", f"bearer, {tickets.issue('7', room=1)}")
        with wsclient.Client(url, headers=[offer]) as client:
            assert "Sec-WebSocket-Protocol: bearer" in client.response.splitlines()
            assert [c.topics for c in hub.clients(user="7")] == [{"room-1"}]
            client.leave()
    server.result()


async def talk(names: dict[str, Any]) -> None:
    """What the handler, the exporter and the counter of docs/asyncio.md do."""
    aio, hub = names["aio"], wssend.WSHub(authorize=True)
    options = {"hub": hub, "port": 0, "authorize": names["authorize"]}
    bearer = [("Authorization", "Bearer secret")]
    async with aio.serve(names["handler"], **options) as server:
        with pytest.raises(AssertionError, match="403"):
            await in_thread(wsclient.Client, server.url)
        with await in_thread(
            lambda: wsclient.Client(server.url, headers=bearer)
        ) as own:
            own.send("x")
            assert await in_thread(own.recv) == "x"
    async with aio.serve(names["export"], **options) as server:
        with await in_thread(
            lambda: wsclient.Client(server.url, headers=bearer)
        ) as own:
            rows = await in_thread(lambda: [own.recv() for _ in range(1000)])
            assert rows[-1] == "row 999"
            own.send_close()
    hub.close(timeout=0)
    with wssend.WSHub() as other:
        counting = asyncio.ensure_future(names["count"](other))
        with wsclient.Client(other.listen(port=0).url) as own:
            await asyncio.sleep(0)
            own.send("x")
            await until(lambda: other.stats().events_total == 1)
            own.leave()
        assert await counting == 1


async def serve_and_stop(main: Any) -> None:
    serving = asyncio.ensure_future(main(0))
    await asyncio.sleep(0)  # it starts without a wait
    await asyncio.sleep(0)
    assert not serving.done()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving


def test_the_page_on_asyncio_and_the_readme_s_part_of_it_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    names: dict[str, Any] = {"wssend": wssend}
    for code in blocks("docs/asyncio.md"):
        run(code, names)
    run_in("asyncio", lambda: talk(names))
    assert not names["start"]().hub.closed
    run_in("asyncio", lambda: serve_and_stop(names["main"]))
    assert capsys.readouterr().out.startswith("listening on ws://127.0.0.1:")
    short: dict[str, Any] = {}
    run(blocks("README.md")[3], short)
    run_in("asyncio", lambda: serve_and_stop(short["main"]))


def test_the_page_on_other_processes_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {"wssend": wssend, "address": f"unix:{tmp_path}/hub"}
    sending, losing = blocks("docs/remote.md")
    run(sending, names)
    assert capsys.readouterr().out == "0 ()\n"
    assert names["remote"].stats().confirmed == 2
    run(losing, names)  # where there is no hub any more
    out = capsys.readouterr().out
    assert "1 message, 5 bytes, lost: the link to unix:" in out
    assert "broadcast None 5" in out


def test_every_example_is_run() -> None:
    assert len(blocks("README.md")) == 4, "and the tests above name each of them"
    pages = {path.name for path in (ROOT / "docs").glob("*.md") if blocks(str(path))}
    # That on Django is run by test_django.py.
    assert pages == {
        *("asyncio.md", "authorising.md", "django.md", "howto.md", "proxies.md"),
        *("remote.md", "testing.md", "tokens.md"),
        "frameworks.md",  # tests/apps/test_frameworks.py
    }


def test_the_reference_is_made_of_the_docstrings() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/reference", "--check"], cwd=ROOT, check=False
    )
    assert done.returncode == 0, "run scripts/reference"
