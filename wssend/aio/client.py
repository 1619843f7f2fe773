"""A client as its handler sees it."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from ..errors import ChannelClosed

if TYPE_CHECKING:
    from typing_extensions import Self

    from .._core import WSClient, _Data
    from ..events import Disconnected
    from ..request import Request
    from ..stats import ClientStats
    from .notices import Notices

__all__ = ["Client"]


class Client:
    """One connection, in the event loop that serves it.

    Got as the argument of the handler of :func:`wssend.aio.serve`. It wraps a
    :class:`wssend.WSClient`, and every call that takes one of those takes it, too;
    it is equal to it and has its hash.

    ``async for message in client`` yields what the client sends, ``str`` for text
    and ``bytes`` for binary messages, and ends when the connection does, however
    that is: :attr:`close_code` tells. Messages that nobody has taken yet wait, at
    most 64 of a client and 256 KiB, or one that is larger; then it is not read
    from until all of them are taken. So a slow handler slows its own client, and
    no other.

    :meth:`recv`, :meth:`drain`, :meth:`flush` and iterating are for tasks of the
    loop that serves the client; elsewhere they raise RuntimeError. All else never
    waits and may be used from any thread.

    Attributes:
        client: The :class:`wssend.WSClient`.
    """

    __slots__ = (
        "__weakref__",
        "_end",
        "_inbox",
        "_loop",
        "_notices",
        "_waiter",
        "client",
    )

    client: WSClient

    def __init__(
        self, client: WSClient, loop: asyncio.AbstractEventLoop, notices: Notices
    ) -> None:
        self.client = client
        self._loop = loop
        self._notices = notices
        self._inbox: deque[str | bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._end: Disconnected | None = None

    @property
    def _ws_client(self) -> WSClient:  # what the calls of a hub look for
        return self.client

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Client):
            return self.client is other.client
        return self.client is other

    def __hash__(self) -> int:
        return hash(self.client)

    def __repr__(self) -> str:
        return f"<wssend.aio.Client {self.client!r}>"

    @property
    def id(self) -> str:
        """Names the connection, unique in its hub."""
        return self.client.id

    @property
    def user(self) -> str | None:
        """Whose connection it is."""
        return self.client.user

    @property
    def remote(self) -> str:
        """The client's address; behind a trusted proxy, its own."""
        return self.client.remote

    @property
    def peer(self) -> str:
        """The address of the socket's peer."""
        return self.client.peer

    @property
    def request(self) -> Request:
        """The request that opened the connection."""
        return self.client.request

    @property
    def state(self) -> dict[Any, Any]:
        """A dict for the application, kept as long as the connection."""
        return self.client.state

    @property
    def topics(self) -> frozenset[str]:
        """The topics that it is subscribed to, now."""
        return self.client.topics

    @property
    def closed(self) -> bool:
        """Whether the connection is closing or closed."""
        return self.client.closed

    @property
    def close_code(self) -> int | None:
        """The close code; None while it is open."""
        return self.client.close_code

    @property
    def close_reason(self) -> str | None:
        """The close reason; None while it is open."""
        return self.client.close_reason

    def send(self, data: _Data, *, text: bool | None = None) -> None:
        """Queue a message for the client, and return at once.

        The same as :meth:`wssend.WSClient.send`: it never waits, and raises
        ChannelFull when the client does not keep up. For a producer that would
        rather wait, there is :meth:`drain`.
        """
        self.client.send(data, text=text)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Begin to close the connection, and return at once.

        The same as :meth:`wssend.WSClient.close`.
        """
        self.client.close(code, reason)

    def subscribe(self, topic: str, /) -> None:
        """Have the client receive what is published to a topic."""
        self.client.subscribe(topic)

    def unsubscribe(self, topic: str, /) -> bool:
        """Take the client from a topic; False when it was not in it."""
        return self.client.unsubscribe(topic)

    def stats(self) -> ClientStats:
        """Return the client's counts now."""
        return self.client.stats()

    async def recv(self) -> str | bytes:
        """Wait for the next message, and return it.

        Cancelling it loses no message.

        Raises:
            ChannelClosed: The connection is over, and all that came is taken.
            RuntimeError: Another task waits in it, or this is another loop.
        """
        if await self._wait():
            return self._take()
        raise self._gone("it has gone")

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str | bytes:
        if self._inbox or await self._wait():
            return self._take()
        raise StopAsyncIteration

    async def drain(self) -> None:
        """Wait until the channel has room again.

        That is when at most half of it is in use, of its messages and of its
        bytes. Returns at once where it is so already.

        Raises:
            ChannelClosed: The connection is closing or closed.
            RuntimeError: This is another loop.
        """
        self._check_loop("drain()")
        if not self.client.closed:
            await self._notices.wait(self.client, flush=False)
        if self.client.closed:
            raise self._gone("there will be no room")

    async def flush(self, timeout: float | None = None) -> None:
        """Wait until all that is queued now was written.

        "Written" means that the kernel has taken it, not that the client has it.

        Args:
            timeout: Seconds, at least 0; None: as long as it takes.

        Raises:
            TimeoutError: It was not written in time; it stays queued.
            ChannelClosed: The connection ended first, messages were lost.
            RuntimeError: This is another loop.
        """
        self._check_loop("flush()")
        check_timeout(timeout)
        try:
            fine = await self._notices.wait(self.client, flush=True, timeout=timeout)
        except TimeoutError:
            stats = self.client.stats()
            raise TimeoutError(
                f"client {self.id!r}: timed out with {stats.queued} of its messages, "
                f"{stats.queued_bytes} bytes, not yet written"
            ) from None
        if not fine:
            raise self._gone("not all of its messages were written")

    # What the server calls, in the loop.

    def _feed(self, data: str | bytes) -> None:
        self._inbox.append(data)
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def _finish(self, end: Disconnected) -> None:
        self._end = end
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _drop(self) -> None:
        """Nobody will take what has come and will come."""
        self._inbox.clear()
        self.client._caught_up()

    # Parts of the above.

    def _check_loop(self, what: str) -> None:
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError(
                f"{what} of client {self.id!r} is for tasks of the event loop that "
                "serves the client, not of another one"
            )

    async def _wait(self) -> bool:
        """Wait for a message; false: there will be none."""
        self._check_loop("recv()")
        while not self._inbox:
            if self._end is not None:
                return False
            if self._waiter is not None:
                raise RuntimeError(
                    f"another task waits for the next message of client {self.id!r}"
                )
            self._waiter = waiter = self._loop.create_future()
            try:
                await waiter
            finally:
                if self._waiter is waiter:
                    self._waiter = None
        return True

    def _take(self) -> str | bytes:
        inbox = self._inbox
        data = inbox.popleft()
        if not inbox:
            self.client._caught_up()
        return data

    def _gone(self, what: str) -> ChannelClosed:
        code, reason = self.client.close_code, self.client.close_reason or ""
        closed = f"closed with {code}" + (f" ({reason})" if reason else "")
        return ChannelClosed(
            f"client {self.id!r} is {closed}: {what}",
            client=self.client,
            code=code,
            reason=reason,
        )


def check_timeout(timeout: object) -> None:
    """Tell what is wrong with it."""
    if timeout is None:
        return
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(f"timeout must be a number of seconds or None, not {timeout!r}")
    if not timeout >= 0:
        raise ValueError(f"timeout must be at least 0, not {timeout!r}")
