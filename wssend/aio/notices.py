"""Tasks that wait for a client's channel to be written out.

Whoever waits asks the hub for a notice, which comes among the events that the
same loop takes. One who gives up takes that back, so nothing is left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import TYPE_CHECKING

from ..errors import HubClosed

if TYPE_CHECKING:
    from .._core import EventIterator, WSClient

__all__: list[str] = []


class Notices:
    """The notices that the tasks of one loop wait for."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, iterator: EventIterator
    ) -> None:
        self._loop = loop
        self._iterator = iterator
        self._tokens = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[bool]] = {}

    async def wait(
        self, client: WSClient, *, flush: bool, timeout: float | None = None
    ) -> bool:
        """Wait until all is written, or there is room; false: it never will be.

        Raises TimeoutError, or ChannelClosed where that is known at once.
        """
        token = next(self._tokens)
        if self._iterator._notify(client, flush, token):
            return True
        future: asyncio.Future[bool] = self._loop.create_future()
        self._waiting[token] = future
        timer = None
        if timeout is not None:
            timer = self._loop.call_later(timeout, expire, future)
        try:
            return await future
        finally:
            if timer is not None:
                timer.cancel()
            if self._waiting.pop(token, None) is not None:
                self._take_back(client, token)

    def _take_back(self, client: WSClient, token: int) -> None:
        if not self._iterator.closed:
            with contextlib.suppress(HubClosed):  # forked: it is the parent's
                self._iterator._unnotify(client, token)

    def came(self, token: int, fine: bool) -> None:
        """Wake who waits for it, if anybody still does."""
        future = self._waiting.pop(token, None)
        if future is not None and not future.done():
            future.set_result(fine)

    def close(self) -> None:
        """No more will come."""
        for token in list(self._waiting):
            self.came(token, False)


def expire(future: asyncio.Future[bool]) -> None:
    """Make the wait fail with TimeoutError."""
    if not future.done():
        future.set_exception(TimeoutError())
