"""What the Python servers share: the protocol of bench/README.md.

A server is a class that says how its library accepts clients and sends to them; see
Server. run() does the rest, on an asyncio loop. The jobs themselves know no loop.
"""

from __future__ import annotations

import abc
import argparse
import asyncio
import itertools
import json
import os
import resource
import struct
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Generic, TypeVar

ACK_TIMEOUT = 30.0  # seconds
BACKLOG = 1024  # handshakes that wait to be accepted
BURST = 200  # calls that are timed in one go
STAMP = 16  # bytes of a message that are not filler
LARGE = 4096  # bytes; where only bytes can be bounded, QUEUE messages of this size

Answer = dict[str, object]
Client = TypeVar("Client")


class NoAckError(Exception):
    """The load client does not say that it got a round."""


class Waits(abc.ABC):
    """How a job waits."""

    @abc.abstractmethod
    async def sleep(self, seconds: float) -> None:
        """Let the loop go on, for so long or a little more or less."""

    @abc.abstractmethod
    async def news(self, seconds: float) -> bool:
        """Wait for tell(); false when it is not called for so long."""

    @abc.abstractmethod
    def tell(self) -> None:
        """Wake who waits for news; nothing when nobody does."""


class AsyncioWaits(Waits):
    """On an asyncio loop."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def news(self, seconds: float) -> bool:
        self._event.clear()
        try:
            await asyncio.wait_for(self._event.wait(), seconds)
        except (TimeoutError, asyncio.TimeoutError):
            return False
        return True

    def tell(self) -> None:
        self._event.set()


class Acks:
    """How many rounds have arrived, as the load client says in messages of its own."""

    def __init__(self, waits: Waits) -> None:
        self._waits = waits
        self._complete = self._sent = 0

    def reset(self) -> None:
        """Begin with the first round."""
        self._complete = self._sent = 0

    def take(self, data: bytes) -> None:
        """All rounds up to this one have arrived; no round of an earlier job."""
        (complete,) = struct.unpack("<Q", data)
        if self._complete < complete <= self._sent:
            self._complete = complete
            self._waits.tell()

    async def before(self, number: int, window: int) -> None:
        """Wait until this round may be sent."""
        self._sent = number
        while self._complete < number - window:
            if not await self._waits.news(ACK_TIMEOUT):
                raise NoAckError


class Server(abc.ABC, Generic[Client]):
    """A library's server, and what can be asked of it.

    Attributes:
        queue: Messages that may wait for a client.
        waits: How jobs wait.
        limit: Bytes that may wait for a client, where messages cannot be counted.
        clients: Those that are open, in the order of their coming.
        acks: What to give each message to that a client sends.
    """

    def __init__(self, queue: int, waits: Waits) -> None:
        self.queue = queue
        self.waits = waits
        self.limit = queue * LARGE
        self.clients: dict[Client, None] = {}
        self.acks = Acks(waits)

    @abc.abstractmethod
    async def listen(self, port: int) -> int:
        """Accept clients on 127.0.0.1 from now on; the port."""

    @abc.abstractmethod
    def broadcast(self, data: bytes) -> int | None:
        """Send to all; how many had room, or None when the library does not tell."""

    @abc.abstractmethod
    async def send_each(
        self, clients: Iterable[Client], message: Callable[[], bytes]
    ) -> int:
        """Send each client a message of its own; how many had room."""

    def enqueue(self, client: Client) -> Callable[[bytes], object] | None:
        """The call that puts a message into a client's queue, when there is one."""
        return None

    def waiting(self, client: Client) -> int:
        """How many messages that queue holds."""
        return 0


class CallServer(Server[Client]):
    """A server of a library that sends by a plain call."""

    @abc.abstractmethod
    def send(self, client: Client, data: bytes) -> bool:
        """Send to one client; false when it has no room."""

    def broadcast(self, data: bytes) -> int | None:
        return sum([self.send(client, data) for client in list(self.clients)])

    async def send_each(
        self, clients: Iterable[Client], message: Callable[[], bytes]
    ) -> int:
        return sum([self.send(client, message()) for client in clients])


class QueuedClient:
    """A queue, and the task that writes from it what is due."""

    def __init__(self, queue: int, write: Callable[[bytes], Awaitable[object]]) -> None:
        self.queue: asyncio.Queue[bytes] = asyncio.Queue(queue)
        self.task = asyncio.create_task(self._run(write))

    async def _run(self, write: Callable[[bytes], Awaitable[object]]) -> None:
        while True:
            await write(await self.queue.get())


class QueueServer(CallServer[QueuedClient]):
    """A server of a library whose send() has to be awaited, one task a client."""

    def send(self, client: QueuedClient, data: bytes) -> bool:
        try:
            client.queue.put_nowait(data)
        except asyncio.QueueFull:
            return False
        return True

    def enqueue(self, client: QueuedClient) -> Callable[[bytes], object]:
        return client.queue.put_nowait

    def waiting(self, client: QueuedClient) -> int:
        return client.queue.qsize()

    def enter(self, write: Callable[[bytes], Awaitable[object]]) -> QueuedClient:
        """A client has come."""
        client = QueuedClient(self.queue, write)
        self.clients[client] = None
        return client

    def leave(self, client: QueuedClient) -> None:
        """It has gone."""
        del self.clients[client]
        client.task.cancel()


def payload(number: int, filler: bytes) -> bytes:
    """A message as the load client wants it."""
    return struct.pack("<QQ", number, time.monotonic_ns()) + filler


class Jobs:
    """The commands, for any server."""

    def __init__(self, server: Server[Any]) -> None:
        self.server = server
        self.commands: dict[str, tuple[int, Callable[..., Awaitable[Answer]]]] = {
            "count": (0, self.count),
            "broadcast": (3, self.broadcast),
            "closed": (3, self.closed),
            "unicast": (3, self.unicast),
            "some": (4, self.some),
            "sendcost": (2, self.sendcost),
        }

    async def obey(self, line: str) -> Answer:
        """Do what a line says."""
        name, *words = line.split() or [""]
        arity, command = self.commands.get(name, (-1, self.count))
        valid = len(words) == arity and all(map(str.isdecimal, words))
        if not valid or (words and int(words[-1]) < STAMP):
            return {"error": f"unknown command {line.strip()!r}"}
        try:
            return await command(*map(int, words))
        except NoAckError:
            return {"error": "no ack"}

    async def paced(self, rounds: int, interval_us: int) -> AsyncIterator[int]:
        """The numbers of the rounds, each at its time."""
        begin = time.monotonic()
        for number in range(1, rounds + 1):
            due = begin + (number - 1) * interval_us / 1e6
            await self.server.waits.sleep(max(due - time.monotonic(), 0))
            while (wait := due - time.monotonic()) > 0:
                await self.server.waits.sleep(wait)
            yield number

    async def acked(self, rounds: int, window: int) -> AsyncIterator[int]:
        """The numbers of the rounds, at most WINDOW of them in flight."""
        self.server.acks.reset()
        for number in range(1, rounds + 1):
            await self.server.acks.before(number, window)
            yield number

    async def to_all(self, numbers: AsyncIterator[int], size: int) -> Answer:
        """One broadcast a round."""
        rounds = tried = sent = 0
        told = True
        filler = b"x" * (size - STAMP)
        begin = end = time.monotonic_ns()
        async for number in numbers:
            if rounds == 0:
                begin = time.monotonic_ns()
            rounds += 1
            tried += len(self.server.clients)
            accepted = self.server.broadcast(payload(number, filler))
            end = time.monotonic_ns()
            if accepted is None:
                told = False
            else:
                sent += accepted
        answer: Answer = {"rounds": rounds, "sent": sent, "refused": tried - sent}
        if not told:
            answer |= {"sent": tried, "refused": None}
        return answer | {"wall_ns": end - begin}

    async def to_each(
        self, numbers: AsyncIterator[int], size: int, count: int | None
    ) -> Answer:
        """One send for each of the first clients a round."""
        rounds = tried = sent = 0
        filler = b"x" * (size - STAMP)
        begin = end = time.monotonic_ns()
        async for number in numbers:
            if rounds == 0:
                begin = time.monotonic_ns()
            rounds += 1
            clients = list(itertools.islice(self.server.clients, count))
            tried += len(clients)

            def message(number: int = number) -> bytes:
                return payload(number, filler)

            sent += await self.server.send_each(clients, message)
            end = time.monotonic_ns()
        return {
            "rounds": rounds,
            "sent": sent,
            "refused": tried - sent,
            "wall_ns": end - begin,
        }

    async def count(self) -> Answer:
        return {"clients": len(self.server.clients)}

    async def broadcast(self, rounds: int, interval_us: int, size: int) -> Answer:
        return await self.to_all(self.paced(rounds, interval_us), size)

    async def closed(self, rounds: int, window: int, size: int) -> Answer:
        return await self.to_all(self.acked(rounds, window), size)

    async def unicast(self, rounds: int, window: int, size: int) -> Answer:
        return await self.to_each(self.acked(rounds, window), size, None)

    async def some(self, count: int, rounds: int, interval: int, size: int) -> Answer:
        return await self.to_each(self.paced(rounds, interval), size, count)

    async def sendcost(self, calls: int, size: int) -> Answer:
        """Bursts that fit into a client's queue, one client after the other."""
        server = self.server
        filler = b"x" * (size - STAMP)
        burst = min(BURST, server.queue)
        clients = [client for client in server.clients if not server.waiting(client)]
        total = done = 0
        while done < calls and clients:
            turn, index = divmod(done // burst, len(clients))
            send = server.enqueue(clients[index])
            if send is None:
                break
            messages = [payload(turn * burst + n, filler) for n in range(1, burst + 1)]
            begin = time.perf_counter_ns()
            for data in messages:
                send(data)
            total += time.perf_counter_ns() - begin
            done += burst
            while server.waiting(clients[index]):
                await server.waits.sleep(0)
        return {"ns": total / done if done else None}


async def obey_stdin(jobs: Jobs) -> None:
    """Answer the lines on stdin; never returns, for at its end the process ends."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    lines: asyncio.Queue[str] = asyncio.Queue()
    reading = asyncio.create_task(read_lines(reader, lines))
    while not reading.done():
        print(json.dumps(await jobs.obey(await lines.get())), flush=True)


async def read_lines(reader: asyncio.StreamReader, lines: asyncio.Queue[str]) -> None:
    """While a job runs, too, the end of stdin is the end of the process."""
    while line := (await reader.readline()).decode():
        if line.strip() == "quit":
            break
        lines.put_nowait(line)
    os._exit(0)


async def serve(server: Server[Any], port: int) -> None:
    """Listen, say so, and obey."""
    print("ready", await server.listen(port), flush=True)
    await obey_stdin(Jobs(server))


def raise_limit() -> None:
    """Allow as many open sockets as this process may have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def new_loop(kind: str) -> asyncio.AbstractEventLoop:
    """The event loop of that name."""
    if kind == "asyncio":
        return asyncio.new_event_loop()
    import uvloop

    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def arguments(doc: str | None, loops: tuple[str, ...]) -> argparse.Namespace:
    """The command line; the first of the loops is the default."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--queue", type=int, default=256)
    parser.add_argument("--loop", choices=loops, default=loops[0])
    return parser.parse_args()


def run(make: Callable[[int, Waits], Server[Any]], doc: str | None) -> None:
    """A server's main function."""
    options = arguments(doc, ("asyncio", "uvloop"))
    raise_limit()
    loop = new_loop(options.loop)
    asyncio.set_event_loop(loop)

    async def main() -> None:
        await serve(make(options.queue, AsyncioWaits()), options.port)

    loop.run_until_complete(main())
