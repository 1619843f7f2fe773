"""The errors wssend raises, told apart by what the caller can do next.

* :exc:`WSSendError`: the base of them all.

  * :exc:`ChannelFull`: the client is slower than you send; drop the message,
    wait for room, or close the client.
  * :exc:`ChannelClosed`: the client is gone or going; forget it.

    * :exc:`HubClosed`: the whole hub is.
    * :exc:`LinkDown`: the hub is in another process, which cannot be reached now.

  * :exc:`MessageTooLarge`: it can never fit; trying again is useless.
  * :exc:`ClientNotFound`: nobody has that id.

Wrong types and values are Python's own :exc:`TypeError` and :exc:`ValueError`,
running out of memory is :exc:`MemoryError`, what the system refuses is
:exc:`OSError`, and a wait that took too long is :exc:`TimeoutError`.
"""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._core import WSClient

__all__ = [
    "ChannelClosed",
    "ChannelFull",
    "ClientNotFound",
    "HubClosed",
    "LinkDown",
    "MessageTooLarge",
    "WSSendError",
]


class WSSendError(Exception):
    """The base of every error that wssend raises on purpose.

    Errors pickle: the id and the numbers are kept, the client is dropped.

    Args:
        text: What happened.
        client: The client it happened to, if there is one.
        client_id: Its id; by default that of ``client``.

    Attributes:
        client: The client it happened to. None where there is none, and after
            unpickling.
        client_id: Its id. None where the call was not about one client.
    """

    client: WSClient | None
    client_id: str | None

    def __init__(
        self,
        text: str,
        /,
        *,
        client: WSClient | None = None,
        client_id: str | None = None,
    ) -> None:
        super().__init__(text)
        self.client = client
        if client is not None and client_id is None:
            client_id = client.id
        self.client_id = client_id

    def __reduce__(self) -> tuple[Any, ...]:
        state = {name: value for name, value in vars(self).items() if name != "client"}
        return type(self), self.args, state


class ChannelFull(WSSendError, queue.Full):
    """The message was not queued: the client's channel has no room now.

    The client stays connected, and what was queued before stays queued.

    Attributes:
        queued: Messages that wait in the channel.
        queued_bytes: Their payload, in bytes.
        oldest_age: How long the oldest of them has waited, in seconds.
    """

    queued: int
    queued_bytes: int
    oldest_age: float

    def __init__(
        self,
        text: str,
        /,
        *,
        client: WSClient | None = None,
        client_id: str | None = None,
        queued: int = 0,
        queued_bytes: int = 0,
        oldest_age: float = 0.0,
    ) -> None:
        super().__init__(text, client=client, client_id=client_id)
        self.queued = queued
        self.queued_bytes = queued_bytes
        self.oldest_age = oldest_age


class ChannelClosed(WSSendError, ConnectionError):
    """The client's connection is closing or closed.

    Attributes:
        code: The close code (RFC 6455 7.4), or None where there is none.
        reason: The close reason, often empty.
    """

    code: int | None
    reason: str

    def __init__(
        self,
        text: str,
        /,
        *,
        client: WSClient | None = None,
        client_id: str | None = None,
        code: int | None = None,
        reason: str = "",
    ) -> None:
        super().__init__(text, client=client, client_id=client_id)
        self.code = code
        self.reason = reason


class HubClosed(ChannelClosed):
    """The hub is closed, or belongs to the process that this one was forked from."""


class LinkDown(ChannelClosed):
    """The hub of another process cannot be reached now, or was lost meanwhile.

    A remote hub raises it at once while the last attempt to connect has failed and
    the next is not due, and to a call that waits for an answer when the link breaks.
    It goes on trying by itself.
    """


class MessageTooLarge(WSSendError, ValueError):
    """The message is larger than a whole channel, so it can never be queued.

    Attributes:
        size: Its payload, in bytes.
        limit: The largest payload that fits: the hub's ``send_queue_bytes``.
    """

    size: int
    limit: int

    def __init__(
        self,
        text: str,
        /,
        *,
        client: WSClient | None = None,
        client_id: str | None = None,
        size: int = 0,
        limit: int = 0,
    ) -> None:
        super().__init__(text, client=client, client_id=client_id)
        self.size = size
        self.limit = limit


class ClientNotFound(WSSendError, LookupError):
    """The hub has no open client of that id."""
