"""What a hub is to an application, wherever it runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Buffer, Self

    from ._core import PreparedMessage, WSClient
    from .remote import RemoteClient
    from .report import SendReport

__all__ = ["Hub"]


@runtime_checkable
class Hub(Protocol):
    """What :class:`wssend.WSHub` and :class:`wssend.RemoteHub` share.

    Code that is given a ``Hub`` works with either. The calls return a SendReport, or
    None where the hub is in another process and its answer is not waited for. The
    errors are the same; only a RemoteHub raises :exc:`wssend.LinkDown`.

    >>> import wssend
    >>> def greet(hub: wssend.Hub) -> None:
    ...     hub.broadcast("hello")
    >>> with wssend.WSHub() as hub:
    ...     greet(hub)
    """

    @property
    def closed(self) -> bool:
        """Whether close() was called."""

    def send(
        self,
        client_id: str,
        data: str | Buffer | PreparedMessage,
        *,
        text: bool | None = None,
    ) -> None:
        """Send to the client of that id."""

    def send_to_user(
        self,
        user: str,
        data: str | Buffer | PreparedMessage,
        exclude: Iterable[str] = (),
        *,
        text: bool | None = None,
    ) -> SendReport[WSClient | RemoteClient] | None:
        """Send to all connections of a user."""

    def broadcast(
        self,
        data: str | Buffer | PreparedMessage,
        exclude: Iterable[str] = (),
        *,
        text: bool | None = None,
    ) -> SendReport[WSClient | RemoteClient] | None:
        """Send to all clients."""

    def publish(
        self,
        topic: str,
        data: str | Buffer | PreparedMessage,
        exclude: Iterable[str] = (),
        *,
        text: bool | None = None,
    ) -> SendReport[WSClient | RemoteClient] | None:
        """Send to the subscribers of a topic."""

    def close_user(self, user: str, code: int = 4401, reason: str = "") -> int | None:
        """Close all connections of a user."""

    def flush(self, timeout: float | None = None) -> None:
        """Wait until what was sent so far has gone on its way."""

    def close(self, *, timeout: float | None = ...) -> None:
        """Close it: no more calls."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
