"""wssend.aio.events, and EventIterator.take, on which all of wssend.aio stands."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from aio_kit import LOOPS, Main, Run, in_thread, run_in, until
from kit import Background, Server, serving
from kit import until as until_now

import wssend
from wssend import Connected, Disconnected, Message, aio


@pytest.fixture(params=list(LOOPS))
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine function in each kind of loop."""

    def run(main: Main[Any]) -> Any:
        return run_in(request.param, main)

    return run


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


# ---- the stream


def test_a_stream_yields_a_whole_life_and_ends_with_the_hub(
    run: Run, server: Server
) -> None:
    async def main() -> None:
        events = aio.events(server.hub)
        client, own = server.connect()
        own.send("x")
        assert await anext(events) == Connected(client)
        assert await anext(events) == Message(client, "x")
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="another task waits"):
            await anext(events)
        own.close()
        assert isinstance(await waiting, Disconnected)
        closing = in_thread(server.hub.close)
        assert [event async for event in events] == []
        await closing

    run(main)


def test_a_cancelled_step_of_a_stream_loses_nothing(run: Run, server: Server) -> None:
    async def main() -> None:
        async with aio.events(server.hub) as events:
            client, own = server.connect()
            assert await anext(events) == Connected(client)
            got: list[Any] = []
            for i in range(200):
                own.send(str(i))
                task = asyncio.ensure_future(anext(events))
                for _ in range(i % 4):
                    await asyncio.sleep(0)
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    got.append(await task)
            while len(got) < 200:
                got.append(await anext(events))
            assert got == [Message(client, str(i)) for i in range(200)]

    run(main)


def test_what_a_closed_stream_has_not_taken_stays(run: Run, server: Server) -> None:
    async def main() -> None:
        async with aio.events(server.hub) as events:
            client, own = server.connect()
            for i in range(5):
                own.send(str(i))
            await until(lambda: client.stats().received == 5)
            assert await anext(events) == Connected(client)
        async with aio.events(server.hub) as events:
            got = [await anext(events) for _ in range(5)]
            assert got == [Message(client, str(i)) for i in range(5)]

    run(main)


@pytest.mark.parametrize("cancel", [False, True])
def test_a_stream_that_ends_leaves_the_next_one_alone(
    run: Run, server: Server, cancel: bool
) -> None:
    async def main() -> None:
        first = aio.events(server.hub)
        ended = asyncio.ensure_future(anext(first, None))
        await asyncio.sleep(0)
        await first.aclose()
        second = aio.events(server.hub)
        waiting = asyncio.ensure_future(anext(second))
        if cancel:
            await asyncio.sleep(0)  # both wait, the first one still or no longer
            ended.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            assert await asyncio.wait_for(ended, 10) is None
        client, _ = server.connect()
        assert await asyncio.wait_for(waiting, 10) == Connected(client)
        await second.aclose()

    run(main)


def test_others_run_while_a_stream_never_waits(run: Run, server: Server) -> None:
    turns = 0
    done = False

    async def other() -> None:
        nonlocal turns
        while not done:
            turns += 1
            await asyncio.sleep(0)

    async def main() -> None:
        nonlocal done
        async with aio.events(server.hub) as events:
            client, own = server.connect()
            for _ in range(400):
                own.send("x")
            await until(lambda: client.stats().received == 400)
            task = asyncio.ensure_future(other())
            for _ in range(401):
                await anext(events)
            done = True
            await task
            assert turns >= 5

    run(main)


# ---- take


def test_take_gives_what_is_there_and_never_waits(server: Server) -> None:
    events = server.hub.events()
    assert events.take() == []
    client, own = server.connect()
    for i in range(10):
        own.send(str(i))
    until_now(lambda: client.stats().received == 10)
    assert events.take(limit=4) == [
        Connected(client),
        *(Message(client, str(i)) for i in range(3)),
    ]
    assert events.take(1) == [Message(client, "3")]
    assert events.take() == [Message(client, str(i)) for i in range(4, 10)]
    assert events.take() == []
    assert not events.closed


def test_take_tells_the_end_by_closed(server: Server) -> None:
    events = server.hub.events()
    client, own = server.connect()
    own.send("x")
    until_now(lambda: client.stats().received == 1)
    server.hub.close(timeout=0)
    assert not events.closed
    taken = [type(event) for event in events.take()]
    assert taken == [Connected, Message, Disconnected]
    assert events.closed
    assert events.take() == []
    server.hub.events().close()  # it is no longer the consumer


def test_a_closed_iterator_takes_nothing(server: Server) -> None:
    events = server.hub.events()
    server.connect()
    events.close()
    assert events.closed
    assert events.take() == []
    assert len(server.hub.events().take()) == 1


@pytest.mark.parametrize(
    ("limit", "error"), [(0, ValueError), (65537, ValueError), ("1", TypeError)]
)
def test_a_wrong_limit_is_named(
    server: Server, limit: Any, error: type[Exception]
) -> None:
    events = server.hub.events()
    with pytest.raises(error, match="limit"):
        events.take(limit)


def test_take_beside_another_thread_s_wait_is_refused(server: Server) -> None:
    events = server.hub.events()
    waiting = Background(lambda: list(events))

    def is_refused() -> bool:
        try:
            events.take()
        except RuntimeError as error:
            return "another thread is taking" in str(error)
        return False

    until_now(is_refused)
    server.hub.close()
    assert waiting.result() == []


def test_notices_are_for_the_consumer_of_the_client_s_hub(server: Server) -> None:
    events = server.hub.events()
    client, _ = server.connect()
    assert events._notify(client, True, 1)
    odd: Any = "a"
    with pytest.raises(TypeError, match="client must be a WSClient"):
        events._notify(odd, True, 1)
    with wssend.WSHub() as other, pytest.raises(RuntimeError, match="not taken here"):
        other.events()._notify(client, True, 1)
    events.close()
    with pytest.raises(RuntimeError, match="not taken here"):
        events._unnotify(client, 1)


def test_a_notice_comes_among_the_events(server: Server) -> None:
    events = server.hub.events()
    client, own = server.stalled()
    events.take()
    assert not events._notify(client, True, 7)
    assert not events._notify(client, False, 8)
    assert not events._notify(client, False, 9)
    assert events._unnotify(client, 9)
    assert not events._unnotify(client, 9)
    assert events.take() == []
    own.close()
    got: list[Any] = []

    def all_came() -> bool:
        got.extend(events.take())
        return len(got) == 3

    until_now(all_came)
    assert sorted(got[:2]) == [(7, False), (8, False)]
    with pytest.raises(wssend.ChannelClosed, match="not all of its messages"):
        events._notify(client, True, 10)


def test_an_iterator_drops_a_notice_that_another_asked_for(server: Server) -> None:
    events = server.hub.events()
    client, own = server.stalled()
    assert events.take() == [Connected(client)]
    assert not events._notify(client, True, 7)
    events.close()
    own.close()
    later = server.hub.events(10)
    assert isinstance(next(later), Disconnected)
    assert later.take() == []
