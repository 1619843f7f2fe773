"""wssend.aio.serve(authorize=): who is let in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from aio_kit import LOOPS, Main, Peers, Run, in_thread, run_in, until
from wsclient import Client

import wssend
from wssend import Accept, Reject, aio


@pytest.fixture(params=list(LOOPS))
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine function in each kind of loop."""

    def run(main: Main[Any]) -> Any:
        return run_in(request.param, main)

    return run


@pytest.fixture
def peers() -> Iterator[Peers]:
    with Peers() as peers:
        yield peers


async def greet(client: aio.Client) -> None:
    client.send(f"{client.id} of {client.user} in {sorted(client.topics)}")
    await client.recv()


def answer_to(url: str) -> str:
    """The status with which a handshake is refused."""
    with pytest.raises(AssertionError) as caught:
        Client(url)
    return str(caught.value).split(" ")[1]


def decide(handshake: wssend.Handshake) -> Accept:
    return Accept(user="42", id="a", topics=["news"])


async def decide_later(handshake: wssend.Handshake) -> Accept:
    await asyncio.sleep(0)
    return decide(handshake)


async def decide_itself(handshake: wssend.Handshake) -> None:
    handshake.accept(user="42", id="a", topics=["news"])


@pytest.mark.parametrize("authorize", [decide, decide_later, decide_itself])
def test_who_is_accepted_comes_in(run: Run, peers: Peers, authorize: Any) -> None:
    async def main() -> None:
        async with aio.serve(greet, port=0, authorize=authorize) as server:
            own = await in_thread(peers.dial, server.url)
            assert await in_thread(own.recv) == "a of 42 in ['news']"
            peers.close()

    run(main)


def fail(handshake: wssend.Handshake) -> Accept:
    raise ValueError("no idea")


async def fail_later(handshake: wssend.Handshake) -> Accept:
    await asyncio.sleep(0)
    raise ValueError("no idea")


@pytest.mark.parametrize(
    ("authorize", "status", "logged"),
    [
        (lambda handshake: None, "403", False),
        (lambda handshake: Reject(401, "who?"), "401", False),
        (lambda handshake: True, "500", True),
        (fail, "500", True),
        (fail_later, "500", True),
    ],
)
def test_who_is_not_is_told_so(
    run: Run,
    caplog: pytest.LogCaptureFixture,
    authorize: Any,
    status: str,
    logged: bool,
) -> None:
    async def main() -> None:
        async with aio.serve(greet, port=0, authorize=authorize) as server:
            assert await in_thread(answer_to, server.url) == status
            assert await in_thread(answer_to, server.url) == status

    with caplog.at_level(logging.ERROR, "wssend.aio"):
        run(main)
    assert len(caplog.records) == (2 if logged else 0)


def test_closing_refuses_who_waits_with_503(run: Run) -> None:
    asked: list[wssend.Handshake] = []

    async def never(handshake: wssend.Handshake) -> Accept:
        asked.append(handshake)
        await asyncio.Event().wait()
        raise AssertionError

    async def main() -> None:
        async with aio.serve(
            greet, port=0, authorize=never, close_timeout=0.2
        ) as server:
            waiting = in_thread(answer_to, server.url)
            await until(lambda: asked)
        assert await waiting == "503"

    run(main)


def test_no_more_are_asked_about_than_the_hub_holds(run: Run, peers: Peers) -> None:
    asked: list[wssend.Handshake] = []
    may = asyncio.Event()

    async def later(handshake: wssend.Handshake) -> Accept:
        asked.append(handshake)
        await may.wait()
        return Accept()

    async def main() -> None:
        async with aio.serve(
            greet, port=0, authorize=later, max_handshakes=2
        ) as server:
            held = [in_thread(peers.dial, server.url) for _ in range(2)]
            await until(lambda: len(asked) == 2)
            assert await in_thread(answer_to, server.url) == "503"
            may.set()
            await asyncio.gather(*held)
            assert len(asked) == 2
            peers.close()

    run(main)


def test_a_given_hub_and_the_server_must_agree() -> None:
    with wssend.WSHub() as hub, pytest.raises(ValueError, match="authorize=True"):
        aio.serve(greet, hub=hub, authorize=decide)
    with (
        wssend.WSHub(authorize=True) as hub,
        pytest.raises(ValueError, match="authorize=True"),
    ):
        aio.serve(greet, hub=hub)


def test_a_given_hub_asks(run: Run, peers: Peers) -> None:
    async def main() -> None:
        with wssend.WSHub(authorize=True) as hub:
            async with aio.serve(greet, port=0, hub=hub, authorize=decide) as server:
                own = await in_thread(peers.dial, server.url)
                assert await in_thread(own.recv) == "a of 42 in ['news']"
                peers.close()

    run(main)
