"""The events of a hub, for one task."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from .._core import EventIterator, WSHub
    from ..events import Event

__all__ = ["EventStream", "events"]

TURN = 64  # events without a wait, after which other tasks get their turn


def begin_taking(hub: WSHub) -> EventIterator:
    """Become the one consumer of a hub's events."""
    try:
        return hub.events()
    except RuntimeError as error:
        raise RuntimeError(
            f"{hub!r} has a consumer already: one event loop, or one iterator, takes "
            "a hub's events; other loops and threads may send"
        ) from error


class EventStream:
    """What happens to a hub's clients, as an asynchronous iterator.

    Made by :func:`wssend.aio.events`. It is the hub's one consumer until it ends,
    is closed or goes away, and may be used as an asynchronous context manager,
    which closes it.
    """

    def __init__(self, hub: WSHub) -> None:
        self._iterator = begin_taking(hub)
        self._fd = hub.fileno()
        self._count = 0
        self._busy = False
        self._sleeper: tuple[asyncio.AbstractEventLoop, asyncio.Future[None]] | None
        self._sleeper = None  # whose reader the descriptor has

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        if self._busy:
            raise RuntimeError("another task waits for the next event of this stream")
        self._busy = True
        try:
            return await self._next()
        finally:
            self._busy = False

    async def _next(self) -> Event:
        while True:
            self._count += 1
            if self._count > TURN:
                self._count = 0
                await asyncio.sleep(0)
            # One at a time: what is not taken stays the hub's.
            taken = self._iterator.take(1)
            if taken:
                return taken[0]
            if self._iterator.closed:
                raise StopAsyncIteration
            await self._wait()

    async def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        self._sleeper = loop, loop.create_future()
        loop.add_reader(self._fd, self._wake)
        try:
            await self._sleeper[1]
        finally:
            self._wake()
        self._count = 0

    def _wake(self) -> None:
        """Once is enough: it stays readable until the events are taken. And no
        longer: the descriptor is the hub's, and another stream's next."""
        if self._sleeper is None:
            return
        loop, ready = self._sleeper
        self._sleeper = None
        loop.remove_reader(self._fd)
        if not ready.done():
            ready.set_result(None)

    async def aclose(self) -> None:
        """End the iteration, so that another one may begin.

        Events that were not taken stay. A task that waits for the next one finds
        that there is none. Closing again does nothing.
        """
        self._iterator.close()
        self._wake()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


def events(hub: WSHub) -> EventStream:
    """Return what happens to a hub's clients, for ``async for``.

    The same as :meth:`wssend.WSHub.events`, in asyncio: Connected, Message,
    Disconnected, and Authorize where the hub asks. Cancelling the wait loses
    nothing. After 64 events without a wait, other tasks get their turn.

    Raises:
        RuntimeError: The hub's events are being taken already.
    """
    return EventStream(hub)
