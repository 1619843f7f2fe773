"""wssend.aio: handlers, and what the clients of one may expect of the others."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from aio_kit import LOOPS, Main, Peers, Run, in_thread, run_in, until
from kit import Background, fill, run_script, there

import wssend
from wssend import aio


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


async def echo(client: aio.Client) -> None:
    async for message in client:
        client.send(message)


def serve(handler: Any, **options: Any) -> aio.Server:
    return aio.serve(handler, "127.0.0.1", 0, **options)


@contextlib.asynccontextmanager
async def serving(
    peers: Peers, handler: Any, **options: Any
) -> AsyncIterator[aio.Server]:
    """The same, without the wait for clients that do not answer a Close."""
    async with serve(handler, **options) as server:
        yield server
        peers.close()


# ---- a client's life


def test_a_handler_hears_its_client_and_answers(run: Run, peers: Peers) -> None:
    async def main() -> None:
        async with serving(peers, echo) as server:
            own = peers.dial(server.url)
            for message in ("text é", b"\x00\xff", ""):
                own.send(message)
                assert await in_thread(own.recv) == message
            await in_thread(own.leave)

    run(main)


def test_many_clients_at_once_each_hear_their_own(run: Run, peers: Peers) -> None:
    async def main() -> None:
        async with serving(peers, echo) as server:
            clients = [peers.dial(server.url) for _ in range(200)]
            for i, own in enumerate(clients):
                for k in range(5):
                    own.send(f"{i} {k}")
            for i, own in enumerate(clients):
                got = await in_thread(lambda own=own: [own.recv() for _ in range(5)])
                assert got == [f"{i} {k}" for k in range(5)]

    run(main)


def test_the_client_tells_what_the_hub_s_does(run: Run, peers: Peers) -> None:
    seen: list[aio.Client] = []

    async def handler(client: aio.Client) -> None:
        seen.append(client)
        client.subscribe("news")
        client.state["n"] = 1
        await client.recv()

    async def main() -> None:
        async with serving(peers, handler, id_query="id", user_query="u") as server:
            own = peers.dial(server.url, target="/x?id=a&u=42")
            await until(lambda: seen)
            client, inner = seen[0], there(server.hub.get("a"))
            assert (client.id, client.user) == ("a", "42")
            assert client.topics == {"news"}
            assert client.request.path == "/x"
            assert client.state == {"n": 1}
            assert (client.remote, client.peer) == (inner.remote, inner.peer)
            assert client.stats().accepted == 0
            assert (client.closed, client.close_code) == (False, None)
            assert client.client is inner
            assert client == inner
            assert inner == client
            assert client != "a"
            assert {client: 1}[inner] == 1  # type: ignore[index]
            assert repr(client) == f"<wssend.aio.Client {inner!r}>"
            assert client.unsubscribe("news")
            client.close(4001, "bye")
            frame = await in_thread(own.answer_close)
            assert (frame.code, frame.reason) == (4001, "bye")
            await until(lambda: not server.hub.stats().closing)
            assert (client.close_code, client.close_reason) == (4001, "bye")

    run(main)


def test_every_call_of_a_hub_takes_either(run: Run, peers: Peers) -> None:
    seen: list[Any] = []

    async def handler(client: aio.Client) -> None:
        seen.append(client)
        await client.recv()

    async def main() -> None:
        async with serving(peers, handler) as server:
            own = peers.dial(server.url)
            await until(lambda: seen)
            client, hub = seen[0], server.hub
            client.subscribe("t")
            assert client in hub
            assert hub.broadcast("no", exclude=[client]).queued == 0
            assert hub.publish("t", "no", exclude=[client]).queued == 0
            wssend.send(client, "yes")
            assert await in_thread(own.recv) == "yes"

    run(main)


def test_what_only_looks_like_a_client_is_refused() -> None:
    class Odd:
        _ws_client = "nobody"

    class Broken:
        @property
        def _ws_client(self) -> None:
            raise OSError("broken")

    with wssend.WSHub() as hub:
        odd: Any
        for odd in (Odd(), 7, None):
            with pytest.raises(TypeError, match="WSClient"):
                hub.broadcast("x", exclude=[odd])
            with pytest.raises(TypeError, match="WSClient"):
                odd in hub  # noqa: B015
        with pytest.raises(TypeError, match="client must be a WSClient"):
            wssend.send(Odd(), "x")  # type: ignore[arg-type]
        broken: Any = Broken()
        with pytest.raises(OSError, match="broken"):
            hub.broadcast("x", exclude=[broken])
        with pytest.raises(OSError, match="broken"):
            broken in hub  # noqa: B015
        with pytest.raises(OSError, match="broken"):
            wssend.send(broken, "x")


# ---- how a handler ends


def test_a_handler_that_returns_closes_with_1000(run: Run, peers: Peers) -> None:
    async def handler(client: aio.Client) -> None:
        client.send("bye")

    async def main() -> None:
        async with serving(peers, handler) as server:
            own = peers.dial(server.url)
            assert await in_thread(own.recv) == "bye"
            assert (await in_thread(own.answer_close)).code == 1000

    run(main)


def test_a_handler_that_raises_is_logged_and_closes_with_1011(
    run: Run, peers: Peers, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(client: aio.Client) -> None:
        raise ValueError("wrong")

    async def main() -> None:
        async with serving(peers, handler) as server:
            own = peers.dial(server.url)
            assert (await in_thread(own.answer_close)).code == 1011

    with caplog.at_level(logging.ERROR, "wssend.aio"):
        run(main)
    (record,) = caplog.records
    assert record.name == "wssend.aio"
    assert "ValueError: wrong" in there(record.exc_text)


def test_a_handler_cancelled_before_its_first_step_closes_too(
    run: Run, peers: Peers
) -> None:
    async def main() -> None:
        async with serving(peers, echo) as server:
            own = peers.dial(server.url)
            while not server._tasks:  # noqa: ASYNC110 - in each turn
                await asyncio.sleep(0)
            for task in list(server._tasks):
                task.cancel()
            assert (await in_thread(own.answer_close)).code == 1011

    run(main)


def test_the_end_of_its_own_client_is_no_failure_but_another_s_is(
    run: Run, peers: Peers, caplog: pytest.LogCaptureFixture
) -> None:
    first: list[aio.Client] = []
    ended: list[str] = []

    async def handler(client: aio.Client) -> None:
        try:
            if not first:
                first.append(client)
                while True:
                    await client.recv()
            await client.recv()
            first[0].send("into the void")
        finally:
            ended.append(client.id)

    async def main() -> None:
        async with serving(peers, handler, id_query="id") as server:
            a = peers.dial(server.url, target="/?id=a")
            await until(lambda: first)
            b = peers.dial(server.url, target="/?id=b")
            await in_thread(a.leave)
            await until(lambda: ended == ["a"])
            assert not caplog.records
            b.send("now")
            assert (await in_thread(b.answer_close)).code == 1011
            assert ended == ["a", "b"]

    with caplog.at_level(logging.ERROR, "wssend.aio"):
        run(main)
    assert [r.getMessage() for r in caplog.records] == [
        "the handler of client 'b' failed"
    ]


def test_what_is_no_coroutine_function_fails_as_a_handler(
    run: Run, peers: Peers, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with serving(peers, lambda client: None) as server:
            own = peers.dial(server.url)
            assert (await in_thread(own.answer_close)).code == 1011

    run(main)
    assert "TypeError" in caplog.text


# ---- receiving


def test_a_cancelled_wait_loses_no_message(run: Run, peers: Peers) -> None:
    """Whenever it is cancelled: before, with, and after the message."""
    got: list[str | bytes] = []
    done = asyncio.Event()

    async def handler(client: aio.Client) -> None:
        turn = 0
        while len(got) < 300:
            task = asyncio.ensure_future(client.recv())
            for _ in range(turn % 4):
                await asyncio.sleep(0)
            task.cancel()
            turn += 1
            try:
                got.append(await task)
            except asyncio.CancelledError:
                await asyncio.sleep(0)
        done.set()

    async def main() -> None:
        async with serving(peers, handler) as server:
            own = peers.dial(server.url)
            for i in range(300):
                own.send(str(i))
                if i % 10 == 0:
                    await asyncio.sleep(0)
            await done.wait()
            assert got == [str(i) for i in range(300)]

    run(main)


def test_a_wait_that_times_out_loses_no_message(run: Run, peers: Peers) -> None:
    got: list[str | bytes] = []

    async def handler(client: aio.Client) -> None:
        while len(got) < 100:
            with contextlib.suppress(asyncio.TimeoutError):
                got.append(await asyncio.wait_for(client.recv(), 0.0005))

    async def main() -> None:
        async with serving(peers, handler) as server:
            own = peers.dial(server.url)
            for i in range(100):
                own.send(str(i))
                await asyncio.sleep(0)
            await until(lambda: len(got) == 100)
            assert got == [str(i) for i in range(100)]

    run(main)


def test_what_came_before_the_end_is_still_received(run: Run, peers: Peers) -> None:
    may = asyncio.Event()
    got: list[str | bytes] = []
    errors: list[wssend.ChannelClosed] = []

    async def handler(client: aio.Client) -> None:
        await may.wait()
        try:
            while True:
                got.append(await client.recv())
        except wssend.ChannelClosed as error:
            errors.append(error)
            got.extend([message async for message in client])
            raise

    async def main() -> None:
        async with serving(peers, handler) as server:
            own = peers.dial(server.url)
            for i in range(10):
                own.send(str(i))
            await in_thread(own.leave, 4002)
            await until(lambda: server.hub.stats().closing == 0)
            may.set()
            await until(lambda: errors)
            assert got == [str(i) for i in range(10)]
            assert errors[0].code == 4002

    run(main)


def test_only_one_task_may_wait_for_a_client(run: Run, peers: Peers) -> None:
    texts: list[str] = []

    async def handler(client: aio.Client) -> None:
        first = asyncio.ensure_future(client.recv())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError) as caught:
            await client.recv()
        texts.append(str(caught.value))
        client.send(await first)

    async def main() -> None:
        async with serving(peers, handler) as server:
            own = peers.dial(server.url)
            await until(lambda: texts)
            assert "another task waits" in texts[0]
            own.send("for the first")
            assert await in_thread(own.recv) == "for the first"

    run(main)


def test_a_slow_handler_blocks_no_other_and_is_bounded(run: Run, peers: Peers) -> None:
    may = asyncio.Event()
    slow: list[aio.Client] = []
    total = 2000

    async def handler(client: aio.Client) -> None:
        if client.id == "slow":
            slow.append(client)
            await may.wait()
            for i in range(total):
                assert await client.recv() == str(i)
            client.send("all")
        else:
            await echo(client)

    async def main() -> None:
        async with serving(peers, handler, id_query="id", max_events=100) as server:
            own = peers.dial(server.url, target="/?id=slow")
            await until(lambda: slow)

            def flood() -> None:
                for i in range(total):
                    own.send(str(i))

            flooding = in_thread(flood)
            other = peers.dial(server.url, target="/?id=other")
            await until(lambda: len(slow[0]._inbox) == 64)
            for i in range(200):
                other.send(str(i))
                assert await in_thread(other.recv) == str(i)
                assert len(slow[0]._inbox) == 64
                assert slow[0].stats().received <= 66
            may.set()
            await flooding
            assert await in_thread(own.recv) == "all"

    run(main)


def test_what_a_handler_has_not_taken_is_bounded_in_bytes(
    run: Run, peers: Peers
) -> None:
    may = asyncio.Event()
    clients: list[aio.Client] = []

    async def handler(client: aio.Client) -> None:
        clients.append(client)
        await may.wait()
        assert [len(await client.recv()) for _ in range(12)] == [100_000] * 12
        client.send("all")

    async def main() -> None:
        async with serving(peers, handler) as server:
            own = peers.dial(server.url)
            await until(lambda: clients)

            def flood() -> None:
                for _ in range(12):
                    own.send(bytes(100_000))

            flooding = in_thread(flood)
            await until(lambda: len(clients[0]._inbox) == 2)
            may.set()
            await flooding
            assert await in_thread(own.recv) == "all"

    run(main)


def test_a_handler_that_has_ended_holds_up_nobody(run: Run, peers: Peers) -> None:
    async def handler(client: aio.Client) -> None:
        await client.recv()

    async def main() -> None:
        async with serving(peers, handler, max_events=10) as server:
            own = peers.dial(server.url)
            for i in range(500):
                own.send(str(i))
            assert (await in_thread(own.recv_close)).code == 1000
            own.send_close()
            await in_thread(own.expect_end)
            await until(lambda: len(server.hub) == 0)

    run(main)


# ---- sending


def test_drain_waits_for_room(run: Run, peers: Peers) -> None:
    order: list[str] = []

    async def handler(client: aio.Client) -> None:
        await client.drain()  # there is room
        order.append("at once")
        await in_thread(fill, client.client)
        order.append("full")
        await client.drain()
        order.append("room")
        stats = client.stats()
        assert stats.queued <= 128
        client.close()

    async def main() -> None:
        async with serving(peers, handler) as server:
            own = peers.dial(server.url, receive_buffer=4096)
            await until(lambda: "full" in order)
            for _ in range(20):
                await asyncio.sleep(0)
            assert order == ["at once", "full"]
            await in_thread(own.recv_close)
            own.send_close()
            await in_thread(own.expect_end)
            assert order == ["at once", "full", "room"]

    run(main)


def test_drain_and_flush_of_one_who_goes_raise(run: Run, peers: Peers) -> None:
    errors: list[tuple[str, str | None]] = []
    ready = asyncio.Event()

    async def wait(client: aio.Client, what: str) -> None:
        with pytest.raises(wssend.ChannelClosed) as caught:
            await getattr(client, what)()
        errors.append((what, caught.value.client_id))

    async def handler(client: aio.Client) -> None:
        await in_thread(fill, client.client)
        jobs = [asyncio.ensure_future(wait(client, w)) for w in ("drain", "flush")]
        await asyncio.sleep(0)
        ready.set()
        await asyncio.gather(*jobs)
        for what in ("drain", "flush"):  # and again, now that it has gone
            await wait(client, what)

    async def main() -> None:
        async with serving(peers, handler, id_query="id") as server:
            own = peers.dial(server.url, target="/?id=a", receive_buffer=4096)
            await ready.wait()
            assert errors == []
            own.close()
            await until(lambda: len(errors) == 4)
            assert sorted(errors[:2]) == [("drain", "a"), ("flush", "a")]
            assert errors[2:] == [("drain", "a"), ("flush", "a")]

    run(main)


def test_flush_waits_for_what_is_queued_and_gives_up_in_time(
    run: Run, peers: Peers
) -> None:
    stalled = asyncio.Event()
    flushed = asyncio.Event()

    async def handler(client: aio.Client) -> None:
        client.send("x")
        await client.flush()
        await client.flush(timeout=10)
        await in_thread(fill, client.client)
        with pytest.raises(TimeoutError, match=f"client {client.id!r}: timed out with"):
            await client.flush(timeout=0.01)
        with pytest.raises(TimeoutError):
            await client.flush(timeout=0)
        stalled.set()
        await client.flush(timeout=60)
        assert client.stats().queued == 0
        flushed.set()

    async def main() -> None:
        async with serving(peers, handler) as server:
            own = peers.dial(server.url, receive_buffer=4096)
            await stalled.wait()
            await in_thread(own.recv_close)
            assert flushed.is_set()
            own.send_close()
            await in_thread(own.expect_end)

    run(main)


@pytest.mark.parametrize(
    ("timeout", "error"),
    [("1", TypeError), (True, TypeError), (-1, ValueError), (float("nan"), ValueError)],
)
def test_a_wrong_timeout_is_named(
    peers: Peers, timeout: Any, error: type[Exception]
) -> None:
    texts: list[str] = []

    async def handler(client: aio.Client) -> None:
        with pytest.raises(error) as caught:
            await client.flush(timeout)
        texts.append(str(caught.value))

    async def main() -> None:
        async with serving(peers, handler) as server:
            peers.dial(server.url)
            await until(lambda: texts)
            assert "timeout must be" in texts[0]
            assert repr(timeout) in texts[0]

    run_in("asyncio", main)


def test_cancelled_waits_leave_nothing_behind(run: Run, peers: Peers) -> None:
    done = asyncio.Event()

    async def handler(client: aio.Client) -> None:
        await in_thread(fill, client.client)
        for i in range(300):
            job = client.drain() if i % 2 else client.flush()
            task = asyncio.ensure_future(job)
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert client._notices._waiting == {}
        done.set()
        await client.recv()

    async def main() -> None:
        async with serving(peers, handler) as server:
            own = peers.dial(server.url, receive_buffer=4096)
            await done.wait()
            before = server.hub.stats().events
            own.close()
            await until(lambda: len(server.hub) == 0)
            assert before == 0

    run(main)


def test_waiting_is_for_the_server_s_loop_and_sending_for_all(
    run: Run, peers: Peers
) -> None:
    seen: list[aio.Client] = []

    async def handler(client: aio.Client) -> None:
        seen.append(client)
        await client.recv()

    async def elsewhere() -> None:
        client = seen[0]
        for what in (client.recv, client.drain, client.flush):
            with pytest.raises(RuntimeError, match=f"{what.__name__}.*event loop"):
                await what()
        client.send("from another loop")

    async def main() -> None:
        async with serving(peers, handler) as server:
            own = peers.dial(server.url)
            await until(lambda: seen)
            await in_thread(run_in, "asyncio", elsewhere)
            assert await in_thread(own.recv) == "from another loop"
            await in_thread(server.hub.broadcast, "from a thread")
            assert await in_thread(own.recv) == "from a thread"

    run(main)


# ---- the server


def test_closing_with_open_clients_says_1001_and_waits_for_handlers(
    run: Run, peers: Peers
) -> None:
    ended: list[str] = []

    async def handler(client: aio.Client) -> None:
        async for _ in client:
            pass
        await asyncio.sleep(0)
        ended.append(client.id)

    async def main() -> None:
        async with serve(handler) as server:
            clients = [peers.dial(server.url) for _ in range(20)]
            await until(lambda: len(server._clients) == 20)
            answers = [in_thread(own.answer_close) for own in clients]
        assert len(ended) == 20
        assert {(await answer).code for answer in answers} == {1001}
        assert server.hub.closed
        await server.close()  # again
        await server.wait_closed()

    run(main)


def test_a_handler_that_does_not_end_is_cancelled(run: Run, peers: Peers) -> None:
    ended: list[str] = []

    async def handler(client: aio.Client) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    async def main() -> None:
        async with serve(handler, close_timeout=0.2) as server:
            peers.dial(server.url)
            await until(lambda: len(server.hub) == 1 and server._tasks)
        assert ended == ["cancelled"]

    run(main)


def test_serve_forever_ends_when_the_hub_is_closed_elsewhere(
    run: Run, peers: Peers
) -> None:
    ended: list[str] = []

    async def handler(client: aio.Client) -> None:
        async for _ in client:
            pass
        ended.append(client.id)

    async def main() -> None:
        async with serve(handler, close_timeout=1) as server:
            own = peers.dial(server.url)
            await until(lambda: server._clients)
            answering = in_thread(own.answer_close)
            closing = in_thread(server.hub.close)
            await server.serve_forever()
            await closing
            assert (await answering).code == 1001
            assert len(ended) == 1

    run(main)


def test_cancelling_serve_forever_closes(run: Run, peers: Peers) -> None:
    async def serving(url: asyncio.Future[str]) -> None:
        async with serve(echo, close_timeout=1) as server:
            url.set_result(server.url)
            await server.serve_forever()

    async def main() -> None:
        url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        task = asyncio.ensure_future(serving(url))
        own = peers.dial(await url)
        answering = in_thread(own.answer_close)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await answering).code == 1001

    run(main)


def test_a_given_hub_stays_open(run: Run, peers: Peers) -> None:
    async def main() -> None:
        with wssend.WSHub() as hub:
            for _ in range(2):
                async with aio.serve(echo, port=0, hub=hub) as server:
                    assert server.hub is hub
                    own = peers.dial(server.url)
                    own.send("x")
                    assert await in_thread(own.recv) == "x"
                    answering = in_thread(own.answer_close)
                assert (await answering).code == 1001
                assert not hub.closed
                assert all(listener.closed for listener in server.listeners)
                await until(lambda: hub.stats().closing == 0)

    run(main)


def test_a_hub_that_listens_already_needs_no_port(run: Run, peers: Peers) -> None:
    async def main() -> None:
        with wssend.WSHub() as hub:
            listener = hub.listen(port=0)
            async with aio.serve(echo, hub=hub) as server:
                assert server.listeners == []
                with pytest.raises(RuntimeError, match="no listener"):
                    assert server.url
                own = peers.dial(listener.url)
                own.send("x")
                assert await in_thread(own.recv) == "x"
                own.close()

    run(main)


def test_a_client_that_an_earlier_consumer_knew_is_served(
    run: Run, peers: Peers
) -> None:
    async def main() -> None:
        with wssend.WSHub() as hub:
            own = peers.dial(hub.listen(port=0).url)
            events = hub.events(5)
            assert isinstance(next(events), wssend.Connected)
            events.close()
            async with aio.serve(echo, hub=hub):
                own.send("x")
                assert await in_thread(own.recv) == "x"
                own.close()

    run(main)


def test_a_second_consumer_is_told_so(run: Run, peers: Peers) -> None:
    async def second(hub: wssend.WSHub) -> None:
        with pytest.raises(RuntimeError, match="has a consumer already"):
            await aio.serve(echo, hub=hub).__aenter__()
        with pytest.raises(RuntimeError, match="has a consumer already"):
            aio.events(hub)

    async def main() -> None:
        async with serving(peers, echo) as server:
            await second(server.hub)
            await in_thread(run_in, "asyncio", lambda: second(server.hub))
            own = peers.dial(server.url)
            own.send("still served")
            assert await in_thread(own.recv) == "still served"

    run(main)


def test_a_server_is_started_once_and_closed_unstarted(run: Run) -> None:
    async def main() -> None:
        server = serve(echo)
        await server.close()
        await server.wait_closed()
        with pytest.raises(RuntimeError, match="started once"):
            await server.__aenter__()
        async with serve(echo) as server:
            with pytest.raises(RuntimeError, match="started once"):
                await server.__aenter__()

    run(main)


def test_a_port_in_use_leaves_nothing_behind(run: Run) -> None:
    async def main() -> None:
        async with serve(echo) as server:
            port = server.listeners[0].port
            with pytest.raises(OSError, match=str(port)):
                async with aio.serve(echo, port=port):
                    pass
            with wssend.WSHub() as hub:
                with pytest.raises(OSError, match=str(port)):
                    async with aio.serve(echo, port=port, hub=hub):
                        pass
                hub.events(0).close()  # free again

    run(main)
    gc.collect()


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"nonsense": 1}, TypeError, "unexpected keyword argument 'nonsense'"),
        ({"send_queue": 0}, ValueError, "send_queue"),
        ({"hub": 7}, TypeError, "hub must be a WSHub or None, not 7"),
        ({"handler": None}, TypeError, "handler must be callable, not None"),
        ({"authorize": 7}, TypeError, "authorize must be callable, not 7"),
    ],
)
def test_wrong_arguments_are_named(
    options: dict[str, Any], error: type[Exception], text: str
) -> None:
    options.setdefault("handler", echo)
    with pytest.raises(error, match=text):
        aio.serve(**options)


def test_a_hub_s_options_come_with_the_hub() -> None:
    with (
        wssend.WSHub() as hub,
        pytest.raises(TypeError, match="send_queue is an option of the hub"),
    ):
        aio.serve(echo, hub=hub, send_queue=7)


def test_options_of_both_kinds_find_their_place(
    run: Run, peers: Peers, tmp_path: Any
) -> None:
    async def main() -> None:
        path = tmp_path / "s"
        async with aio.serve(echo, unix=path, max_clients=1, close_timeout=1) as server:
            assert server.listeners[0].unix == str(path)
            own = peers.dial(server.url)
            own.send("x")
            assert await in_thread(own.recv) == "x"
            with pytest.raises(AssertionError, match="503"):
                peers.dial(server.url)
            own.close()

    run(main)


def test_other_tasks_run_amid_a_flood(run: Run, peers: Peers) -> None:
    turns = 0
    stop = threading.Event()

    async def swallow(client: aio.Client) -> None:
        async for _ in client:
            pass

    async def main() -> None:
        nonlocal turns
        async with serving(peers, swallow) as server:
            floods = []
            for _ in range(3):
                own = peers.dial(server.url)

                def flood(own: Any = own) -> None:
                    while not stop.is_set():
                        own.send("x" * 100)

                floods.append(Background(flood))
            while turns < 200 or server.hub.stats().received < 2000:
                turns += 1
                await asyncio.sleep(0)
            stop.set()
            for one in floods:
                await in_thread(one.result)

    run(main)


def test_nothing_is_left_of_a_server() -> None:
    run_script("""
        import asyncio, gc, os
        import wssend
        from wssend import aio
        from wsclient import Client

        async def handler(client):
            async for message in client:
                client.send(message)
                await client.drain()
                await client.flush()

        async def main():
            loop = asyncio.get_running_loop()
            async with aio.serve(handler, port=0, close_timeout=5) as server:
                own = Client(server.url)
                own.send("x")
                await loop.run_in_executor(None, own.recv)
                leaving = loop.run_in_executor(None, own.answer_close)
            await leaving

        def descriptors():
            return len(os.listdir("/proc/self/fd"))

        asyncio.run(main())
        gc.collect()
        before = descriptors()
        for _ in range(5):
            asyncio.run(main())
        gc.collect()
        assert descriptors() == before
        assert not [o for o in gc.get_objects() if isinstance(o, (aio.Client,
            aio.Server, wssend.WSHub))]
    """)


def test_the_process_ends_with_a_server_that_runs() -> None:
    """Without a word, in each way: the loop ends, the main thread ends."""
    for ending in ("return", "raise SystemExit(0)"):
        run_script(f"""
            import asyncio
            from wssend import aio
            from wsclient import Client

            async def handler(client):
                await client.recv()

            async def main():
                async with aio.serve(handler, port=0, close_timeout=0.2) as server:
                    own = Client(server.url)
                    while not server._tasks:  # noqa: ASYNC110 - in each turn
                        await asyncio.sleep(0.001)
                    own.close()
                    {ending}

            asyncio.run(main())
        """)


@pytest.mark.forks
def test_a_fork_leaves_the_server_to_the_parent(peers: Peers) -> None:
    run_script("""
        import asyncio, os
        import wssend
        from wssend import aio
        from wsclient import Client

        seen = []

        async def handler(client):
            seen.append(client)
            async for message in client:
                client.send(message)

        def child():
            try:
                seen[0].send("x")
            except wssend.HubClosed:
                os._exit(7)
            os._exit(1)

        async def main():
            loop = asyncio.get_running_loop()
            async with aio.serve(handler, port=0, close_timeout=5) as server:
                own = Client(server.url)
                while not seen:
                    await asyncio.sleep(0.001)
                pid = os.fork()
                if pid == 0:
                    child()
                _, status = await loop.run_in_executor(None, os.waitpid, pid, 0)
                assert os.waitstatus_to_exitcode(status) == 7
                own.send("x")
                assert await loop.run_in_executor(None, own.recv) == "x"
                own.close()

        asyncio.run(main())
    """)
